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
    same order give the same pairs.

    Source: Deerwester et al., "Indexing by latent semantic analysis", 1990.
    """

    dimensions: int = 100
    neighbours: int = 10

    def pairs(self, texts: pl.Series, *, floor: float) -> pl.DataFrame:
        return among_distinct(texts, lambda different: self._pairs(different, floor))

    def _pairs(self, texts: pl.Series, floor: float) -> pl.DataFrame:
        weights = _weights(texts)
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


def _weights(texts: pl.Series) -> Any:
    """A sparse matrix, a row a text and a column a word: (1 + log of its count) times its rarity, rows of length 1."""
    from scipy.sparse import csr_matrix, diags

    counts = [Counter(word.word for word in words(text or "")) for text in texts]
    documents = Counter(word for each in counts for word in each)
    column = {word: at for at, word in enumerate(sorted(documents))}
    rarity = np.array([np.log((1 + len(counts)) / (1 + documents[word])) + 1 for word in column])
    row = np.repeat(np.arange(len(counts)), [len(each) for each in counts])
    columns = np.array([column[word] for each in counts for word in each], np.int64)
    values = np.array([1 + np.log(count) for each in counts for count in each.values()], np.float64)
    made = csr_matrix((values * rarity[columns], (row, columns)), shape=(len(counts), len(column)))
    length = np.sqrt(np.asarray(made.multiply(made).sum(axis=1)).ravel())
    return diags(1 / np.where(length > 0, length, 1)) @ made
