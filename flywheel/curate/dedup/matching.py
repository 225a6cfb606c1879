"""Pairs of sets that are truly similar, among those that share a MinHash band."""

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flywheel.curate.dedup.compiled import compiled
from flywheel.curate.dedup.shingles import Sets
from flywheel.curate.dedup.words import Float64s, Int64s, UInt64s


def similar_pairs(sets: Sets, bands: UInt64s, *, similarity: float) -> pl.DataFrame:
    """All pairs of sets that share a band and whose Jaccard similarity is at least `similarity`.

    Memory and time grow with the number of pairs, up to half the square of the sets: `find_duplicates` uses `nearest_kept`.

    Returns:
        `a`, `b` (row numbers, a < b) and `jaccard` (exact, of the hashed sets), ordered by a, then b.
    """
    pairs = _walk(sets, bands, similarity, greedy=False)
    return pl.DataFrame({"a": pairs.earlier, "b": pairs.later, "jaccard": pairs.jaccard}).sort("a", "b")


class Nearest(NamedTuple):
    """For each set the kept one that is most similar to it, the earliest of several, and how similar that is.

    A set that is itself kept has -1 and NaN.
    """

    kept: Int64s
    jaccard: Float64s


def nearest_kept(sets: Sets, bands: UInt64s, *, similarity: float) -> Nearest:
    """Drop, row by row, each set that is similar to an earlier one that was not dropped.

    Rows are compared with kept rows only, so that 50,000 variations on one text cost 50,000 comparisons, and nobody is
    dropped for resembling a row that is itself dropped. An empty set is kept and compared with none.

    Args:
        sets: in order of precedence.
        bands: their band hashes, shape (sets, bands).

    Raises:
        ValueError: `similarity` is not above 0 and at most 1.
    """
    pairs = _walk(sets, bands, similarity, greedy=True)
    nearest = Nearest(np.full(len(bands), -1, np.int64), np.full(len(bands), np.nan))
    nearest.kept[pairs.later] = pairs.earlier
    nearest.jaccard[pairs.later] = pairs.jaccard
    return nearest


class _Pairs(NamedTuple):
    earlier: Int64s
    later: Int64s
    jaccard: Float64s


def _walk(sets: Sets, bands: UInt64s, similarity: float, *, greedy: bool) -> _Pairs:
    if not 0 < similarity <= 1:
        raise ValueError(f"similarity must be above 0 and at most 1, not {similarity}")
    buckets, count = _buckets(bands, np.diff(sets.offsets) > 0)
    rows = np.flatnonzero((buckets >= 0).any(axis=1))
    return _Pairs(*_compare(*sets, rows, buckets[rows], count, similarity, greedy))


def _buckets(bands: UInt64s, filled: Any) -> tuple[Any, int]:
    """Number the band hashes that more than one set has; -1 for the others. Shape (sets, bands), int32."""
    buckets = np.full(bands.shape, -1, np.int32)
    rows = np.flatnonzero(filled)
    count = 0
    for band in range(bands.shape[1]):
        column = np.ascontiguousarray(bands[rows, band])
        ordered = np.sort(column)
        repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        if len(repeated):
            place = np.minimum(np.searchsorted(repeated, column), len(repeated) - 1)
            buckets[rows, band] = np.where(repeated[place] == column, place + count, -1)
            count += len(repeated)
    return buckets, count


@compiled
def _compare(
    offsets: Any, values: Any, rows: Any, buckets: Any, count: int, similarity: float, greedy: bool
) -> Any:  # pragma: no cover
    """Each row against the earlier members of its buckets, which are linked lists of entries row * bands + band."""
    bands = buckets.shape[1]
    heads = np.full(count, -1, np.int64)
    links = np.empty(len(rows) * bands, np.int64)
    seen = np.full(len(rows), -1, np.int64)
    first, second, jaccard = np.empty(1024, np.int64), np.empty(1024, np.int64), np.empty(1024, np.float64)
    found = 0
    for row in range(len(rows)):
        mine = values[offsets[rows[row]] : offsets[rows[row] + 1]]
        best, nearest = -1.0, -1
        for band in range(bands):
            entry = heads[buckets[row, band]] if buckets[row, band] >= 0 else -1
            while entry >= 0:
                other = entry // bands
                entry = links[entry]
                if seen[other] == row:
                    continue
                seen[other] = row
                overlap = _jaccard(mine, values[offsets[rows[other]] : offsets[rows[other] + 1]], max(similarity, best))
                if overlap < similarity:
                    continue
                if overlap > best or (overlap == best and other < nearest):
                    best, nearest = overlap, other
                if not greedy:
                    first, second, jaccard = _room(first, found), _room(second, found), _room(jaccard, found)
                    first[found], second[found], jaccard[found] = rows[other], rows[row], overlap
                    found += 1
                    best = -1.0
        if greedy and nearest >= 0:
            first, second, jaccard = _room(first, found), _room(second, found), _room(jaccard, found)
            first[found], second[found], jaccard[found] = rows[nearest], rows[row], best
            found += 1
            continue
        for band in range(bands):
            if buckets[row, band] >= 0:
                links[row * bands + band] = heads[buckets[row, band]]
                heads[buckets[row, band]] = row * bands + band
    return first[:found], second[:found], jaccard[:found]


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
