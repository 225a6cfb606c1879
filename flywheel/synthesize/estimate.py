"""What a synthesizer will ask and what that may cost, found by letting it ask a model that is not there."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from flywheel.plugins import AsksAtMost, Options, Synthesizer
from flywheel.records import Message, Record
from flywheel.synthesize.asked import on_behalf_of
from flywheel.synthesize.model_settings import ModelSettings
from flywheel.synthesize.structured import Shape
from flywheel.testing import ScriptedModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BYTES_A_TOKEN = 4
_SHORT_ANSWER = 60  # tokens of an answer under a schema
_MOST_CHILDREN = 1_000


class Estimate(NamedTuple):
    """For one synthesizer and one role of a model. Tokens are estimated: four bytes are one.

    `questions`: for all seeds; as many as there can be where the synthesizer knows that (`AsksAtMost`). `dollars` expects
    answers as long as the seeds' own, `most_dollars` that each is as long as the model's `max_tokens` allows. What the cache
    holds costs nothing, and another synthesizer that asks more after certain answers can ask more than when it was tried.
    """

    role: str
    model: str
    seeds: int
    questions: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float
    most_dollars: float


def estimate(plugin: Synthesizer, tried: Sequence[Record], *, seeds: int, models: Mapping[str, ModelSettings]) -> list[Estimate]:
    """What a synthesizer asks each role of `models` for so many seeds, by what it asks for those that are tried.

    Nothing is sent: the answers are invented. A plugin that cannot live with them counts with what it asked until then.

    Args:
        tried: some seeds, few but typical.
        models: settings by role; `generator` is needed, and stands in for roles that are not there.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for seed in tried:
        with suppress(Exception):
            asyncio.run(_tried(plugin, seed, _Counting(counts, "generator", seed, models)))
    if isinstance(plugin, AsksAtMost):
        counts = _at_most(counts, plugin, tried, models)
    return [_of(role, counts, len(tried), seeds, models[role]) for role in models if counts[role, "questions"]]


async def _tried(plugin: Synthesizer, seed: Record, model: "_Counting") -> None:
    children = 0
    with on_behalf_of(seed.id):
        async for _ in plugin.synthesize(seed, model):
            children += 1
            if children == _MOST_CHILDREN:
                return


def _at_most(
    counts: Counter[tuple[str, str]], plugin: AsksAtMost, tried: Sequence[Record], models: Mapping[str, ModelSettings]
) -> Counter[tuple[str, str]]:
    """The counts for as many questions as the plugin can ask, each as long as those that it asked when it was tried.

    A role that it did not come to is taken to be asked like the generator.
    """
    most: Counter[str] = Counter()
    for seed in tried:
        for role, questions in plugin.most_questions(seed).items():
            most[role if role in models else "generator"] += questions
    scaled: Counter[tuple[str, str]] = Counter()
    for role, questions in most.items():
        like = role if counts[role, "questions"] else "generator"
        for what in ("questions", "prompt", "completion", "most"):
            scaled[role, what] = round(counts[like, what] * questions / max(1, counts[like, "questions"]))
    return scaled


def _of(role: str, counts: Mapping[tuple[str, str], int], tried: int, seeds: int, settings: ModelSettings) -> Estimate:
    def scaled(what: str) -> int:
        return round(counts[role, what] * seeds / tried)

    price = settings.batch_price if settings.batch else 1.0
    prompt, completion, most = scaled("prompt"), scaled("completion"), scaled("most")
    return Estimate(
        role,
        settings.model,
        seeds,
        scaled("questions"),
        prompt,
        completion,
        price * settings.dollars(prompt, completion),
        price * settings.dollars(prompt, most),
    )


class _Counting(ScriptedModel):
    """Counts under its role what it is asked: questions, prompt tokens, completion tokens expected and at most."""

    def __init__(self, counts: Counter[tuple[str, str]], role: str, seed: Record, models: Mapping[str, ModelSettings]) -> None:
        super().__init__()
        self._counts = counts
        self._role = role
        self._seed = seed
        self._models = models

    async def next_message(
        self, messages: Sequence[Message], *, tools: Sequence[str], shape: Shape[Any] | None, options: Options
    ) -> Message:
        most = options.get("max_tokens", self._models[self._role].max_tokens)
        expected = _SHORT_ANSWER if shape else max(_SHORT_ANSWER, _tokens(self._seed.reply))
        said = _tokens("".join(message.text for message in messages), *tools, shape.instruction if shape else "")
        self._count(questions=1, prompt=said, completion=min(expected, most), most=most)
        return await super().next_message(messages, tools=tools, shape=shape, options=options)

    async def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        if "embedder" in self._models:
            self._counts["embedder", "questions"] += 1
            self._counts["embedder", "prompt"] += _tokens(*texts)
        return await super().embed(texts)

    def role(self, name: str) -> "_Counting":
        return _Counting(self._counts, name if name in self._models else "generator", self._seed, self._models)

    def _count(self, **counts: int) -> None:
        for what, count in counts.items():
            self._counts[self._role, what] += count


def _tokens(*texts: str) -> int:
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) // _BYTES_A_TOKEN
