"""A teacher's answer in place of the logged one."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from flywheel.plugins import Model
from flywheel.records import Message, Record
from flywheel.synthesize.asked import refuse, unless_failed
from flywheel.synthesize.judging import grade
from flywheel.synthesize.reading import question


@dataclass(frozen=True)
class Distill:
    """The model of the role `teacher` answers the seed's conversation anew, `samples` times; tools that the seed has it may call.

    With `least`, 1 to 5, the role `judge` grades each answer, and those below it are refused (`low_grade`); without, no judge is
    asked. What can be checked without one is named by `verify` (`math_answer`, `code_tests`, `tool_calls`).

    Source: Hinton et al. 2015, "Distilling the knowledge in a neural network", for the idea; Taori et al. 2023 (Alpaca), for
    answers in place of probabilities.
    """

    samples: int = 1
    least: int | None = None

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"`samples` is at least 1, not {self.samples}")
        if self.least is not None and not 1 <= self.least <= 5:
            raise ValueError(f"`least` is a grade from 1 to 5, not {self.least}")

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        asked = question(seed)
        if not asked:
            return
        teacher = model.role("teacher")
        tries = (unless_failed(teacher.reply(asked, tools=seed.tools, sample=sample)) for sample in range(self.samples))
        answers = dict.fromkeys(answer for answer in await asyncio.gather(*tries) if answer is not None)
        good = await asyncio.gather(*(self._good(model, asked, answer) for answer in answers))
        for answer in (answer for answer, passed in zip(answers, good, strict=True) if passed):
            yield seed.child(messages=(*asked, answer))

    async def _good(self, model: Model, asked: tuple[Message, ...], answer: Message) -> bool:
        if self.least is None:
            return True
        graded = await unless_failed(grade(model, asked, answer))
        if graded is None:
            return False
        if graded.score < self.least:
            refuse("low_grade")
        return graded.score >= self.least
