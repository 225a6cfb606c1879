"""Questions about a part of a long text, asked with the whole of it as context."""

import random
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import msgspec

from flywheel.plugins import Model
from flywheel.records import Record, digest, text_message
from flywheel.synthesize.asked import refuse, unless_failed
from flywheel.synthesize.reading import same_words

_PARAGRAPH = re.compile(r"(?<=\n)\s*\n|(?<=[.!?])\s+")
_OF_THE_PART = re.compile(r"\b(this|the|above|given) (passage|excerpt|paragraph|section|snippet|part|fragment)\b", re.IGNORECASE)


class Asked(msgspec.Struct):
    """A question about a part, its answer, and the words of the part that hold the answer."""

    question: str
    answer: str
    quote: str


class Verdict(msgspec.Struct):
    """What a judge says of a question and its answer."""

    answered: bool


@dataclass(frozen=True)
class LongContext:
    """Cut the longest message of the seed into parts, ask about some of them, and give the whole as context of each question.

    A child's prompt is the whole text and the question, its reply the answer; the tag `part=3/12` says where the answer
    stands. Texts of less than `shortest` characters have no children.

    Args:
        questions: parts to ask about, at most; which ones follows from the seed's id.
        part: characters of a part, at most, cut between sentences where there are any.
        judge: whether the role `judge`, which sees the part alone, has to find that it gives this answer.

    Refused: `quote_not_found` (the model quotes what the part does not hold), `ambiguous_quote` (the text holds it twice),
    `asks_about_the_part` (as if the reader saw nothing else), `repeated_question`, `not_answered`.

    Source: Dubey et al. 2024, "The Llama 3 herd of models", section 4.3.4, question answering for long contexts.
    """

    questions: int = 3
    part: int = 2_000
    shortest: int = 4_000
    judge: bool = True

    def __post_init__(self) -> None:
        if self.questions < 1 or self.part < 100 or self.shortest < self.part:
            raise ValueError("`questions` is at least 1, `part` at least 100, and `shortest` no less than `part`")

    def most_questions(self, seed: Record) -> Mapping[str, int]:
        """As of `AsksAtMost`."""
        questions = self.questions if len(_longest(seed)) >= self.shortest else 0
        return {"generator": questions, "judge": questions * self.judge}

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        text = _longest(seed)
        if len(text) < self.shortest:
            return
        found = parts(text, self.part)
        dice = random.Random(digest(b"long_context", seed.id.encode()))
        questions: list[str] = []
        for number in sorted(dice.sample(range(len(found)), min(self.questions, len(found)))):
            asked = await unless_failed(
                model.structured(
                    "Ask one question that this part of a longer text answers and that can be understood without it. Give the "
                    f"answer, and quote the words of the part that hold it, exactly.\n\n{found[number]}",
                    Asked,
                )
            )
            if asked is None or not await self._sound(asked, found[number], text, questions, model):
                continue
            questions.append(asked.question)
            turns = [text_message("user", f"{text}\n\n{asked.question}"), text_message("assistant", asked.answer)]
            yield seed.child(messages=turns, tags=(f"part={number + 1}/{len(found)}",))

    async def _sound(self, asked: Asked, part: str, text: str, earlier: list[str], model: Model) -> bool:
        """Whether question and answer can be trusted; the reason is counted where not."""
        quote = " ".join(asked.quote.split())
        whole = " ".join(text.split())
        wrong = {
            "quote_not_found": not quote or quote not in " ".join(part.split()),
            "ambiguous_quote": bool(quote) and whole.find(quote) != whole.rfind(quote),
            "asks_about_the_part": _OF_THE_PART.search(asked.question) is not None,
            "repeated_question": any(same_words(asked.question, other) for other in earlier),
        }
        if reason := next((reason for reason, broken in wrong.items() if broken), None):
            refuse(reason)
            return False
        if not self.judge:
            return True
        prompt = (
            "Does this text give this answer to the question, and no other?\n\n"
            f"{part}\n\nQuestion: {asked.question}\nAnswer: {asked.answer}"
        )
        verdict = await unless_failed(model.role("judge").structured(prompt, Verdict))
        if verdict is not None and not verdict.answered:
            refuse("not_answered")
        return verdict is not None and verdict.answered


def _longest(seed: Record) -> str:
    return max((message.text for message in seed.messages), key=len, default="").strip()


def parts(text: str, longest: int) -> list[str]:
    """The text in parts of at most `longest` characters, between paragraphs or sentences where it can be. No part is empty."""
    found: list[str] = []
    for piece in _PARAGRAPH.split(text):
        for start in range(0, len(piece), longest):
            words = piece[start : start + longest].strip()
            if found and len(found[-1]) + 1 + len(words) <= longest:
                found[-1] = f"{found[-1]}\n{words}".strip()
            elif words:
                found.append(words)
    return found
