"""The exported sets through the real `datasets` library, as a trainer loads them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flywheel.errors import Rejected
from flywheel.format.export import Renders
from flywheel.format.openai_chat import OpenaiChat
from flywheel.format.parquet import Parquet
from flywheel.format.trl_messages import TrlMessages
from flywheel.format.trl_prompt_completion import TrlPromptCompletion
from flywheel.records import Message, Record, ToolCall, text_message
from flywheel_tests.format.real import function_calls, support_agents
from flywheel_tests.format.test_export import write


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()

    def loaded(*args: Any, **rest: Any) -> Any:
        return datasets.load_dataset(*args, cache_dir=str(tmp_path / "cache"), **rest)

    return loaded


def compact(value: Any) -> Any:
    """Without the keys that are null: `datasets` gives every message every key."""
    if isinstance(value, dict):
        return {key: compact(one) for key, one in value.items() if one is not None}
    return [compact(one) for one in value] if isinstance(value, list) else value


def clashing() -> Iterator[Record]:
    """Arguments whose types no Arrow column could hold."""
    for number, arguments in enumerate(('{"a": 1}', '{"a": "x"}', '{"a": [1, {"b": null}]}', "{}", '{"c": 9223372036854775807}')):
        call = Message(role="assistant", tool_calls=(ToolCall(id="1", name="f", arguments=arguments),))
        turns = (text_message("user", "q"), call, text_message("tool", "r", tool_call_id="1"), text_message("assistant", "a"))
        tools = (json.dumps({"name": "f", "parameters": {"type": "object", "properties": {"a": {"default": number}}}}),)
        yield Record(id=f"clash{number}", messages=turns, tools=tools, split="train")


@pytest.mark.parametrize(
    "format_", [TrlMessages(), TrlPromptCompletion(), TrlMessages(arguments="text"), TrlMessages(reasoning="thinking")]
)
def test_trl_sets_load_from_their_folder_and_from_their_file_without_loss(format_: Renders, load: Any, tmp_path: Path) -> None:
    records = [*support_agents(20), *function_calls()[:40], *clashing()]
    made = write(records, tmp_path / "set", format_)
    expected = [format_.render(record) for record in records if record.split in ("train", None)]

    folder = load(str(made.path))
    file = load("json", data_files=str(made.path / "train.jsonl"), split="train")

    assert {split: len(rows) for split, rows in folder.items()} == {"train": len(expected), "validation": 2, "test": 2}
    assert [compact(row) for row in folder["train"]] == compact(expected)
    assert [compact(row) for row in file] == compact(expected)


def test_a_first_call_after_ten_megabytes_still_loads_from_the_folder(load: Any, tmp_path: Path) -> None:
    long = [
        Record(id=f"long{n}", messages=(text_message("user", "z" * (1 << 20)), text_message("assistant", "ok")))
        for n in range(11)
    ]
    made = write([*long, *clashing()], tmp_path / "set", TrlMessages())

    rows = load(str(made.path), split="train")

    assert rows[11]["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"a": 1}
    assert rows[15]["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"c": 9223372036854775807}


def test_the_records_set_and_the_openai_set_load_too(load: Any, tmp_path: Path) -> None:
    records = support_agents(20)

    parquet = load(str(write(records, tmp_path / "parquet", Parquet()).path))
    openai = load(str(write(records, tmp_path / "openai", OpenaiChat()).path))

    assert [row["id"] for row in parquet["test"]] == ["tau0", "tau10"]
    assert parquet["train"].num_rows == openai["train"].num_rows == 16
    assert openai["train"][0]["messages"][1]["content"] == records[2].messages[1].text


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_a_number_at_which_datasets_refuses_the_whole_file_is_refused_first(number: int) -> None:
    nested = json.dumps({"a": [{"b": number}]})
    call = Message(role="assistant", tool_calls=(ToolCall(id="1", name="f", arguments=nested),))
    record = Record(id="r", messages=(text_message("user", "q"), call))

    with pytest.raises(Rejected, match="number_too_large"):
        TrlMessages().render(record)
    assert TrlMessages(arguments="text").render(record)
    assert OpenaiChat().render(record)
