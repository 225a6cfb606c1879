"""No word of a recorded call is lost on its way into a record."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from flywheel.errors import Rejected
from flywheel.records import Message, Record
from flywheel.sources.streams import unstream
from flywheel.sources.values import decoded
from flywheel_tests.sources.dialects import DIALECTS
from flywheel_tests.sources.provider_logs import calls

# What a request and a response say in words stands below these keys ...
ASKED: tuple[str, ...] = (
    "messages",
    "input",
    "contents",
    "system",
    "instructions",
    "systemInstruction",
    "system_instruction",
    "prompt",
    "preamble",
)
ASKED += ("chat_history", "message", "tool_results", "inputText")
TOLD: tuple[str, ...] = (
    "choices",
    "output",
    "content",
    "candidates",
    "message",
    "text",
    "tool_calls",
    "generation",
    "outputs",
    "results",
    "response",
)
# ... except below these, which are names, numbers, proofs and references.
SILENT = {
    *("verbosity", "finishMessage"),
    *(
        "id",
        "type",
        "role",
        "index",
        "object",
        "status",
        "logprobs",
        "finish_reason",
        "finishReason",
        "stop_reason",
        "stopReason",
    ),
    *("signature", "thoughtSignature", "thought_signature", "encrypted_content", "cache_control", "cachePoint", "call_id"),
    *("tool_call_id", "tool_use_id", "toolUseId", "annotations", "citations", "citationMetadata", "groundingMetadata", "format"),
    *("image_url", "url", "data", "inlineData", "inline_data", "source", "input_audio", "file", "fileData", "file_data", "bytes"),
    *("safetyRatings", "avgLogprobs", "native_finish_reason", "detail", "phase", "user_id", "generation_id", "media_type"),
    *(
        "content_filter_results",
        "prompt_filter_results",
        "completionReason",
        "tokenCount",
        "image",
        "document",
        "file_id",
        "caller",
    ),
}


def words(value: Any, key: str = "") -> Iterator[str]:
    """Every string that is said, and every leaf of what stands in a string of JSON."""
    if key in SILENT:
        return
    inner = decoded(value) if key in ("arguments", "input", "output", "content", "text", "value", "partial_json") else value
    if isinstance(inner, str):
        yield inner
    elif isinstance(inner, dict):
        for name, one in inner.items():
            yield from words(one, name)
    elif isinstance(inner, list):
        for one in inner:
            yield from words(one, key)


def kept(record: Record) -> str:
    """All that the record says, once as it stands and once with the JSON in it taken apart."""
    messages: list[Message] = [*record.messages, *(message for other in record.candidates for message in other.messages)]
    said: list[str] = []
    for message in messages:
        calls = [text for call in message.tool_calls for text in (call.name, call.arguments, *words(call.arguments, "arguments"))]
        texts = [part.text or part.url or "" for part in message.content]
        taken = [word for text in texts for word in words(text, "text")]
        said += [message.name or "", message.reasoning or "", message.text, "".join(texts), *taken, *calls]
    return "\n".join(said)


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.fixture(scope="module")
def read() -> list[tuple[dict[str, Any], Record]]:
    found = []
    for call in calls():
        dialect = next(one for one in DIALECTS if one.sniff(msgspec.json.encode(call)))
        try:
            found += [(call, record) for record in dialect.parse(call)]
        except Rejected:
            continue
    return found


def test_every_text_of_every_accepted_request_and_response_is_in_its_record(read: list[tuple[dict[str, Any], Record]]) -> None:
    checked = 0
    for call, record in read:
        asked, told = call["request"], unstream(call["response"])
        asked = asked if isinstance(asked, dict) else {"input": asked}
        said = [word for key in ASKED for word in words(asked.get(key), key)]
        said += [word for key in TOLD for word in words(told.get(key), key)]
        have = squeezed(kept(record))
        lost = [word for word in said if squeezed(word) not in have]
        assert not lost, (call["source"], call["cassette"], call["index"], lost)
        checked += len(said)

    assert len(read) == 260
    assert checked > 800


def test_every_fragment_of_every_stream_is_in_its_record(read: list[tuple[dict[str, Any], Record]]) -> None:
    keys = ("content", "text", "thinking", "partial_json", "reasoning_content", "reasoning", "refusal", "arguments", "tool_plan")
    streams = fragments = 0
    for call, record in read:
        response = call["response"]
        events = response.get("__sse__") or response.get("__ndjson__") if isinstance(response, dict) else None
        have = squeezed(kept(record))
        for event in events or ():
            data = event.get("data", event) if isinstance(event, dict) else event
            for delta in deltas(data):
                for piece in (delta[key] for key in keys if isinstance(delta.get(key), str)):
                    assert squeezed(piece) in have, (call["source"], call["cassette"], call["index"], piece)
                    fragments += bool(piece)
        streams += bool(events)

    assert streams > 50
    assert fragments > 700


def deltas(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        for key, one in value.items():
            if key in ("delta", "part", "message") and isinstance(one, dict):
                yield one
            if key not in ("response", "item"):
                yield from deltas(one)
    elif isinstance(value, list):
        for one in value:
            yield from deltas(one)


def test_every_tool_on_offer_is_in_its_record(read: list[tuple[dict[str, Any], Record]]) -> None:
    checked = 0
    for call, record in read:
        asked = call["request"] if isinstance(call["request"], dict) else {}
        offered = {msgspec.json.decode(tool)["name"] for tool in record.tools}
        for tool in asked.get("tools") or (asked.get("toolConfig") or {}).get("tools") or ():
            inner = next((tool[key] for key in ("function", "toolSpec", "custom") if isinstance(tool.get(key), dict)), tool)
            for one in inner.get("functionDeclarations") or inner.get("function_declarations") or [inner]:
                assert (one.get("name") or one.get("type") or next(iter(one))) in offered, call["cassette"]
                checked += 1
    assert checked > 50


def test_what_the_calls_count_and_how_they_end_is_kept(read: list[tuple[dict[str, Any], Record]]) -> None:
    for call, record in read:
        told = unstream(call["response"])
        spent = told.get("usage") or told.get("usageMetadata") or {}
        if any(
            isinstance(spent.get(key), int) and spent[key]
            for key in ("prompt_tokens", "input_tokens", "inputTokens", "promptTokenCount")
        ):
            assert record.usage is not None, call["cassette"]
            assert record.usage.prompt_tokens, call["cassette"]
        reasons = [
            one.get("finish_reason") or one.get("finishReason") for one in told.get("choices") or told.get("candidates") or ()
        ]
        if any(reasons) or told.get("stop_reason") or told.get("stopReason"):
            assert record.finish_reason in ("stop", "length", "tool_calls", "content_filter", "error"), call["cassette"]
        assert len(record.candidates) == max(0, len(reasons) - 1)
