"""Requests and answers that were logged apart: batch files and stored completions."""

import json
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from flywheel.errors import Rejected
from flywheel.sections import Logs
from flywheel.sources.batches import Batches
from flywheel.sources.files import find_files
from flywheel.sources.read import Reading
from flywheel.sources.stored_completions import StoredCompletions
from flywheel_tests.shared import shared_data
from flywheel_tests.sources.dialects import DIALECTS

SOURCES = {type(dialect).__name__: dialect for dialect in DIALECTS}


def asked(key: str, text: str) -> dict[str, Any]:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}
    return {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body}


def answered(key: str, text: str, status: int = 200) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    body = {"id": f"chatcmpl-answer-to-{key}-{text}", "object": "chat.completion", "created": 1772600767, "choices": [choice]}
    told = {"status_code": status, "request_id": f"req-{key}", "body": body if status < 400 else {"error": {"message": "no"}}}
    return {"id": f"batch_req_{key}", "custom_id": key, "response": told, "error": None}


def read(root: Path, **files: list[Any]) -> tuple[Reading, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Reads files of these lines. Returns the reading, the records, the rejected entries and the exits."""
    for name, lines in files.items():
        (root / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    logs = Logs(url="*.jsonl")
    reading = Reading(find_files(logs, root=root, start="2026-01-01"), logs=logs, root=root, sources=SOURCES, key=b"k")
    chunks = list(reading)
    records, rejected, exits = (pl.concat([chunk[part] for chunk in chunks]) for part in range(3))
    counts = reading.reads.select(pl.exclude("file", "sha256").sum()).row(0, named=True)
    assert counts["lines"] == counts["accepted"] + counts["rejected"] + counts["blank"] == sum(map(len, files.values()))
    assert counts["records"] == records.height + counts["merged"] + counts["dropped"]
    assert counts["rejected"] == rejected.height
    assert exits.height == counts["merged"] + counts["dropped"]
    return reading, records, rejected, exits


def talks(records: pl.DataFrame) -> list[list[str]]:
    return [["".join(p["text"] for p in m["content"]) for m in said] for said in records["messages"].to_list()]


def test_a_batchs_answers_are_joined_with_the_requests_of_another_file_that_comes_later(tmp_path: Path) -> None:
    answers = [answered("2", "Two."), answered("1", "One."), answered("3", "", 500), answered("9", "Nine.")]
    requests = [asked("1", "one?"), asked("2", "two?"), asked("3", "three?"), asked("4", "four?")]

    _, records, rejected, exits = read(tmp_path, a_output=answers, b_input=requests)

    assert talks(records) == [["two?", "Two."], ["one?", "One."]]
    assert records["source"].struct.field("file").to_list() == ["a_output.jsonl"] * 2
    assert records["source"].struct.field("dialect").to_list() == ["Batches"] * 2
    assert rejected.select("file", "reason").rows() == [
        ("a_output.jsonl", "http_error"),
        ("a_output.jsonl", "no_request"),
        ("b_input.jsonl", "http_error"),
        ("b_input.jsonl", "no_response"),
    ]
    assert exits.select("reason", "outcome", "file", "into").rows() == [
        ("joined", "merged", "b_input.jsonl", "chatcmpl-answer-to-1-One."),
        ("joined", "merged", "b_input.jsonl", "chatcmpl-answer-to-2-Two."),
    ]


def test_an_answer_is_joined_within_its_own_file_where_two_batches_number_their_requests_alike(tmp_path: Path) -> None:
    first, second = [asked("1", "north?"), answered("1", "North.")], [asked("1", "south?"), answered("1", "South.")]

    _, records, rejected, _ = read(tmp_path, a=first, b=second)

    assert talks(records) == [["north?", "North."], ["south?", "South."]]
    assert rejected.is_empty()


def test_an_answer_whose_id_names_two_requests_elsewhere_is_not_guessed(tmp_path: Path) -> None:
    _, records, rejected, _ = read(tmp_path, a=[asked("1", "north?")], b=[asked("1", "south?")], c=[answered("1", "Where?")])

    assert records.is_empty()
    assert rejected["reason"].to_list() == ["ambiguous_request"] * 3


def test_a_batch_that_was_delivered_twice_gives_each_call_once(tmp_path: Path) -> None:
    both = [asked("1", "one?"), answered("1", "One.")]

    _, records, rejected, exits = read(tmp_path, a=both, b=both)

    assert talks(records) == [["one?", "One."]]
    assert rejected.is_empty()
    assert sorted(exits["reason"]) == ["joined", "joined", "same_id"]


def test_thousands_of_halves_are_joined_in_batches_and_none_is_lost(tmp_path: Path) -> None:
    texts = [f"Answer number {number}, at some length so that the spool leaves memory. " * 40 for number in range(3_000)]
    lines = [asked(str(number), "?") for number in range(3_000)] + [answered(str(at), text) for at, text in enumerate(texts)]

    reading, records, rejected, exits = read(tmp_path, a=lines)

    assert [said[-1] for said in talks(records)] == texts
    assert (rejected.height, exits.height) == (0, 3_000)
    assert [chunk.records.height for chunk in reading][:1] == [3_000]


def test_anthropic_batches_are_joined_with_the_batch_as_it_was_created(tmp_path: Path) -> None:
    params: dict[str, Any] = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 9,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "?"}],
    }
    message: dict[str, Any] = {
        "id": "msg_01MXWxhWoPSgrYhjTuMDM6F1",
        "type": "message",
        "role": "assistant",
        "stop_reason": "end_turn",
    }
    message |= {"content": [{"type": "text", "text": "Yes."}]}
    created = {"requests": [{"custom_id": "a", "params": params}, {"custom_id": "b", "params": params}]}
    results = [
        {"custom_id": "b", "result": {"type": "succeeded", "message": message}},
        {"custom_id": "a", "result": {"type": "expired"}},
    ]

    _, records, rejected, exits = read(tmp_path, requests=[created], results=results)

    assert talks(records) == [["Be brief.", "?", "Yes."]]
    assert rejected.select("file", "reason").rows() == [("results.jsonl", "http_error")]
    assert exits.select("outcome", "reason", "file").rows() == [
        ("merged", "joined", "requests.jsonl"),
        ("dropped", "no_response", "requests.jsonl"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        {
            "recordId": "CALL0001",
            "modelInput": {"messages": [{"role": "user", "content": [{"text": "?"}]}]},
            "modelOutput": {
                "output": {"message": {"role": "assistant", "content": [{"text": "Yes."}]}},
                "stopReason": "end_turn",
            },
        },
        {
            "key": "1",
            "request": {"contents": [{"role": "user", "parts": [{"text": "?"}]}]},
            "response": {"candidates": [{"content": {"parts": [{"text": "Yes."}]}, "finishReason": "STOP"}]},
        },
        {**asked("1", "?"), **answered("1", "Yes.")},
    ],
)
def test_a_batch_line_with_both_sides_stands_for_itself(line: Any) -> None:
    assert Batches().sniff(json.dumps(line).encode())
    assert list(Batches().halves(line)) == []

    (record,) = Batches().parse(line)

    assert [message.text for message in record.messages] == ["?", "Yes."]


def test_a_batch_line_alone_says_which_half_is_missing() -> None:
    for line, reason in (
        (answered("1", "One."), "no_request"),
        (asked("1", "?"), "no_response"),
        ({"custom_id": "1"}, "unmapped"),
    ):
        with pytest.raises(Rejected, match=reason):
            list(Batches().parse(line))


def documented(path: str) -> dict[str, Any]:
    examples = msgspec.json.decode((shared_data("openai_api_examples") / "examples.json").read_bytes())
    (told,) = [one["response"] for one in examples if one["path"] == path and one["method"] == "get"]
    return dict(told)


def page(answer: str, texts: list[str], first: int = 0, *, more: bool = False) -> dict[str, Any]:
    data = [{"id": f"{answer}-{first + at}", "role": "user", "content": text, "name": None} for at, text in enumerate(texts)]
    return {"object": "list", "data": data, "first_id": data[0]["id"], "last_id": data[-1]["id"], "has_more": more}


def test_the_documented_stored_completions_are_joined_with_the_documented_messages(tmp_path: Path) -> None:
    completions, messages = documented("/chat/completions"), documented("/chat/completions/{completion_id}/messages")

    _, records, rejected, exits = read(tmp_path, completions=[completions], messages=[messages])

    assert talks(records) == [["write a haiku about ai", completions["data"][0]["choices"][0]["message"]["content"]]]
    assert records.select("id", "model").row(0) == ("chatcmpl-AyPNinnUqUDYo9SAdA52NobMflmj2", "gpt-5.4")
    assert rejected.is_empty()
    assert exits["reason"].to_list() == ["joined"]


def test_pages_of_messages_are_put_in_order_and_a_missing_page_rejects_the_completion(tmp_path: Path) -> None:
    completion = documented("/chat/completions/{completion_id}")
    other = {**completion, "id": "chatcmpl-def45678"}
    pages = [page("chatcmpl-abc123", ["c"], 2), page("chatcmpl-abc123", ["a", "b"], more=True)]
    cut = [page("chatcmpl-def45678", ["a"], more=True)]

    _, records, rejected, _ = read(tmp_path, a=[*pages, completion], b=[other, *cut])

    assert [said[:-1] for said in talks(records)] == [["a", "b", "c"]]
    assert rejected.select("file", "reason").rows() == [("b.jsonl", "incomplete_request")] * 2


@pytest.mark.parametrize("nested", [True, False])
def test_a_completion_with_its_page_of_messages_in_one_line_stands_for_itself(nested: bool) -> None:
    completion, messages = documented("/chat/completions/{completion_id}"), page("chatcmpl-abc123", ["Write."])
    messages["data"][0] |= {"content": None, "content_parts": [{"type": "text", "text": "Write."}]}
    line = {"completion": completion, "messages": messages} if nested else {**completion, "messages": messages}

    (record,) = StoredCompletions().parse(line)

    assert list(StoredCompletions().halves(line)) == []
    assert record.prompt == "Write."
    assert record.reply.startswith("Mind of circuits hum")
