"""Near-duplicates by MinHash and locality-sensitive hashing, verified: for more texts than can be compared with each other."""

from dataclasses import dataclass
from typing import Literal

import polars as pl

from flywheel.curate.dedup.matching import similar_pairs
from flywheel.curate.dedup.methods.contract import among_distinct, pairs_frame
from flywheel.curate.dedup.methods.jaccard import ngrams
from flywheel.curate.dedup.minhash import band_hashes, lsh_bands


@dataclass(frozen=True)
class MinHash:
    """Texts whose n-gram sets overlap, found by shared bands of their signatures and then compared exactly.

    No pair below the floor is told; `flywheel.curate.dedup.minhash.lsh_bands` says how many above it are missed.

    Source: Broder, "On the resemblance and containment of documents", 1997.
    """

    ngram: int = 3
    permutations: int = 128
    unit: Literal["word", "character"] = "word"

    def pairs(self, texts: pl.Series, *, floor: float) -> pl.DataFrame:
        return among_distinct(texts, lambda different: self._pairs(different, floor))

    def _pairs(self, texts: pl.Series, floor: float) -> pl.DataFrame:
        sets = ngrams(texts, self.ngram, self.unit)
        found = similar_pairs(sets, band_hashes(sets, lsh_bands(floor, self.permutations)), similarity=floor)
        return pairs_frame(found.later, found.earlier, found.jaccard)
