"""Which conversations repeat another one, over all days, and which one stays."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from flywheel.curate.dedup.compiled import compiled, on_all_cores
from flywheel.curate.dedup.components import connected
from flywheel.curate.dedup.lookup import Index
from flywheel.curate.dedup.matching import Pairs, candidates, folded, nearest_kept
from flywheel.curate.dedup.rows import Rows, batches, read_rows
from flywheel.curate.dedup.spool import Spool
from flywheel.curate.dedup.words import Int64s, UInt32s
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
_GROUP_ROWS = 1 << 16


def find_duplicates(
    signatures: pl.DataFrame | pl.LazyFrame, *, similarity: float = 0.8, scores: pl.LazyFrame | None = None
) -> pl.DataFrame:
    """Find the conversations that repeat another one.

    Records are taken oldest first (`created_at`, then `id`, nulls last, then `day`), or by their score, the highest first and
    the oldest of equal ones. "Before" is meant in that order. A record goes for the first of these reasons that holds:

    1. `same_id`: an earlier day delivered the same id with the same normalised conversation.
    2. `other_version`: another day has the same id with another conversation, of more messages, or as many on an earlier day:
       a conversation that went on, or was edited, under one id.
    3. `exact`: a record before it has the same normalised conversation.
    4. `prefix`: its messages, system prompts aside, are the beginning of a longer conversation; the longest one stays. One that
       has candidates stays: they answer its prompt.
    5. `near`: its word n-grams overlap by at least `similarity` with those of a record before it *that stays*.

    Nobody goes for resembling a record that itself goes: where A resembles B and B resembles C but A does not resemble C,
    A and C stay. So every `near` row is truly that similar to the record kept for it (precision 1, to the 32 bits of the
    hashes), and every `kept` stays. Which rows go depends only on the rows that are there: not on their order, nor on how days
    are partitioned, in which order they came or what was erased since. Pairs that share no MinHash band are missed
    (`lsh_bands` says how many), and some of those between thousands of records of one template (`nearest_kept`). Where the
    record that stands in for a `same_id`, `other_version` or `prefix` row goes for another reason, `kept` names the one that
    stays in the end; an `exact` row then has the reason and similarity of its twin. A record without words is never `near`.

    Memory is bounded by the rows, not by their texts: the frame is read several times in batches, of its lists only one column
    at a time. Word n-grams of candidates wait in a temporary file. `python -m flywheel_tests.benchmarks scaling` measures both.

    Args:
        signatures: rows of `SIGNATURES`, all made with the same settings, with their `day`; any order. A lazy frame is read five
            times.
        similarity: above 0, at most 1. Bands are laid out when records are signed: sign anew to find pairs below that.
        scores: `id`, `day` and `score`, the higher the better; where there is none (null, NaN, no row) the record comes last.

    Returns:
        One row a duplicate, columns of `DUPLICATES`, ordered by day, then id.

    Raises:
        ValueError: `similarity` is out of range, an id occurs twice in one day, or bands differ in number.
    """
    if not 0 < similarity <= 1:
        raise ValueError(f"similarity must be above 0 and at most 1, not {similarity}")
    lazy = signatures.lazy()
    rows = read_rows(lazy, scores)
    verdict = _Verdict(len(rows))
    _same_id(rows, verdict)
    _exact(rows, verdict)
    _prefix(rows, lazy, verdict)
    _near(rows, lazy, verdict, similarity)
    verdict.settle()
    gone = np.flatnonzero(verdict.reason != _STAYS)
    (ids, days), (kept, kept_days) = rows.names(gone), rows.names(verdict.target[gone])
    return pl.DataFrame(
        {
            "id": ids,
            "day": days,
            "kept": kept,
            "kept_day": kept_days,
            "reason": pl.Series(np.array(REASONS)[verdict.reason[gone]], dtype=pl.String),
            "similarity": pl.Series(verdict.similarity[gone], dtype=pl.Float64, nan_to_null=True),
        }
    ).sort("day", "id")


@dataclass
class _Verdict:
    """For each record, in the order of precedence: why it goes (or `_STAYS`), for which one, and how similar that is."""

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


def _same_id(rows: Rows, verdict: _Verdict) -> None:
    first = Index(rows.ids.hash().to_numpy()[rows.order]).first()
    repeats = np.flatnonzero(first != np.arange(len(first)))
    if not len(repeats):
        return
    suspects = np.unique(np.concatenate([first[repeats], repeats]))
    ids, days = rows.names(suspects)
    named = pl.DataFrame(
        {"row": suspects, "id": ids, "day": days, "exact": rows.exact[suspects], "turns": rows.turns[suspects]}
    ).filter(pl.col("id").is_duplicated())
    if repeated := named.height - named.select("id", "day").n_unique():
        raise ValueError(f"{repeated} signatures repeat an id within a day; ids are unique within a partition")
    gone = (
        named.sort("id", "turns", "day", descending=[False, True, False])
        .with_columns(pl.col("row").first().over("id").alias("stays"), same=pl.col("exact") == pl.col("exact").first().over("id"))
        .filter(pl.col("row") != pl.col("stays"))
    )
    reason = np.where(gone["same"].to_numpy(), _SAME_ID, _OTHER_VERSION)
    verdict.drop(gone["row"].to_numpy(), reason, gone["stays"].to_numpy())


def _exact(rows: Rows, verdict: _Verdict) -> None:
    staying = verdict.staying()
    first = Index(rows.exact[staying]).first()
    later = np.flatnonzero(first != np.arange(len(first)))
    verdict.drop(staying[later], _EXACT, staying[first[later]], 1.0)


def _prefix(rows: Rows, signatures: pl.LazyFrame, verdict: _Verdict) -> None:
    staying = verdict.staying()
    exact, turns = Index(rows.exact[staying]), rows.turns[staying]
    ended = staying[turns > 0]
    ends = Index(rows.end[ended])
    longest = np.full(len(ended), -1, np.int32)
    for hashes, offsets, beginnings in batches(signatures, "beginnings"):
        inner = np.ones(len(beginnings), bool)
        inner[offsets[1:][np.diff(offsets) > 0] - 1] = False
        places = np.where(inner, ends.find(beginnings), -1).astype(np.int32)
        _keep_longest(exact.find(hashes), offsets, places, turns, longest)
    place = ends.first()
    found = np.flatnonzero(longest[place] >= 0)
    verdict.drop(ended[found], _PREFIX, staying[longest[place[found]]])


@compiled
def _keep_longest(rows: Any, offsets: Any, places: Any, turns: Any, longest: Any) -> None:  # pragma: no cover
    """Of the rows that go on after each place, note the one with most turns, the first of those."""
    for i in range(len(rows)):
        row = rows[i]
        for position in range(offsets[i], offsets[i + 1]):
            place = places[position]
            if row >= 0 and place >= 0:
                best = longest[place]
                if best < 0 or turns[row] > turns[best] or (turns[row] == turns[best] and row < best):
                    longest[place] = row


def _near(rows: Rows, signatures: pl.LazyFrame, verdict: _Verdict, similarity: float) -> None:
    staying = verdict.staying()
    worded = staying[rows.words[staying] != 0]
    first = Index(rows.words[worded]).first()
    distinct = worded[first == np.arange(len(first))]
    exact = Index(rows.exact[distinct])
    bands = _read_bands(signatures, exact)
    groups = connected(bands, limit=_GROUP_ROWS)
    if len(groups.rows):
        spool = Spool(groups, len(distinct))
        for hashes, offsets, shingles in batches(signatures, "shingles"):
            spool.add(exact.find(hashes), offsets, shingles)

        def compare(group: int, start: int, stop: int) -> Pairs:
            rows_of_group = groups.rows[start:stop]
            pairs = nearest_kept(spool.load(group), candidates(bands[:, rows_of_group]), similarity=similarity)
            members = distinct[rows_of_group]
            return Pairs(members[pairs.later], members[pairs.earlier], pairs.jaccard)

        for pairs in on_all_cores(compare, zip(range(len(groups.starts)), groups.starts, groups.starts[1:], strict=False)):
            verdict.drop(pairs.later, _NEAR, pairs.earlier, pairs.jaccard)
    later = np.flatnonzero(first != np.arange(len(first)))
    twin = worded[first[later]]
    near = np.where(verdict.reason[twin] == _NEAR, verdict.similarity[twin], 1.0)
    verdict.drop(worded[later], _NEAR, verdict.target[twin], near)


def _read_bands(signatures: pl.LazyFrame, exact: Index) -> UInt32s:
    """The upper halves of the band hashes, shape (bands, rows of the index): candidates are verified, so that 32 bits do."""
    bands = np.empty((0, len(exact.values)), np.uint32)
    widths: set[int] = set()
    for hashes, offsets, values in batches(signatures, "bands"):
        sizes = np.diff(offsets)
        widths |= set(np.unique(sizes[sizes > 0]).tolist())
        if len(widths) > 1:
            raise ValueError(f"signatures have {sorted(widths)} bands; sign all days with the same `[dedup]` settings")
        if not widths:
            continue
        if not len(bands):
            bands = np.empty((*widths, len(exact.values)), np.uint32)
        found = exact.find(hashes)[sizes > 0]
        bands[:, found[found >= 0]] = folded(values.reshape(-1, len(bands))[found >= 0])
    return bands
