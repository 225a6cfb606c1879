"""The wrapper around a logged call: where its request, response, time, people and labels are, and the record made of them.

Every proxy and SDK names these differently; the names here are those of OpenAI's own exports, NVIDIA's flywheel blueprint,
OpenPipe, Helicone, Portkey and LiteLLM, plus the plain ones that people choose.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from flywheel.errors import Rejected
from flywheel.records import Record
from flywheel.sources.chat import Exchange, pair_tools
from flywheel.sources.feedback import feedback_beside
from flywheel.sources.streams import unstream
from flywheel.sources.values import count, decoded, first, items, mapping, moment, scalar, string

__all__ = ["Call", "labels", "open_call", "to_record"]

_PAIRS = (
    ("request", "response"),
    ("request_body", "response_body"),
    ("requestBody", "responseBody"),
    ("raw_request", "raw_response"),
    ("req", "res"),
    ("input", "output"),
    ("inputs", "outputs"),
)
_TIMES = ("created_at", "createdAt", "timestamp", "time", "ts", "date", "start_time", "startTime", "requested_at", "request_time")
_SESSIONS: tuple[str, ...] = ("session_id", "sessionId", "session", "conversation_id", "conversationId", "conversation")
_SESSIONS += ("thread_id", "threadId", "chat_id", "trace_id", "traceId", "episode_id")
_USERS = ("user", "user_id", "userId", "end_user", "end_user_id", "safety_identifier", "customer_id", "account_id")
_APPS = ("app", "app_name", "application", "service", "service_name", "workload_id", "project", "project_name")
_PERSONAL = ("user", "email", "ip_address", "phone", "api_key", "account_id", "customer_id", "safety_identifier", "token")
_NOT_CHAT = (
    "/embed",
    "/moderations",
    "/audio/",
    "/images/",
    "/rerank",
    "/threads",
    "/files",
    "/batches",
    "embedding",
    ":predict",
)


@dataclasses.dataclass(frozen=True)
class Call:
    """A logged call taken out of its wrapper. `response` is folded when it was streamed."""

    request: Any
    response: Any
    outer: Mapping[str, Any]
    status: int | None


def open_call(entry: Any) -> Call:
    """Find the request and the response in a log entry.

    Raises:
        Rejected: `http_error`, `not_chat`, `no_response`, `no_request`, `binary_response`, `unmapped`.
    """
    outer = mapping(entry)
    if not outer:
        raise Rejected("unmapped")
    request, response = _both(outer)
    status = next((found for key in ("status", "status_code", "http_status") if (found := count(outer.get(key)))), None)
    for side in (request, response):
        status = status or count(mapping(side).get("status_code")) or count(mapping(side).get("status"))
    request, response = _body(request), unstream(_body(response))
    if (status or 0) >= 400 or outer.get("status") in ("failure", "error") or _is_error(outer, response):
        raise Rejected("http_error")
    if _is_other_call(outer, request, response):
        raise Rejected("not_chat")
    if isinstance(response, dict) and "__binary__" in response:
        raise Rejected("binary_response")
    if response is None or response in ({}, [], "", "{}"):
        raise Rejected("no_response")
    if request is None or request in ({}, [], "", "{}"):
        raise Rejected("no_request")
    return Call(request, response, outer, status)


def _both(outer: Mapping[str, Any]) -> tuple[Any, Any]:
    for request, response in _PAIRS:
        if request in outer and response in outer:
            return decoded(outer[request]), decoded(outer[response])
    told = first(outer, "response", "completion", "output", "choices", "result", "response_body", "answer")
    if told is outer.get("choices"):  # request and response flattened into one object
        told = outer
    asked = first(outer, "request", "body", "request_body", "input")
    if asked is None and first(outer, "messages", "prompt", "contents") is not None:
        asked = outer
    if isinstance(outer.get("body"), dict) and told is None:  # {body: {messages, ...}} or a response's body
        told = outer["body"] if "choices" in outer["body"] else None
        asked = None if told is not None else asked
    return decoded(asked), decoded(told)


def _body(side: Any) -> Any:
    """Batch output and HTTP recorders put the payload under `body`."""
    inner = decoded(mapping(side).get("body"))
    return inner if isinstance(inner, dict | list) else side


def _is_error(outer: Mapping[str, Any], response: Any) -> bool:
    answer = mapping(response)
    if any(answer.get(key) for key in ("choices", "output", "content", "candidates")):
        return False
    told = answer.get("error") or answer.get("type") == "error" or "__type" in answer
    return bool(told) or (response is None and bool(mapping(outer.get("error"))))


def _is_other_call(outer: Mapping[str, Any], request: Any, response: Any) -> bool:
    place = string(first(outer, "uri", "url", "path", "endpoint", "call_type")) or ""
    if place and any(word in place for word in _NOT_CHAT):
        return True
    asked, told = mapping(request), mapping(response)
    if any(key in asked for key in ("texts", "singleEmbeddingParams", "embedding_types")) or "embedding" in told:
        return True
    kind = told.get("object")
    if isinstance(kind, str) and kind.startswith(("thread", "embedding", "moderation", "assistant", "fine_tuning", "file")):
        return True
    listed = mapping(next(iter(items(told.get("data"))), None)) or mapping(next(iter(items(told.get("results"))), None))
    return "embedding" in listed or "flagged" in listed or ("inputText" in asked and "normalize" in asked)


def labels(*sources: Any) -> Iterator[str]:
    """Tags out of metadata: `key=value` of scalars, and plain strings of lists. Keys that name people are left out."""
    for source in map(decoded, sources):
        for value in items(source):
            if tag := string(value):
                yield tag
        for key, value in mapping(source).items():
            if (text := scalar(value)) and len(text) <= 256 and not any(word in key.lower() for word in _PERSONAL):
                yield f"{key}={text}"


def to_record(exchange: Exchange, outer: Mapping[str, Any], *sources: Any, **given: Any) -> Record:
    """The record of an exchange and its wrapper.

    Args:
        exchange: what was said.
        outer: the wrapper.
        sources: further objects that may name the session, the user and the application (request, metadata), in order.
        given: fields that the dialect knows better.

    Raises:
        Rejected: `no_messages` or `no_response`; `no_content` where the wrapper's writer left the words out.
    """
    if not exchange.prompt:
        raise Rejected("no_messages")
    if not exchange.replies:
        raise Rejected("no_response")
    if all(message.text in ("redacted-by-litellm", "REDACTED", "[REDACTED]") for message in exchange.prompt):
        raise Rejected("no_content")
    metadata = mapping(decoded(outer.get("metadata")))
    places = (outer, metadata, *map(mapping, sources))
    reply, *others = exchange.replies
    fields: dict[str, Any] = {
        "id": _identity(outer, exchange.id),
        "created_at": next((at for key in _TIMES if key in outer and (at := moment(outer[key]))), None) or exchange.created_at,
        "session": _named(places, _SESSIONS),
        "user": _named(places, _USERS),
        "app": _named(places, _APPS),
        "model": exchange.model,
        "messages": pair_tools((*exchange.prompt, *reply.messages)),
        "finish_reason": reply.finish_reason,
        "usage": exchange.usage,
        "tools": exchange.tools,
        "candidates": tuple(others),
        "feedback": (*feedback_beside(outer), *feedback_beside(metadata)),
        "tags": tuple(dict.fromkeys(labels(outer.get("metadata"), outer.get("tags")))),
    }
    return Record(**{**fields, **given})


def _identity(outer: Mapping[str, Any], answered: str | None) -> str:
    """The log's own id. Row numbers and the three-digit ids of local servers repeat, so they identify nothing."""
    if asked := scalar(first(outer, "request_id", "requestId")):
        return asked
    own = string(outer.get("id"))
    if own and len(own) >= 8 and not own.isdigit():
        return own
    return answered if answered and len(answered) >= 16 else ""


def _named(places: tuple[Mapping[str, Any], ...], keys: tuple[str, ...]) -> str | None:
    for place in places:
        for key in () if place.keys().isdisjoint(keys) else keys:
            value = place.get(key)
            if text := scalar(mapping(value).get("id") if isinstance(value, dict) else value):
                return text
    return None
