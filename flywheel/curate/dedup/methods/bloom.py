"""Texts that were seen before, in memory that does not grow with them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from flywheel.curate.dedup.compiled import compiled
from flywheel.curate.dedup.methods.contract import ByDigest, pairs_frame
from flywheel.curate.dedup.methods.exact import Exact


class BloomFilter:
    """A set of texts that forgets which: up to `capacity` of them, a new one taken for known with `false_positives` chance.

    Memory: 1.8 MB for a million texts at 0.001, 3.6 MB at 0.000001; never more, however many are added, but beyond the
    capacity more new ones are taken for known. A text that was added is always known.

    Source: Bloom, "Space/time trade-offs in hash coding with allowable errors", 1970; Kirsch and Mitzenmacher 2006 (two
    hashes serve for all).
    """

    def __init__(self, capacity: int, false_positives: float) -> None:
        size = math.ceil(-capacity * math.log(false_positives) / math.log(2) ** 2)
        self.bits = np.zeros(size // 8 + 1, np.uint8)
        self.hashes = max(1, round(size / capacity * math.log(2)))

    def add(self, hashes: pl.Series) -> "np.ndarray[Any, np.dtype[np.bool_]]":
        """Add texts in order, given by their `text_hashes`; whether each was known before. Null is neither added nor known."""
        known = np.zeros(len(hashes), np.bool_)
        filled = hashes.is_not_null().to_numpy()
        known[filled] = _add(self.bits, hashes.filter(filled).struct.unnest().to_numpy(order="c"), self.hashes)
        return known


@dataclass(frozen=True)
class Bloom(ByDigest):
    """Texts that occurred before, equal as for `exact`; with whom is not known, and a few are no repetitions.

    Of the texts that are new, `false_positives` are taken for repetitions while there are at most `capacity` different ones.
    Batches pass through the filter and are forgotten: memory is the filter's, and that of the pairs.
    """

    capacity: int = 10_000_000
    false_positives: float = 1e-6
    case: bool = False
    punctuation: bool = True

    def digests(self, texts: pl.Series) -> pl.Series:
        return Exact(case=self.case, punctuation=self.punctuation).digests(texts)

    def among(self, digests: Iterable[pl.Series], *, floor: float = 1.0) -> pl.DataFrame:
        del floor  # what is equal is 1
        seen, found, start = BloomFilter(self.capacity, self.false_positives), [np.empty(0, np.int64)], 0
        for batch in digests:
            found.append(np.flatnonzero(seen.add(batch)) + start)
            start += len(batch)
        return pairs_frame(np.concatenate(found), None, 1.0)


@compiled
def _add(bits: Any, digests: Any, hashes: int) -> Any:  # pragma: no cover
    known = np.ones(len(digests), np.bool_)
    size = np.uint64(len(bits) * 8)
    for row in range(len(digests)):
        for turn in range(hashes):
            at = (digests[row, 0] + np.uint64(turn) * digests[row, 1]) % size
            mask = np.uint8(1 << (at % np.uint64(8)))
            if not bits[at // np.uint64(8)] & mask:
                known[row] = False
                bits[at // np.uint64(8)] |= mask
    return known
