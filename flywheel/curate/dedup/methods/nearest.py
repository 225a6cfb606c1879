"""Pairs of vectors that point the same way."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flywheel.curate.dedup.methods.contract import among_distinct, at_least
from flywheel.plugins import Embeds

_BLOCK = 2048


def embedded_pairs(texts: pl.Series, embeds: Embeds, *, floor: float, neighbours: int) -> pl.DataFrame:
    """The pairs of texts by their vectors, as `flywheel.plugins.Similarity.pairs`; equal texts are embedded once."""

    def compare(different: pl.Series) -> pl.DataFrame:
        return nearest_pairs(embeds.vectors(different, like=different), floor=floor, neighbours=neighbours)

    return among_distinct(texts, compare)


def nearest_pairs(vectors: NDArray[np.float32], *, floor: float, neighbours: int) -> pl.DataFrame:
    """Each row with the earlier rows of the greatest cosine, at most `neighbours` of them, all at least `floor`.

    Every two rows are compared, block by block: time grows with the square of the rows, memory with 2,048 times them.

    Args:
        vectors: shape (rows, dimensions), each of length 1, or 0 for a row that is like no other.
    """
    rows, others, cosines = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        cosine: NDArray[Any] = block @ vectors[: start + len(block)].T
        at = np.arange(len(block))
        cosine[at[:, None] + start <= np.arange(cosine.shape[1])] = -1  # earlier ones only
        kept = min(neighbours, cosine.shape[1])
        best = np.argpartition(-cosine, kept - 1, axis=1)[:, :kept]
        value = np.take_along_axis(cosine, best, axis=1)
        row, column = np.nonzero(value >= floor)
        rows.append(row + start)
        others.append(best[row, column].astype(np.int64))
        cosines.append(np.minimum(value[row, column].astype(np.float64), 1.0))
    return at_least(np.concatenate(rows), np.concatenate(others), np.concatenate(cosines), floor)


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """The vectors at length 1; those of length 0 stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = (vectors / np.where(length > 1e-9, length, 1)).astype(np.float32)
    return scaled
