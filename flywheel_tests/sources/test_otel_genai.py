import datetime as dt
from typing import Any

import msgspec
import pytest

from flywheel.errors import Rejected
from flywheel.records import Feedback, Record, Usage
from flywheel.sources.otel_genai import OTelGenAI
from flywheel_tests.shared import shared_data

START = 1772600767000000000
ASKED = [{"role": "user", "parts": [{"type": "text", "content": "Weather in Paris?"}]}]
TOLD = [{"role": "assistant", "parts": [{"type": "text", "content": "Rain."}], "finish_reason": "stop"}]


def otlp(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [otlp(one) for one in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": pairs(value)}}
    return {"stringValue": value}


def pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": otlp(value)} for key, value in attributes.items()]


def span(attributes: dict[str, Any], events: list[tuple[str, dict[str, Any]]] | None = None, **fields: Any) -> dict[str, Any]:
    listed = [{"name": name, "timeUnixNano": str(START), "attributes": pairs(given)} for name, given in events or []]
    base = {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "chat gpt-5"}
    return {**base, "startTimeUnixNano": str(START), "attributes": pairs(attributes), "events": listed, **fields}


def export(*spans: dict[str, Any]) -> dict[str, Any]:
    resource = {"attributes": pairs({"service.name": "travel-desk"})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "x"}, "spans": list(spans)}]}]}


def chat(**attributes: Any) -> dict[str, Any]:
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    return {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5", **named}


def one(entry: Any) -> Record:
    (record,) = OTelGenAI().parse(entry)
    return record


def reason(entry: Any) -> str:
    with pytest.raises(Rejected) as caught:
        list(OTelGenAI().parse(entry))
    return caught.value.reason


def test_an_otlp_line_fills_every_column_that_it_states() -> None:
    text = {
        "gen_ai.input.messages": msgspec.json.encode(ASKED).decode(),
        "gen_ai.output.messages": msgspec.json.encode(TOLD).decode(),
    }
    more = {"gen_ai.usage.input_tokens": 12, "gen_ai.usage.output_tokens": 3, "gen_ai.conversation.id": "c-9", "user.id": "ada"}
    system = {"gen_ai.system_instructions": '[{"type":"text","content":"Be brief."}]', "gen_ai.response.model": "gpt-5-2026"}
    scored = {"gen_ai.evaluation.name": "Relevance", "gen_ai.evaluation.score.value": 0.8, "gen_ai.evaluation.explanation": "ok"}

    record = one(export(span({**chat(), **text, **more, **system}, [("gen_ai.evaluation.result", scored)])))

    assert record.id == "eee19b7ec3c1b174"
    assert record.created_at == dt.datetime(2026, 3, 4, 5, 6, 7, tzinfo=dt.UTC)
    assert (record.session, record.user, record.app, record.model) == ("c-9", "ada", "travel-desk", "gpt-5-2026")
    assert [(m.role, m.text) for m in record.messages] == [
        ("system", "Be brief."),
        ("user", "Weather in Paris?"),
        ("assistant", "Rain."),
    ]
    assert (record.finish_reason, record.usage) == ("stop", Usage(prompt_tokens=12, completion_tokens=3))
    assert record.feedback == (Feedback(name="Relevance", value="0.8", comment="ok"),)


def test_structured_attributes_json_text_and_event_attributes_say_the_same() -> None:
    content = {"gen_ai.input.messages": ASKED, "gen_ai.output.messages": TOLD}
    as_text = {key: msgspec.json.encode(value).decode() for key, value in content.items()}
    details = "gen_ai.client.inference.operation.details"
    bare = {"name": "chat", "span_id": "eee19b7ec3c1b174", "attributes": {**chat(), **content}}
    sdk = {"name": "chat", "context": {"trace_id": "0x1", "span_id": "0x2"}, "attributes": {**chat(), **as_text}}
    log = {"timeUnixNano": str(START), "eventName": details, "attributes": pairs({**chat(), **content})}
    entries = [
        export(span({**chat(), **content})),
        export(span({**chat(), **as_text})),
        export(span(chat(), [(details, content)])),
        bare,
        sdk,
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [log]}]}]},
    ]
    for entry in entries:
        assert [(m.role, m.text) for m in one(entry).messages] == [("user", "Weather in Paris?"), ("assistant", "Rain.")]
        assert OTelGenAI().sniff(msgspec.json.encode(entry)) is True


def test_the_specifications_own_examples_are_read() -> None:
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for example in msgspec.json.decode((shared_data("otel_genai") / "examples.json").read_bytes()):
        suffix = "-".join(example["id"].split("-")[-2:]) if "tool-call" in example["id"] else ""
        groups.setdefault((example["example"] + example["variant"], suffix), {})[example["attribute"]] = example["value"]

    read = {}
    for (name, suffix), attributes in groups.items():
        if "gen_ai.output.messages" in attributes:
            read[name + suffix] = one(export(span({**chat(), **attributes})))

    assert len(read) == 8
    by_last = {len(record.messages): record for record in read.values()}
    assert max(by_last) >= 4
    calling = next(r for r in read.values() if r.finish_reason == "tool_calls")
    assert (calling.messages[-1].tool_calls[0].name, calling.messages[-1].tool_calls[0].arguments) == (
        "get_weather",
        '{"location":"Paris"}',
    )
    answered = next(
        r for r in read.values() if any(m.role == "tool" for m in r.messages) and len(r.messages) == 4 and r.prompt[0] == "W"
    )
    assert answered.messages[2].text == "rainy, 57°F"
    assert answered.messages[2].tool_call_id == answered.messages[1].tool_calls[0].id
    assert any(record.messages[-1].reasoning for record in read.values())
    assert [len(record.candidates) for record in read.values() if record.candidates] == [1]
    hosted = next(r for r in read.values() if any(c.name == "code_interpreter" for m in r.messages for c in m.tool_calls))
    assert [m.role for m in hosted.messages[-3:]] == ["assistant", "tool", "assistant"]
    assert all(record.messages[-1].role == "assistant" for record in read.values())


def test_spans_of_tools_agents_and_plain_services_are_skipped() -> None:
    content = {"gen_ai.input.messages": ASKED, "gen_ai.output.messages": TOLD}
    agent = {"gen_ai.operation.name": "invoke_agent", **content}
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "weather", "gen_ai.tool.call.result": "rain"}
    http = {"http.request.method": "GET"}

    entry = export(span(http), span(agent), span({**chat(), **content}, spanId="0000000000000001"), span(tool))

    assert one(entry).id == "0000000000000001"
    assert reason(export(span(http), span(tool))) == "no_llm_span"


def test_every_model_call_of_an_export_is_a_record_even_beside_one_without_content() -> None:
    content = {"gen_ai.input.messages": ASKED, "gen_ai.output.messages": TOLD}
    entry = export(*(span({**chat(), **(content if n != 1 else {})}, spanId=f"{n:016x}") for n in range(3)))

    assert [record.id for record in OTelGenAI().parse(entry)] == [f"{n:016x}" for n in (0, 2)]


@pytest.mark.parametrize(
    ("entry", "slug"),
    [
        (export(span(chat())), "no_content"),
        (export(span(chat(), status={"code": 2})), "http_error"),
        (export(span({**chat(), "gen_ai.input.messages": ASKED})), "no_response"),
        (export(span({"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e"})), "no_llm_span"),
        ({"resourceSpans": []}, "no_llm_span"),
    ],
)
def test_a_model_call_without_a_conversation_says_why(entry: Any, slug: str) -> None:
    assert reason(entry) == slug


CALL = {"id": "c1", "name": "weather", "arguments": '{"city":"Bern"}'}
OPENLLMETRY = {
    "llm.request.type": "chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.prompt.0.role": "user",
    "gen_ai.prompt.0.content": "Weather?",
    "gen_ai.prompt.1.role": "assistant",
    "gen_ai.prompt.1.tool_calls.0.id": "c1",
    "gen_ai.prompt.1.tool_calls.0.name": "weather",
    "gen_ai.prompt.1.tool_calls.0.arguments": '{"city":"Bern"}',
    "gen_ai.prompt.2.role": "tool",
    "gen_ai.prompt.2.tool_call_id": "c1",
    "gen_ai.prompt.2.content": "rain",
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "Rain.",
    "gen_ai.completion.0.finish_reason": "stop",
    "llm.request.functions.0.name": "weather",
    "llm.request.functions.0.parameters": '{"type":"object"}',
}
_IN, _OUT = "llm.input_messages", "llm.output_messages"
OPENINFERENCE = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "gpt-4o",
    f"{_IN}.0.message.role": "user",
    f"{_IN}.0.message.contents.0.message_content.type": "text",
    f"{_IN}.0.message.contents.0.message_content.text": "Weather?",
    f"{_IN}.1.message.role": "assistant",
    f"{_IN}.1.message.tool_calls.0.tool_call.id": "c1",
    f"{_IN}.1.message.tool_calls.0.tool_call.function.name": "weather",
    f"{_IN}.1.message.tool_calls.0.tool_call.function.arguments": '{"city":"Bern"}',
    f"{_IN}.2.message.role": "tool",
    f"{_IN}.2.message.tool_call_id": "c1",
    f"{_IN}.2.message.content": "rain",
    f"{_OUT}.0.message.role": "assistant",
    f"{_OUT}.0.message.content": "Rain.",
    "llm.tools.0.tool.json_schema": '{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}',
    "llm.finish_reason": "stop",
}
VERCEL = {
    "ai.operationId": "ai.generateText.doGenerate",
    "ai.model.id": "gpt-4o",
    "ai.prompt.messages": msgspec.json.encode(
        [
            {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
            {
                "role": "assistant",
                "content": [{"type": "tool-call", "toolCallId": "c1", "toolName": "weather", "input": {"city": "Bern"}}],
            },
            {
                "role": "tool",
                "content": [
                    {
                        "type": "tool-result",
                        "toolCallId": "c1",
                        "toolName": "weather",
                        "output": {"type": "text", "value": "rain"},
                    }
                ],
            },
        ]
    ).decode(),
    "ai.response.text": "Rain.",
    "ai.response.finishReason": "stop",
    "ai.prompt.tools": ['{"type":"function","name":"weather","inputSchema":{"type":"object"}}'],
}
_MODEL = {"gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o"}
EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("gen_ai.user.message", {"content": "Weather?"}),
    (
        "gen_ai.assistant.message",
        {"tool_calls": '[{"id":"c1","type":"function","function":{"name":"weather","arguments":"{\\"city\\":\\"Bern\\"}"}}]'},
    ),
    ("gen_ai.tool.message", {"id": "c1", "content": "rain"}),
    ("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": '{"content":"Rain."}'}),
]


@pytest.mark.parametrize(
    ("entry", "tools"),
    [
        (export(span(OPENLLMETRY)), 1),
        (export(span(OPENINFERENCE)), 1),
        (export(span(VERCEL)), 1),
        (export(span(_MODEL, EVENTS)), 0),
    ],
    ids=["OpenLLMetry", "OpenInference", "Vercel AI SDK", "deprecated events"],
)
def test_other_instrumentations_names_give_the_same_conversation(entry: Any, tools: int) -> None:
    record = one(entry)

    assert [(m.role, m.text) for m in record.messages] == [
        ("user", "Weather?"),
        ("assistant", ""),
        ("tool", "rain"),
        ("assistant", "Rain."),
    ]
    (call,) = record.messages[1].tool_calls
    assert (call.id, call.name, msgspec.json.decode(call.arguments)) == ("c1", "weather", {"city": "Bern"})
    assert record.messages[2].tool_call_id == "c1"
    assert (record.model, record.finish_reason, len(record.tools)) == ("gpt-4o", "stop", tools)


def test_phoenix_spans_may_nest_their_attributes_and_carry_annotations() -> None:
    llm = {
        "model_name": "gpt-4o",
        "input_messages": [{"message": {"role": "user", "content": "Weather?"}}],
        "output_messages": [{"message": {"role": "assistant", "content": "Rain."}}],
        "token_count": {"prompt": 5, "completion": 2},
    }
    annotations = [{"annotation": {"name": "quality", "label": "good", "annotator_kind": "HUMAN"}}]
    entry = {
        "name": "ChatCompletion",
        "context": {"trace_id": "t" * 32, "span_id": "s" * 16},
        "start_time": "2026-03-04T05:06:07+00:00",
    }
    entry["attributes"] = {
        "openinference": {"span": {"kind": "LLM"}},
        "llm": llm,
        "annotations": annotations,
        "session.id": "s-1",
    }

    record = one(entry)

    assert [(m.role, m.text) for m in record.messages] == [("user", "Weather?"), ("assistant", "Rain.")]
    assert record.feedback == (Feedback(name="quality", value="good", by="HUMAN"),)
    assert (record.session, record.usage) == ("s-1", Usage(prompt_tokens=5, completion_tokens=2))
