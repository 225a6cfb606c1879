"""The checks by name, on planted answers and on data that nobody here wrote."""

import contextlib
import gzip
import json
import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.errors import ConfigError
from flywheel.records import Message, Record, ToolCall, from_batch, text_message, to_batch
from flywheel.synthesize.verification import CHECKS, apply_checks, build_checks
from flywheel.synthesize.verification.arithmetic import Malformed, agrees, evaluate, number
from flywheel.synthesize.verification.code import lint_error
from flywheel.synthesize.verification.contract import Known
from flywheel.synthesize.verification.markdown import Block, code_blocks, code_of
from flywheel.synthesize.verification.rouge import Similar, rouge_l, words
from flywheel.synthesize.verification.tool_calls import declared, wrong_call
from flywheel_tests.shared import shared_data
from flywheel_tests.synthesize.conversations import chat, chats


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def reasons(check: str | dict[str, Any], children: Sequence[Record], known: Known | None = None) -> list[str | None]:
    (built,) = build_checks([check])
    return built.judge()(children, known or Known())


def answered(reply: str, **rest: Any) -> Record:
    return chat("What is it?", reply, **rest)


# Arithmetic.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("48/2", 24),
        ("2+3*4", 14),
        ("(2+3)*4", 20),
        ("-2^2", -4),
        ("2**3", 8),
        ("$1,200 × 15%", 180),
        ("100 − 2.5", Fraction(195, 2)),
        ("7//2", 3),
        (".5+.25", Fraction(3, 4)),
        ("5(50)", 250),
        ("-(-3)", 3),
        ("1/3", Fraction(1, 3)),
    ],
)
def test_arithmetic_is_exact(text: str, value: Fraction | int) -> None:
    assert evaluate(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "1/0", "2+", "(1", "1)", "3 1/2", "1,23", "__import__('os')", "a+1", "9^9^9^9", "2^999", "(" * 900, "9" * 2000, "1e9"],
)
def test_what_is_no_arithmetic_is_refused_at_once(text: str) -> None:
    with pytest.raises(Malformed):
        evaluate(text)


@given(st.text(max_size=60))
def test_any_text_is_arithmetic_or_malformed(text: str) -> None:
    with contextlib.suppress(Malformed):
        assert isinstance(evaluate(text), Fraction)


def test_numbers_are_read_as_they_are_written() -> None:
    assert number("$1,234.50.").value == Fraction("1234.5")
    assert [float(number(text).value) for text in ("-7", "3/4", "12%", ".5", "€-3")] == [-7, 0.75, 0.12, 0.5, -3]
    for text in ("2+2", "twelve", "3 apples", "$"):
        with pytest.raises(Malformed):
            number(text)


def test_a_result_may_be_rounded_or_cut_off_but_a_whole_number_is_exact() -> None:
    assert agrees(Fraction(2, 3), number("0.67"))
    assert agrees(Fraction(2, 3), number(".66"))
    assert not agrees(Fraction(2, 3), number(".65"))
    assert not agrees(Fraction(7, 2), number("3"))


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("He has 48/2 = <<48/2=24>>24.\n#### 24", None),
        ("He has <<48/2=25>>25.\n#### 25", "wrong_calculation"),
        ("He has <<48/=24>>24.\n#### 24", "malformed_calculation"),
        ("Twenty-four.", "no_answer"),
        ("#### many", "not_a_number"),
        ("He has 20 and 5.\n#### 24", "unsupported_answer"),
        ("It costs $0.24.\n#### 24", None),
        (r"So $x = 24$, \boxed{24}.", None),
        ("20 + 4 is 24. The answer is 24.", None),
        ("12 + 13 is 25. The answer is $25.", "wrong_answer"),
    ],
)
def test_a_worked_answer_is_held_against_its_marks_its_work_and_its_seed(reply: str, reason: str | None) -> None:
    seed = answered("#### 24", id="seed")

    assert reasons("math_answer", [seed.child(reply=reply)], Known({"seed": seed})) == [reason]


CONTRADICTED = {356, 1154, 2770, 3334, 5350, 6157, 6760, 7444}  # the text calculates another number than its last line states


def test_every_calculator_mark_and_answer_of_gsm8k_is_verified() -> None:
    rows = lines(shared_data("gsm8k") / "train.jsonl.gz")
    records = [chat(row["question"], row["answer"], id=str(at)) for at, row in enumerate(rows)]

    found = dict(enumerate(reasons("math_answer", records)))

    wrong = {at: reason for at, reason in found.items() if reason}
    assert sum(record.reply.count("<<") for record in records) == 23716
    assert set(wrong.values()) == {"unsupported_answer"}
    assert set(wrong) >= CONTRADICTED
    assert len(wrong) <= 12


def test_a_wrong_mark_or_answer_in_gsm8k_is_found() -> None:
    rows = lines(shared_data("gsm8k") / "train.jsonl.gz")[:2000]
    seeds = [chat(row["question"], row["answer"], id=str(at)) for at, row in enumerate(rows) if "<<" in row["answer"]]
    dice = random.Random(1)

    def spoiled(seed: Record) -> Iterator[Record]:
        head, _, tail = seed.reply.partition(">>")
        yield seed.child(reply=f"{head}{dice.randint(1, 9)}>>{tail}")
        work, _, answer = seed.reply.rpartition("#### ")
        yield seed.child(reply=f"{work}#### {answer}{dice.randint(0, 9)}")

    children = [child for seed in seeds for child in spoiled(seed)]
    found = reasons("math_answer", children, Known({seed.id: seed for seed in seeds}))
    decimal = ["." in child.reply.partition(">>")[0].rpartition("=")[2] for child in children]

    assert all(reason for reason, fraction in zip(found, decimal, strict=True) if not fraction)
    assert sum(reason is None for reason in found) < 0.01 * len(found)


# Tool calls.


def bfcl(name: str) -> Iterator[tuple[dict[str, Any], str, dict[str, Any]]]:
    """Tools by name, the name of the called one and its arguments, the first of each argument's accepted values."""

    def pick(accepted: Any) -> Any:
        value = next((one for one in accepted if one != ""), None)
        if isinstance(value, dict):
            return {key: pick(inner) for key, inner in value.items()}
        if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            return [{key: pick(inner) for key, inner in one.items()} for one in value]
        return value

    folder = shared_data("bfcl")
    truths = {row["id"]: row["ground_truth"] for row in lines(folder / f"answer__BFCL_v4_{name}.jsonl.gz")}
    for row in lines(folder / f"BFCL_v4_{name}.jsonl.gz"):
        tools = declared(tuple(json.dumps(tool) for tool in row["function"]))
        for truth in truths[row["id"]]:
            for called, accepted in truth.items():
                required = tools[called].get("required", [])
                yield (
                    tools,
                    called,
                    {key: pick(values) for key, values in accepted.items() if key in required or values[0] != ""},
                )


@pytest.mark.parametrize("name", ["multiple", "simple_python"])
def test_ground_truth_calls_of_bfcl_are_valid_and_perturbed_ones_are_not(name: str) -> None:
    wrong = {"string": {"x": 1}, "integer": "many", "float": "many", "boolean": 3, "array": 7, "tuple": 7, "dict": [1]}
    calls = list(bfcl(name))
    perturbed = 0
    for tools, called, arguments in calls:
        assert wrong_call(called, json.dumps(arguments), tools) is None, (called, arguments)
        schema = tools[called]
        variants = [{**arguments, "not_declared": 1}]
        variants += [{key: value for key, value in arguments.items() if key != left} for left in schema.get("required", [])]
        for key in arguments:
            kind = schema["properties"][key]["type"]
            variants += [{**arguments, key: wrong[kind]}] if kind in wrong else []
        for variant in variants:
            assert wrong_call(called, json.dumps(variant), tools) == "arguments_against_schema", (called, variant)
        assert wrong_call(called + "x", json.dumps(arguments), tools) == "undeclared_tool"
        assert wrong_call(called, json.dumps(arguments)[:-1], tools) == "bad_tool_arguments"
        perturbed += len(variants) + 2
    assert (len(calls), perturbed > 5 * len(calls)) == ({"multiple": 200, "simple_python": 400}[name], True)


def test_a_schema_that_points_elsewhere_or_is_none_is_not_fetched_but_refused() -> None:
    for schema in ({"$ref": "http://192.0.2.1/schema.json"}, {"type": "wrong"}, {"properties": 3}, "text"):
        assert wrong_call("f", "{}", {"f": schema}) == "bad_tool_schema"


def test_nested_python_types_are_json_types() -> None:
    schema = {
        "type": "dict",
        "properties": {
            "at": {"type": "tuple", "items": {"type": "float"}},
            "who": {"type": "dict", "properties": {"age": {"type": "int"}}},
            "anything": {"type": "any"},
            "free": {"type": "dict"},
        },
    }
    good = {"at": [1.5, 2], "who": {"age": 3}, "anything": [None], "free": {"x": 1}}
    bad: list[dict[str, Any]] = [{"at": ["north"]}, {"at": "1,2"}, {"who": {"age": 1.5}}, {"who": {"name": "x"}}]

    assert wrong_call("f", json.dumps(good), {"f": schema}) is None
    assert [wrong_call("f", json.dumps(call), {"f": schema}) for call in bad] == ["arguments_against_schema"] * 4


def test_a_record_is_checked_call_by_call() -> None:
    tool = json.dumps({"function": {"name": "f", "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}}}})

    def calling(*arguments: str) -> Record:
        calls = tuple(ToolCall(name="f", arguments=text) for text in arguments)
        return Record(id="c", tools=(tool,), messages=(text_message("user", "?"), Message(role="assistant", tool_calls=calls)))

    children = [calling('{"n": 1}'), calling('{"n": 1}', '{"n": "1"}'), calling()]

    assert reasons("tool_calls", children) == [None, "arguments_against_schema", None]
    assert reasons({"use": "tool_calls", "required": True}, children)[2] == "no_tool_call"


# Code.


def test_code_blocks_are_found_as_markdown_has_them() -> None:
    text = "See:\n```py\na = 1\n```\n~~~\nplain\n~~~\n  ```JS title\n  x\n  ```\n````md\n```\nquoted\n```\n````\n```sh\nopen"

    assert code_blocks(text) == [
        Block("python", "a = 1"),
        Block("", "plain"),
        Block("javascript", "x"),
        Block("md", "```\nquoted\n```"),
        Block("bash", "open"),
    ]
    assert code_of(text, "python") == "a = 1"
    assert code_of("```\nx = 1\n```", "python") == "x = 1"


@given(st.text(alphabet="`~ \npy\t>", max_size=200))
def test_any_fences_are_read(text: str) -> None:
    assert all("\r" not in block.language for block in code_blocks(text))


def test_code_is_parsed_linted_and_run() -> None:
    programs = {
        "sound": "```python\nprint(sum(range(4)))\n```",
        "unfinished": "```python\ndef f(:\n```",
        "undefined": "```python\ndef f():\n    return nowhere\n```",
        "raises": "```python\nraise ValueError\n```",
        "endless": "```python\nimport time; time.sleep(60)\n```",
        "prose": "No code here.",
    }
    children = [answered(reply) for reply in programs.values()]

    parsed = dict(zip(programs, reasons("code_parses", children), strict=True))
    linted = dict(zip(programs, reasons("code_lints", children), strict=True))
    ran = dict(zip(programs, reasons({"use": "code_runs", "wall_seconds": 3}, children), strict=True))

    assert {name for name, reason in parsed.items() if reason} == {"unfinished", "prose"}
    assert {name: reason for name, reason in linted.items() if reason} == {
        "unfinished": "lint_error",
        "undefined": "lint_error",
        "prose": "no_code",
    }
    assert ran == {
        "sound": None,
        "unfinished": "code_failed",
        "undefined": None,
        "raises": "code_failed",
        "endless": "code_wall_time",
        "prose": "no_code",
    }


def test_without_ruff_code_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flywheel.synthesize.verification.code._ruff", lambda: None)

    assert [lint_error(code) for code in ("x = 1", "return 1", "def f(:")] == [False, True, True]


def test_tests_in_the_prompt_or_beside_the_code_must_pass_and_must_be_reached() -> None:
    asked = "Write `double`. It should pass:\nassert double(2) == 4\nassert double('a') == 'aa'"
    right = "```python\ndef double(x):\n    return 2 * x\n```"
    replies = {
        "right": right,
        "wrong": "```python\ndef double(x):\n    return x\n```",
        "leaves": "```python\nimport os\ndef double(x):\n    os._exit(0)\n```",
        "own test fails": f"{right}\n```python\ndef test_it():\n    assert double(1) == 3\n```",
        "case fails": f"{right}\n```python\nimport unittest\n"
        "class TestIt(unittest.TestCase):\n    def test(self):\n        self.assertEqual(double(1), 3)\n```",
        "main": "```python\ndef double(x):\n    return 2 * x\nif __name__ == '__main__':\n    input()\n```",
    }

    found = dict(zip(replies, reasons("code_tests", [chat(asked, reply) for reply in replies.values()]), strict=True))

    assert found == {
        "right": None,
        "wrong": "tests_failed",
        "leaves": "tests_failed",
        "own test fails": "tests_failed",
        "case fails": "tests_failed",
        "main": None,
    }
    assert reasons("code_tests", [chat("Write it.", replies["right"]), chat(asked, "no")]) == ["no_tests", "no_code"]


MUTATIONS = {
    " + ": " - ",
    " - ": " + ",
    " < ": " >= ",
    " > ": " <= ",
    " == ": " != ",
    " % ": " // ",
    "max(": "min(",
    "True": "False",
}


def mutated(code: str) -> str:
    """The body with what it returns replaced, where no operator can be."""
    for one, other in MUTATIONS.items():
        if one in code:
            return code.replace(one, other, 1)
    head, found, tail = code.rpartition("return ")
    return f"{head}return None and {tail}" if found else "    pass\n"


def test_reference_solutions_of_mbpp_pass_in_the_sandbox_and_mutated_ones_fail() -> None:
    rows = lines(shared_data("human_eval") / "mbpp_sanitized.jsonl.gz")[::9]

    def record(row: dict[str, Any], solution: str) -> Record:
        signature = row["prompt"].partition("    '''")[0]  # its docstring is indented otherwise than the solution
        checks = row["test"].replace("def check(", "def run_tests(")  # one of the solutions is itself called `check`
        tests = f"```python\nimport math\n{checks}\nrun_tests({row['entry_point']})\n```"
        return chat(f"Solve it, so that this runs.\n{tests}", f"```python\n{signature}{solution}\n```")

    references = [record(row, row["canonical_solution"]) for row in rows]
    mutants = [record(row, mutated(row["canonical_solution"])) for row in rows]

    assert reasons("code_tests", references) == [None] * len(rows)
    survived = [reason for reason in reasons("code_tests", mutants) if reason is None]
    assert len(survived) <= 0.05 * len(rows)


# Instructions, likeness, anomalies.


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("Explain how a rainbow forms in simple words.", None),
        ("Explain rainbows please", "too_short"),
        ("word " * 151, "too_long"),
        ("- explain how rainbows form", "starts_with_punctuation"),
        ("Draw a picture of a rainbow", "beyond_text"),
        ("Tell me about the mapping of genes", None),
        ("Write a program that prints rainbows", "write_a_program"),
        ("Écris un poème sur la mer", None),
    ],
)
def test_self_instruct_heuristics_find_poor_instructions(prompt: str, reason: str | None) -> None:
    assert reasons("self_instruct", [chat(prompt)]) == [reason]


def test_the_seeds_of_self_instruct_mostly_hold_its_heuristics() -> None:
    rows = lines(shared_data("self_instruct") / "seed_tasks.jsonl.gz")
    children = [chat(row["instruction"], id=str(at)).child(reply=str(at)) for at, row in enumerate(rows)]

    found = reasons("self_instruct", children)

    assert sum(reason is None for reason in found) > 0.8 * len(found)


def test_an_instruction_like_a_real_one_or_an_earlier_one_is_stopped_its_own_seed_aside() -> None:
    real = chat("Explain how a rainbow forms in simple words", id="r1", split="train")
    seed = chat("Name three rivers that flow through Paris and Rome", id="s1")
    children = [
        seed.child(prompt="Explain how a rainbow forms, in very simple words."),
        seed.child(prompt="Name four rivers that flow through Paris and Rome"),
        chat("x", id="s2").child(prompt="Name five rivers that flow through Paris and Rome"),
        seed.child(prompt="What is the tallest tree that grows in Norway?"),
    ]
    known = Known({"s1": seed}, lambda: [to_batch([real, seed])])

    assert reasons("self_instruct", children, known) == [None if at in (1, 3) else "similar_instruction" for at in range(4)]


def test_rouge_l_is_that_of_the_longest_common_subsequence() -> None:
    assert rouge_l(words("police killed the gunman"), words("police kill the gunman")) == 0.75
    assert rouge_l(words("the gunman kill police"), words("police killed the gunman")) == 0.5
    assert rouge_l((), ()) == 0


@given(st.lists(st.lists(st.sampled_from("abcdefg"), max_size=9), max_size=12), st.floats(0.3, 1))
def test_no_similar_text_is_missed(texts: list[list[str]], least: float) -> None:
    index = Similar(least)
    for text in texts:
        index.add(text)

    for text in filter(None, texts):
        assert list(index.find(text)) == [at for at, other in enumerate(texts) if rouge_l(text, other) >= least]


def test_a_near_duplicate_of_a_real_record_or_of_another_child_is_stopped() -> None:
    text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    seed, real = chat("A seed about mountains", "Mountains.", id="s1"), chat(f"{text} now", "Yes.", id="r1")
    children = [
        seed.child(prompt=f"{text} then", reply="Yes."),
        seed.child(prompt="A seed about mountain", reply="Mountains."),
        seed.child(prompt=f"alpha beta gamma {text[:60]}", reply="No."),
        chat("other", id="s2").child(prompt=f"Alpha, beta, gamma {text[:60]}!", reply="No."),
    ]
    known = Known({"s1": seed}, lambda: [to_batch([seed, real])])

    found = reasons({"use": "near_duplicates", "similarity": 0.6}, children, known)

    assert found == ["like_a_real_record", None, None, "like_another_child"]


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("check", ["near_duplicates", "self_instruct"])
def test_the_real_records_are_read_once_for_all_batches_of_a_run(check: str, announced: bool) -> None:
    text = "Explain how a rainbow forms above the {} valley in very simple words"
    real = [chat(text.format("northern"), "Light.", id="r1"), chat("x", id="s1")]
    made = [chat("x", id="s1").child(prompt=text.format("northern"), reply="Light."), chat("x", id="s1").child(prompt="Why not?")]
    readings: list[int] = []

    def read() -> list[pl.DataFrame]:
        readings.append(1)
        return [to_batch([record]) for record in real]

    known = Known({}, read, (lambda: [to_batch([child]) for child in made]) if announced else lambda: ())
    (built,) = build_checks([{"use": check, "shortest": 1} if check == "self_instruct" else check])
    judge = built.judge()
    found = [judge([child], known)[0] for child in (*made[::-1], *made)]

    alike = "like_a_real_record" if check == "near_duplicates" else "similar_instruction"
    assert found == [None, alike, alike, None]
    assert len(readings) == (1 if announced else 2)


def test_what_is_far_from_all_real_data_is_anomalous() -> None:
    real = [
        chat(f"Question {n} about my {'very ' * (n % 7)}late order", "It is on its way." * (1 + n % 5), id=str(n))
        for n in range(200)
    ]
    children = [
        real[7].child(prompt="Where is it, my order?"),
        real[7].child(reply="x" * 50_000),
        real[7].child(prompt="?!#" * 40),
    ]
    known = Known({}, lambda: [to_batch(real[:100]), to_batch(real[100:])])

    found = reasons("anomalies", children, known)

    assert found[0] is None
    assert found[1] == "anomalous_reply_length"
    assert found[2] is not None
    assert reasons("anomalies", children) == ["too_few_real_records"] * 3
    assert sum(reason is not None for reason in reasons("anomalies", real, known)) == 0


# The registry, and what becomes of what is wrong.


def test_every_check_can_be_built_and_judges_nothing() -> None:
    for check in build_checks(list(CHECKS)):
        assert check.judge()([], Known()) == []


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("math_anser", r"no check 'math_anser'\. Did you mean 'math_answer'\?"),
        ({"use": "code_runs", "wall": 3}, r"'code_runs' has no setting 'wall'; its settings: language, wall_seconds"),
        ({"use": "near_duplicates", "similarity": 2}, "similarity"),
        ({"use": "near_duplicates", "similarity": "much"}, "near_duplicates"),
        ({}, "no check None"),
    ],
)
def test_a_check_that_is_named_wrongly_is_an_error(entry: str | dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_checks([entry])


def test_what_is_wrong_leaves_with_the_first_reason_and_the_rest_stays_in_order() -> None:
    seeds = chats(4)
    children = [seed.child(reply=reply) for seed, reply in zip(seeds, ("#### 1", "none", "#### one", "#### 4"), strict=True)]
    judges = [check.judge() for check in build_checks(["math_answer", {"use": "self_instruct", "shortest": 1}])]

    outcome = apply_checks(to_batch(children), judges, Known())

    assert [child.reply for child in from_batch(outcome.kept)] == ["#### 1"]
    assert outcome.exits.select("id", "reason").rows() == [
        (children[1].id, "no_answer"),
        (children[2].id, "not_a_number"),
        (children[3].id, "similar_instruction"),
    ]


def test_what_is_wrong_stays_with_a_tag_where_the_configuration_says_so() -> None:
    children = [seed.child(reply=reply) for seed, reply in zip(chats(2), ("#### 1", "none"), strict=True)]
    judges = [check.judge() for check in build_checks(["math_answer"])]

    outcome = apply_checks(to_batch(children), judges, Known(), keep=True)

    assert [child.tags for child in from_batch(outcome.kept)] == [(), ("unverified=no_answer",)]
    assert outcome.exits.equals(pl.DataFrame(schema=outcome.exits.schema))
