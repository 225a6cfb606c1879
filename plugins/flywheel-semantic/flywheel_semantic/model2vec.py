"""Texts that say the same, by static word vectors distilled from a sentence model."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flywheel.curate.dedup.methods.nearest import embedded_pairs, unit
from flywheel_semantic.folder import missing_package, model_folder


@dataclass(frozen=True)
class Model2Vec:
    """Texts whose vectors by a model2vec model have a cosine of at least the floor.

    A text is the mean of its tokens' vectors, so that word order does not count; fast, and without PyTorch. `model` is the
    folder of a model. A text that holds none of the model's tokens is like no other.

    Source: MinishLab, model2vec (MIT).
    """

    model: str
    neighbours: int = 10

    def pairs(self, texts: pl.Series, *, floor: float) -> pl.DataFrame:
        """As `flywheel.plugins.Similarity.pairs`.

        Raises:
            PluginError: model2vec is not installed, or there is no such folder.
        """
        return embedded_pairs(texts, self, floor=floor, neighbours=self.neighbours)

    def vectors(self, texts: pl.Series, *, like: pl.Series) -> NDArray[np.float32]:
        """As `flywheel.plugins.Embeds.vectors`."""
        del like  # a text's vector is its own
        folder = model_folder(self.model, similarity="model2vec")
        try:
            from model2vec import StaticModel
        except ImportError:
            raise missing_package("model2vec", similarity="model2vec", extra="model2vec") from None
        model = StaticModel.from_pretrained(folder, force_download=False)
        vectors = model.encode(texts.to_list(), max_length=None, use_multiprocessing=False)
        return unit(vectors)
