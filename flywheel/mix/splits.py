"""Train, validation and test by family, so that no relative of a training row is ever tested on."""

import numpy as np
import polars as pl
import pyarrow as pa
import xxhash

from flywheel.errors import ConfigError
from flywheel.schema import column
from flywheel.settings import Splits

SPLITS = pa.schema(
    [
        column("id", pa.string(), "the record"),
        column("day", pa.string(), "the record's day partition"),
        column("family", pa.string(), "id of the family's oldest member; equal for all that share ancestry, session or text"),
        column("split", pa.string(), "`train`, `validation` or `test`"),
    ]
)
_MAX = 2.0**64


def assign_splits(records: pl.DataFrame, duplicates: pl.DataFrame, *, settings: Splits) -> pl.DataFrame:
    """Put every family of records whole into one split.

    A family is a connected component over parents, session, duplicates and, where the column is there, equal prompts. A
    parent or a kept duplicate that is not among `records` still holds its relatives together. The split follows from
    (seed, family) alone: the family's id is hashed to [0, 1), `test` takes the lower end and `validation` the upper, so
    raising one share moves families out of `train` only.

    A family is named after its oldest member (least `day`, then `id`, among those without a known parent): new members do
    not rename it. A split changes only when a link joins two older families, which then both take the older one's split,
    or when an older relative is delivered late. Pass all known records, also those that filters drop, or a dropped member
    can rename its family.

    Shares are of families, in expectation: with few families a split may stay empty, and one session id shared by many
    records (a constant such as `default`) makes one large family.

    Args:
        records: `id`, `day` (string or date), `parents` (list of ids), `session`; optional `prompt`, any value of which
            equal ones belong together, for example a hash. Nulls link nothing. In any order.
        duplicates: `id` and `kept`, one row a duplicate.

    Returns:
        One row a row of `records`, columns of `SPLITS`, ordered by `day`, then `id`; the same for any order of the inputs.

    Raises:
        ConfigError: the shares add up to more than 1.
    """
    if settings.validation + settings.test > 1:
        total = settings.validation + settings.test
        raise ConfigError(f"[splits] validation and test add up to {total:g}; together they may take at most 1.")
    rows = records.select("id", pl.col("day").cast(pl.String))
    links = _links(records, duplicates)
    nodes = pl.concat([records.select(node="id"), links.select(node="a"), links.select(node="b")]).unique().sort("node")
    labels = _components(nodes["node"], links)
    rows = rows.join(nodes.with_columns(component=pl.Series(labels)), left_on="id", right_on="node", how="left")
    roots = (
        rows.join(_children(records), on="id", how="left")
        .sort("component", pl.col("child").fill_null(0), "day", "id", nulls_last=True)
        .group_by("component", maintain_order=True)
        .agg(family=pl.col("id").first())
    )
    roots = roots.with_columns(split=pl.Series([_split(family, settings) for family in roots["family"]], dtype=pl.String))
    return rows.join(roots, on="component", how="left").select(SPLITS.names).sort("day", "id", nulls_last=True)


def _split(family: str, settings: Splits) -> str:
    at = xxhash.xxh3_64_intdigest(f"{settings.seed}\x1f{family}".encode()) / _MAX
    if at < settings.test:
        return "test"
    return "validation" if at >= 1 - settings.validation else "train"


def _children(records: pl.DataFrame) -> pl.DataFrame:
    """Ids of the records that have a parent among the records."""
    pairs = records.select("id", "parents").explode("parents", empty_as_null=False, keep_nulls=False)
    known = pairs.join(records.select("id"), left_on="parents", right_on="id", how="semi")
    return known.select("id", child=pl.lit(1)).unique()


def _links(records: pl.DataFrame, duplicates: pl.DataFrame) -> pl.DataFrame:
    """Undirected edges `a`, `b`. Sessions and prompts are nodes of their own, told from ids by a control character."""
    edges = [
        records.select(a="id", b=pl.col("parents")).explode("b", empty_as_null=False, keep_nulls=False),
        records.select(a="id", b=pl.lit("\x1fsession\x1f") + pl.col("session")),
        duplicates.select(a="id", b="kept"),
    ]
    if "prompt" in records.columns:
        edges.append(records.select(a="id", b=pl.lit("\x1fprompt\x1f") + pl.col("prompt").cast(pl.String)))
    return pl.concat([edge.cast(pl.String) for edge in edges]).drop_nulls()


def _components(nodes: pl.Series, links: pl.DataFrame) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """A label a node, equal within a connected component: the least index of its members.

    Source: after Shiloach and Vishkin, "An O(log n) parallel connectivity algorithm", 1982 (hooking and pointer jumping).
    """
    index = nodes.to_frame("node").with_row_index("at")
    ends = [
        links.select(node=end).join(index, on="node", how="left", maintain_order="left")["at"].to_numpy().astype(np.int64)
        for end in ("a", "b")
    ]
    labels = np.arange(len(nodes), dtype=np.int64)
    while True:
        left, right = labels[ends[0]], labels[ends[1]]
        if (left == right).all():
            return labels
        low = np.minimum(left, right)
        np.minimum.at(labels, np.maximum(left, right), low)
        while (labels[labels] != labels).any():
            labels = labels[labels]
