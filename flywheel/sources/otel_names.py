"""The names under which instrumentations put a conversation on a span, newest first, each read into an exchange.

Sources: OpenTelemetry GenAI conventions at 953276f (May 2026) and their deprecated events and attributes; OpenLLMetry
(`gen_ai.prompt.{i}.*`); OpenInference at 1fe497f (`llm.input_messages.{i}.message.*`); Vercel AI SDK 5 (`ai.prompt.messages`);
Google ADK (`gcp.vertex.agent.llm_request`).
"""

from typing import Any

from flywheel.records import Candidate, Message
from flywheel.sources.anything import read_anything
from flywheel.sources.chat import Exchange, candidate, conversation, tool_schemas
from flywheel.sources.otel_spans import Event, Span, rows
from flywheel.sources.shapes import read_exchange
from flywheel.sources.values import decoded, first, items, json_text, mapping, string

__all__ = ["READERS"]

_PAIRS = (
    ("gen_ai.prompt", "gen_ai.completion"),
    ("input.value", "output.value"),
    ("traceloop.entity.input", "traceloop.entity.output"),
    ("mlflow.spanInputs", "mlflow.spanOutputs"),
)


def _genai(span: Span) -> Exchange | None:
    """Attributes, structured or as JSON text; each output message is one choice."""
    attributes = span.attributes
    asked, told = decoded(attributes.get("gen_ai.input.messages")), decoded(attributes.get("gen_ai.output.messages"))
    if asked is None and told is None:
        return None
    system = decoded(attributes.get("gen_ai.system_instructions"))
    before = conversation([{"role": "system", "content": mapping(system).get("parts", system)}]) if system else ()
    prompt = (*before, *conversation(asked or []))
    tools = first(attributes, "gen_ai.tool.definitions", "gen_ai.request.tools")
    return Exchange(
        prompt=prompt,
        replies=tuple(
            candidate(conversation([one]), mapping(one).get("finish_reason") or _finish(attributes)) for one in items(told)
        ),
        tools=tool_schemas(tools) if tools else (),
    )


def _finish(attributes: dict[str, Any]) -> Any:
    reasons = decoded(first(attributes, "gen_ai.response.finish_reasons", "llm.finish_reason", "ai.response.finishReason"))
    return next(iter(reasons), None) if isinstance(reasons, list) else reasons


def _vercel(span: Span) -> Exchange | None:
    attributes = span.attributes
    asked = decoded(first(attributes, "ai.prompt.messages", "ai.prompt"))
    if asked is None:
        return None
    calls = decoded(first(attributes, "ai.response.toolCalls", "ai.result.toolCalls"))
    reply = {
        "role": "assistant",
        "content": first(attributes, "ai.response.text", "ai.result.text", "ai.response.object", "ai.result.object"),
        "reasoning": attributes.get("ai.response.reasoning"),
        "tool_calls": calls,
    }
    answered = reply["content"] is not None or bool(calls)
    tools = [decoded(tool) for tool in items(decoded(attributes.get("ai.prompt.tools")))]
    return Exchange(
        prompt=read_anything(asked, "-").prompt,
        replies=(candidate(conversation([reply]), _finish(attributes)),) if answered else (),
        tools=tool_schemas(tools) if tools else (),
    )


def _openllmetry(span: Span) -> Exchange | None:
    attributes = span.attributes
    asked, told = rows(attributes, "gen_ai.prompt"), rows(attributes, "gen_ai.completion")
    if not asked and not told:
        return None
    functions = rows(attributes, "llm.request.functions")
    return Exchange(
        prompt=conversation([_numbered(turn, "user") for turn in asked]),
        replies=tuple(
            candidate(conversation([_numbered(turn, "assistant")]), turn.get("finish_reason") or _finish(attributes))
            for turn in told
        ),
        tools=tool_schemas(functions) if functions else (),
    )


def _numbered(turn: dict[str, Any], role: str) -> dict[str, Any]:
    calls = mapping(turn.get("tool_calls"))
    content = decoded(turn.get("content"))
    if not (isinstance(content, list) and all("type" in mapping(part) for part in content)):
        content = turn.get("content")
    return {"role": role, **turn, "content": content, "tool_calls": [calls[key] for key in sorted(calls, key=_number)]}


def _number(key: str) -> int:
    return int(key) if key.isdecimal() and len(key) < 9 else 0


def _openinference(span: Span) -> Exchange | None:
    attributes = span.attributes
    asked, told = rows(attributes, "llm.input_messages"), rows(attributes, "llm.output_messages")
    if not asked:
        return None
    tools = [decoded(mapping(one.get("tool")).get("json_schema")) for one in rows(attributes, "llm.tools")]
    return Exchange(
        prompt=conversation([_inferred(mapping(turn.get("message")), "user") for turn in asked]),
        replies=tuple(
            candidate(conversation([_inferred(mapping(turn.get("message")), "assistant")]), _finish(attributes)) for turn in told
        ),
        tools=tool_schemas(tools) if tools else (),
    )


def _inferred(message: dict[str, Any], role: str) -> dict[str, Any]:
    contents, calls = mapping(message.get("contents")), mapping(message.get("tool_calls"))
    parts = [_inferred_part(mapping(mapping(contents[key]).get("message_content"))) for key in sorted(contents, key=_number)]
    listed = [mapping(mapping(calls[key]).get("tool_call")) for key in sorted(calls, key=_number)]
    content = message.get("content")
    return {"role": role, **message, "content": parts if parts and not content else content, "tool_calls": listed}


def _inferred_part(part: dict[str, Any]) -> dict[str, Any]:
    if part.get("type") == "image":
        return {"type": "image", "url": mapping(mapping(part.get("image")).get("image")).get("url")}
    return {"type": "text", **part}


def _events(span: Span) -> Exchange | None:
    """The deprecated events `gen_ai.user.message`, `gen_ai.choice`, and `gen_ai.content.prompt|completion`."""
    prompt: list[Message] = []
    replies: list[Candidate] = []
    for event in span.events:
        name = event.name or string(event.attributes.get("event.name")) or ""
        body = _event_body(event)
        if name == "gen_ai.choice":
            message = mapping(decoded(body.get("message"))) or body
            replies.append(candidate(conversation([{**message, "role": "assistant"}]), body.get("finish_reason")))
        elif name.startswith("gen_ai.") and name.endswith(".message"):
            prompt += conversation([{**body, "role": body.get("role") or name.split(".")[1], "tool_call_id": body.get("id")}])
        elif name == "gen_ai.content.prompt":
            prompt += read_anything(event.attributes.get("gen_ai.prompt"), "-").prompt
        elif name == "gen_ai.content.completion":
            replies += read_anything("-", event.attributes.get("gen_ai.completion")).replies
    return Exchange(prompt=tuple(prompt), replies=tuple(replies)) if prompt or replies else None


def _event_body(event: Event) -> dict[str, Any]:
    body = mapping(decoded(event.body)) or mapping(decoded(event.attributes.get("gen_ai.event.content")))
    return body or {name.removeprefix("gen_ai."): decoded(value) for name, value in event.attributes.items()}


def _adk(span: Span) -> Exchange | None:
    asked = mapping(decoded(span.attributes.get("gcp.vertex.agent.llm_request")))
    told = mapping(decoded(span.attributes.get("gcp.vertex.agent.llm_response")))
    if not asked or not told:
        return None
    return read_exchange(asked, told if "candidates" in told else {"candidates": [told]})


def _values(span: Span) -> Exchange | None:
    """Whole requests and responses as JSON text, under whichever name."""
    for asked, told in _PAIRS:
        if span.attributes.get(asked) is not None:
            value = span.attributes[asked]
            return read_anything(value if isinstance(value, str | list | dict) else json_text(value), span.attributes.get(told))
    return None


READERS = (_genai, _openllmetry, _openinference, _vercel, _events, _adk, _values)
