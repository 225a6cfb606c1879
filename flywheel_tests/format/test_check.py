import json
from pathlib import Path
from typing import Any

import pytest

from flywheel.errors import FlywheelError
from flywheel.format.check import Problem, check_file
from flywheel.format.export import Renders
from flywheel.format.openai_chat import OpenaiChat
from flywheel.format.trl_messages import TrlMessages
from flywheel.format.trl_prompt_completion import TrlPromptCompletion
from flywheel_tests.format.real import function_calls, support_agents
from flywheel_tests.shared import shared_data

GOOD: dict[str, Any] = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}


def written(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def errors(path: Path, format_name: str = "openai_chat") -> list[tuple[int, str]]:
    return [(line, reason) for line, reason, level in check_file(path, format_name) if level == "error"]


def test_openais_own_example_file_passes_with_a_warning_about_its_five_rows() -> None:
    path = shared_data("openai_cookbook") / "toy_chat_fine_tuning.jsonl"

    assert check_file(path, "openai_chat") == [Problem(0, "fewer_than_ten_rows", "warning")]


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("valid_conversational_single_turn.jsonl", None),
        ("valid_conversational_multiple_turns.jsonl", None),
        ("valid_conversational_multimodal_single_turn.jsonl", None),
        ("inconsistent_format.jsonl", 2),
        ("invalid_role.jsonl", 1),
        ("wrong_turn_type.jsonl", 1),
        ("invalid_weight_float.jsonl", 1),
        ("invalid_weight.jsonl", 1),
    ],
)
def test_a_hosted_trainers_validator_is_agreed_with(file: str, line: int | None, tmp_path: Path) -> None:
    cases = json.loads((shared_data("ft_file_checks") / "together.json").read_text())["cases"]
    case = next(case for case in cases if case["file"] == file)
    (tmp_path / file).write_text(case["content_text"], "utf-8")

    assert {at for at, _ in errors(tmp_path / file)} == (set() if case["report"]["is_check_passed"] else {line})
    assert case["report"]["is_check_passed"] is (line is None)


def test_trls_own_examples_pass_as_the_type_that_they_are(tmp_path: Path) -> None:
    examples = json.loads((shared_data("trl_formats") / "trl_cases.json").read_text())["format_examples"]
    names = {
        frozenset(("messages",)): "trl_messages",
        frozenset(("prompt", "completion")): "trl_prompt_completion",
        frozenset(("prompt", "chosen", "rejected")): "trl_preference",
        frozenset(("chosen", "rejected")): "trl_preference",
        frozenset(("text",)): "trl_text",
    }
    checked = 0
    for example in examples["conversational_examples"] + examples["non_conversational_examples"]:
        if name := names.get(frozenset(example)):
            checked += 1
            path = written(tmp_path / "x.jsonl", example)
            assert check_file(path, name) == []
            assert all(errors(path, other) for other in set(names.values()) - {name})
    assert checked == 8


def test_trls_tool_calling_examples_pass(tmp_path: Path) -> None:
    calls = json.loads((shared_data("trl_formats") / "trl_cases.json").read_text())["calls"]
    rows = [call["args"][0] for call in calls if call["fn"] == "is_conversational" and call["result"] is True]
    preferences = [row for row in rows if set(row) >= {"prompt", "chosen", "rejected"}]

    assert len(preferences) == 2
    for row in preferences:
        assert errors(written(tmp_path / "x.jsonl", row), "trl_preference") == []


@pytest.mark.parametrize(
    ("reason", "row"),
    [
        ("unknown_key", GOOD | {"id": "x"}),
        ("no_messages", {"messages": []}),
        ("row_not_an_object", [GOOD]),
        ("last_message_not_assistant", {"messages": GOOD["messages"][::-1]}),
        ("no_assistant_message", {"messages": GOOD["messages"][:1]}),
        ("unknown_message_key", {"messages": [GOOD["messages"][0] | {"id": 1}, GOOD["messages"][1]]}),
        ("key_not_of_this_role", {"messages": [GOOD["messages"][0] | {"tool_call_id": "1"}, GOOD["messages"][1]]}),
        ("invalid_name", {"messages": [GOOD["messages"][0] | {"name": "a b"}, GOOD["messages"][1]]}),
        ("missing_content", {"messages": [{"role": "user"}, GOOD["messages"][1]]}),
        ("nothing_to_train", {"messages": [GOOD["messages"][0], GOOD["messages"][1] | {"weight": 0}]}),
        ("invalid_weight", {"messages": [GOOD["messages"][0], GOOD["messages"][1] | {"weight": 0.5}]}),
        ("invalid_tools", GOOD | {"tools": [{"name": "f"}]}),
        (
            "invalid_tool_schema",
            GOOD | {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "dict"}}}]},
        ),
        ("invalid_parallel_tool_calls", GOOD | {"parallel_tool_calls": True}),
        ("tool_result_without_call", {"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}, GOOD["messages"][1]]}),
    ],
)
def test_each_rule_of_openais_file_is_checked(reason: str, row: object, tmp_path: Path) -> None:
    rows = [GOOD] * 10
    rows[6] = row  # type: ignore[call-overload]

    assert check_file(written(tmp_path / "x.jsonl", *rows), "openai_chat") == [Problem(7, reason)]


def test_a_broken_line_is_reported_and_the_next_ones_still_checked(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"messages"\n\n\xff\n' + json.dumps({"messages": []}).encode())

    assert errors(path) == [(1, "invalid_json"), (2, "blank_line"), (3, "invalid_json"), (4, "no_messages")]


def test_two_shapes_in_one_file_are_found(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", GOOD, GOOD | {"tools": "[]"})

    assert errors(path, "trl_messages") == [(2, "mixed_shapes")]


def test_a_key_that_datasets_would_meet_too_late_is_a_warning(tmp_path: Path) -> None:
    long = {"messages": [{"role": "user", "content": "z" * (6 << 20)}, {"role": "assistant", "content": "b"}], "tools": "[]"}
    call = {"type": "function", "function": {"name": "f", "arguments": {}}}
    late = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [call]}], "tools": "[]"}

    assert check_file(written(tmp_path / "x.jsonl", long, long, late), "trl_messages") == [Problem(3, "late_key", "warning")]
    assert check_file(written(tmp_path / "y.jsonl", long, late), "trl_messages") == []


def test_what_the_formats_write_of_real_conversations_passes(tmp_path: Path) -> None:
    records = support_agents(30) + function_calls()[:60]
    named: dict[str, Renders] = {
        "openai_chat": OpenaiChat(),
        "trl_messages": TrlMessages(),
        "trl_prompt_completion": TrlPromptCompletion(),
    }

    for name, format_ in named.items():
        path = written(tmp_path / f"{name}.jsonl", *(format_.render(record) for record in records))
        assert check_file(path, name) == []


def test_a_plugins_format_is_checked_as_far_as_json_goes(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", {"any": 1}, [2])

    assert check_file(path, "my_format") == [Problem(0, "no_rules_known", "warning"), Problem(2, "row_not_an_object")]


def test_a_missing_file_is_named_and_a_broken_parquet_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 not really")

    assert check_file(tmp_path / "x.parquet", "parquet") == [Problem(0, "no_parquet")]
    with pytest.raises(FlywheelError, match=r"there is no file .*nowhere"):
        check_file(tmp_path / "nowhere", "openai_chat")
