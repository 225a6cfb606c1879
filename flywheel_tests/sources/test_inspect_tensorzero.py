import gzip
from typing import Any

import msgspec
import pytest

from flywheel.errors import Rejected
from flywheel.records import Feedback
from flywheel.sources.inspect_ai import InspectAI
from flywheel.sources.tensorzero import TensorZero
from flywheel_tests.shared import shared_data


def test_every_sample_of_an_evaluation_is_a_record_with_its_score() -> None:
    (path,) = (shared_data("trace_exports") / "inspect_ai").glob("*.json.gz")
    log = msgspec.json.decode(gzip.decompress(path.read_bytes()))

    records = list(InspectAI().parse(log))

    assert [record.id for record in records] == [sample["uuid"] for sample in log["samples"]]
    for record, sample in zip(records, log["samples"], strict=True):
        assert record.reply == sample["output"]["choices"][0]["message"]["content"]
        assert record.feedback[0] == Feedback(
            name="match",
            value=sample["scores"]["match"]["value"],
            comment=sample["scores"]["match"]["explanation"],
            by="scorer",
        )
        assert (record.model, record.finish_reason) == ("gpt-4o-mini-2024-07-18", "stop")
        assert "task=popularity" in record.tags


def test_a_samples_attachments_are_put_back_and_calls_may_name_their_function_by_text() -> None:
    call = {"id": "c1", "type": "function", "function": "bash", "arguments": {"cmd": "ls"}}
    sample = {
        "id": 1,
        "messages": [
            {"role": "user", "content": "attachment://abc"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": [{"type": "text", "text": "attachment://def"}], "tool_call_id": "c1", "function": "bash"},
            {"role": "assistant", "content": "Two files."},
        ],
        "attachments": {"abc": "List the files.", "def": "a b"},
    }

    (record,) = InspectAI().parse({"eval": {"task": "t"}, "samples": [sample]})

    assert [message.text for message in record.messages] == ["List the files.", "", "a b", "Two files."]
    assert (record.messages[1].tool_calls[0].name, record.messages[1].tool_calls[0].arguments) == ("bash", '{"cmd":"ls"}')


def test_an_evaluation_without_samples_says_so() -> None:
    with pytest.raises(Rejected, match="no_samples"):
        list(InspectAI().parse({"eval": {"eval_id": "x"}, "samples": []}))


@pytest.mark.parametrize(
    "written", [lambda value: value, lambda value: msgspec.json.encode(value).decode()], ids=["objects", "text"]
)
def test_a_tensorzero_row_is_read_from_objects_and_from_json_text(written: Any) -> None:
    asked = {"system": "Be brief.", "messages": [{"role": "user", "content": [{"type": "text", "value": "Weather?"}]}]}
    told = [
        {"type": "thought", "text": "Look it up."},
        {"type": "text", "text": "One moment."},
        {
            "type": "tool_call",
            "id": "c1",
            "name": "weather",
            "raw_arguments": "{}",
            "arguments": {"city": "Bern"},
            "raw_name": "weather",
        },
    ]
    row: dict[str, Any] = {
        "id": "0192ced0-947e-74b3-a3d7-02fd2c54d637",
        "function_name": "desk",
        "variant_name": "v1",
        "episode_id": "e-1",
    }
    row |= {"input": written(asked), "output": written(told), "tags": {"tier": "gold"}, "timestamp": "2026-03-04T05:06:07Z"}
    assert TensorZero().sniff(msgspec.json.encode(row))

    (record,) = TensorZero().parse(row)

    assert [(m.role, m.text) for m in record.messages] == [
        ("system", "Be brief."),
        ("user", "Weather?"),
        ("assistant", "One moment."),
    ]
    assert record.messages[-1].reasoning == "Look it up."
    assert record.messages[-1].tool_calls[0].arguments == '{"city":"Bern"}'
    assert (record.session, record.tags) == ("e-1", ("function_name=desk", "variant_name=v1", "tier=gold"))
