"""Near-duplicates by MinHash and locality-sensitive hashing, verified: for more texts than can be compared with each other."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from flywheel.curate.dedup.matching import similar_pairs
from flywheel.curate.dedup.methods.contract import ByDigest, pairs_frame
from flywheel.curate.dedup.methods.jaccard import among_distinct_sets, ngram_digests
from flywheel.curate.dedup.minhash import band_hashes, lsh_bands
from flywheel.curate.dedup.shingles import Sets


@dataclass(frozen=True)
class MinHash(ByDigest):
    """Texts whose n-gram sets overlap, found by shared bands of their signatures and then compared exactly.

    No pair below the floor is told; `flywheel.curate.dedup.minhash.lsh_bands` says how many above it are missed.

    Source: Broder, "On the resemblance and containment of documents", 1997.
    """

    ngram: int = 3
    permutations: int = 128
    unit: Literal["word", "character"] = "word"

    def digests(self, texts: pl.Series) -> pl.Series:
        return ngram_digests(texts, self.ngram, self.unit)

    def among(self, digests: Iterable[pl.Series], *, floor: float) -> pl.DataFrame:
        return among_distinct_sets(digests, lambda sets: self._pairs(sets, floor))

    def _pairs(self, sets: Sets, floor: float) -> pl.DataFrame:
        found = similar_pairs(sets, band_hashes(sets, lsh_bands(floor, self.permutations)), similarity=floor)
        return pairs_frame(found.later, found.earlier, found.jaccard)
