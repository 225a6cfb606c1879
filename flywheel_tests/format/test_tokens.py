import gzip
import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from flywheel.errors import ConfigError
from flywheel.format.openai_chat import OpenaiChat
from flywheel.format.tokens import Estimate, spoken, token_counter
from flywheel_tests.format.real import support_agents
from flywheel_tests.shared import shared_data


def counted_by_providers() -> dict[str, int]:
    """Distinct plain text replies of recorded OpenAI and Anthropic calls, with the provider's own token count."""
    found: dict[str, int] = {}
    with gzip.open(shared_data("provider_logs") / "interactions.jsonl.gz", "rt", encoding="utf-8") as file:
        for entry in map(json.loads, file):
            response = entry["response"] if entry["status"] == 200 and isinstance(entry["response"], dict) else {}
            if text := _plain(entry, response):
                usage = response["usage"]
                found[text] = usage.get("completion_tokens") or usage.get("output_tokens")
    return found


def _plain(entry: dict[str, Any], response: dict[str, Any]) -> str | None:
    if response.get("object") == "chat.completion" and "api.openai.com" in entry["host"] and len(response["choices"]) == 1:
        message = response["choices"][0]["message"]
        details = response["usage"].get("completion_tokens_details") or {}
        hidden = message.get("tool_calls") or message.get("function_call")
        hidden = hidden or details.get("reasoning_tokens") or details.get("audio_tokens")
        return None if hidden else message.get("content")
    if response.get("type") == "message" and "anthropic" in entry["host"]:
        blocks = response["content"]
        return "".join(b["text"] for b in blocks) if blocks and all(b["type"] == "text" for b in blocks) else None
    return None


def test_the_estimate_is_as_good_as_it_says_on_providers_own_counts() -> None:
    real = {text: tokens for text, tokens in counted_by_providers().items() if tokens >= 20}
    estimated = Estimate().count(list(real))
    errors = sorted(abs(guess - tokens) / tokens for guess, tokens in zip(estimated, real.values(), strict=True))

    assert len(errors) >= 36
    assert abs(sum(estimated) / sum(real.values()) - 1) < 0.03
    assert statistics.median(errors) < 0.05
    assert errors[int(0.9 * len(errors))] < 0.14


def test_an_estimate_says_that_it_is_one() -> None:
    assert not token_counter(None).exact
    assert "estimate" in token_counter(None).description


def test_the_users_own_tokenizer_counts_exactly(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    own = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    own.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    own.save(str(tmp_path / "tokenizer.json"))

    counter = token_counter(tmp_path / "tokenizer.json")

    assert counter.exact
    assert counter.count(["a b a", "", "a unknown"]) == [3, 0, 2]
    assert counter.description.startswith("tokenizer.json, sha256 ")
    assert str(tmp_path) not in counter.description


def test_a_missing_or_broken_tokenizer_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{}")

    for name in ("missing.json", "broken.json"):
        with pytest.raises(ConfigError, match=name):
            token_counter(tmp_path / name)


def test_what_is_counted_is_all_that_is_said_and_no_labels() -> None:
    record = support_agents(1)[0]
    text = spoken(OpenaiChat().render(record))

    assert all(message.text in text for message in record.messages)
    assert all(call.arguments in text for message in record.messages for call in message.tool_calls)
    assert not set(text.split("\n")) & {"assistant", "function", *(m.tool_call_id for m in record.messages if m.tool_call_id)}
