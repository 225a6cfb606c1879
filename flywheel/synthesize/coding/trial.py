"""Whether a function that a model wrote does what is expected of it, and what to tell the model when it does not."""

import ast
import asyncio
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from flywheel.synthesize.coding.languages import Interpreter
from flywheel.synthesize.sandbox import Job, Limits, Ran, Sandbox
from flywheel.synthesize.verification.code import LONGEST, lint_error

_MOST_SAID = 400
_PRECISE = 1e-9


class Case(NamedTuple):
    """One test: arguments, in order, and the result, all values of JSON."""

    arguments: list[Any]
    returns: Any


class Wrong(NamedTuple):
    """Why a function fails: a slug to count, and words for the model that wrote it."""

    reason: str
    feedback: str


@dataclass(frozen=True)
class Bench:
    """Tries functions in the sandbox. What they should return stays outside, so that no function can know it or fake it.

    Raises, when a function is tried:
        SandboxUnavailable: nothing contains a program here.
        FlywheelError: the interpreter is not installed.
    """

    interpreters: Mapping[str, Interpreter]
    sandbox: Sandbox

    @classmethod
    def of(cls, interpreters: Mapping[str, Interpreter], limits: Limits) -> "Bench":
        callers = {name: each.caller() for name, each in interpreters.items()}
        parsers = {f"{name} parser": each.parser() for name, each in interpreters.items() if each.parse}
        return cls(interpreters, Sandbox(limits, languages={**callers, **parsers}))

    async def ready(self, languages: Iterable[str]) -> None:
        """Find out, before anything is paid for, whether functions of these languages can be tried; raises as when one is."""
        for language in languages:
            self.interpreters[language].caller().argv()
        await self.sandbox.ready()

    async def wrong(self, code: str, language: str, function: str, cases: Sequence[Case]) -> Wrong | None:
        """What is wrong with the code, or None when `function` in it gives the right result in every case.

        Reasons: `no_code`, `lint_error`, `code_does_not_parse`, `code_failed`, `tests_failed`, or the limit that was exceeded
        (`code_cpu_time`, `code_wall_time`, `code_memory`, `code_output`, `code_killed`).
        """
        if not code.strip() or len(code) > LONGEST:
            return Wrong("no_code", "There is no code of a sensible length in that answer. Answer with one code block.")
        if error := await self._unreadable(code, language):
            return error
        interpreter = self.interpreters[language]
        told = json.dumps([case.arguments for case in cases])
        program = interpreter.call.replace("{function}", function)
        ran = await self.sandbox.run(Job(program, language, told, {interpreter.file: code}))
        return _judged(ran, function, cases)

    async def _unreadable(self, code: str, language: str) -> Wrong | None:
        if language == "python":
            if await asyncio.to_thread(lint_error, code):
                return Wrong(
                    "lint_error", f"A linter rejects that code: {_syntax_error(code)}. Answer with the whole corrected code."
                )
            return None
        if not self.interpreters[language].parse:
            return None
        ran = await self.sandbox.run(Job(code, f"{language} parser"))
        if ran.status == "ok":
            return None
        return Wrong("code_does_not_parse", f"That code does not parse:\n{_end(ran)}\nAnswer with the whole corrected code.")


def _judged(ran: Ran, function: str, cases: Sequence[Case]) -> Wrong | None:
    if ran.status != "ok":
        reason = "code_failed" if ran.status == "failed" else f"code_{ran.status}"
        how = "ends with an error" if ran.status == "failed" else f"was stopped ({ran.status.replace('_', ' ')} limit)"
        return Wrong(reason, f"That code {how} when it is called.\n{_end(ran)}\nAnswer with the whole corrected code.")
    results = _results(ran.stdout)
    if results is None or len(results) != len(cases):
        return Wrong("code_failed", "That code leaves before its function returns. Answer with the whole corrected code.")
    for case, result in zip(cases, results, strict=True):
        if not same(result, case.returns):
            call = f"{function}({', '.join(map(json.dumps, case.arguments))})"
            words = f"{call} should return {json.dumps(case.returns)} and returns {json.dumps(result)}"
            return Wrong("tests_failed", f"A test fails: {words[:_MOST_SAID]}. Answer with the whole corrected code.")
    return None


def same(one: Any, other: Any) -> bool:
    """Whether two values of JSON are equal; numbers by value, to nine digits where one is a fraction."""
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other)]
    if all(numbers):
        return one == other or (isinstance(one + other, float) and math.isclose(one, other, rel_tol=_PRECISE, abs_tol=_PRECISE))
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def _results(stdout: str) -> list[Any] | None:
    try:
        results = json.loads(stdout.rstrip("\n").rpartition("\n")[2])
    except (ValueError, RecursionError):
        return None
    return results if isinstance(results, list) else None


def _syntax_error(code: str) -> str:
    try:
        ast.parse(code)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    except (ValueError, RecursionError, MemoryError):
        return "it cannot be parsed"
    return "it uses an undefined name, or a statement where it has no meaning"


def _end(ran: Ran) -> str:
    """The last words of a program's errors, where the cause stands."""
    return ran.stderr.strip()[-_MOST_SAID:]
