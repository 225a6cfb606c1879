"""Near-duplicates by 64-bit fingerprints that differ in a few bits."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import polars as pl

from flywheel.curate.dedup.compiled import compiled
from flywheel.curate.dedup.methods.contract import HASH, ByDigest, among_first, at_least, joined, text_hashes
from flywheel.curate.dedup.methods.jaccard import ngrams
from flywheel.curate.dedup.shingles import Sets
from flywheel.curate.dedup.words import UInt64s

BITS = 64
FARTHEST = 6
PRINTS = pl.Struct({"text": HASH, "print": pl.UInt64})


@dataclass(frozen=True)
class SimHash(ByDigest):
    """Texts whose fingerprints share bits: similarity is the share of the 64 that are equal, 0.95 for at most 3 that differ.

    Unrelated texts share about half. Pairs that differ in more than 6 bits (below 0.906) are not told, whatever the floor:
    a pair that differs in at most d bits has one of d + 1 blocks of bits in common, and only those that do are compared.

    Source: Charikar, "Similarity estimation techniques from rounding algorithms", 2002; Manku, Jain and Das Sarma,
    "Detecting near-duplicates for web crawling", 2007 (blocks).
    """

    ngram: int = 2
    unit: Literal["word", "character"] = "word"

    def digests(self, texts: pl.Series) -> pl.Series:
        sets = ngrams(texts, self.ngram, self.unit)
        made = pl.DataFrame({"text": text_hashes(texts), "print": fingerprints(sets), "words": np.diff(sets.offsets) > 0})
        return made.select("text", pl.when("words").then("print").alias("print")).to_struct()

    def among(self, digests: Iterable[pl.Series], *, floor: float) -> pl.DataFrame:
        every = joined(digests, PRINTS)
        prints = every.struct.field("print")
        return among_first(every.struct.field("text"), lambda rows: self._pairs(prints.gather(rows), floor))

    def _pairs(self, known: pl.Series, floor: float) -> pl.DataFrame:
        filled = np.flatnonzero(known.is_not_null().to_numpy())
        prints = known.fill_null(0).to_numpy()
        distance = min(FARTHEST, int(BITS * (1 - floor) + 1e-9))
        cuts = np.linspace(0, BITS, distance + 2).astype(int)
        found = [pl.DataFrame(schema={"row": pl.Int64, "other": pl.Int64})]
        for low, high in pairwise(cuts):
            block = (prints[filled] >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
            order = np.argsort(block, kind="stable")
            rows, others = _close(prints[filled[order]], block[order], distance)
            found.append(pl.DataFrame({"row": filled[order[rows]], "other": filled[order[others]]}))
        pairs = pl.concat(found).unique()
        rows, others = pairs["row"].to_numpy(), pairs["other"].to_numpy()
        return at_least(rows, others, 1 - np.bitwise_count(prints[rows] ^ prints[others]) / BITS, floor)


def fingerprints(sets: Sets) -> UInt64s:
    """One 64-bit number a set: each bit is what most of its elements' hashes have there."""
    prints: UInt64s = _fingerprints(sets.offsets, sets.values)
    return prints


@compiled
def _fingerprints(offsets: Any, values: Any) -> Any:  # pragma: no cover
    result = np.zeros(len(offsets) - 1, np.uint64)
    for row in range(len(result)):
        votes = np.zeros(64, np.int64)
        for at in range(offsets[row], offsets[row + 1]):
            mixed = np.uint64(values[at]) + np.uint64(0x9E3779B97F4A7C15)  # splitmix64 makes 64 bits of 32
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed ^= mixed >> np.uint64(31)
            for bit in range(64):
                votes[bit] += 1 if (mixed >> np.uint64(bit)) & np.uint64(1) else -1
        for bit in range(64):
            if votes[bit] > 0:
                result[row] |= np.uint64(1) << np.uint64(bit)
    return result


@compiled
def _close(prints: Any, blocks: Any, distance: int) -> Any:  # pragma: no cover
    """Pairs within runs of equal blocks whose fingerprints differ in at most `distance` bits."""
    rows: list[Any] = [np.int64(0) for _ in range(0)]
    others: list[Any] = [np.int64(0) for _ in range(0)]
    for row in range(len(prints)):
        other = row - 1
        while other >= 0 and blocks[other] == blocks[row]:
            bits, differing = prints[row] ^ prints[other], 0
            while bits and differing <= distance:
                bits &= bits - np.uint64(1)
                differing += 1
            if differing <= distance:
                rows.append(row)
                others.append(other)
            other -= 1
    return np.array(rows), np.array(others)
