"""Texts as vectors, each paid for once."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from flywheel.synthesize.asked import questions
from flywheel.synthesize.cache import Answers
from flywheel.synthesize.completion import Fault, Vectors, attempt_embedding
from flywheel.synthesize.cost import Cost
from flywheel.synthesize.endpoint import Call, Endpoint
from flywheel.synthesize.faults import ModelFailed

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_TEXTS = 128  # of one request; OpenAI takes 2,048, many local servers fewer
_TOO_LARGE = ("http_400", "http_413", "http_422")
Vector = NDArray[np.float32]


class Embedder:
    """Embeds texts at one endpoint, 128 to a request, and keeps the vectors in the cache."""

    def __init__(self, endpoint: Endpoint, answers: Answers) -> None:
        self._endpoint = endpoint
        self._answers = answers

    def key(self, text: str) -> str:
        """The cache's key of a text."""
        settings = self._endpoint.settings
        return self._answers.key({"base_url": settings.base_url, "model": settings.model, "embed": text})

    async def embed(self, texts: Sequence[str], seeds: Sequence[str] | None = None) -> Vector:
        """Unit vectors, shape (texts, dimensions); zero where a text has nothing but white space, which nobody is asked about.

        Args:
            seeds: the record of each text, so that erasing it erases the vector; the seed at work when None.

        Raises:
            ModelFailed: of some text there is no vector. Those of the others are in the cache.
        """
        current = questions()
        of: Sequence[str | None] = seeds or [current.seed if current else None] * len(texts)
        found: dict[str, Vector | None] = {}
        missing: dict[str, str | None] = {}
        for text, seed in zip(texts, of, strict=True):
            if not text.strip() or text in found or text in missing:
                continue
            if (stored := self._answers.get(self.key(text), seed=seed)) is not None:
                found[text] = np.frombuffer(stored, np.float32)
                self._endpoint.count(Cost(cached=1))
            else:
                missing[text] = seed
        wanted = list(missing)
        parts = [wanted[start : start + _TEXTS] for start in range(0, len(wanted), _TEXTS)]
        ends = await asyncio.gather(*(self._buy(part, missing) for part in parts), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end
            found |= end
        size = next((vector.size for vector in found.values() if vector is not None), 0)
        rows = [found.get(text) for text in texts]
        return np.stack([np.zeros(size, np.float32) if row is None else row for row in rows]) if rows else np.zeros((0, 0), "f4")

    async def _buy(self, texts: list[str], seeds: dict[str, str | None]) -> dict[str, Vector]:
        """Vectors of one request's texts; a request that is refused is halved, so that one text too long spoils no other."""
        try:
            bought = await self._request(texts)
        except ModelFailed as failed:
            if len(texts) == 1 or not failed.reason.startswith(_TOO_LARGE):
                raise
            half = len(texts) // 2
            parts = (self._buy(texts[:half], seeds), self._buy(texts[half:], seeds))
            ends = await asyncio.gather(*parts, return_exceptions=True)
            first, second = (self._whole(end) for end in ends)
            return first | second
        rows = np.asarray(bought.vectors, np.float32)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        for text, row in zip(texts, rows, strict=True):
            self._answers.put(self.key(text), row.tobytes(), seed=seeds[text])
        return dict(zip(texts, rows, strict=True))

    @staticmethod
    def _whole(end: "dict[str, Vector] | BaseException") -> "dict[str, Vector]":
        if isinstance(end, BaseException):
            raise end
        return end

    async def _request(self, texts: list[str]) -> Vectors:
        settings = self._endpoint.settings
        request: dict[str, Any] = {"model": settings.model, "input": texts, "encoding_format": "float"}
        body = msgspec.json.encode(request)

        async def send(client: "AsyncOpenAI", timeout: float) -> Vectors | Fault:
            return await attempt_embedding(client, request, timeout=timeout)

        result, _ = await self._endpoint.final(Call(send, settings.dollars(len(body), 0), body))
        if isinstance(result, Fault):
            raise ModelFailed(result.reason)
        return result
