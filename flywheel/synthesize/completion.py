"""One attempt at one question: send it, and believe only a whole completion.

The `openai` client sends; what comes back is decoded here, strictly. Its own decoding lets an HTML page with status 200
through as a string, an object without choices as a completion, and a cut stream as an answer.
"""

import asyncio
import datetime as dt
import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from flywheel.records import ToolCall

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_FATAL_STATUS = (401, 404)
_RETRIED_STATUS = (408, 409, 425)
_Body = TypeVar("_Body")
_SLUG = re.compile(r"[a-z][a-z0-9_]{0,39}")


class Paid(msgspec.Struct, frozen=True, kw_only=True):
    """What a response cost: tokens are null where the server did not count them."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Answer(Paid, frozen=True, kw_only=True):
    """A whole answer; `model` is the one that says it answered.

    `text` is empty only when the model calls tools instead, which it can only where the request offered some.
    """

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    model: str | None = None


class Vectors(Paid, frozen=True, kw_only=True):
    """One vector for each text of an embedding request, in their order."""

    vectors: list[list[float]]


class Billed(Enum):
    """Whether an attempt without an answer costs money: refused before work began, answered, or nobody knows."""

    NO = "no"
    YES = "yes"
    MAYBE = "maybe"


class Fault(Paid, frozen=True, kw_only=True):
    """Why an attempt gave no answer. `after`: seconds that the server asks to wait.

    `again`: another attempt may do better. `fatal`: no request can do better.
    """

    reason: str
    again: bool = False
    fatal: bool = False
    billed: Billed = Billed.NO
    after: float | None = None


async def attempt(client: "AsyncOpenAI", request: Mapping[str, Any], *, timeout: float) -> Answer | Fault:
    """Send a chat completion request once. Never raises for what a server does.

    Args:
        request: the body, as `chat.completions.create` takes it.
        timeout: seconds for the whole attempt, connecting and a dripping body included.
    """
    body = await _body(client, "/chat/completions", request, timeout)
    return body if isinstance(body, Fault) else read(body, tools="tools" in request)


async def attempt_embedding(client: "AsyncOpenAI", request: Mapping[str, Any], *, timeout: float) -> Vectors | Fault:
    """Send an embedding request once; as `attempt`. The body's `input` is a list of texts."""
    body = await _body(client, "/embeddings", request, timeout)
    return body if isinstance(body, Fault) else read_vectors(body, count=len(request["input"]))


async def _body(client: "AsyncOpenAI", path: str, request: Mapping[str, Any], timeout: float) -> bytes | Fault:
    """The body of a response with status 200, or the fault that there was instead.

    Posted as it stands: the package's methods for these paths would walk through the whole request to look for things to change.
    """
    import httpx2
    import openai

    try:
        async with asyncio.timeout(timeout):
            response = await client.post(path, cast_to=httpx2.Response, body=request)
    except (TimeoutError, openai.APITimeoutError):
        return Fault(reason="timeout", again=True, billed=Billed.MAYBE)
    except openai.APIStatusError as error:
        return refused(error.status_code, error.response.headers, error.code)
    except openai.APIConnectionError as error:
        return Fault(reason="connection", again=True, billed=Billed.NO if _never_sent(error) else Billed.MAYBE)
    return response.content


def _never_sent(error: Exception) -> bool:
    import httpx2

    return isinstance(error.__cause__, httpx2.ConnectError)


def refused(status: int, headers: Mapping[str, str], code: str | None) -> Fault:
    """What a response with another status than 200 means; `code` is the server's own."""
    if status == 429:
        quota = code == "insufficient_quota"
        reason = "no_quota" if quota else "rate_limited"
        return Fault(reason=reason, again=not quota, fatal=quota, after=retry_after(headers))
    if status >= 500:
        return Fault(reason="server_error", again=True, after=retry_after(headers))
    named = f":{code}" if code and _SLUG.fullmatch(code) else ""
    return Fault(reason=f"http_{status}{named}", again=status in _RETRIED_STATUS, fatal=status in _FATAL_STATUS)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait as the server says: a number, or a date; null when it says nothing that makes sense."""
    given = headers.get("retry-after")
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(given) - dt.datetime.now(dt.UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


class _Function(msgspec.Struct):
    name: str
    arguments: str


class _Call(msgspec.Struct):
    function: _Function
    id: str | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice] | None = None
    model: str | None = None
    usage: _Usage | None = None


_completion = msgspec.json.Decoder(_Completion)


def _decoded(body: bytes, decoder: msgspec.json.Decoder[_Body]) -> _Body | Fault:
    """The body in the shape that it should have; a server may have charged for any other."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        return Fault(reason="not_a_completion", again=True, billed=Billed.MAYBE)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Fault(reason="not_json", again=True, billed=Billed.MAYBE)


def read(body: bytes, *, tools: bool = False) -> Answer | Fault:
    """What the body of a response with status 200 says; `tools` when the request offered some."""
    completion = _decoded(body, _completion)
    if isinstance(completion, Fault):
        return completion
    usage = completion.usage or _Usage()
    choice = completion.choices[0] if completion.choices else None
    if reason := _unusable(choice, tools=tools):
        return Fault(
            reason=reason,
            again=reason in ("empty_choices", "unfinished", "null_content"),
            billed=Billed.YES,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
        )
    assert choice is not None
    calls = tuple(
        ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
        for call in choice.message.tool_calls or ()
    )
    return Answer(
        text=choice.message.content or "",
        tool_calls=calls if tools else (),
        model=completion.model,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
    )


def _unusable(choice: _Choice | None, *, tools: bool) -> str | None:
    """The reason why this choice is no answer, or None."""
    if choice is None:
        return "empty_choices"
    message, finish = choice.message, choice.finish_reason
    calls = bool(tools and message.tool_calls)
    rules = {
        "unfinished": finish is None,
        "length": finish == "length",
        "content_filter": finish == "content_filter",
        "refusal": bool(message.refusal),
        "unknown_finish_reason": finish != "stop" and not (calls and finish == "tool_calls"),
        "null_content": message.content is None and not calls,
        "empty_content": not (message.content or "").strip() and not calls,
    }
    return next((reason for reason, broken in rules.items() if broken), None)


class _Vector(msgspec.Struct):
    index: int
    embedding: list[float]


class _Embeddings(msgspec.Struct):
    data: list[_Vector]
    usage: _Usage | None = None


_embeddings = msgspec.json.Decoder(_Embeddings)


def read_vectors(body: bytes, *, count: int) -> Vectors | Fault:
    """What the body of an embedding response says; only `count` vectors of one length, all finite, are an answer."""
    found = _decoded(body, _embeddings)
    if isinstance(found, Fault):
        return found
    tokens = found.usage.prompt_tokens if found.usage else None
    rows = sorted(found.data, key=lambda row: row.index)
    whole = [row.index for row in rows] == list(range(count)) and len({len(row.embedding) for row in rows}) == 1
    if not whole or not rows[0].embedding:
        return Fault(reason="vectors_missing", again=True, billed=Billed.YES, prompt_tokens=tokens, completion_tokens=0)
    return Vectors(vectors=[row.embedding for row in rows], prompt_tokens=tokens, completion_tokens=0)
