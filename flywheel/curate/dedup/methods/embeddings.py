"""Texts about the same, by the vectors of the configured embedding model."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flywheel.curate.dedup.methods.nearest import embedded_pairs, unit
from flywheel.errors import ConfigError


class Embedder(Protocol):
    """What of `flywheel.synthesize.model.OpenAIModel` is asked here."""

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]: ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Embeddings:
    """Texts whose embeddings by the endpoint of `[models.embedder]` have a cosine of at least the floor.

    Any OpenAI-compatible endpoint; each text is paid for once. Of a text's earlier neighbours the `neighbours` nearest are told.
    """

    neighbours: int = 10

    def asking(self, model: Embedder) -> "Asked":
        return Asked(model, self.neighbours)

    def pairs(self, texts: pl.Series, *, floor: float) -> pl.DataFrame:
        """Never answers by itself.

        Raises:
            ConfigError: always; `asking` a model gives a similarity that answers.
        """
        del texts, floor
        raise ConfigError("the similarity `embeddings` asks a model: configure [model] and [models.embedder].")


@dataclass(frozen=True)
class Asked:
    """`Embeddings` with the model that it asks."""

    model: Embedder
    neighbours: int

    def pairs(self, texts: pl.Series, *, floor: float) -> pl.DataFrame:
        return embedded_pairs(texts, self, floor=floor, neighbours=self.neighbours)

    def vectors(self, texts: pl.Series, *, like: pl.Series) -> NDArray[np.float32]:
        """As `flywheel.plugins.Embeds.vectors`."""
        del like  # a text's vector is its own
        return unit(asyncio.run(self._embed(texts.to_list())))

    async def _embed(self, texts: list[str]) -> NDArray[Any]:
        try:
            return await self.model.embed(texts)
        finally:
            await self.model.close()
