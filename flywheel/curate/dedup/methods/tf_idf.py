"""Texts about the same, by the words that they and texts like them use: no weights to download."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from flywheel.curate.dedup.methods.contract import among_distinct, pairs_frame
from flywheel.curate.dedup.methods.nearest import nearest_pairs, unit
from flywheel.curate.words import words


@dataclass(frozen=True)
class TfIdf:
    """Texts whose TF-IDF vectors, reduced to a few dimensions by a truncated SVD, have a cosine of at least the floor.

    Words that occur together become alike, so that a paraphrase in the collection's own words is near. It knows no synonym
    that the collection does not show; a sentence model (`flywheel-semantic`, or `embeddings`) does. The same texts in the
    same order give the same pairs. The reduction's time grows with the words, the comparison's with the square of the texts;
    to measure: `python -m flywheel_tests.benchmarks.methods --methods tf_idf --sizes 2000,8000,32000`.

    Source: Deerwester et al., "Indexing by latent semantic analysis", 1990.
    """

    dimensions: int = 100
    neighbours: int = 10

    def pairs(self, texts: pl.Series, *, floor: float) -> pl.DataFrame:
        return among_distinct(texts, lambda different: self._pairs(different, floor))

    def vectors(self, texts: pl.Series, *, like: pl.Series) -> Any:
        """Sparse TF-IDF vectors with the rarities of `like`, not reduced; a word that `like` does not have only lengthens one."""
        known = _counts(like)
        return _weights(_counts(texts), _rarity(known))

    def _pairs(self, texts: pl.Series, floor: float) -> pl.DataFrame:
        counts = _counts(texts)
        weights = _weights(counts, _rarity(counts))
        if not weights.nnz:
            return pairs_frame([], [], 1.0)
        return nearest_pairs(self._reduced(weights), floor=floor, neighbours=self.neighbours)

    def _reduced(self, weights: Any) -> Any:
        from scipy.sparse.linalg import svds

        rank = min(self.dimensions, min(weights.shape) - 1)
        if rank < 1:
            return unit(weights.toarray())
        start = np.random.default_rng(0).standard_normal(min(weights.shape))
        left, values, _ = svds(weights, k=rank, v0=start)
        return unit(left * values)


def _counts(texts: pl.Series) -> list[Counter[str]]:
    return [Counter(word.word for word in words(text or "")) for text in texts]


def _rarity(counts: list[Counter[str]]) -> dict[str, float]:
    """The smoothed inverse document frequency of each word, in alphabetic order; under "" that of a word that none has."""
    documents = Counter(word for each in counts for word in each)
    rarity = {word: float(np.log((1 + len(counts)) / (1 + documents[word])) + 1) for word in sorted(documents)}
    return {"": float(np.log(1 + len(counts)) + 1), **rarity}


def _weights(counts: list[Counter[str]], rarity: dict[str, float]) -> Any:
    """A sparse matrix, a row a text and a column a known word: (1 + log of its count) times its rarity, rows of length 1."""
    from scipy.sparse import csr_matrix, diags

    column = {word: at for at, word in enumerate(rarity)}
    row = np.repeat(np.arange(len(counts)), [len(each) for each in counts])
    columns = np.array([column.get(word, 0) for each in counts for word in each], np.int64)
    rarities = np.array(list(rarity.values()))[columns]
    values = rarities * np.array([1 + np.log(count) for each in counts for count in each.values()], np.float64)
    squares = np.bincount(row, weights=values**2, minlength=len(counts))
    known = columns > 0
    made = csr_matrix((values[known], (row[known], columns[known])), shape=(len(counts), len(rarity)))
    return diags(1 / np.sqrt(np.where(squares > 0, squares, 1))) @ made
