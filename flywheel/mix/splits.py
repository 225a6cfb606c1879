"""Train, validation and test by family, so that no relative of a training row is ever tested on."""

from typing import TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
import xxhash

from flywheel.errors import ConfigError
from flywheel.schema import column
from flywheel.sections import Splits

SPLITS = pa.schema(
    [
        column("id", pa.string(), "the record"),
        column("day", pa.string(), "the record's day partition"),
        column("family", pa.string(), "id of the family's oldest member; equal for all that share ancestry, session or text"),
        column("split", pa.string(), "`train`, `validation` or `test`"),
    ]
)
_MAX = 2.0**64
_ID, _SESSION, _PROMPT = range(3)
_Nodes: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.uint64]]"
_Index: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.int64]]"


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
    if settings.validation + settings.test > 1 + 1e-9:
        total = settings.validation + settings.test
        raise ConfigError(f"[splits] validation and test add up to {total:g}; together they may take at most 1.")
    edges = _edges(records, duplicates)
    own = _hashed(records["id"], _ID)
    nodes = np.unique(np.concatenate([own, *(end for kind in edges for end in kind)]))
    labels = _components(len(nodes), [(np.searchsorted(nodes, a), np.searchsorted(nodes, b)) for a, b in edges])
    child, parent = edges[0]
    rows = records.select("id", pl.col("day").cast(pl.String)).with_columns(
        component=pl.Series(labels[np.searchsorted(nodes, own)]),
        child=pl.Series(np.isin(own, child[np.isin(parent, own)])),
    )
    roots = (
        rows.sort("component", "child", "day", "id", nulls_last=True)
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


def _hashed(values: pl.Series, kind: int) -> _Nodes:
    """Nodes of the graph: 64-bit hashes, for memory. Two that collide (1 in 10^5 at ten million) only share a split."""
    return values.hash(kind).to_numpy()


def _edges(records: pl.DataFrame, duplicates: pl.DataFrame) -> list[tuple[_Nodes, _Nodes]]:
    """Undirected edges as pairs of nodes, ancestry first. Sessions and prompts are nodes of their own kind."""
    ancestry = records.select(a="id", b="parents").explode("b", empty_as_null=False, keep_nulls=False)
    linked = [(ancestry, _ID), (records.select(a="id", b="session"), _SESSION), (duplicates.select(a="id", b="kept"), _ID)]
    if "prompt" in records.columns:
        linked.append((records.select(a="id", b="prompt"), _PROMPT))
    whole = [(edges.drop_nulls(), kind) for edges, kind in linked]
    return [(_hashed(edges["a"], _ID), _hashed(edges["b"], kind)) for edges, kind in whole]


def _components(nodes: int, edges: list[tuple[_Index, _Index]]) -> _Index:
    """A label a node, equal within a connected component: the least index of its members.

    Source: after Shiloach and Vishkin, "An O(log n) parallel connectivity algorithm", 1982 (hooking and pointer jumping).
    """
    labels = np.arange(nodes, dtype=np.int64)
    while True:
        before = labels.copy()
        for a, b in edges:
            left, right = labels[a], labels[b]
            np.minimum.at(labels, np.maximum(left, right), np.minimum(left, right))
            while (labels[labels] != labels).any():
                labels = labels[labels]
        if (labels == before).all():
            return labels
