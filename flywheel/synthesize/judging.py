"""What a judge says of answers: a grade for one, or which of two is better whichever is shown first."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from flywheel.plugins import Model
from flywheel.records import Message

Preference = Literal["first", "second", "neither", "contradiction"]
_SEEN_FROM_BEHIND = {"first": "second", "second": "first", "neither": "neither"}


class Grade(msgspec.Struct, frozen=True):
    """From 1 (useless) to 5 (nothing to improve). The reason comes first, so that it is thought before the number is said."""

    reason: str
    score: Annotated[int, msgspec.Meta(ge=1, le=5)]


class Better(msgspec.Struct, frozen=True):
    """Which of two answers is better, as they were shown."""

    reason: str
    better: Literal["first", "second", "neither"]


async def grade(model: Model, asked: Sequence[Message], answer: Message) -> Grade:
    """How well an answer serves what was asked, by the role `judge`.

    Raises:
        ModelFailed: the judge gave no usable grade.
    """
    task = "Grade how well the answer serves the request: 5 correct, complete and to the point, 3 partly, 1 not at all."
    return await model.role("judge").structured(f"{task}\n\n{_shown(asked)}\n\n{_tagged('answer', spoken(answer))}", Grade)


async def compare(model: Model, asked: Sequence[Message], one: Message, other: Message) -> Preference:
    """Which of two answers the role `judge` prefers; `contradiction` where that depends on which is shown first.

    Both orders are asked, because judges favour a place.

    Raises:
        ModelFailed: the judge gave no usable verdict.

    Source: Zheng et al. 2023, "Judging LLM-as-a-judge with MT-Bench and Chatbot Arena", section 3.4.
    """
    forth, back = await asyncio.gather(_verdict(model, asked, one, other), _verdict(model, asked, other, one))
    return forth.better if forth.better == _SEEN_FROM_BEHIND[back.better] else "contradiction"


async def _verdict(model: Model, asked: Sequence[Message], first: Message, second: Message) -> Better:
    task = "Which answer serves the request better? Correctness counts first; length and place count nothing."
    shown = (_shown(asked), _tagged("first", spoken(first)), _tagged("second", spoken(second)))
    return await model.role("judge").structured("\n\n".join((task, *shown)), Better)


def spoken(message: Message) -> str:
    """What a message says and calls, as text."""
    calls = (f"{call.name}({call.arguments})" for call in message.tool_calls)
    return "\n".join(text for text in (message.text, *calls) if text)


def _shown(asked: Sequence[Message]) -> str:
    earlier = [f"{message.role}: {spoken(message)}" for message in asked[:-1]]
    history = [_tagged("conversation", "\n\n".join(earlier))] if earlier else []
    return "\n\n".join((*history, _tagged("request", asked[-1].text)))


def _tagged(name: str, text: str) -> str:
    return f"<{name}>\n{text}\n</{name}>"
