"""Functional correctness of code: it parses, a linter finds no error, it runs, it passes tests; the last two in the sandbox."""

import ast
import functools
import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flywheel.records import Record, digest
from flywheel.synthesize.sandbox import Job, Limits, Ran, Sandbox
from flywheel.synthesize.verification.contract import Judge, Known, one_by_one
from flywheel.synthesize.verification.markdown import code_blocks, code_of

LONGEST = 200_000
_SELECTED = "E9,F63,F7,F82"  # syntax, wrong comparisons, misplaced statements, undefined names
_ASSERT = re.compile(r"^assert .+$", re.MULTILINE)
_TESTING = re.compile(r"^\s*(assert |def test_|class \w*\(unittest\.TestCase\))", re.MULTILINE)
_HARNESS = """
import json, sys
space = {"__name__": "solution"}
told = json.load(open("job.json"))
exec(compile(told["solution"], "solution", "exec"), space)
before = set(space)
exec(compile(told["tests"], "tests", "exec"), space)
for name in [name for name in space if name not in before and name.startswith("test_") and callable(space[name])]:
    space[name]()
cases = [value for name, value in space.items() if name not in before and isinstance(value, type)]
cases = [case for case in cases if any(base.__name__ == "TestCase" for base in case.__mro__[1:])]
if cases:
    import unittest
    suite = unittest.TestSuite(map(unittest.defaultTestLoader.loadTestsFromTestCase, cases))
    if not unittest.TextTestRunner(stream=sys.stderr).run(suite).wasSuccessful():
        sys.exit(1)
print("\\n" + told["done"])
"""


@dataclass(frozen=True)
class CodeParses:
    """Every fenced block of Python or JSON in the reply parses. Reasons: `no_code`, `code_does_not_parse`."""

    required: bool = True

    def judge(self) -> Judge:
        return one_by_one(self._wrong)

    def _wrong(self, child: Record, known: Known) -> str | None:  # noqa: ARG002
        blocks = code_blocks(child.reply)
        if not blocks:
            return "no_code" if self.required else None
        return None if all(parses(block.code, block.language) for block in blocks) else "code_does_not_parse"


@dataclass(frozen=True)
class CodeLints:
    """The Python of the reply has no errors: bad syntax, undefined names, misplaced statements. Style does not count.

    Found by ruff (rules E9, F63, F7, F82) where it is installed, else by compiling, which finds no undefined names. Nothing is
    run. Reasons: `no_code`, `lint_error`.
    """

    def judge(self) -> Judge:
        return one_by_one(self._wrong)

    def _wrong(self, child: Record, known: Known) -> str | None:  # noqa: ARG002
        code = code_of(child.reply, "python")
        if not code.strip():
            return "no_code"
        return "lint_error" if lint_error(code) else None


@dataclass(frozen=True)
class CodeRuns:
    """The code of the reply, its blocks of one `language` as one program, ends without an error in the sandbox.

    Reasons: `no_code`, `code_failed`, `code_killed`, or the limit that was exceeded (`code_cpu_time`, `code_wall_time`,
    `code_memory`, `code_output`).
    """

    language: str = "python"
    wall_seconds: float = 20.0

    def judge(self) -> Judge:
        sandbox = Sandbox(Limits(wall_seconds=self.wall_seconds))

        def judge(children: Sequence[Record], known: Known) -> list[str | None]:  # noqa: ARG001
            codes = [code_of(child.reply, self.language) for child in children]
            jobs = [Job(code, self.language) for code in codes if code.strip()]
            ran = iter(sandbox.run_all(jobs))
            return [_ending(next(ran), "code_failed") if code.strip() else "no_code" for code in codes]

        return judge


@dataclass(frozen=True)
class CodeTests:
    """The Python of the reply passes tests, in the sandbox: those in the conversation's prompts, and those beside the code.

    Tests are fenced blocks that hold `assert`, `def test_...` or `unittest` cases, and lines of a prompt that begin with
    `assert`. The tests must come to their end: a program that leaves before is not passed. Code that is made to deceive its
    tests can. Reasons: `no_code`, `no_tests`, `tests_failed`, else as of `code_runs`.

    Source: Austin et al. 2021, "Program synthesis with large language models" (MBPP), for tests in the prompt.
    """

    wall_seconds: float = 20.0

    def judge(self) -> Judge:
        sandbox = Sandbox(Limits(wall_seconds=self.wall_seconds))

        def judge(children: Sequence[Record], known: Known) -> list[str | None]:  # noqa: ARG001
            parts = [solution_and_tests(child) for child in children]
            jobs = [tests_job(solution, tests) for solution, tests in parts if solution.strip() and tests.strip()]
            results = zip(jobs, sandbox.run_all(jobs), strict=True)
            reasons: list[str | None] = []
            for solution, tests in parts:
                missing = "no_code" if not solution.strip() else "no_tests" if not tests.strip() else None
                reasons.append(missing or tests_result(*next(results)))
            return reasons

        return judge


def parses(code: str, language: str) -> bool:
    """Whether Python or JSON is well formed; True for other languages. Nothing is run."""
    if len(code) > LONGEST:
        return False
    try:
        if language == "python":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ast.parse(code)
        elif language == "json":
            json.loads(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def lint_error(code: str) -> bool:
    """Whether Python code has an error that can be seen without running it; see `CodeLints`."""
    if not parses(code, "python"):
        return True
    if (ruff := _ruff()) is None:
        try:
            compile(code, "code", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return True
        return False
    command = [ruff, "check", "--isolated", "--no-cache", "--quiet", "--select", _SELECTED, "--stdin-filename", "code.py", "-"]
    found = subprocess.run(command, input=code.encode("utf-8", "replace"), capture_output=True, check=False)
    return found.returncode != 0


@functools.lru_cache(maxsize=1)
def _ruff() -> str | None:
    beside = Path(sys.executable).with_name("ruff")
    return str(beside) if beside.exists() else shutil.which("ruff")


def solution_and_tests(child: Record) -> tuple[str, str]:
    """The Python of the reply without its tests, and all tests of the conversation; either may be empty."""
    blocks = [block for block in code_blocks(child.reply) if block.language in ("python", "")]
    only_tests = [block.code for block in blocks if _TESTING.search(block.code) and not _defines(block.code)]
    solution = [block.code for block in blocks if block.code not in only_tests]
    asked = [message.text for message in child.messages if message.role == "user"]
    given = [block.code for text in asked for block in code_blocks(text) if _TESTING.search(block.code)]
    bare = [line for text in asked if not code_blocks(text) for line in _ASSERT.findall(text)]
    return "\n\n".join(solution), "\n\n".join((*given, *bare, *only_tests))


def _defines(code: str) -> bool:
    """Whether the code defines anything but tests: those are functions without arguments and classes, called `test...`."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    functions = [node for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    classes = [node for node in body if isinstance(node, ast.ClassDef)]
    return any(not node.name.startswith("test") or node.args.args for node in functions) or any(
        not node.name.lower().startswith("test") for node in classes
    )


def tests_job(solution: str, tests: str) -> Job:
    """A sandbox job that runs a Python solution and its tests in one namespace, and says so when it has come to the end."""
    done = digest(b"done", solution.encode("utf-8", "replace"), tests.encode("utf-8", "replace"))
    return Job(_HARNESS, files={"job.json": json.dumps({"solution": solution, "tests": tests, "done": done})})


def tests_result(job: Job, ran: Ran) -> str | None:
    """What is wrong with a solution by the end of its `tests_job`; None when it passed."""
    if reason := _ending(ran, "tests_failed"):
        return reason
    done = json.loads(job.files["job.json"])["done"]
    return None if ran.stdout.rstrip("\n").endswith(f"\n{done}") else "tests_failed"


def _ending(ran: Ran, failed: str) -> str | None:
    return None if ran.status == "ok" else failed if ran.status == "failed" else f"code_{ran.status}"
