"""Texts that say the same, by a sentence transformer."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flywheel.curate.dedup.methods.nearest import embedded_pairs, unit
from flywheel_semantic.folder import missing_package, model_folder


@dataclass(frozen=True)
class SentenceTransformers:
    """Texts whose vectors by a sentence transformer have a cosine of at least the floor.

    `model` is the folder of a model; its code is that of the library, never of the folder. `batch` texts are encoded at once.

    Source: Reimers and Gurevych, "Sentence-BERT", 2019.
    """

    model: str
    neighbours: int = 10
    batch: int = 64

    def pairs(self, texts: pl.Series, *, floor: float) -> pl.DataFrame:
        """As `flywheel.plugins.Similarity.pairs`.

        Raises:
            PluginError: sentence-transformers is not installed, or there is no such folder.
        """
        return embedded_pairs(texts, self, floor=floor, neighbours=self.neighbours)

    def vectors(self, texts: pl.Series, *, like: pl.Series) -> NDArray[np.float32]:
        """As `flywheel.plugins.Embeds.vectors`."""
        del like  # a text's vector is its own
        folder = model_folder(self.model, similarity="sentence_transformers")
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError:
            missing = missing_package("sentence-transformers", similarity="sentence_transformers", extra="sentence-transformers")
            raise missing from None
        model = SentenceTransformer(folder, local_files_only=True, trust_remote_code=False)
        vectors = model.encode(texts.to_list(), batch_size=self.batch, convert_to_numpy=True, show_progress_bar=False)
        return unit(vectors)
