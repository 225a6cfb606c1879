"""The demo's calls in each log dialect, field by field as the vendors document them."""

import datetime as dt
import hashlib
import json
from collections.abc import Iterable
from typing import Any

from flywheel.demo.talk import Call, Json


def dump(value: Any) -> bytes:
    """One JSON line; lone surrogates stay as escapes, other letters as they are."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def openai_chat(call: Call) -> bytes:
    """A request and its response in the usual wrapper, with the application's metadata and its users' thumbs."""
    request: Json = {"model": call.model, "messages": call.messages, "temperature": 0.4, "user": call.user}
    if call.tools:
        request["tools"] = call.tools
    if call.others:
        request["n"] = 1 + len(call.others)
    metadata: Json = {"user": call.user, "session": call.session, "app": call.app}
    if call.feedback:
        metadata["feedback"] = call.feedback
    entry: Json = {"timestamp": iso(call.at), "request": request}
    if call.error:
        status, code = call.error
        entry |= {"status": status, "response": {"error": {"message": "The request failed.", "type": code, "code": code}}}
    else:
        entry |= {"status": 200, "response": _completion(call)}
    return dump(entry | {"metadata": metadata})


def _completion(call: Call) -> Json:
    answers = [(call.reply, call.finish), *((other, "stop") for other in call.others)]
    spent = _usage(call)
    return {
        "id": f"chatcmpl-{call.id}",
        "object": "chat.completion",
        "created": int(call.at.timestamp()),
        "model": call.model,
        "choices": [
            {"index": i, "finish_reason": finish, "message": reply, "logprobs": None} for i, (reply, finish) in enumerate(answers)
        ],
        "usage": {"prompt_tokens": spent[0], "completion_tokens": spent[1], "total_tokens": sum(spent)},
    }


def otlp(calls: Iterable[Call]) -> bytes:
    """One line of OTLP `TracesData`: the calls as `chat` spans, content on the span as JSON strings."""
    resource = {"attributes": [_attribute("service.name", "coding-helper"), _attribute("service.version", "1.8.0")]}
    scope = {"name": "opentelemetry.instrumentation.openai_v2", "version": "2.3b0"}
    return dump({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": [_span(c) for c in calls]}]}]})


def _span(call: Call) -> Json:
    start = int(call.at.timestamp() * 1e6) * 1000
    spent = _usage(call)
    attributes: Json = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.conversation.id": call.session,
        "gen_ai.request.model": call.model,
        "user.id": call.user,
        "gen_ai.input.messages": json.dumps([_otel_message(message) for message in call.messages]),
    }
    status: Json = {}
    if call.error:
        attributes |= {"error.type": call.error[1], "http.response.status_code": call.error[0]}
        status = {"code": 2, "message": call.error[1]}
    else:
        assert call.reply is not None
        attributes |= {
            "gen_ai.response.id": f"chatcmpl-{call.id}",
            "gen_ai.response.model": call.model,
            "gen_ai.response.finish_reasons": [call.finish],
            "gen_ai.output.messages": json.dumps([_otel_message(call.reply) | {"finish_reason": call.finish}]),
            "gen_ai.usage.input_tokens": spent[0],
            "gen_ai.usage.output_tokens": spent[1],
        }
    return {
        "traceId": hashlib.md5(call.session.encode(), usedforsecurity=False).hexdigest(),
        "spanId": call.id,
        "name": f"chat {call.model}",
        "kind": 3,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 1_400_000_000),
        "attributes": [_attribute(key, value) for key, value in attributes.items()],
        "status": status,
    }


def _otel_message(message: Json) -> Json:
    return {"role": message["role"], "parts": [{"type": "text", "content": message["content"]}]}


def _attribute(key: str, value: Any) -> Json:
    if isinstance(value, list):
        return {"key": key, "value": {"arrayValue": {"values": [{"stringValue": item} for item in value]}}}
    return {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}


def langfuse(call: Call) -> Json:
    """A trace as Langfuse exports it, with one generation and its scores."""
    trace = f"{call.id}{call.id[::-1]}"
    level = {"level": "ERROR", "statusMessage": f"{call.error[0]} {call.error[1]}"} if call.error else {"level": "DEFAULT"}
    spent = _usage(call)
    generation: Json = {
        "id": call.id,
        "traceId": trace,
        "type": "GENERATION",
        "name": "answer",
        "startTime": iso(call.at),
        "endTime": iso(call.at + dt.timedelta(seconds=2)),
        "model": call.model,
        "modelParameters": {"temperature": 0.4},
        "input": {"messages": call.messages, "tools": call.tools} if call.tools else call.messages,
        "output": call.reply,
        "usageDetails": {"input": spent[0], "output": spent[1], "total": sum(spent)},
        "metadata": {"finish_reason": call.finish},
        "parentObservationId": None,
        **level,
    }
    scores = [
        {"id": f"{call.id}-{i}", "traceId": trace, "observationId": call.id} | score for i, score in enumerate(call.feedback)
    ]
    return {
        "id": trace,
        "timestamp": iso(call.at),
        "name": "support-chat",
        "userId": call.user,
        "sessionId": call.session,
        "input": call.messages[-1]["content"],
        "output": call.reply["content"] if call.reply else None,
        "metadata": {"app": call.app},
        "tags": ["support"],
        "environment": "production",
        "observations": [generation],
        "scores": scores,
    }


def hf_messages(calls: list[Call]) -> bytes:
    """A finished conversation as the Hugging Face `messages` layout."""
    return dump({"messages": [*calls[-1].messages, calls[-1].reply]})


def sharegpt(calls: list[Call]) -> Json:
    """A finished conversation as ShareGPT."""
    names = {"user": "human", "assistant": "gpt"}
    system, *turns = [*calls[-1].messages, calls[-1].reply or {}]
    said = [{"from": names[turn["role"]], "value": turn["content"]} for turn in turns]
    return {"id": calls[0].session, "system": system["content"], "conversations": said}


def _usage(call: Call) -> tuple[int, int]:
    """Tokens, at four characters each."""
    asked = sum(len(message.get("content") or "") for message in call.messages)
    return asked // 4 + 1, len((call.reply or {}).get("content") or "") // 4 + 1


def iso(moment: dt.datetime) -> str:
    """ISO 8601 in UTC with milliseconds and a Z."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
