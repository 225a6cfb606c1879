from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest

from flywheel.errors import Rejected
from flywheel.sources.openai_chat import OpenAIChat
from flywheel.sources.shapes import read_exchange
from flywheel.sources.streams import fold, unstream
from flywheel_tests.sources.provider_logs import streams


class Said(NamedTuple):
    text: str
    calls: list[tuple[str, Any]]


def arguments(text: Any) -> Any:
    try:
        return msgspec.json.decode(text) if isinstance(text, str) else text
    except msgspec.DecodeError:
        return text


def chat_said(message: dict[str, Any]) -> Said:
    first = message["choices"][0]["message"]
    calls = [(c["function"]["name"], arguments(c["function"]["arguments"])) for c in first.get("tool_calls") or []]
    return Said(first.get("content") or "", calls)


def anthropic_said(message: dict[str, Any]) -> Said:
    text = "".join(block["text"] for block in message["content"] if block["type"] == "text")
    used = [(b["name"], b["input"]) for b in message["content"] if b["type"] in ("tool_use", "server_tool_use")]
    return Said(text, used)


def response_said(message: dict[str, Any]) -> Said:
    spoken = [part["text"] for item in message["output"] if item["type"] == "message" for part in item["content"]]
    calls = [(item["name"], arguments(item["arguments"])) for item in message["output"] if item["type"] == "function_call"]
    return Said("".join(spoken), calls)


EXPECTED: dict[str, Callable[[dict[str, Any]], Said]] = {
    "openai.chat.completion": chat_said,
    "anthropic.message": anthropic_said,
    "openai.response": response_said,
}


def canonical_said(response: Any, hosted: bool) -> Said:
    request = {"messages": [{"role": "user", "content": "?"}], "input": "?"}
    reply = read_exchange(request, response).replies[0]
    assistant = [message for message in reply.messages if message.role == "assistant"]
    text = "".join(part.text or "" for message in assistant for part in message.content)
    own = {"code_interpreter", "web_search", "file_search", "mcp"}
    calls = [(c.name, arguments(c.arguments)) for m in assistant for c in m.tool_calls if hosted or c.name not in own]
    return Said(text, calls)


def test_every_folded_stream_equals_what_the_vendors_sdk_accumulates() -> None:
    told = streams()
    assert len(told) == 68
    for stream in told:
        expected = EXPECTED[stream.kind](stream.message)
        assert canonical_said(unstream(stream.entry["response"]), stream.kind == "anthropic.message") == expected


def chunk(delta: dict[str, Any], **choice: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, **choice}],
    }


def test_azures_first_chunk_without_choices_is_no_answer_and_no_error() -> None:
    azure = {"id": "", "object": "chat.completion.chunk", "choices": [], "prompt_filter_results": []}

    whole = fold([azure, chunk({"role": "assistant", "content": "Good "}), chunk({"content": "day"}, finish_reason="stop")])

    assert whole["choices"] == [{"message": {"role": "assistant", "content": "Good day"}, "finish_reason": "stop"}]


def test_tool_calls_without_index_are_told_apart_by_their_ids() -> None:
    calls = [{"id": f"c{n}", "function": {"name": f"tool_{n}", "arguments": f'{{"n":{n}}}'}} for n in range(2)]

    whole = fold([chunk({"tool_calls": calls}, finish_reason="tool_calls")])

    names = [(call["id"], call["function"]["name"]) for call in whole["choices"][0]["message"]["tool_calls"]]
    assert names == [("c0", "tool_0"), ("c1", "tool_1")]


def test_tool_arguments_arrive_in_pieces_and_interleaved() -> None:
    def piece(index: int, **function: str) -> dict[str, Any]:
        return chunk({"tool_calls": [{"index": index, "id": f"c{index}" if "name" in function else None, "function": function}]})

    first = [piece(0, name="a", arguments=""), piece(1, name="b", arguments="{")]
    whole = fold([*first, piece(0, arguments='{"x":'), piece(1, arguments="}"), piece(0, arguments="1}")])

    calls = whole["choices"][0]["message"]["tool_calls"]
    assert [call["function"] for call in calls] == [{"name": "a", "arguments": '{"x":1}'}, {"name": "b", "arguments": "{}"}]


def test_a_stream_that_was_cut_keeps_its_text_and_has_no_finish_reason() -> None:
    whole = fold([chunk({"content": "Half an ans"})])

    exchange = read_exchange({"messages": [{"role": "user", "content": "?"}]}, whole)

    assert exchange.replies[0].messages[0].text == "Half an ans"
    assert exchange.replies[0].finish_reason is None


def test_two_streamed_choices_do_not_mix() -> None:
    def other(index: int, text: str) -> dict[str, Any]:
        return {"object": "chat.completion.chunk", "choices": [{"index": index, "delta": {"content": text}}]}

    whole = fold([other(0, "yes"), other(1, "no"), other(0, "!"), other(1, "?")])

    assert [choice["message"]["content"] for choice in whole["choices"]] == ["yes!", "no?"]


def test_a_raw_event_stream_logged_as_text_is_folded() -> None:
    text = "".join(f"data: {msgspec.json.encode(chunk({'content': piece})).decode()}\n\n" for piece in ("He", "llo"))
    entry = {"request": {"messages": [{"role": "user", "content": "Hi"}]}, "response": text + "data: [DONE]\n\n"}

    (record,) = OpenAIChat().parse(entry)

    assert record.reply == "Hello"


def test_an_error_in_the_middle_of_a_stream_makes_no_record() -> None:
    stream = [
        {"data": chunk({"content": "So"})},
        {"event": "error", "data": {"type": "error", "error": {"type": "overloaded_error"}}},
    ]

    with pytest.raises(Rejected, match="http_error"):
        list(OpenAIChat().parse({"request": {"messages": [{"role": "user", "content": "?"}]}, "response": {"__sse__": stream}}))


@pytest.mark.parametrize("odd", [None, 7, [], {"a": 1}])
def test_a_block_that_starts_with_no_text_still_collects_its_deltas(odd: Any) -> None:
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": "msg_1", "role": "assistant"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": odd}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
    ]
    assert fold(events)["content"] == [{"type": "text", "text": "Hi"}]


def test_bedrock_converse_events_become_the_converse_output() -> None:
    events: list[dict[str, Any]] = [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Let me "}}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "look."}}},
        {"contentBlockStart": {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t1", "name": "weather"}}}},
        {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"city":'}}}},
        {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '"Bern"}'}}}},
        {"messageStop": {"stopReason": "tool_use"}},
        {"metadata": {"usage": {"inputTokens": 3, "outputTokens": 9}}},
    ]

    exchange = read_exchange({"messages": [{"role": "user", "content": [{"text": "?"}]}]}, unstream(events))

    (message,) = exchange.replies[0].messages
    assert message.text == "Let me look."
    assert (message.tool_calls[0].name, message.tool_calls[0].arguments) == ("weather", '{"city":"Bern"}')
    assert exchange.replies[0].finish_reason == "tool_calls"
    assert exchange.usage is not None
    assert exchange.usage.completion_tokens == 9
