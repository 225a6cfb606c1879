"""MinHash: texts to sets of hashed word n-grams, sets to signatures, signatures to band hashes.

Signatures equal those of `datasketch.MinHash` (2.0, its default scheme `affine32`) bit for bit when that is given the same
32-bit hashes, and bands and rows come from its own optimiser; only the speed differs.

Source: Broder, "On the resemblance and containment of documents", 1997; Leskovec, Rajaraman and Ullman, "Mining of Massive
Datasets", chapter 3; datasketch 2.0 (MIT).
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flywheel.curate.dedup.compiled import chunks, compiled, on_all_cores
from flywheel.curate.dedup.words import (
    MIX,
    NGRAM_LIMIT,
    Bools,
    Int64s,
    Segments,
    UInt32s,
    UInt64s,
    finish,
    scan_segment,
    segments,
)
from flywheel.curate.dedup.words import characters as character_table

_CHUNK_BYTES = 4 << 20
_CHUNK_HASHES = 1 << 20
_RECALL_WEIGHTS = (0.01, 0.99)


class Sets(NamedTuple):
    """Sets of 32-bit hashes, one a row: row i is `values[offsets[i]:offsets[i + 1]]`, ascending, each value once."""

    offsets: Int64s
    values: UInt32s

    def row(self, index: int) -> UInt32s:
        return self.values[self.offsets[index] : self.offsets[index + 1]]


class Bands(NamedTuple):
    """How many bands a signature is cut into, and how many of its values each takes."""

    bands: int
    rows: int


def shingle(texts: pl.Series, *, ngram: int = 3) -> Sets:
    r"""Sets of hashed word n-grams of texts; words are what `re.findall(r"\w+", text.lower())` finds.

    A text with fewer words than `ngram` has its whole word sequence as its one element, so that `thanks` equals `Thanks!`;
    a text without words has the empty set. Two n-grams share a 32-bit hash with a probability of 2**-32.

    Args:
        texts: strings; null is a text without words.
        ngram: words an n-gram, 1 to 13.

    Raises:
        ValueError: `ngram` is out of range.
    """
    source = segments(texts)
    rows = np.arange(len(texts) + 1, dtype=np.int64)
    return shingle_segments(source, rows, np.ones(len(texts), bool), ngram=ngram).sets


class Shingled(NamedTuple):
    """Sets of rows, and the 64-bit hash of each segment's text (`scan_segment`), 0 for one of white space only."""

    sets: Sets
    segments: UInt64s


def shingle_segments(source: Segments, rows: Int64s, counted: Bools, *, ngram: int) -> Shingled:
    """As `shingle`, of rows that are several segments each: row i has segments `rows[i]` to `rows[i + 1]`.

    The words of the segments that are `counted` follow each other: n-grams run across segments, words do not.
    """
    if not 1 <= ngram <= NGRAM_LIMIT:
        raise ValueError(f"ngram must be 1 to {NGRAM_LIMIT} words, not {ngram}")
    lengths = np.concatenate([[0], np.cumsum(source.stops - source.starts)])
    hashes = np.empty(len(source.starts), np.uint64)
    table = character_table()

    def work(start: int, stop: int) -> tuple[Int64s, UInt32s]:
        first, last = rows[start], rows[stop]
        out = np.empty((lengths[last] - lengths[first]) // 2 + (last - first) + 1, np.uint32)
        counts = np.zeros(stop - start, np.int64)
        used = _shingle_rows(*source, rows[start : stop + 1], counted, table, ngram, counts, out, hashes)
        return counts, out[:used].copy()

    return Shingled(_joined(on_all_cores(work, chunks(lengths[rows[1:]] + rows[1:], _CHUNK_BYTES))), hashes)


def hash_tokens(rows: list[list[int]]) -> Sets:
    """Sets of given 32-bit hashes, for n-grams of another kind (characters, say)."""
    distinct = [np.unique(np.array(row, np.uint32)) for row in rows]
    return _joined([(np.array([len(row) for row in distinct], np.int64), np.concatenate([*distinct, np.empty(0, np.uint32)]))])


def minhash(sets: Sets, *, permutations: int = 128) -> UInt32s:
    """Signatures, shape (sets, permutations): equal to `datasketch.MinHash(num_perm=permutations).hashvalues`.

    The value at each position is the set's least under one permutation; two sets agree at a position with a probability
    of their Jaccard similarity. An empty set has 2**32 - 1 everywhere, as in datasketch: leave it out before comparing.
    """
    a, b = _permutations(permutations)
    signatures = np.empty((len(sets.offsets) - 1, permutations), np.uint32)

    def work(start: int, stop: int) -> None:
        _minhash_rows(sets.offsets[start : stop + 1], sets.values, a, b, signatures[start:stop])

    on_all_cores(work, chunks(sets.offsets[1:], _CHUNK_HASHES))
    return signatures


def band_hashes(sets: Sets, layout: Bands) -> UInt64s:
    """64-bit hashes of each set's signature bands, shape (sets, bands); equal bands of one position have equal hashes.

    Signatures are made and forgotten chunk by chunk: memory is bounded by the result.
    """
    a, b = _permutations(layout.bands * layout.rows)
    hashes = np.empty((len(sets.offsets) - 1, layout.bands), np.uint64)

    def work(start: int, stop: int) -> None:
        signatures = np.empty((stop - start, layout.bands * layout.rows), np.uint32)
        _minhash_rows(sets.offsets[start : stop + 1], sets.values, a, b, signatures)
        _band_rows(signatures, layout.rows, hashes[start:stop])

    on_all_cores(work, chunks(np.arange(1, len(hashes) + 1) * 512 + sets.offsets[1:], _CHUNK_HASHES))
    return hashes


@cache
def lsh_bands(similarity: float, permutations: int = 128) -> Bands:
    """Bands and rows for a threshold, by datasketch's optimiser at weights 0.01 for false positives, 0.99 for negatives.

    Candidates are verified, so that a false positive costs a comparison and a false negative a duplicate. At 0.8 and 128
    permutations: 18 bands of 7; a pair at 0.8 becomes a candidate with a probability of 0.986, at 0.85 of 0.999, at 0.3
    of 0.004. datasketch's own default (0.5, 0.5) gives 9 of 13, and 0.40 at 0.8.
    """
    from datasketch.lsh import _optimal_param

    bands, rows = _optimal_param(similarity, permutations, *_RECALL_WEIGHTS)
    return Bands(int(bands), int(rows))


def _joined(parts: list[tuple[Int64s, UInt32s]]) -> Sets:
    counts = np.concatenate([np.zeros(1, np.int64), *(count for count, _ in parts)])
    return Sets(np.cumsum(counts), np.concatenate([np.empty(0, np.uint32), *(values for _, values in parts)]))


@cache
def _permutations(count: int) -> tuple[UInt32s, UInt32s]:
    """The factors (odd) and summands that datasketch draws with its default seed for `count` permutations."""
    from datasketch import MinHash

    a, b = MinHash(num_perm=count).permutations
    return np.ascontiguousarray(a), np.ascontiguousarray(b)


@compiled
def _shingle_rows(
    data: Any,
    starts: Any,
    stops: Any,
    rows: Any,
    counted: Any,
    table: Any,
    ngram: int,
    counts: Any,
    out: Any,
    hashes: Any,
) -> int:  # pragma: no cover
    used = 0
    tokens = np.empty(1024, np.uint64)
    scratch = np.empty(1024, np.uint32)
    for row in range(len(rows) - 1):
        found = 0
        for segment in range(rows[row], rows[row + 1]):
            most = found + (stops[segment] - starts[segment]) // 2 + 1
            if most > len(tokens):
                grown = np.empty(2 * most, np.uint64)
                grown[:found] = tokens[:found]
                tokens = grown
                scratch = np.empty(2 * most, np.uint32)
            read, hashes[segment] = scan_segment(data, starts[segment], stops[segment], table, tokens, found)
            if counted[segment]:
                found = read
        made = _ngram_hashes(tokens, found, ngram, out[used:])
        counts[row] = _sort_distinct(out[used : used + made], scratch)
        used += counts[row]
    return used


@compiled
def _ngram_hashes(tokens: Any, found: int, ngram: int, out: Any) -> int:  # pragma: no cover
    width = min(ngram, found)
    if width == 0:
        return 0
    made = found - width + 1
    for first in range(made):
        state = np.uint64(width)
        for token in range(first, first + width):
            state = (state ^ tokens[token]) * MIX
            state ^= state >> np.uint64(32)
        out[first] = np.uint32(finish(state) >> np.uint64(32))
    return made


@compiled
def _sort_distinct(values: Any, scratch: Any) -> int:  # pragma: no cover
    """Sort in place, drop repeats, return how many are left. Hashes are uniform: scatter by leading bits, then tidy up."""
    count = len(values)
    if count < 2:
        return count
    bits = 1
    while (1 << bits) < count and bits < 16:
        bits += 1
    shift = np.uint32(32 - bits)
    ends = np.zeros((1 << bits) + 1, np.int32)
    for value in values:
        ends[(value >> shift) + 1] += 1
    for bucket in range(1, len(ends)):
        ends[bucket] += ends[bucket - 1]
    for value in values:
        bucket = value >> shift
        scratch[ends[bucket]] = value
        ends[bucket] += 1
    start = np.int32(0)
    for bucket in range(len(ends) - 1):
        stop = ends[bucket]
        if stop - start > 24:
            scratch[start:stop].sort()
        else:
            for i in range(start + 1, stop):
                value = scratch[i]
                j = i - 1
                while j >= start and scratch[j] > value:
                    scratch[j + 1] = scratch[j]
                    j -= 1
                scratch[j + 1] = value
        start = stop
    left = 0
    for i in range(count):
        if i == 0 or scratch[i] != scratch[i - 1]:
            values[left] = scratch[i]
            left += 1
    return left


@compiled
def _minhash_rows(offsets: Any, values: Any, a: Any, b: Any, signatures: Any) -> None:  # pragma: no cover
    for row in range(len(offsets) - 1):
        least = signatures[row]
        least[:] = np.uint32(0xFFFFFFFF)
        for position in range(offsets[row], offsets[row + 1]):
            h = values[position]
            h ^= h >> np.uint32(16)
            h = np.uint32(h * np.uint32(0x85EBCA6B))
            h ^= h >> np.uint32(13)
            h = np.uint32(h * np.uint32(0xC2B2AE35))
            h ^= h >> np.uint32(16)
            for permutation in range(len(a)):
                least[permutation] = min(least[permutation], np.uint32(a[permutation] * h + b[permutation]))


@compiled
def _band_rows(signatures: Any, rows: int, hashes: Any) -> None:  # pragma: no cover
    for row in range(hashes.shape[0]):
        for band in range(hashes.shape[1]):
            state = np.uint64(band + 1)
            for position in range(band * rows, (band + 1) * rows):
                state = (state ^ np.uint64(signatures[row, position])) * MIX
                state ^= state >> np.uint64(32)
            hashes[row, band] = finish(state)
