"""Pairs of sets that are truly similar, among those that share a MinHash band."""

from typing import Any, NamedTuple

import numpy as np

from flywheel.curate.dedup.compiled import compiled
from flywheel.curate.dedup.components import sorted_keys
from flywheel.curate.dedup.lookup import ROW_LIMIT
from flywheel.curate.dedup.shingles import Sets
from flywheel.curate.dedup.spool import Spans
from flywheel.curate.dedup.words import Float64s, Int32s, Int64s, UInt32s, UInt64s

REACH = 256


class Candidates(NamedTuple):
    """For each row and band the number of the bucket that it shares with another row, below `total`, or -1."""

    buckets: Int32s
    total: int


def candidates(bands: UInt32s) -> Candidates:
    """Buckets of rows whose hashes are equal in a band; `bands` has the shape (bands, rows)."""
    buckets = np.empty(bands.shape[::-1], np.int32)
    total = 0
    for band, hashes in enumerate(bands):
        total = _number(sorted_keys(hashes), total, buckets[:, band])
    return Candidates(buckets, total)


def folded(bands: UInt64s) -> UInt32s:
    """The upper halves of band hashes, bands first: candidates are verified, so that 32 bits are enough to find them."""
    halves: UInt32s = np.ascontiguousarray((bands >> np.uint64(32)).astype(np.uint32).T)
    return halves


class Pairs(NamedTuple):
    """Verified links between rows: the later one, the earlier one, their Jaccard similarity."""

    later: Int64s
    earlier: Int64s
    jaccard: Float64s


def nearest_kept(sets: Spans, among: Candidates, *, similarity: float) -> Pairs:
    """Drop, row by row, each candidate that is similar to an earlier one that was not dropped; link it to the most similar.

    Rows are compared with kept rows only, so that 50,000 variations on one text cost 50,000 comparisons, and nobody is
    dropped for resembling a row that is itself dropped. Of equally similar kept rows the earliest is linked. In a bucket
    of many kept rows (requests made from one template, say, alike but less than `similarity`) a row meets the latest
    `REACH` of them: time stays linear, and a pair is missed when it is farther apart than that in every bucket it shares.

    Args:
        sets: the rows' sets, none empty; rows come in order of precedence.
        similarity: above 0, at most 1.
    """
    return _compared(sets, among, similarity, greedy=True)


def similar_pairs(sets: Sets, bands: UInt64s, *, similarity: float) -> Pairs:
    """All pairs of sets that share a band and are at least `similarity` alike, ordered by the later, then the earlier row.

    Memory and time grow with the number of pairs, up to half the square of the sets. Empty sets are in no pair.
    """
    filled = np.flatnonzero(np.diff(sets.offsets))
    spans = Spans(sets.values, sets.offsets[filled], sets.offsets[filled + 1])
    pairs = _compared(spans, candidates(folded(bands[filled])), similarity, greedy=False)
    order = np.lexsort((pairs.earlier, pairs.later))
    return Pairs(filled[pairs.later[order]], filled[pairs.earlier[order]], pairs.jaccard[order])


def _compared(sets: Spans, among: Candidates, similarity: float, *, greedy: bool) -> Pairs:
    kind = np.int32 if among.buckets.size < ROW_LIMIT else np.int64
    heads, links = np.full(among.total, -1, kind), np.empty(among.buckets.size, kind)
    return Pairs(*_compare(sets.starts, sets.stops, sets.values, among.buckets, heads, links, similarity, greedy))


@compiled
def _number(keys: Any, total: int, buckets: Any) -> int:  # pragma: no cover
    """Number the runs of equal upper halves, from `total` on; returns the number after the last."""
    start = 0
    for stop in range(1, len(keys) + 1):
        if stop < len(keys) and keys[stop] >> np.uint64(32) == keys[start] >> np.uint64(32):
            continue
        shared = stop - start > 1
        for i in range(start, stop):
            buckets[keys[i] & np.uint64(0xFFFFFFFF)] = total if shared else -1
        total += shared
        start = stop
    return total


@compiled
def _compare(
    starts: Any, stops: Any, values: Any, buckets: Any, heads: Any, links: Any, similarity: float, greedy: bool
) -> Any:  # pragma: no cover
    """Each row against the earlier members of its buckets, which are linked lists of entries row * bands + band."""
    size, bands = buckets.shape
    seen = np.full(size, -1, np.int32)
    later, earlier, jaccard = np.empty(1024, np.int64), np.empty(1024, np.int64), np.empty(1024, np.float64)
    found = 0
    for row in range(size):
        mine = values[starts[row] : stops[row]]
        nearest = found
        for band in range(bands):
            entry = heads[buckets[row, band]] if buckets[row, band] >= 0 else -1
            steps = 0
            while entry >= 0 and (not greedy or steps < REACH):
                steps += 1
                other = entry // bands
                entry = links[entry]
                if seen[other] == row:
                    continue
                seen[other] = row
                bar = jaccard[nearest] if greedy and found > nearest else similarity
                overlap = _jaccard(mine, values[starts[other] : stops[other]], bar)
                if overlap < bar or (greedy and found > nearest and overlap == bar and other > earlier[nearest]):
                    continue
                if greedy:
                    found = nearest
                later, earlier, jaccard = _room(later, found), _room(earlier, found), _room(jaccard, found)
                later[found], earlier[found], jaccard[found] = row, other, overlap
                found += 1
        if greedy and found > nearest:
            continue
        for band in range(bands):
            if buckets[row, band] >= 0:
                links[row * bands + band] = heads[buckets[row, band]]
                heads[buckets[row, band]] = row * bands + band
    return later[:found], earlier[:found], jaccard[:found]


@compiled
def _room(values: Any, used: int) -> Any:  # pragma: no cover
    if used < len(values):
        return values
    grown = np.empty(2 * len(values), values.dtype)
    grown[:used] = values
    return grown


@compiled
def _jaccard(one: Any, other: Any, least: float) -> float:  # pragma: no cover
    """Jaccard similarity of two ascending arrays, or -1 as soon as it is certain to be below `least`."""
    total = len(one) + len(other)
    needed = int(np.ceil(least * total / (1.0 + least) - 1e-9))
    spare_one, spare_other = len(one) - needed, len(other) - needed
    i, j, common = 0, 0, 0
    while spare_one >= 0 and spare_other >= 0 and i < len(one) and j < len(other):
        if one[i] == other[j]:
            common += 1
            i += 1
            j += 1
        elif one[i] < other[j]:
            i += 1
            spare_one -= 1
        else:
            j += 1
            spare_other -= 1
    if spare_one < 0 or spare_other < 0:
        return -1.0
    return common / (total - common)
