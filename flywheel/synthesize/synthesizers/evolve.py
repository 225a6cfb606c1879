"""Requests made harder, or carried over to rarer subjects, step by step."""

import random
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from flywheel.plugins import Model
from flywheel.records import Record, digest
from flywheel.synthesize.asked import refuse, unless_failed
from flywheel.synthesize.reading import bare, restated, same_words

_DEEPER = "Rewrite this request so that it is somewhat harder, yet clear and possible to answer. {} Add 20 words at most."
_WIDER = "Write a new request of the same field, as long and as hard as this one, on a rarer subject."
WAYS = {
    "constraints": _DEEPER.format("Add one more condition that the answer must meet."),
    "deepening": _DEEPER.format("Ask further into the matter, and more broadly."),
    "concretizing": _DEEPER.format("Put something specific in place of something general."),
    "reasoning": _DEEPER.format("Let its answer need several steps of reasoning where one was enough."),
    "input": _DEEPER.format("Add some data, such as a table, code or a form, that the answer must work with."),
    "breadth": _WIDER,
}
_OF_THE_TASK = re.compile(
    r"\b(?:given|original|previous|rewritten|evolved|harder|created) (?:request|prompt)\b|\bnew (?:request|prompt):",
    re.IGNORECASE,
)
_APOLOGY_WORDS = 80
_STOP_WORDS = frozenset(
    (
        *("a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "i", "in"),
        *("is", "it", "of", "on", "or", "that", "the", "this", "to", "was", "we", "with", "you"),
    )
)


class _Gain(msgspec.Struct, frozen=True):
    """Whether the second request asks for something else, for more, or under other conditions than the first."""

    reason: str
    gains: bool


@dataclass(frozen=True)
class Evolve:
    """Evolve the seed's last prompt `rounds` times, each time in one of `ways` drawn for the seed, and answer each new prompt.

    In depth: `constraints`, `deepening`, `concretizing`, `reasoning`, `input`; in breadth: `breadth`. A step is eliminated when
    the prompt is a copy (`copied_instruction`), speaks of its own rewriting (`speaks_of_the_task`), or by the role `judge` gains
    nothing (`nothing_gained`); or when its answer is an apology of fewer than 80 words (`apology`) or has none but stop words
    (`empty_answer`). The next round then starts from the last prompt that held. Each round that holds is a child.

    Source: Xu et al. 2023 (WizardLM), section 3, for the ways and the eliminations.
    """

    ways: tuple[str, ...] = tuple(WAYS)
    rounds: int = 2

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.ways) - set(WAYS)):
            raise ValueError(f"`ways` has no {unknown[0]!r}; there is {', '.join(WAYS)}")
        if not self.ways:
            raise ValueError("`ways` is empty; name one at least")
        if self.rounds < 1:
            raise ValueError(f"`rounds` is at least 1, not {self.rounds}")

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        if not (prompt := seed.prompt.strip()):
            return
        dice = random.Random(digest(b"evolve", seed.id.encode()))
        for round in range(self.rounds):
            way = dice.choice(self.ways)
            step = await unless_failed(_step(seed, prompt, way, round, model))
            if isinstance(step, str):
                refuse(step)
            elif step is not None:
                prompt, answer = step
                yield seed.child(messages=restated(seed, prompt), reply=answer, tags=(f"way={way}",))


async def _step(seed: Record, prompt: str, way: str, round: int, model: Model) -> tuple[str, str] | str:
    """The evolved prompt and its answer; or why they are eliminated, as a reason slug."""
    evolved = bare(await model.ask(f"{WAYS[way]} Answer with the new request only.\n\n{prompt}", sample=round))
    if reason := await _eliminated(prompt, evolved, model):
        return reason
    answer = await model.ask(restated(seed, evolved))
    return _no_answer(answer) or (evolved, answer.strip())


async def _eliminated(prompt: str, evolved: str, model: Model) -> str | None:
    if same_words(prompt, evolved):
        return "copied_instruction"
    if _OF_THE_TASK.search(evolved) and not _OF_THE_TASK.search(prompt):
        return "speaks_of_the_task"
    asked = "Does the second request ask for more than the first, for something else, or under other conditions?"
    verdict = await model.role("judge").structured(
        f"{asked}\n\n<first>\n{prompt}\n</first>\n\n<second>\n{evolved}\n</second>", _Gain
    )
    return None if verdict.gains else "nothing_gained"


def _no_answer(answer: str) -> str | None:
    said = re.findall(r"\w+", answer.lower())
    if "sorry" in said and len(said) < _APOLOGY_WORDS:
        return "apology"
    return "empty_answer" if set(said) <= _STOP_WORDS else None
