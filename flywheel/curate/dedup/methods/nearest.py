"""Pairs of vectors that point the same way."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flywheel.curate.dedup.compiled import compiled
from flywheel.curate.dedup.methods.contract import among_distinct, at_least, pairs_frame
from flywheel.plugins import Embeds

_BLOCK = 2048
_ROUNDING = np.float32(1e-6)


def embedded_pairs(texts: pl.Series, embeds: Embeds, *, floor: float, neighbours: int) -> pl.DataFrame:
    """The pairs of texts by their vectors, as `flywheel.plugins.Similarity.pairs`.

    Equal texts are embedded once, and where there are none that differ nothing is asked.
    """

    def compare(different: pl.Series) -> pl.DataFrame:
        if len(different) < 2:
            return pairs_frame([], [], 1.0)
        return nearest_pairs(embeds.vectors(different, like=different), floor=floor, neighbours=neighbours)

    return among_distinct(texts, compare)


def nearest_pairs(vectors: NDArray[np.float32], *, floor: float, neighbours: int) -> pl.DataFrame:
    """Each row with the earlier rows of the greatest cosine, at most `neighbours` of them, all at least `floor`.

    Every two rows are compared, block by block on all cores: time grows with the square of the rows. Beside the vectors
    memory is 12 bytes a row and neighbour. Of equal cosines the earliest are told. To measure:
    `python -m flywheel_tests.benchmarks.methods --methods nearest --sizes 8000,32000,100000`.

    Args:
        vectors: shape (rows, dimensions), each of length 1, or 0 for a row that is like no other.
    """
    best = np.full((len(vectors), neighbours), -1, np.int64)
    cosine = np.full((len(vectors), neighbours), np.float32(floor) - _ROUNDING)
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        for before in range(0, start + 1, _BLOCK):
            tile = block @ vectors[before : before + _BLOCK].T
            _keep_nearest(tile, start, before, best[start : start + _BLOCK], cosine[start : start + _BLOCK])
    row, place = np.nonzero(best >= 0)
    return at_least(row, best[row, place], np.minimum(cosine[row, place].astype(np.float64), 1.0), floor)


@compiled
def _keep_nearest(tile: Any, start: int, before: int, best: Any, cosine: Any) -> None:  # pragma: no cover
    """Put a tile's cosines of earlier columns among the greatest of each row, which are in descending order."""
    last = best.shape[1] - 1
    for row in range(tile.shape[0]):
        for column in range(min(tile.shape[1], start + row - before)):
            value = tile[row, column]
            if value <= cosine[row, last]:
                continue
            at = last
            while at > 0 and cosine[row, at - 1] < value:
                best[row, at], cosine[row, at] = best[row, at - 1], cosine[row, at - 1]
                at -= 1
            best[row, at], cosine[row, at] = before + column, value


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """The vectors at length 1; those of length 0 stay. No vectors have the shape (0, 0), whatever a library calls it."""
    vectors = vectors if vectors.size else vectors.reshape(len(vectors), 0)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = (vectors / np.where(length > 1e-9, length, 1)).astype(np.float32)
    return scaled
