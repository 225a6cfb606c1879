"""The work that leads to a known answer."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from flywheel.plugins import Model
from flywheel.records import Record, text_message
from flywheel.synthesize.asked import refuse, unless_failed
from flywheel.synthesize.reading import WORK, final_answer, question, restated, without_answer, written, wrong_work

_TELLS = re.compile(
    r"\b(?:hint|(?:was|were|been|am) (?:told|given)|(?:given|known|provided|right|correct) answer|you said)\b", re.I
)


@dataclass(frozen=True)
class ChainOfThought:
    """Ask for `samples` worked answers and keep the first `most` that come to the seed's final answer.

    The seed's answer is a number or a choice (`reading.final_answer`); a seed without one has no children. Where no sample is
    right and `hint` is set, the model is told the answer and asked once more for the way to it; work that mentions having been
    told is refused (`tells_hint`). The other reasons are those of `reading.wrong_work`. `into = "reasoning"` keeps the seed's
    reply and puts the work into its message's reasoning.

    Source: Zelikman et al. 2022 (STaR), for keeping what ends right and for the hint; Wei et al. 2022, for the chains.
    """

    samples: int = 2
    most: int = 1
    hint: bool = True
    into: Literal["reply", "reasoning"] = "reply"

    def __post_init__(self) -> None:
        if self.samples < 1 or self.most < 1:
            raise ValueError(f"`samples` and `most` are at least 1, not {self.samples} and {self.most}")

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        answer = final_answer(seed.reply)
        if answer is None or not seed.prompt.strip():
            return
        task = f"{seed.prompt}\n\n{WORK}"
        kept: list[str] = []
        for worked in dict.fromkeys(await model.samples(restated(seed, task), self.samples)):
            if reason := wrong_work(worked, answer):
                refuse(reason)
            else:
                kept.append(worked)
        if not kept and self.hint:
            told = f"{task}\nThe answer is {written(answer)}. Show the way to it as if nobody had told you."
            hinted = await unless_failed(model.ask(restated(seed, told)))
            if hinted is None:
                return
            if reason := wrong_work(hinted, answer) or ("tells_hint" if _TELLS.search(hinted) else None):
                refuse(reason)
            else:
                kept.append(hinted)
        for worked in kept[: self.most]:
            yield self._child(seed, worked.strip())

    def _child(self, seed: Record, worked: str) -> Record:
        if self.into == "reply":
            return seed.child(messages=question(seed), reply=worked)
        thought = text_message("assistant", seed.reply, reasoning=without_answer(worked))
        return seed.child(messages=(*question(seed), thought))
