"""Which conversations repeat another one, over all days, and which one stays."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from flywheel.curate.dedup.matching import candidates, nearest_kept
from flywheel.curate.dedup.shingles import Sets
from flywheel.curate.dedup.words import Int64s, UInt64s
from flywheel.schema import column

DUPLICATES = pa.schema(
    [
        column("id", pa.string(), "the record that goes"),
        column("day", pa.string(), "its partition"),
        column("kept", pa.string(), "the record that stays in its place; never itself a duplicate"),
        column("kept_day", pa.string(), "that one's partition"),
        column("reason", pa.string(), "`same_id`, `other_version`, `exact`, `near` or `prefix`"),
        column("similarity", pa.float64(), "Jaccard similarity to the kept record; only for `exact` and `near`"),
    ]
)
REASONS = ("same_id", "other_version", "exact", "prefix", "near")
_SAME_ID, _OTHER_VERSION, _EXACT, _PREFIX, _NEAR = range(5)
_STAYS = -1


def find_duplicates(signatures: pl.DataFrame | pl.LazyFrame, *, similarity: float = 0.8) -> pl.DataFrame:
    """Find the conversations that repeat another one.

    Records are taken oldest first (`created_at`, then `id`, nulls last, then `day`). A record goes for the first of these
    reasons that holds:

    1. `same_id`: an earlier day delivered the same id with the same normalised conversation.
    2. `other_version`: another day has the same id with another conversation, of more messages, or as many on an earlier day:
       a conversation that went on, or was edited, under one id.
    3. `exact`: an older record has the same normalised conversation.
    4. `prefix`: its messages, system prompts aside, are the beginning of a longer conversation; the longest one stays. One that
       has candidates stays: they answer its prompt.
    5. `near`: its word n-grams overlap by at least `similarity` with those of an older record *that stays*.

    Nobody goes for resembling a record that itself goes: where A resembles B and B resembles C but A does not resemble C,
    A and C stay. So every `near` row is truly that similar to the record kept for it (precision 1, to the 32 bits of the
    hashes), every `kept` stays, and which rows go depends neither on the order of rows nor on how days are partitioned.
    Pairs that share no MinHash band are missed (`lsh_bands` says how many), and some of those between thousands of records
    of one template (`nearest_kept`). Where the record that stands in for a `same_id`, `other_version` or `prefix` row goes for
    another reason, `kept` names the one that stays in the end; an `exact` row then has the reason and similarity of its twin.
    A record without words is never `near`.

    Args:
        signatures: rows of `SIGNATURES`, all made with the same settings, with their `day`; any order. Of a lazy frame the
            sets are read only for the rows that share a band with another.
        similarity: above 0, at most 1. Bands are laid out when records are signed: sign anew to find pairs below that.

    Returns:
        One row a duplicate, columns of `DUPLICATES`, ordered by day, then id.

    Raises:
        ValueError: `similarity` is out of range, an id occurs twice in one day, or bands differ in number.
    """
    if not 0 < similarity <= 1:
        raise ValueError(f"similarity must be above 0 and at most 1, not {similarity}")
    lazy = signatures.lazy()
    small = lazy.select("id", "day", "created_at", "exact", "words", "beginnings").collect()
    if repeated := small.height - small.select("id", "day").n_unique():
        raise ValueError(f"{repeated} signatures repeat an id within a day; ids are unique within a partition")
    aged = small.sort("created_at", "id", "day", nulls_last=True)
    del small
    verdict = _Verdict(aged.height)
    _same_id(aged, verdict)
    _exact(aged, verdict)
    _prefix(aged, verdict)
    _near(aged, lazy, verdict, similarity)
    verdict.settle()
    gone = np.flatnonzero(verdict.reason != _STAYS)
    kept = verdict.target[gone]
    return pl.DataFrame(
        {
            "id": aged["id"][gone],
            "day": aged["day"][gone],
            "kept": aged["id"][kept],
            "kept_day": aged["day"][kept],
            "reason": pl.Series(np.array(REASONS)[verdict.reason[gone]], dtype=pl.String),
            "similarity": pl.Series(verdict.similarity[gone], dtype=pl.Float64, nan_to_null=True),
        }
    ).sort("day", "id")


@dataclass
class _Verdict:
    """For each record, oldest first: why it goes (or `_STAYS`), for which one, and how similar that is."""

    rows: int
    reason: Any = field(init=False)
    target: Int64s = field(init=False)
    similarity: Any = field(init=False)

    def __post_init__(self) -> None:
        self.reason = np.full(self.rows, _STAYS, np.int8)
        self.target = np.arange(self.rows)
        self.similarity = np.full(self.rows, np.nan)

    def drop(self, rows: Int64s, reason: Any, targets: Int64s, similarity: Any = np.nan) -> None:
        self.reason[rows], self.target[rows], self.similarity[rows] = reason, targets, similarity

    def staying(self) -> Int64s:
        return np.flatnonzero(self.reason == _STAYS)

    def settle(self) -> None:
        """Point everyone at a record that stays: each reason's targets are settled by the reasons after it."""
        twins = np.flatnonzero(self.reason == _EXACT)
        moved = twins[self.reason[self.target[twins]] != _STAYS]
        self.drop(moved, self.reason[self.target[moved]], self.target[self.target[moved]], self.similarity[self.target[moved]])
        while True:
            further = self.target[self.target]
            if np.array_equal(further, self.target):
                return
            self.target = further


def _same_id(aged: pl.DataFrame, verdict: _Verdict) -> None:
    rows = (
        aged.select("id", "day", "exact", turns=pl.col("beginnings").list.len())
        .with_row_index("row")
        .filter(pl.col("id").is_duplicated())
        .sort("id", "turns", "day", descending=[False, True, False])
        .with_columns(pl.col("row").first().over("id").alias("stays"), same=pl.col("exact") == pl.col("exact").first().over("id"))
        .filter(pl.col("row") != pl.col("stays"))
    )
    reason = np.where(rows["same"].to_numpy(), _SAME_ID, _OTHER_VERSION)
    verdict.drop(rows["row"].to_numpy().astype(np.int64), reason, rows["stays"].to_numpy().astype(np.int64))


def _exact(aged: pl.DataFrame, verdict: _Verdict) -> None:
    rows = verdict.staying()
    oldest = _oldest_equal(aged["exact"][rows])
    later = oldest != np.arange(len(rows))
    verdict.drop(rows[later], _EXACT, rows[oldest[later]], 1.0)


def _oldest_equal(values: pl.Series) -> Int64s:
    """For each value the position of its first occurrence."""
    frame = pl.DataFrame({"value": values, "row": pl.int_range(len(values), dtype=pl.Int64, eager=True)})
    positions: Int64s = frame.select(pl.col("row").min().over("value")).to_series().to_numpy()
    return positions


def _prefix(aged: pl.DataFrame, verdict: _Verdict) -> None:
    rows = verdict.staying()
    beginnings = aged.select("beginnings")[rows].with_columns(row=pl.Series(rows), turns=pl.col("beginnings").list.len())
    ends = beginnings.lazy().select("row", end=pl.col("beginnings").list.last()).drop_nulls()
    longest = (
        beginnings.lazy()
        .filter(pl.col("turns") > 1)
        .select("row", "turns", end=pl.col("beginnings").list.head(pl.col("turns") - 1))
        .explode("end")
        .join(ends.select("end").unique(), on="end", how="semi")
        .sort("turns", "row", descending=[True, False])
        .group_by("end")
        .agg(longest=pl.col("row").first())
    )
    found = ends.join(longest, on="end").select("row", "longest").collect()
    verdict.drop(found["row"].to_numpy(), _PREFIX, found["longest"].to_numpy())


def _near(aged: pl.DataFrame, signatures: pl.LazyFrame, verdict: _Verdict, similarity: float) -> None:
    rows = verdict.staying()
    rows = rows[aged["words"][rows].is_not_null().to_numpy()]
    if not len(rows):
        return
    oldest = _oldest_equal(aged["words"][rows])
    distinct = rows[np.unique(oldest)]
    among = candidates(_matrix(_fetch(signatures, "bands", aged["exact"][distinct])))
    if len(among.rows):
        sets = _sets(_fetch(signatures, "shingles", aged["exact"][distinct[among.rows]]))
        pairs = nearest_kept(sets, among, similarity=similarity)
        verdict.drop(distinct[pairs.later], _NEAR, distinct[pairs.earlier], pairs.jaccard)
    later = np.flatnonzero(oldest != np.arange(len(rows)))
    twin = rows[oldest[later]]
    near = np.where(verdict.reason[twin] == _NEAR, verdict.similarity[twin], 1.0)
    verdict.drop(rows[later], _NEAR, verdict.target[twin], near)


def _fetch(signatures: pl.LazyFrame, name: str, exact: pl.Series) -> pl.Series:
    """A column's values for conversations named by their `exact` hash, in that order; equal ones have equal values."""
    wanted = pl.LazyFrame({"exact": exact, "row": pl.int_range(len(exact), dtype=pl.UInt32, eager=True)})
    found = signatures.select("exact", name).join(wanted, on="exact").collect()
    _, first = np.unique(found["row"].to_numpy(), return_index=True)
    return found[name].gather(first)


def _sets(shingles: pl.Series) -> Sets:
    array: Any = shingles.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    return Sets(array.offsets.to_numpy(), array.values.to_numpy(zero_copy_only=False).view(np.uint32))


def _matrix(bands: pl.Series) -> UInt64s:
    widths = bands.list.len().unique().sort().to_list()
    if len(widths) > 1:
        raise ValueError(f"signatures have {widths} bands; sign all days with the same `[dedup]` settings")
    flat: UInt64s = bands.explode(empty_as_null=False, keep_nulls=False).to_numpy().view(np.uint64)
    return flat.reshape(len(bands), -1)
