import datetime as dt
from collections import Counter
from typing import Any

import msgspec
import pytest

from flywheel.errors import Rejected
from flywheel.records import Feedback, Record, Usage
from flywheel.sources.openai_chat import OpenAIChat
from flywheel_tests.shared import shared_data
from flywheel_tests.sources.provider_logs import calls

NOW = dt.datetime(2026, 3, 4, 5, 6, 7, tzinfo=dt.UTC)


def logged(**wrapper: Any) -> dict[str, Any]:
    request = {"model": "gpt-5", "messages": [{"role": "user", "content": "How do I reset my password?"}]}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Open Settings."}}
    response = {"id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "object": "chat.completion", "created": 1772600767}
    response |= {"model": "gpt-5-2026-01-01", "choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}
    return {"request": request, "response": response, **wrapper}


def one(entry: Any) -> Record:
    (record,) = OpenAIChat().parse(entry)
    return record


def reason(entry: Any) -> str:
    with pytest.raises(Rejected) as caught:
        list(OpenAIChat().parse(entry))
    return caught.value.reason


def test_all_388_recorded_calls_end_as_a_record_or_a_reason() -> None:
    ends: Counter[str] = Counter()
    for call in calls():
        try:
            (record,) = OpenAIChat().parse(call)
        except Rejected as rejected:
            ends[rejected.reason] += 1
        else:
            ends["record"] += 1
            assert record.messages[-1].role == "assistant"
            assert len(record.messages) > 1
            assert record.model
    assert ends == {
        "record": 260,
        "no_response": 73,
        "no_request": 25,
        "not_chat": 14,
        "http_error": 11,
        "binary_response": 5,
    }


def test_no_call_that_failed_becomes_a_record() -> None:
    failed = [call for call in calls() if call["status"] >= 400]
    assert len(failed) == 11
    assert {reason(call) for call in failed} == {"http_error"}


def test_ids_of_different_calls_differ() -> None:
    ids = []
    for call in calls():
        try:
            ids += [record.id for record in OpenAIChat().parse(call) if record.id]
        except Rejected:
            continue
    assert len(ids) > 200
    assert len(set(ids)) == len(ids)


def test_a_plain_log_line_fills_every_column_that_it_states() -> None:
    record = one(
        logged(
            timestamp=NOW.timestamp(),
            workload_id="support-bot",
            metadata={"session_id": "s-17", "user_id": "ada", "tier": "gold", "user_email": "a@example.com"},
        )
    )

    assert record.id == "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT"
    assert (record.created_at, record.app, record.session, record.user) == (NOW, "support-bot", "s-17", "ada")
    assert (record.model, record.finish_reason) == ("gpt-5-2026-01-01", "stop")
    assert record.usage == Usage(prompt_tokens=9, completion_tokens=3)
    assert (record.prompt, record.reply) == ("How do I reset my password?", "Open Settings.")
    assert "tier=gold" in record.tags
    assert not any("ada" in tag or "example.com" in tag for tag in record.tags)


@pytest.mark.parametrize(
    "written",
    [
        NOW.timestamp(),
        int(NOW.timestamp() * 1e3),
        int(NOW.timestamp() * 1e6),
        int(NOW.timestamp()) * 10**9,
        str(int(NOW.timestamp())),
        "2026-03-04T05:06:07Z",
        "2026-03-04T06:06:07+01:00",
        "2026-03-04 05:06:07.000000",
        "Wed, 04 Mar 2026 05:06:07 GMT",
    ],
)
def test_times_are_utc_whatever_their_unit_or_notation(written: Any) -> None:
    assert one(logged(timestamp=written)).created_at == NOW


def test_further_choices_are_candidates() -> None:
    entry = logged()
    entry["response"]["choices"] += [{"index": 1, "finish_reason": "length", "message": {"role": "assistant", "content": "Ask"}}]

    (other,) = one(entry).candidates

    assert (other.messages[0].text, other.finish_reason) == ("Ask", "length")


def test_tool_calls_keep_invalid_arguments_and_objects_become_json_text() -> None:
    entry = logged()
    entry["request"]["messages"] += [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "find", "arguments": '{"q": "x'}},
                {"id": "b", "type": "function", "function": {"name": "find", "arguments": {"q": "ü", "n": 2}}},
            ],
        },
        {"role": "tool", "tool_call_id": "b", "content": "2 hits"},
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "bad JSON"}]},
    ]
    entry["request"]["tools"] = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}]

    record = one(entry)

    _, calling, *results, _ = record.messages
    assert [call.arguments for call in calling.tool_calls] == ['{"q": "x', '{"q":"ü","n":2}']
    assert [(r.role, r.tool_call_id, r.text) for r in results] == [("tool", "b", "2 hits"), ("tool", "a", "bad JSON")]
    assert [msgspec.json.decode(tool) for tool in record.tools] == [
        {"name": "find", "description": "", "parameters": {"type": "object"}}
    ]


def test_legacy_function_calls_get_an_id_that_their_result_names() -> None:
    entry = logged()
    entry["request"]["messages"] += [
        {"role": "assistant", "content": None, "function_call": {"name": "now", "arguments": "{}"}},
        {"role": "function", "name": "now", "content": "noon"},
    ]

    _, calling, result, _ = one(entry).messages

    assert calling.tool_calls[0].id is not None
    assert (result.role, result.tool_call_id) == ("tool", calling.tool_calls[0].id)


def test_pictures_are_kept_by_reference_and_never_by_their_bytes() -> None:
    entry = logged()
    pixels = "iVBORw0KGgo" + "A" * 200_001
    entry["request"]["messages"][0]["content"] = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{pixels}"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.jpg"}},
    ]

    text, inline, linked = one(entry).messages[0].content

    assert text.text == "What is this?"
    assert inline.type == "image"
    assert (inline.url or "").startswith("data:image/png;sha256=")
    assert len(inline.url or "") < 100
    assert linked.url == "https://example.com/cat.jpg"


def test_a_refusal_is_its_own_part_and_reasoning_its_own_field() -> None:
    entry = logged()
    entry["response"]["choices"][0]["message"] = {
        "role": "assistant",
        "content": None,
        "refusal": "No.",
        "reasoning_content": "Hm.",
    }

    last = one(entry).messages[-1]

    assert [(part.type, part.text) for part in last.content] == [("refusal", "No.")]
    assert last.reasoning == "Hm."


@pytest.mark.parametrize(
    ("beside", "expected"),
    [
        ({"feedback": {"score": 1, "comment": "great"}}, Feedback(name="feedback", value="1", comment="great")),
        ({"rating": 4}, Feedback(name="rating", value="4")),
        ({"thumbs": "down"}, Feedback(name="thumbs", value="down")),
        ({"feedback": {"helpful": True}}, Feedback(name="helpful", value="true")),
        ({"scores": [{"name": "toxicity", "value": 0.1}]}, Feedback(name="toxicity", value="0.1")),
        ({"metadata": {"feedback": "good"}}, Feedback(name="feedback", value="good")),
    ],
)
def test_feedback_beside_the_call_is_kept(beside: dict[str, Any], expected: Feedback) -> None:
    assert one(logged(**beside)).feedback == (expected,)


def test_the_usual_wrappers_give_the_same_conversation() -> None:
    plain = logged()
    request, response = plain["request"], plain["response"]
    wrappers: list[Any] = [
        plain,
        {"input": request, "output": response, "tags": {"prompt": "v2"}},
        {"request": {"body": request}, "response": {"status_code": 200, "body": response}},
        {"request": msgspec.json.encode(request).decode(), "response": msgspec.json.encode(response).decode()},
        {"request_body": request, "response_body": response},
        {**request, **response},
        {**request, "response": response},
        {"body": request, "response": response},
    ]
    for wrapper in wrappers:
        assert one(wrapper).messages == one(plain).messages
        assert OpenAIChat().sniff(msgspec.json.encode(wrapper)) is True


@pytest.mark.parametrize(
    ("entry", "slug"),
    [
        (logged(status=500), "http_error"),
        (logged(response={"error": {"message": "no such user ada"}}), "http_error"),
        (logged(response=None), "no_response"),
        (logged(request=None), "no_request"),
        (logged(response={"object": "list", "data": [{"embedding": [0.1]}]}), "not_chat"),
        (logged(uri="https://api.openai.com/v1/embeddings"), "not_chat"),
        (logged(response={"results": [{"flagged": True}]}), "not_chat"),
        (logged(response={"__binary__": 12}), "binary_response"),
        (logged(response={"verdict": "whatever"}), "unmapped"),
        (logged(request={"messages": []}), "no_messages"),
        ([1, 2], "unmapped"),
        ("text", "unmapped"),
        (None, "unmapped"),
    ],
)
def test_what_is_no_conversation_says_why_without_its_text(entry: Any, slug: str) -> None:
    assert reason(entry) == slug


def test_three_digit_ids_of_local_servers_identify_nothing() -> None:
    entry = logged()
    entry["response"]["id"] = "chatcmpl-321"
    assert one(entry).id == ""


def test_the_documented_chat_examples_are_read_with_the_request_of_their_curl() -> None:
    found = 0
    for example in msgspec.json.decode((shared_data("openai_api_examples") / "examples.json").read_bytes()):
        if example["path"] != "/chat/completions" or example["method"] != "post":
            continue
        told = example["response"].get("__stream_text__", example["response"])
        if isinstance(told, str):
            told = {"__sse__": [{"data": line} for line in told.splitlines() if line.startswith("{")]}
        _, _, body = example["curl"].partition("-d '")
        record = one({"request": msgspec.json.decode(body[: body.rindex("}") + 1]), "response": told})
        assert record.messages[-1].role == "assistant"
        assert record.reply or record.messages[-1].tool_calls
        found += 1
    assert found == 5
