"""Sets of word n-grams: what two texts are compared by."""

from typing import NamedTuple

import numpy as np
import polars as pl

from flywheel.curate.dedup.compiled import chunks, on_all_cores
from flywheel.curate.dedup.kernels import shingle_rows
from flywheel.curate.dedup.words import Bools, Int64s, Segments, UInt32s, UInt64s, characters, segments

NGRAM_LIMIT = 13
_CHUNK_BYTES = 1 << 20


class Sets(NamedTuple):
    """Sets of 32-bit hashes, one a row: row i is `values[offsets[i]:offsets[i + 1]]`, ascending, each value once."""

    offsets: Int64s
    values: UInt32s

    def row(self, index: int) -> UInt32s:
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def take(self, rows: Int64s) -> "Sets":
        """The sets of the given rows, in their order."""
        sizes = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        return Sets(offsets, self.values[np.repeat(self.offsets[rows] - offsets[:-1], sizes) + np.arange(offsets[-1])])


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
    return shingle_segments(source, rows, np.ones(len(texts), bool), ngram=ngram, distinct=True).sets


class Shingled(NamedTuple):
    """Sets of rows, and the 64-bit hash of each segment's text (white space folded), 0 for one of white space only."""

    sets: Sets
    segments: UInt64s


def shingle_segments(source: Segments, rows: Int64s, counted: Bools, *, ngram: int, distinct: bool) -> Shingled:
    """As `shingle`, of rows that are several segments each: row i has segments `rows[i]` to `rows[i + 1]`.

    The words of the segments that are `counted` follow each other: n-grams run across segments, words do not.
    Without `distinct` the rows are no sets: n-grams stand in the order of the text and repeat as they do there.
    """
    if not 1 <= ngram <= NGRAM_LIMIT:
        raise ValueError(f"ngram must be 1 to {NGRAM_LIMIT} words, not {ngram}")
    lengths = np.concatenate([[0], np.cumsum(source.stops - source.starts)])
    hashes = np.empty(len(source.starts), np.uint64)
    table = characters()

    def work(start: int, stop: int) -> tuple[Int64s, UInt32s]:
        first, last = rows[start], rows[stop]
        out = np.empty((lengths[last] - lengths[first]) // 2 + (last - first) + 1, np.uint32)
        counts = np.zeros(stop - start, np.int64)
        used = shingle_rows(*source, rows[start : stop + 1], counted, table, ngram, distinct, counts, out, hashes)
        return counts, out[:used].copy()

    return Shingled(_joined(on_all_cores(work, chunks(lengths[rows[1:]] + rows[1:], _CHUNK_BYTES))), hashes)


def hash_tokens(rows: list[list[int]]) -> Sets:
    """Sets of given 32-bit hashes, for n-grams of another kind (characters, say)."""
    distinct = [np.unique(np.array(row, np.uint32)) for row in rows]
    return _joined([(np.array([len(row) for row in distinct], np.int64), np.concatenate([*distinct, np.empty(0, np.uint32)]))])


def _joined(parts: list[tuple[Int64s, UInt32s]]) -> Sets:
    counts = np.concatenate([np.zeros(1, np.int64), *(count for count, _ in parts)])
    return Sets(np.cumsum(counts), np.concatenate([np.empty(0, np.uint32), *(values for _, values in parts)]))
