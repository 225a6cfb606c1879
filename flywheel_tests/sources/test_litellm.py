from typing import Any

import msgspec
import pytest

from flywheel.errors import Rejected
from flywheel.records import Record, Usage
from flywheel.sources.litellm import LiteLLM
from flywheel_tests.shared import shared_data


def logged(name: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode((shared_data("trace_exports") / "litellm" / name).read_bytes())
    return found


def one(row: Any) -> Record:
    (record,) = LiteLLM().parse(row)
    return record


def test_a_logging_payload_becomes_a_record() -> None:
    record = one(logged("standard_logging_payload.json"))

    assert record.id == "chatcmpl-2299b6a2-82a3-465a-b47c-04e685a2227f"
    assert [(m.role, m.text) for m in record.messages] == [("user", "Hello, world!"), ("assistant", "hi")]
    assert record.created_at is not None
    assert record.created_at.isoformat() == "2025-01-24T09:20:46.847371+00:00"
    assert record.usage == Usage(prompt_tokens=10, completion_tokens=20)


def test_a_spend_log_row_without_content_says_so() -> None:
    with pytest.raises(Rejected, match="no_content"):
        list(LiteLLM().parse(logged("spend_logs_payload.json")))


def test_a_spend_log_row_that_stored_its_prompts_is_read_from_json_text() -> None:
    row = logged("spend_logs_payload.json")
    asked = {"messages": [{"role": "user", "content": "Hi"}], "tools": [{"type": "function", "function": {"name": "now"}}]}
    row["proxy_server_request"] = msgspec.json.encode(asked).decode()
    row["response"] = '{"choices":[{"finish_reason":"stop","message":{"role":"assistant","content":"Hello"}}]}'

    record = one({**row, "end_user": "ada", "request_tags": '["prod"]'})

    assert [(m.role, m.text) for m in record.messages] == [("user", "Hi"), ("assistant", "Hello")]
    assert (record.user, record.session, record.tags, len(record.tools)) == ("ada", "1234567890", ("prod",), 1)


@pytest.mark.parametrize(
    ("change", "slug"),
    [
        ({"status": "failure"}, "http_error"),
        ({"call_type": "aembedding"}, "not_chat"),
        ({"messages": [{"role": "user", "content": "redacted-by-litellm"}]}, "no_content"),
        ({"response": "redacted-by-litellm"}, "no_content"),
        ({"messages": "{}"}, "no_content"),
        ({"call_type": None}, "unmapped"),
    ],
)
def test_calls_that_failed_were_no_chat_or_were_redacted_are_rejected(change: dict[str, Any], slug: str) -> None:
    with pytest.raises(Rejected, match=slug):
        list(LiteLLM().parse({**logged("standard_logging_payload.json"), **change}))
