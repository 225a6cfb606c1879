"""The code pipeline: what fails its tests, does not parse, or never ends becomes no child."""

import ast
import asyncio
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from flywheel import plugins
from flywheel.errors import FlywheelError, PluginError
from flywheel.records import Record, from_batch, to_batch
from flywheel.synthesize import sandbox
from flywheel.synthesize.coding.languages import INTERPRETERS
from flywheel.synthesize.coding.trial import Bench, Case, Wrong, same
from flywheel.synthesize.driver import Synthesized, synthesize
from flywheel.synthesize.sandbox import Limits, Sandbox
from flywheel.synthesize.sandbox_walls import SandboxUnavailable, walls
from flywheel.synthesize.synthesizers.code_pipeline import CodePipeline
from flywheel.synthesize.verification import build_checks
from flywheel.synthesize.verification.contract import Known
from flywheel.synthesize.verify import verify
from flywheel_tests.shared import shared_data
from flywheel_tests.synthesize.conftest import Connect, Serve
from flywheel_tests.synthesize.conversations import chat
from flywheel_tests.synthesize.scripted_server import Reply, Request, completion

SEED = chat("How do I add up the even numbers of a list?", "Loop over it.")
RIGHT = "def even_sum(numbers):\n    return sum(n for n in numbers if n % 2 == 0)"
WRONG = "def even_sum(numbers):\n    return sum(numbers)"
JAVASCRIPT = "const even_sum = numbers => numbers.filter(n => n % 2 === 0).reduce((a, b) => a + b, 0);"
PERL = "sub even_sum { my $sum = 0; $_ % 2 or $sum += $_ for @{$_[0]}; return $sum; }"
TESTS = [("[[1, 2, 4]]", "6"), ("[[]]", "0"), ("[[3]]", "0")]
EXPLANATION = "even_sum takes a list of integers and returns the sum of those that are even; 0 for an empty list."


@pytest.fixture(autouse=True)
def _contained() -> None:
    try:
        walls()
    except SandboxUnavailable as trouble:
        pytest.skip(str(trouble))


def block(code: str, language: str = "python") -> str:
    return f"Here it is:\n\n```{language}\n{code}\n```\n"


def script(
    solutions: Mapping[str, Sequence[str]],
    *,
    tests: Sequence[tuple[str, str]] = TESTS,
    explanation: str = EXPLANATION,
    again: str = RIGHT,
) -> Callable[[Request], Reply]:
    """Answers by what the prompt asks for; `solutions` are given in turn, by language, also after feedback."""
    left = {language: list(codes) for language, codes in solutions.items()}

    def answer(request: Request) -> Reply:
        prompt = request.prompt
        if prompt.startswith("State "):
            return completion(json.dumps({"statement": "Add up the even numbers.", "function": "even_sum"}))
        if "tests of the function" in prompt:
            return completion(json.dumps({"tests": [{"arguments": a, "returns": r} for a, r in tests]}))
        if prompt.startswith("Explain "):
            return completion(explanation)
        if "is described here" in prompt:
            return completion(block(again))
        opening = request.body["messages"][0]["content"]
        target = opening.partition(" function to ")[2] if opening.startswith("Translate") else opening.rpartition(" in ")[2]
        language = target.partition(".")[0]
        return completion(block(left[language].pop(0), language))

    return answer


def run(plugin: CodePipeline, model: Any) -> tuple[list[Record], Synthesized]:
    made = synthesize([to_batch([SEED])], plugin, name="code", model=model)
    return [child for batch in made for child in from_batch(batch)], made


def tasks(children: Sequence[Record]) -> list[str]:
    return ["/".join(tag.partition("=")[2] for tag in child.tags if tag.startswith(("task=", "language="))) for child in children]


def test_a_solution_that_passes_is_a_child_and_is_explained_and_translated_when_those_pass_too(
    serve: Serve, connect: Connect
) -> None:
    languages = tuple(name for name in ("python", "javascript", "perl") if Sandbox().has(name))
    codes = {"python": [RIGHT] * 2, "javascript": [JAVASCRIPT] * 2, "perl": [PERL] * 2}
    plugin = plugins.build("synthesizer", "code_pipeline", {"languages": languages, "explain": False})

    children, made = run(plugin, connect(serve(script(codes)), max_tokens=500))
    outcome = verify(to_batch(children), to_batch([SEED]))
    wrong = [check.judge()(children[:1], Known()) for check in build_checks(["code_parses", "code_lints", "code_runs"])]

    following = (*languages[1:], languages[0])
    assert tasks(children) == [
        f"{task}/{name}"
        for language, after in zip(languages, following, strict=True)
        for task, name in (("solve", language), ("translate", after))
    ]
    assert (children[0].prompt.splitlines()[0], RIGHT in children[0].reply) == ("Add up the even numbers.", True)
    assert made.reasons == {}
    assert outcome.exits.height == 0
    assert wrong == [[None]] * 3


def test_wrong_code_goes_back_with_what_is_wrong_until_it_passes(serve: Serve, connect: Connect) -> None:
    server = serve(script({"python": ["def even_sum(numbers:", "def even_sum(n):\n    return total", WRONG, RIGHT]}))

    children, made = run(CodePipeline(rounds=3, explain=False), connect(server))

    solve, revise = children
    feedback = [message.text for message in revise.messages if message.role == "user"][1:]
    assert tasks(children) == ["solve/python", "revise/python"]
    assert [message.role for message in solve.messages] == ["user", "assistant"]
    assert [message.weight for message in revise.messages if message.role == "assistant"] == [0, 0, 0, None]
    assert "line 1" in feedback[0]
    assert "undefined name" in feedback[1]
    assert "even_sum([1, 2, 4]) should return 6 and returns 7" in feedback[2]
    assert made.reasons == {}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (WRONG, "tests_failed"),
        ("def even_sum(numbers):\n    while True:\n        pass", "code_cpu_time"),
        ("import time\ndef even_sum(numbers):\n    time.sleep(60)", "code_wall_time"),
        ("def even_sum(numbers):\n    return open('/etc/passwd').read()", "code_failed"),
        ("import os\ndef even_sum(numbers):\n    print([6, 0, 0], flush=True)\n    os._exit(1)", "code_failed"),
        ("def even_sums(numbers):\n    return 6", "code_failed"),
        ("print('[6, 0]')\nraise SystemExit", "code_failed"),
    ],
)
def test_code_that_never_passes_is_refused_by_reason(code: str, reason: str, serve: Serve, connect: Connect) -> None:
    server = serve(script({"python": [code] * 2}))
    plugin = CodePipeline(rounds=0, cpu_seconds=1, wall_seconds=1 if reason == "code_wall_time" else 60)

    children, made = run(plugin, connect(server))

    assert children == []
    assert made.reasons == {reason: 1, "no_children": 1}


def test_a_translation_that_fails_is_left_out_and_the_solutions_stay(serve: Serve, connect: Connect) -> None:
    if not Sandbox().has("perl"):
        pytest.skip("no interpreter of perl")
    codes = {"python": [RIGHT, WRONG], "perl": ["sub even_sum {", PERL]}

    children, made = run(CodePipeline(("python", "perl"), rounds=0, explain=False), connect(serve(script(codes))))

    assert tasks(children) == ["solve/python", "solve/perl"]
    assert made.reasons == {"code_does_not_parse": 1, "tests_failed": 1}


@pytest.mark.parametrize(
    ("explanation", "again", "reason"),
    [
        (EXPLANATION, RIGHT, None),
        (EXPLANATION, WRONG, "back_translation_failed"),
        (block(RIGHT), RIGHT, "explanation_holds_code"),
    ],
)
def test_an_explanation_is_kept_when_code_written_from_it_alone_passes(
    explanation: str, again: str, reason: str | None, serve: Serve, connect: Connect
) -> None:
    server = serve(script({"python": [RIGHT]}, explanation=explanation, again=again))

    children, made = run(CodePipeline(), connect(server))

    assert tasks(children) == ["solve/python", *(["explain/python"] if reason is None else [])]
    assert made.reasons == ({} if reason is None else {reason: 1})
    assert all(RIGHT not in prompt for prompt in server.prompts if "is described here" in prompt)


def test_tests_that_contradict_each_other_or_are_no_json_are_not_used(serve: Serve, connect: Connect) -> None:
    tests = [("[[2]]", "2"), ("[[2]]", "3"), ("numbers", "1"), ("4", "4"), ("[[4]]", "4")]

    children, made = run(CodePipeline(), connect(serve(script({}, tests=tests))))

    assert children == []
    assert made.reasons == {"too_few_tests": 1, "no_children": 1}


def test_without_a_sandbox_nothing_is_asked_and_the_reason_is_counted(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise SandboxUnavailable("nothing contains a program here")

    monkeypatch.setattr(sandbox, "walls", refuse)
    server = serve(script({"python": [RIGHT]}))

    children, made = run(CodePipeline(), connect(server))

    assert children == []
    assert made.reasons == {"sandbox_unavailable": 1, "no_children": 1}
    assert server.requests == []


def test_a_declared_language_is_tried_like_the_others(serve: Serve, connect: Connect) -> None:
    if not Sandbox().has("bash"):
        pytest.skip("no interpreter of bash")
    call = 'read -r calls\n. /tmp/solution.sh\nprintf "[%s]\\n" "$({function} "$calls")"'
    declared = {"file": "solution.sh", "call": call, "command": ["bash", "{file}"], "parse": ["bash", "-n", "{file}"]}
    plugin = plugins.build(
        "synthesizer", "code_pipeline", {"languages": ["bash"], "interpreters": {"bash": declared}, "explain": False, "rounds": 1}
    )

    children, made = run(plugin, connect(serve(script({"bash": ["even_sum() {", "even_sum() { echo 6, 0, 0; }"]}))))

    assert tasks(children) == ["solve/bash", "revise/bash"]
    assert made.reasons == {}


def test_published_solutions_pass_and_changed_ones_fail() -> None:
    lines = gzip.decompress((shared_data("human_eval") / "mbpp_sanitized.jsonl.gz").read_bytes()).decode("utf-8").splitlines()
    problems = [problem for line in lines if len((problem := mbpp(json.loads(line)))[2]) >= 2][:12]
    bench = Bench.of(INTERPRETERS, Limits())

    async def every() -> list[Wrong | None]:
        changed = "\n{name}, _kept = lambda *given: [_kept(*given)], {name}\n"
        codes = [(code + more.replace("{name}", name), name, cases) for code, name, cases in problems for more in ("", changed)]
        return await asyncio.gather(*(bench.wrong(code, "python", name, cases) for code, name, cases in codes))

    found = asyncio.run(every())

    assert len(problems) == 12
    assert found[::2] == [None] * 12
    assert [wrong.reason for wrong in found[1::2] if wrong] == ["tests_failed"] * 12


def mbpp(row: Mapping[str, str]) -> tuple[str, str, list[Case]]:
    """A problem of MBPP: solution, name of the function, and the cases of its tests where all of them compare plain values."""
    name = row["entry_point"]
    cases = []
    for test in ast.parse(row["test"]).body[0].body:  # type: ignore[attr-defined]
        match test:
            case ast.Assert(
                test=ast.Compare(left=ast.Call(func=ast.Name(id=called), args=args), ops=[ast.Eq()], comparators=[right])
            ):
                values = [ast.literal_eval(one) if _plain(one) else None for one in (*args, right)]
                if called == name and None not in values:
                    cases.append(Case(values[:-1], values[-1]))
    head = row["prompt"].partition("    '''")[0]  # the docstring is indented otherwise than the solution
    return head + row["canonical_solution"], name, cases


def _plain(node: ast.expr) -> bool:
    """Whether a node is a number, a text or a list of such."""
    return isinstance(node, ast.Constant | ast.List) and all(
        isinstance(one, ast.Constant | ast.List | ast.Load) for one in ast.walk(node)
    )


def test_a_language_that_is_not_installed_is_an_error_before_anything_is_asked(serve: Serve, connect: Connect) -> None:
    declared = {"file": "solution.x", "call": "", "command": ["no-such-interpreter", "{file}"]}
    plugin = plugins.build("synthesizer", "code_pipeline", {"languages": ["x"], "interpreters": {"x": declared}})
    server = serve(script({}))

    with pytest.raises(FlywheelError, match="'no-such-interpreter' is not installed"):
        run(plugin, connect(server))

    assert server.requests == []


def test_a_second_run_asks_nothing_and_makes_the_same(serve: Serve, connect: Connect) -> None:
    server = serve(script({"python": [WRONG, RIGHT]}))
    first, _ = run(CodePipeline(), connect(server))
    asked = len(server.requests)

    second, made = run(CodePipeline(), connect(server))

    assert first == second
    assert (len(server.requests), made.cost.dollars) == (asked, 0)


@pytest.mark.parametrize("wrong", [{"languages": ["cobol"]}, {"languages": []}, {"rounds": -1}, {"tests": 1}, {"cpu_seconds": 0}])
def test_senseless_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PluginError, match=r"interpreter|languages|rounds"):
        plugins.build("synthesizer", "code_pipeline", wrong)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        *[(1, 1.0, True), (0.1 + 0.2, 0.3, True), (True, 1, False), ("1", 1, False), (None, 0, False)],
        *[([1, [2]], [1, [2.0]], True), ({"a": 1}, {"a": 2}, False), (1e400, 1, False), (10**20, 10**20 + 1, False)],
    ],
)
def test_results_are_compared_by_value(one: object, other: object, equal: bool) -> None:
    assert same(one, other) is equal
