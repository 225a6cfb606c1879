"""Conversations in other languages, or their prompts by way of another one, where the way back shows that nothing was lost."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

import msgspec

from flywheel.plugins import Model
from flywheel.records import Message, Part, Record
from flywheel.synthesize.asked import refuse, unless_failed
from flywheel.synthesize.reading import question, restated, same_words

_EXACT = re.compile(r"```.*?```|`[^`\n]+`|<[^<>\n]{1,80}>|https?://[^\s)>\]]*[^\s)>\].,;:!?]", re.DOTALL)
_LONGEST_GRAM = 6
_SHORT = 20  # characters: a name, a number or a greeting can be the same in two languages


@dataclass(frozen=True)
class Translate:
    """Translate the seed's conversation into each of `languages`, and back, and keep it where the way back is like the original.

    - `keep = "translation"`: every message of the child is in the other language.
    - `keep = "round_trip"`: only the last prompt makes the way, and the child has what came back, a paraphrase, as its prompt.

    A message that comes back less than `least` similar refuses the child (`meaning_lost`); so do code, placeholders and links
    that changed (`exact_text_changed`), a translation that is the original (`not_translated`), and a way back that is
    (`copied_question`). `measure` is `chrf`, 0 to 1, or `embeddings`: the cosine of vectors by `[models.embedder]`. `least` is
    no published number: measure on your own data. Conversations with tool calls or without a prompt have no children.

    Source: Sennrich et al. 2016, "Improving neural machine translation models with monolingual data", for translating back;
    Popović 2015, "chrF", for the measure.
    """

    languages: tuple[str, ...] = ("German",)
    written_in: str = "English"
    keep: Literal["translation", "round_trip"] = "translation"
    measure: Literal["chrf", "embeddings"] = "chrf"
    least: float = 0.5

    def __post_init__(self) -> None:
        if not self.languages:
            raise ValueError("`languages` is empty; name one at least")
        if not 0 < self.least <= 1:
            raise ValueError(f"`least` is a similarity, above 0 and at most 1, not {self.least}")

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        if not question(seed) or any(turn.tool_calls or turn.role == "tool" for turn in seed.messages):
            return
        way = self._there if self.keep == "translation" else self._there_and_back
        for child in await asyncio.gather(*(way(language, seed, model) for language in dict.fromkeys(self.languages))):
            if child is not None:
                yield child

    async def _there(self, language: str, seed: Record, model: Model) -> Record | None:
        said = [turn.text for turn in seed.messages if turn.text.strip()]
        ways = await asyncio.gather(*(unless_failed(self._translated(text, language, model)) for text in said))
        reasons = [way for way in ways if isinstance(way, str)]
        if reasons:
            refuse(reasons[0])
        if reasons or None in ways:
            return None
        texts = iter(way[0] for way in ways if isinstance(way, tuple))
        turns = [_saying(turn, next(texts)) if turn.text.strip() else turn for turn in seed.messages]
        return seed.child(messages=turns, tags=(f"language={language}",))

    async def _there_and_back(self, language: str, seed: Record, model: Model) -> Record | None:
        way = await unless_failed(self._translated(seed.prompt, language, model))
        reason = way if isinstance(way, str) else "copied_question" if way and same_words(way[1], seed.prompt) else None
        if reason:
            refuse(reason)
        if reason or not isinstance(way, tuple):
            return None
        after = seed.messages[len(question(seed)) :]
        return seed.child(messages=(*restated(seed, way[1]), *after), tags=(f"by_way_of={language}",))

    async def _translated(self, text: str, language: str, model: Model) -> tuple[str, str] | str:
        """The translation and the way back; or why it is not to be trusted, as a reason slug."""
        task = "Translate this into {}. Keep code, links and <PLACEHOLDERS> as they are. Answer with the translation only.\n\n{}"
        there = (await model.ask(task.format(language, text))).strip()
        back = (await model.ask(task.format(self.written_in, there))).strip()
        if len(text) > _SHORT and same_words(there, text):
            return "not_translated"
        if Counter(_EXACT.findall(text)) != Counter(_EXACT.findall(there)):
            return "exact_text_changed"
        similar = await _cosine(text, back, model) if self.measure == "embeddings" else chrf(back, text)
        return (there, back) if similar >= self.least else "meaning_lost"


def chrf(one: str, other: str, *, beta: float = 2.0) -> float:
    """F-measure of character n-grams up to 6, white space aside, where recall of `other` counts `beta` times as much; 0 to 1.

    Suits languages without spaces. Orders that a text is too short for are left out.
    """
    mine, theirs = ("".join(text.split()) for text in (one, other))
    precision, recall = [], []
    for size in range(1, min(_LONGEST_GRAM, len(mine), len(theirs)) + 1):
        own, wanted = _grams(mine, size), _grams(theirs, size)
        common = (own & wanted).total()
        precision.append(common / own.total())
        recall.append(common / wanted.total())
    if not any(precision):
        return 0.0
    p, r = sum(precision) / len(precision), sum(recall) / len(recall)
    return (1 + beta**2) * p * r / (beta**2 * p + r)


def _grams(text: str, size: int) -> Counter[str]:
    return Counter(text[at : at + size] for at in range(len(text) - size + 1))


async def _cosine(one: str, other: str, model: Model) -> float:
    vectors = await model.embed([one, other])
    return float(vectors[0] @ vectors[1])


def _saying(turn: Message, text: str) -> Message:
    others = tuple(part for part in turn.content if part.text is None)
    return msgspec.structs.replace(turn, content=(Part(text=text), *others), reasoning=None)
