"""Calls of the other providers, through the dialect that a reader would pick for them."""

from typing import Any

import msgspec
import pytest

from flywheel.records import Record
from flywheel_tests.shared import shared_data
from flywheel_tests.sources.dialects import DIALECTS
from flywheel_tests.sources.provider_logs import calls


def read(request: Any, response: Any, expected: str) -> Record:
    entry = {"timestamp": 1772600767, "request": request, "response": response}
    dialect = next(one for one in DIALECTS if one.sniff(msgspec.json.encode(entry)))
    assert type(dialect).__name__ == expected
    (record,) = dialect.parse(entry)
    assert isinstance(record, Record)
    return record


def shown(record: Record) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in record.messages]


def test_anthropic_tool_results_leave_their_user_turn_and_keep_their_ids() -> None:
    request = {
        "model": "claude-sonnet-4-5",
        "system": [{"type": "text", "text": "Be brief."}],
        "tools": [{"name": "weather", "description": "Now", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": "Bern and Basel?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Two calls.", "signature": "x"},
                    {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Bern"}},
                    {"type": "tool_use", "id": "t2", "name": "weather", "input": {"city": "Basel"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "rain"},
                    {"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "sun"}]},
                    {"type": "text", "text": "In one sentence."},
                ],
            },
        ],
    }
    response: dict[str, Any] = {
        "id": "msg_01MXWxhWoPSgrYhjTuMDM6F1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
    }
    response |= {"content": [{"type": "text", "text": "Rain in Bern"}, {"type": "text", "text": ", sun in Basel."}]}
    response |= {"stop_reason": "end_turn", "usage": {"input_tokens": 50, "output_tokens": 8}}

    record = read(request, response, "Anthropic")

    assert shown(record) == [
        ("system", "Be brief."),
        ("user", "Bern and Basel?"),
        ("assistant", ""),
        ("tool", "rain"),
        ("tool", "sun"),
        ("user", "In one sentence."),
        ("assistant", "Rain in Bern, sun in Basel."),
    ]
    calling = record.messages[2]
    assert calling.reasoning == "Two calls."
    assert [call.arguments for call in calling.tool_calls] == ['{"city":"Bern"}', '{"city":"Basel"}']
    assert [message.tool_call_id for message in record.messages[3:5]] == ["t1", "t2"]
    assert (record.finish_reason, record.model) == ("stop", "claude-sonnet-4-5-20250929")
    assert msgspec.json.decode(record.tools[0]) == {"name": "weather", "description": "Now", "parameters": {"type": "object"}}


def test_responses_items_that_follow_each_other_are_one_turn() -> None:
    request = {
        "instructions": "Help.",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Look it up."}]},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
            {"type": "function_call", "call_id": "c2", "name": "clock", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "rain"},
            {"type": "function_call_output", "call_id": "c2", "output": "noon"},
        ],
    }
    answer = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Rain at noon."}]}
    response = {"id": "resp_67ccd2bed1ec8190b14f96", "object": "response", "status": "completed", "created_at": 1772600767}
    response |= {"model": "gpt-5", "output": [{"type": "reasoning", "summary": []}, answer]}

    record = read(request, response, "OpenAIResponses")

    assert shown(record) == [
        ("system", "Help."),
        ("user", "Weather?"),
        ("assistant", ""),
        ("tool", "rain"),
        ("tool", "noon"),
        ("assistant", "Rain at noon."),
    ]
    assert [call.id for call in record.messages[2].tool_calls] == ["c1", "c2"]
    assert record.messages[2].reasoning == "Look it up."
    assert record.finish_reason == "stop"


def test_gemini_calls_are_paired_with_results_by_name_because_they_have_no_ids() -> None:
    def call(name: str) -> dict[str, Any]:
        return {"functionCall": {"name": name, "args": {"city": "Bern"}}}

    def result(name: str, text: str) -> dict[str, Any]:
        return {"functionResponse": {"name": name, "response": {"said": text}}}

    contents = [
        {"role": "user", "parts": [{"text": "Weather and time?"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]},
        {"role": "model", "parts": [call("weather"), call("clock")]},
        {"role": "user", "parts": [result("clock", "noon"), result("weather", "rain")]},
    ]
    reply = {"role": "model", "parts": [{"text": "I add.", "thought": True}, {"text": "Rain "}, {"text": "at noon."}]}
    request = {"contents": contents, "systemInstruction": {"parts": [{"text": "Help."}]}}
    request |= {"tools": [{"functionDeclarations": [{"name": "weather", "parameters": {}}, {"name": "clock"}]}]}
    response = {"candidates": [{"content": reply, "finishReason": "STOP"}], "modelVersion": "gemini-2.5-pro"}

    record = read(request, response, "Gemini")

    calls = {call.name: call.id for call in record.messages[2].tool_calls}
    assert [(m.name, m.tool_call_id) for m in record.messages if m.role == "tool"] == [
        ("clock", calls["clock"]),
        ("weather", calls["weather"]),
    ]
    assert (record.reply, record.messages[-1].reasoning) == ("Rain at noon.", "I add.")
    assert record.messages[1].content[1].type == "image"
    assert [msgspec.json.decode(tool)["name"] for tool in record.tools] == ["weather", "clock"]


def test_bedrock_converse_cohere_and_ollama_keep_their_calls() -> None:
    used = {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Bern"}}}
    converse = read(
        {"messages": [{"role": "user", "content": [{"text": "?"}]}], "system": [{"text": "Help."}]},
        {"output": {"message": {"role": "assistant", "content": [used]}}, "stopReason": "tool_use", "usage": {"inputTokens": 4}},
        "BedrockConverse",
    )
    named = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}}
    message = {"role": "assistant", "tool_plan": "I will look.", "tool_calls": [named]}
    cohere = read(
        {"model": "command-r", "messages": [{"role": "user", "content": "?"}]},
        {"id": "965405bb-b9da-4dc5-b329-e708a795e188", "finish_reason": "TOOL_CALL", "message": message},
        "Cohere",
    )
    asked = {"function": {"name": "weather", "arguments": {"city": "Bern"}}}
    ollama = read(
        {"model": "llama3", "messages": [{"role": "user", "content": "?"}]},
        {
            "model": "llama3",
            "created_at": "2024-05-24T20:26:46.294874Z",
            "done": True,
            "done_reason": "stop",
            "message": {"role": "assistant", "content": "", "tool_calls": [asked]},
        },
        "Ollama",
    )
    for record in (converse, cohere, ollama):
        (call,) = record.messages[-1].tool_calls
        assert (call.name, msgspec.json.decode(call.arguments)) == ("weather", {"city": "Bern"})
    assert [converse.finish_reason, cohere.finish_reason, ollama.finish_reason] == ["tool_calls"] * 3
    assert cohere.reply == "I will look."


def test_every_recorded_tool_result_names_a_call_that_stands_before_it() -> None:
    checked = 0
    for entry in calls():
        dialect = next(one for one in DIALECTS if one.sniff(msgspec.json.encode(entry)[: 64 * 1024]))
        try:
            (record,) = dialect.parse(entry)
        except ValueError:
            continue
        known: set[str | None] = set()
        for message in record.messages:
            known |= {call.id for call in message.tool_calls}
            if message.role == "tool":
                assert message.tool_call_id in known
                checked += 1
    assert checked > 30


@pytest.mark.parametrize("title", ["Text input", "Image input", "Web search", "File search", "Functions", "Reasoning"])
def test_the_documented_responses_are_read(title: str) -> None:
    examples = msgspec.json.decode((shared_data("openai_api_examples") / "examples.json").read_bytes())
    (told,) = [one["response"] for one in examples if one["path"] == "/responses" and one["title"] == title]

    record = read({"input": "?"}, told, "OpenAIResponses")

    assert record.messages[-1].role == "assistant"
    assert record.reply or record.messages[-1].tool_calls
