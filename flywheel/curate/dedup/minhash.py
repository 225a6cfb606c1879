"""MinHash: sets to signatures, signatures to band hashes, and how many bands a threshold needs.

Signatures equal those of `datasketch.MinHash` (2.0, its default scheme `affine32`) bit for bit when that is given the same
32-bit hashes, and bands and rows come from its own optimiser; only the speed differs.

Source: Broder, "On the resemblance and containment of documents", 1997; Leskovec, Rajaraman and Ullman, "Mining of Massive
Datasets", chapter 3; datasketch 2.0 (MIT).
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from flywheel.curate.dedup.compiled import chunks, on_all_cores
from flywheel.curate.dedup.kernels import band_rows, minhash_rows
from flywheel.curate.dedup.shingles import Sets
from flywheel.curate.dedup.words import UInt32s, UInt64s

_CHUNK_HASHES = 1 << 20
_LANES = 16
_SEED = 1
_RECALL_WEIGHTS = (0.003, 0.997)


class Bands(NamedTuple):
    """How many bands a signature is cut into, and how many of its values each takes."""

    bands: int
    rows: int


def minhash(sets: Sets, *, permutations: int = 128) -> UInt32s:
    """Signatures, shape (sets, permutations): equal to `datasketch.MinHash(num_perm=permutations).hashvalues`.

    The value at each position is the set's least under one permutation; two sets agree at a position with a probability
    of their Jaccard similarity. An empty set has 2**32 - 1 everywhere, as in datasketch: leave it out before comparing.
    """
    a, b = _permutations(permutations)
    signatures = np.empty((len(sets.offsets) - 1, len(a)), np.uint32)

    def work(start: int, stop: int) -> None:
        minhash_rows(sets.offsets[start : stop + 1], sets.values, a, b, signatures[start:stop])

    on_all_cores(work, chunks(sets.offsets[1:], _CHUNK_HASHES))
    return signatures[:, :permutations]


def band_hashes(sets: Sets, layout: Bands) -> UInt64s:
    """64-bit hashes of each set's signature bands, shape (sets, bands); equal bands of one position have equal hashes.

    Signatures are made and forgotten chunk by chunk: memory is bounded by the result.
    """
    a, b = _permutations(layout.bands * layout.rows)
    hashes = np.empty((len(sets.offsets) - 1, layout.bands), np.uint64)

    def work(start: int, stop: int) -> None:
        signatures = np.empty((stop - start, len(a)), np.uint32)
        minhash_rows(sets.offsets[start : stop + 1], sets.values, a, b, signatures)
        band_rows(signatures, layout.rows, hashes[start:stop])

    on_all_cores(work, chunks(np.arange(1, len(hashes) + 1) * 512 + sets.offsets[1:], _CHUNK_HASHES))
    return hashes


@cache
def lsh_bands(similarity: float, permutations: int = 128) -> Bands:
    """Bands and rows for a threshold: datasketch's optimum at weights 0.003 for false positives, 0.997 for negatives.

    Candidates are verified, so that a false positive costs a comparison and a false negative a duplicate. At 0.8 and 128
    permutations: 20 bands of 6; a pair at 0.8 becomes a candidate with a probability of 0.998, at 0.5 of 0.27, at 0.3 of
    0.015. datasketch's own default (0.5, 0.5) gives 9 of 13, and 0.40 at 0.8.

    The probabilities are polynomials of a degree up to `permutations`, which Gauss and Legendre's nodes integrate exactly.
    datasketch loads scipy for that: a CPU second in every process that signs.
    """
    layouts = [Bands(bands, rows) for bands in range(1, permutations + 1) for rows in range(1, permutations // bands + 1)]
    bands, rows = np.array(layouts).T[:, :, None]
    nodes, weights = np.polynomial.legendre.leggauss(permutations // 2 + 1)
    below, above = similarity * (nodes + 1) / 2, similarity + (1 - similarity) * (nodes + 1) / 2
    positive = similarity / 2 * ((1 - (1 - below**rows) ** bands) @ weights)
    negative = (1 - similarity) / 2 * (((1 - above**rows) ** bands) @ weights)
    return layouts[int(np.argmin(np.stack([positive, negative], 1) @ _RECALL_WEIGHTS))]


@cache
def _permutations(count: int) -> tuple[UInt32s, UInt32s]:
    """The factors (odd) and summands that datasketch draws with its default seed for `count` permutations.

    They are filled up with zeros to whole registers of 16, whose values nobody reads.
    """
    generator = np.random.RandomState(_SEED)
    a = generator.randint(0, 1 << 31, count, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    b = generator.randint(0, 1 << 32, count, dtype=np.uint32)
    filling = (0, -count % _LANES)
    return np.pad(a, filling), np.pad(b, filling)
