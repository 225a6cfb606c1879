"""Mixtures: a stated share of each source, chosen by hash, so that a larger share only adds rows."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import polars as pl
import xxhash

from flywheel import ledger
from flywheel.errors import ConfigError
from flywheel.records import empty
from flywheel.sections import Mix

KEYS = ("id", "created_at", "split", "user")
"""The columns that a choice is made from."""


class Mixture(NamedTuple):
    """What is in, what is not, and the sums: `rows in = kept + exits`."""

    kept: pl.DataFrame
    exits: pl.DataFrame
    report: pl.DataFrame
    """`source`, `split`, `available`, `taken`; one row a source and split that has rows."""


def mix(sources: Mapping[str, pl.DataFrame | Iterable[pl.DataFrame]], *, settings: Mix) -> Mixture:
    """Take the stated share of each source.

    A row is taken when the hash of (seed, id), in [0, 1), is below its source's share: without `max_rows`, raising a share
    or adding data never takes a row away. `max_rows` bounds each split by itself and prefers low hash divided by share, so
    that the sources keep their proportions and a larger bound only adds rows. Train, validation and test are sampled alike.
    `max_rows_per_user` keeps the rows of each user that come first in that same order, over all sources and splits, before
    `max_rows` is applied, so that nobody's way of writing fills a set and is learnt by heart. A synthetic row is its seed's
    user's. Rows without a user are never counted together: who wrote them is unknown, so they are not capped.

    Memory: the rows that are taken; frames of an iterable are cut down as they come. For more than fits, give `choose` the
    key columns and stream the rest yourself.

    Args:
        sources: for every key of `settings.take`, batches of records. Others are ignored.

    Returns:
        `kept` in the order of `created_at`, then `id` (undated rows last); exits with reason `not_sampled`, `user_cap`, or
        merged as `same_id` where an earlier source of `take`, or the same one, has that id already.

    Raises:
        ConfigError: a source of `take` is missing, or `max_rows` is below 1.
    """
    frames: list[pl.DataFrame] = []
    keys: dict[str, pl.DataFrame] = {}
    for source in _wanted(sources, settings):
        given = sources[source]
        seen = []
        for frame in [given] if isinstance(given, pl.DataFrame) else given:
            seen.append(frame.select(KEYS))
            sampled = _drawn(frame["id"], settings.seed) < settings.take[source]
            frames.append(frame.filter(sampled).with_columns(_source=pl.lit(source)))
        keys[source] = pl.concat(seen) if seen else empty().select(KEYS)
    choice = choose(keys, settings=settings)
    rows = pl.concat(frames).unique(("id", "_source"), keep="first", maintain_order=True) if frames else empty()
    if not frames:
        return Mixture(rows, choice.exits, choice.report)
    wanted = choice.kept.select("id", _source="source")
    kept = wanted.join(rows, on=("id", "_source"), how="left", maintain_order="left")
    return Mixture(kept.select([name for name in rows.columns if name != "_source"]), choice.exits, choice.report)


def choose(keys: Mapping[str, pl.DataFrame], *, settings: Mix) -> Mixture:
    """The same choice from key columns alone (`KEYS`); `kept` has all but `user`, and `source`.

    Raises:
        ConfigError: as `mix`.
    """
    labelled = [
        keys[source].select(KEYS).with_columns(source=pl.lit(source), rank=_drawn(keys[source]["id"], settings.seed))
        for source in _wanted(keys, settings)
    ]
    schema = pl.Schema([*empty().select(KEYS).schema.items(), ("source", pl.String()), ("rank", pl.Float64())])
    rows = pl.concat(labelled) if labelled else pl.DataFrame(schema=schema)
    share = pl.col("source").replace_strict(dict(settings.take), return_dtype=pl.Float64, default=None)
    rows = rows.with_columns(first=pl.col("id").is_first_distinct(), share=share, priority=pl.col("rank") / share).with_columns(
        sampled=pl.col("first") & (pl.col("rank") < pl.col("share"))
    )
    rows = rows.with_columns(capped=_beyond_cap(settings.max_rows_per_user)).with_columns(
        sampled=pl.col("sampled") & ~pl.col("capped")
    )
    if settings.max_rows is not None:
        place = pl.struct("priority", "id").rank("ordinal").over("split", "sampled")
        rows = rows.with_columns(sampled=pl.col("sampled") & (place <= settings.max_rows))
    kept = rows.filter("sampled").sort("created_at", "id", nulls_last=True).select("id", "source", "split", "created_at")
    repeated = rows.filter(~pl.col("first"))["id"]
    left = rows.filter(pl.col("first") & ~pl.col("sampled"))
    reasons = left.select(pl.when("capped").then(pl.lit("user_cap")).otherwise(pl.lit("not_sampled"))).to_series()
    exits = pl.concat(
        [
            ledger.exits(left["id"], reasons, score=left["rank"]),
            ledger.exits(repeated, "same_id", into=repeated, merged=True),
        ]
    )
    report = rows.group_by("source", "split").agg(available=pl.len(), taken=pl.col("sampled").sum()).sort("source", "split")
    return Mixture(kept, exits, report)


def _beyond_cap(most: int | None) -> pl.Expr:
    """Whether a sampled row comes after the `most` that its user may have; never for rows without a user."""
    if most is None:
        return pl.lit(False)
    place = pl.struct("priority", "id").rank("ordinal").over("user", "sampled")
    return pl.col("sampled") & pl.col("user").is_not_null() & (place > most)


def _wanted(sources: Mapping[str, object], settings: Mix) -> list[str]:
    if settings.max_rows is not None and settings.max_rows < 1:
        raise ConfigError(f"[[mix]] {settings.name}: max_rows is {settings.max_rows}; give 1 or more, or leave it out.")
    if missing := [name for name in settings.take if name not in sources]:
        raise ConfigError(f"[[mix]] {settings.name} takes {missing[0]!r}; there is {', '.join(sorted(sources)) or 'nothing'}.")
    return list(settings.take)


def _drawn(ids: pl.Series, seed: int) -> pl.Series:
    """A number in [0, 1) an id, the same on every machine."""
    start = f"{seed}\x1f"
    return pl.Series("rank", [xxhash.xxh3_64_intdigest((start + one).encode()) / 2.0**64 for one in ids], dtype=pl.Float64)
