"""A word problem asked in other ways: reworded, solved anew, and turned round so that a given number is the unknown."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from flywheel.plugins import Model
from flywheel.records import Record, digest
from flywheel.synthesize.asked import refuse, unless_failed
from flywheel.synthesize.reading import WORK, bare, final_answer, restated, same_words, written, wrong_work
from flywheel.synthesize.verification.arithmetic import number

KINDS = {"rephrase": 2, "self_verification": 2, "fobar": 1, "answer_augmentation": 1}
"""Each with the number of questions that it takes."""

_NUMBER = re.compile(r"(?<![\w.,/:^-])\d+(?:,\d{3})*(?:\.\d+)?(?![\w/:^-]|[.,]\d)")
_LEFT_OUT = "Here x stands for a number that was left out."


class Problem(NamedTuple):
    """A question and the number that its answer must be."""

    prompt: str
    answer: Fraction


@dataclass(frozen=True)
class MetaMath:
    """New problems from a word problem whose final number is known (`#### 72`), `copies` of each of `kinds`.

    - `rephrase`: the problem in other words; its answer is the seed's.
    - `answer_augmentation`: the same problem solved anew.
    - `fobar`: a number of the problem becomes x, the answer is given, and x is asked for.
    - `self_verification`: the same, with the problem and its answer written as statements.

    The model solves each new problem, and only what comes to the known number passes: the seed's, or the one that became x.
    Reasons: those of `reading.wrong_work`, `copied_question`, and of statements `still_a_question`, `lost_number`, `lost_answer`.
    A seed without a final number has no children. `verify` these with `{use = "math_answer", same_answer = false}`, because
    turned round a problem has another answer than its seed.

    Source: Yu et al. 2023 (MetaMath); Weng et al. 2022, for self-verification; Jiang et al. 2023 (FOBAR).
    """

    kinds: tuple[str, ...] = tuple(KINDS)
    copies: int = 1

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.kinds) - set(KINDS)):
            raise ValueError(f"there is no kind {unknown[0]!r}; there is {', '.join(KINDS)}")
        if self.copies < 1:
            raise ValueError(f"`copies` is at least 1, not {self.copies}")

    def most_questions(self, seed: Record) -> Mapping[str, int]:
        """As of `AsksAtMost`."""
        each = sum(KINDS[kind] for kind in set(self.kinds))
        return {} if _known(seed) is None else {"generator": self.copies * each}

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        if (answer := _known(seed)) is None:
            return
        wanted = [(kind, copy) for kind in dict.fromkeys(self.kinds) for copy in range(self.copies)]
        for child in await asyncio.gather(*(_child(kind, copy, seed, answer, model) for kind, copy in wanted)):
            if child is not None:
                yield child


def _known(seed: Record) -> Fraction | None:
    """The seed's final number; None where it has none, or no problem to it."""
    answer = final_answer(seed.reply)
    return answer if seed.prompt.strip() and isinstance(answer, Fraction) else None


async def _child(kind: str, copy: int, seed: Record, answer: Fraction, model: Model) -> Record | None:
    made = await unless_failed(_problem(kind, copy, seed, answer, model))
    if not isinstance(made, Problem):
        if made is not None:
            refuse(made)
        return None
    worked = await unless_failed(model.ask(restated(seed, f"{made.prompt}\n\n{WORK}"), sample=copy))
    if worked is None:
        return None
    if reason := wrong_work(worked, made.answer):
        refuse(reason)
        return None
    return seed.child(messages=restated(seed, made.prompt), reply=worked.strip(), tags=(f"kind={kind}",))


async def _problem(kind: str, copy: int, seed: Record, answer: Fraction, model: Model) -> Problem | str | None:
    """The new problem; why it is none, as a reason slug; or None where the seed has no number to ask for."""
    if kind == "answer_augmentation":
        return Problem(seed.prompt, answer)
    if kind == "rephrase":
        task = "Reword this problem. Keep every number and what is asked. Answer with the reworded problem only."
        reworded = bare(await model.ask(f"{task}\n\n{seed.prompt}", sample=copy))
        return "copied_question" if same_words(reworded, seed.prompt) else Problem(reworded, answer)
    dice = random.Random(digest(b"metamath", seed.id.encode(), str(copy).encode()))
    if (unknown := _unknown(seed.prompt, answer, dice)) is None:
        return None
    if kind == "fobar":
        given = f"{_LEFT_OUT} The answer to the question above is {written(answer)}. What is x?"
        return Problem(f"{_masked(seed.prompt, unknown)}\n\n{given}", number(unknown).value)
    return await _stated(seed, unknown, answer, copy, model)


async def _stated(seed: Record, unknown: str, answer: Fraction, copy: int, model: Model) -> Problem | str:
    task = "Write this question and its answer as plain statements. Keep every number as it is written, and ask nothing."
    stated = bare(await model.ask(f"{task}\n\n{seed.prompt}\n\nAnswer: {written(answer)}", sample=copy))
    numbers = _NUMBER.findall(stated)
    if "?" in stated:
        return "still_a_question"
    if numbers.count(unknown) != 1:
        return "lost_number"
    if answer not in {number(text).value for text in numbers}:
        return "lost_answer"
    return Problem(f"{_masked(stated, unknown)}\n\n{_LEFT_OUT} What is x?", number(unknown).value)


def _unknown(prompt: str, answer: Fraction, dice: random.Random) -> str | None:
    """A number that the prompt has once and that is not its answer; None where there is none, or x means something already."""
    found = _NUMBER.findall(prompt)
    once = [text for text in found if found.count(text) == 1 and number(text).value != answer]
    return dice.choice(once) if once and not re.search(r"\bx\b", prompt, re.IGNORECASE) else None


def _masked(text: str, unknown: str) -> str:
    return _NUMBER.sub(lambda match: "x" if match.group() == unknown else match.group(), text)
