"""Programming problems with solutions that ran and passed, their translations and their explanations."""

import functools
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import msgspec

from flywheel.plugins import Model
from flywheel.records import Message, Record, text_message
from flywheel.synthesize.asked import refuse, unless_failed
from flywheel.synthesize.coding.languages import INTERPRETERS, Interpreter
from flywheel.synthesize.coding.trial import Bench, Case, same
from flywheel.synthesize.sandbox import Limits, SandboxUnavailable
from flywheel.synthesize.verification.markdown import code_blocks, code_of

_FEWEST_TESTS = 2


class Problem(msgspec.Struct):
    """What a model says when it is asked for a problem."""

    statement: str
    function: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,50}$")]


class Expected(msgspec.Struct):
    """One test as a model writes it: a JSON list of the arguments, and the JSON value of the result, both as text."""

    arguments: str
    returns: str


class Tests(msgspec.Struct):
    """What a model says when it is asked for tests."""

    tests: list[Expected]


class _Task(NamedTuple):
    problem: Problem
    cases: list[Case]


class _Solved(NamedTuple):
    """A conversation whose last answer passed; `language` is that of its code."""

    messages: list[Message]
    language: str

    @property
    def code(self) -> str:
        return code_of(self.messages[-1].text, self.language)

    @property
    def rounds(self) -> int:
        return len(self.messages) // 2 - 1


@dataclass(frozen=True)
class CodePipeline:
    """Make a problem of the seed's prompt, solve it in each of `languages`, and keep only what passes tests in the sandbox.

    The model states a problem (that of the prompt itself where `given`), writes tests without having seen a solution, and
    solves it in each language. An answer is parsed, linted and run; what is wrong goes back to the model, at most `rounds`
    times. A solution that passed is translated to the next language (`translate`) and explained (`explain`); a translation
    must pass the same tests, and so must the code that the model writes anew when it sees nothing but the explanation.
    Children have a tag `task=`: `solve`, `revise` (the way to a corrected solution, wrong answers without training weight),
    `translate`, `explain`.

    Args:
        languages: `python`, `javascript`, `perl`, `ruby`, or those of `interpreters`.
        tests: how many are asked for; two at least must be usable.
        cpu_seconds, wall_seconds: what one run of all tests may take.
        interpreters: further languages, or others in the place of the built-in ones.

    Refused: `sandbox_unavailable`, before anything is asked; `too_few_tests`; the reasons of `Bench.wrong` after the last
    round; `explanation_holds_code`, `back_translation_failed`.

    Source: Dubey et al. 2024, "The Llama 3 herd of models", section 4.3.1.
    """

    languages: tuple[str, ...] = ("python",)
    rounds: int = 2
    tests: int = 5
    given: bool = False
    translate: bool = True
    explain: bool = True
    cpu_seconds: int = 5
    wall_seconds: float = 20.0
    interpreters: dict[str, Interpreter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {**INTERPRETERS, **self.interpreters}
        if unknown := [language for language in self.languages if language not in known]:
            raise ValueError(f"no interpreter is declared for {unknown[0]!r}; there is {', '.join(sorted(known))}")
        if not self.languages or len(set(self.languages)) < len(self.languages):
            raise ValueError("`languages` names each language once, and one at least")
        if self.rounds < 0 or self.tests < _FEWEST_TESTS or min(self.cpu_seconds, self.wall_seconds) <= 0:
            raise ValueError(
                f"`rounds` is at least 0, `tests` at least {_FEWEST_TESTS}, `cpu_seconds` and `wall_seconds` above 0"
            )

    def most_questions(self, seed: Record) -> Mapping[str, int]:
        """As of `AsksAtMost`."""
        answers = (self.rounds + 1) * (1 + (self.translate and len(self.languages) > 1)) + 2 * self.explain
        return {"generator": 2 + len(self.languages) * answers} if seed.prompt.strip() else {}

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        if not seed.prompt.strip():
            return
        limits = Limits(wall_seconds=self.wall_seconds, cpu_seconds=self.cpu_seconds)
        bench = _bench(msgspec.json.encode({**INTERPRETERS, **self.interpreters}), limits)
        try:
            await bench.ready(self.languages)
        except SandboxUnavailable:
            refuse("sandbox_unavailable")
            return
        if (task := await self._task(seed, model)) is None:
            return
        for number, language in enumerate(self.languages):
            opening = f"{task.problem.statement}\n\nWrite `{task.problem.function}` in {language}. Answer with one code block."
            if (solved := await self._solved(opening, language, task, bench, model)) is None:
                continue
            yield _child(seed, [solved.messages[0], solved.messages[-1]], "solve", language)
            if solved.rounds:
                yield _child(seed, _unweighted(solved.messages), "revise", language)
            following = self.languages[(number + 1) % len(self.languages)]
            if self.translate and following != language:
                opening = f"Translate this {language} function to {following}. Answer with one code block.\n\n{_fenced(solved)}"
                if (other := await self._solved(opening, following, task, bench, model)) is not None:
                    yield _child(seed, [other.messages[0], other.messages[-1]], "translate", following)
            if self.explain and (explained := await _explained(solved, task, bench, model)) is not None:
                yield _child(seed, explained, "explain", language)

    async def _task(self, seed: Record, model: Model) -> _Task | None:
        """A problem and its tests, those with one result each."""
        source = "the problem that this text asks to solve" if self.given else "a new programming problem inspired by this text"
        problem = await model.structured(
            f"State {source} so that a function in any programming language can solve it. Say its name in snake_case, its "
            f"arguments in order and its result, which are all values of JSON. Give no code.\n\n{seed.prompt}",
            Problem,
        )
        found = await model.structured(
            f"Write {self.tests} tests of the function `{problem.function}`, usual cases and edge cases: for each a JSON list of "
            f"the arguments and the JSON value that it returns.\n\n{problem.statement}",
            Tests,
        )
        cases = _cases(found.tests)
        if len(cases) < _FEWEST_TESTS:
            refuse("too_few_tests")
            return None
        return _Task(problem, cases)

    async def _solved(self, opening: str, language: str, task: _Task, bench: Bench, model: Model) -> _Solved | None:
        """Ask until an answer passes, at most `rounds` times more; the last reason is counted where none does."""
        messages = [text_message("user", opening)]
        reason = ""
        for _ in range(self.rounds + 1):
            if (answer := await unless_failed(model.ask(messages))) is None:
                return None
            messages.append(text_message("assistant", answer))
            wrong = await bench.wrong(code_of(answer, language), language, task.problem.function, task.cases)
            if wrong is None:
                return _Solved(messages, language)
            reason = wrong.reason
            messages.append(text_message("user", wrong.feedback))
        refuse(reason)
        return None


async def _explained(solved: _Solved, task: _Task, bench: Bench, model: Model) -> list[Message] | None:
    """The code and an explanation from which the model, without the code, writes code that passes the same tests."""
    question = (
        f"Explain this {solved.language} function in prose, without code, so that somebody who cannot see it could write it "
        f"again: its name, its arguments in order, its result and its edge cases.\n\n{_fenced(solved)}"
    )
    if (explanation := await unless_failed(model.ask(question))) is None:
        return None
    if code_blocks(explanation):
        refuse("explanation_holds_code")
        return None
    task_again = f"Write the {solved.language} function that is described here. Answer with one code block.\n\n{explanation}"
    if (again := await unless_failed(model.ask(task_again))) is None:
        return None
    if await bench.wrong(code_of(again, solved.language), solved.language, task.problem.function, task.cases) is not None:
        refuse("back_translation_failed")
        return None
    return [text_message("user", question), text_message("assistant", explanation)]


@functools.lru_cache(maxsize=8)
def _bench(interpreters: bytes, limits: Limits) -> Bench:
    """One for all seeds, because it bounds how many programs run at once."""
    return Bench.of(msgspec.json.decode(interpreters, type=dict[str, Interpreter]), limits)


def _cases(tests: Sequence[Expected]) -> list[Case]:
    """The tests that can be read, each call once; a call of which two results are said is left out."""
    found: dict[str, list[Case]] = {}
    for test in tests:
        try:
            arguments, returns = json.loads(test.arguments), json.loads(test.returns)
        except (ValueError, RecursionError):
            continue
        if isinstance(arguments, list):
            found.setdefault(json.dumps(arguments), []).append(Case(arguments, returns))
    return [said[0] for said in found.values() if all(same(one.returns, said[0].returns) for one in said)]


def _fenced(solved: _Solved) -> str:
    return f"```{solved.language}\n{solved.code}\n```"


def _unweighted(messages: Sequence[Message]) -> list[Message]:
    """The conversation with training weight on its last answer alone."""
    unweighted = [msgspec.structs.replace(one, weight=0.0) if one.role == "assistant" else one for one in messages[:-1]]
    return [*unweighted, messages[-1]]


def _child(seed: Record, messages: Sequence[Message], task: str, language: str) -> Record:
    return seed.child(messages=messages, tags=(f"task={task}", f"language={language}"))
