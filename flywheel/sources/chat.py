"""Provider messages of any known shape as canonical messages: roles, tool calls paired with results, finish reasons, tools.

One tolerant reader serves every dialect, because logs wrap each other: a Langfuse observation holds an Anthropic request, a
LiteLLM row a Responses output. What a message means follows from its own keys, never from where it was found.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from flywheel.errors import Rejected
from flywheel.records import Candidate, Message, Part, ToolCall, Usage
from flywheel.sources.parts import CALLS, REASONING, RESULTS, Draft, content_parts, tool_call
from flywheel.sources.values import count, decoded, first, items, json_text, mapping, scalar, string

__all__ = ["Exchange", "candidate", "conversation", "finish_reason", "has_messages", "pair_tools", "tool_schemas", "usage"]

_ROLES = {
    "human": "user",
    "prompter": "user",
    "chatbot": "assistant",
    "gpt": "assistant",
    "ai": "assistant",
    "model": "assistant",
}
_ROLES |= {"bot": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant", "claude": "assistant"}
_ROLES |= {"function": "tool", "observation": "tool", "tool_response": "tool", "tool_results": "tool", "tool_result": "tool"}
_ROLES |= {"function_call": "assistant", "tool_call": "assistant", "aimessagechunk": "assistant", "ipython": "tool"}
_ROLES |= {role: role for role in ("system", "developer", "user", "assistant", "tool")}

_SPEAKERS = {"system", "developer", "user", "assistant"}
_EMPTY = ("refusal", "tool_calls", "function_call", "audio", "reasoning", "reasoning_content", "annotations")
_PLAIN = {"role", "content", "name", *_EMPTY}

_ITEMS = RESULTS | CALLS | REASONING

_FINISHES = {
    "stop": ("stop", "end_turn", "stop_sequence", "complete", "completed", "eos", "eos_token", "finish", "end", "finished"),
    "length": ("length", "max_tokens", "max_output_tokens", "model_context_window_exceeded", "incomplete", "model_length"),
    "tool_calls": ("tool_calls", "tool_use", "tool_call", "tool-calls", "tool-call", "function_call"),
    "content_filter": (
        *("content_filter", "content-filter", "content_filtered", "safety", "recitation", "blocklist", "prohibited_content"),
        *("spii", "refusal", "guardrail_intervened", "error_toxic", "image_safety", "language"),
    ),
    "error": ("error", "failed", "malformed_function_call", "error_limit", "network_error", "aborted", "timeout"),
}
_FINISH = {logged: name for name, spellings in _FINISHES.items() for logged in spellings}
_GEMINI_NUMBERS = {1: "stop", 2: "length", 3: "content_filter", 4: "content_filter", 6: "content_filter", 7: "content_filter"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exchange:
    """What a request and its response say, whoever's shape they have. The first reply is the answer; the rest are others."""

    prompt: tuple[Message, ...]
    replies: tuple[Candidate, ...]
    id: str | None = None
    model: str | None = None
    created_at: dt.datetime | None = None
    usage: Usage | None = None
    tools: tuple[str, ...] = ()


def conversation(value: Any, role: str = "user") -> tuple[Message, ...]:
    """The messages of a list, of an object that holds one, or of bare text (then said by `role`).

    OpenAI Responses items (`function_call`, `reasoning`, `message`) that follow each other are folded into one turn.

    Raises:
        Rejected: `unmapped` when it is none of these, or a piece of a message cannot be read.
    """
    value = decoded(value)
    if isinstance(value, str):
        return (Message(role=role, content=(Part(text=value),)),) if value else ()
    if isinstance(value, dict):
        inner = next((value[key] for key in ("messages", "conversations", "input") if isinstance(value.get(key), list)), None)
        value = [value] if inner is None else inner
    if not isinstance(value, list):
        raise Rejected("unmapped")
    if len(value) == 1 and isinstance(value[0], list):  # LangChain logs a batch of one conversation
        value = value[0]
    if any(_is_item(item) for item in value):
        return _fold_items(value)
    return tuple(message for item in value for message in _read(decoded(item), role))


def has_messages(value: Any) -> bool:
    """Whether the value is a list whose first element is a message of any known shape, or a Responses item."""
    found = items(value)
    if found and isinstance(found[0], list):
        found = found[0]
    return bool(found) and (_is_item(found[0]) or _role(mapping(found[0])) is not None)


def _is_item(item: Any) -> bool:
    kind = mapping(item).get("type")
    if not isinstance(kind, str) or mapping(item).get("role") is not None:
        return False
    return kind in _ITEMS or kind.endswith(("_call", "_call_output"))


def _fold_items(values: Iterable[Any]) -> tuple[Message, ...]:
    done: list[Message] = []
    turn = Draft("assistant")
    for item in values:
        if _is_item(item):
            turn.add(item)
        elif _role(mapping(item)) == "assistant" and not mapping(item).get("tool_calls"):
            turn.glue = False
            for part in _pieces(mapping(item).get("content")):
                turn.add(part)
        elif mapping(item).get("type") not in ("mcp_list_tools", "item_reference", "compaction"):
            turn.close()
            turn.done += _read(item, "user")
    turn.close()
    return tuple(done + turn.done)


def _role(message: dict[str, Any]) -> str | None:
    if "lc" in message or "kwargs" in message:
        return _role(_langchain(message))
    said = first(message, "role", "from", "speaker") or (
        message.get("type") if "content" in message or "data" in message else None
    )
    return _ROLES.get(said.lower().removesuffix("message")) if isinstance(said, str) else None


def _langchain(message: dict[str, Any]) -> dict[str, Any]:
    """A serialised LangChain message: its class is the last element of `id`, its fields are `kwargs`."""
    names = [name for name in items(message.get("id")) if isinstance(name, str)]
    return {"role": names[-1] if names else None, **mapping(message.get("kwargs"))}


def _pieces(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [] if content is None else [content]


def _read(item: Any, default: str) -> list[Message]:
    """One logged message as one or more canonical ones: each tool result becomes a message of its own."""
    if isinstance(item, str):
        return [Message(role=default, content=(Part(text=item),))] if item else []
    if (plain := _plain(item)) is not None:
        return plain
    message = mapping(item)
    if mapping(message.get("data")) and "content" in message["data"]:  # LangChain's message_to_dict
        message = {"type": message.get("type"), **message["data"]}
    if "kwargs" in message:
        message = _langchain(message)
    role = _role(message)
    if role is None and first(message, "role", "from", "speaker") is None and ("parts" in message or "content" in message):
        role = default  # Gemini may leave the role out
    if role is None:
        raise Rejected("unknown_role")
    content = next(
        (message[key] for key in ("content", "parts", "value", "text", "message") if message.get(key) is not None), None
    )
    if isinstance(message.get("content"), str) and has_messages([{**message, "content": ""}]) and items(message.get("parts")):
        content = message["parts"] or content  # Vercel AI SDK keeps a flat copy beside the parts
    rest: dict[str, Any] = {"name": string(message.get("name")), "weight": _weight(message)}
    if role == "tool":
        return _tool_messages(message, content, rest)
    draft = Draft(role, rest=rest)
    _reason(draft, message)
    for part in _pieces(content):
        draft.add(part)
    if refusal := string(message.get("refusal")):
        draft.content.append(Part(type="refusal", text=refusal))
    _spoken(draft, mapping(message.get("audio")))
    draft.say(string(message.get("tool_plan")))
    draft.calls += [call for call in _calls(message) if not _known(call, draft.calls)]
    return draft.finish()


def _plain(item: Any) -> list[Message] | None:
    """A message of nothing but a role and text, as nearly all are: what `_read` makes of it, in a tenth of the time."""
    if type(item) is not dict or not item.keys() <= _PLAIN:
        return None
    role, text = item.get("role"), item.get("content")
    if (
        type(role) is not str
        or role not in _SPEAKERS
        or type(text) is not str
        or any(item.get(key) for key in _EMPTY if key in item)
    ):
        return None
    return [Message(role=role, content=(Part(text=text),) if text else (), name=string(item.get("name")))]


def _reason(draft: Draft, message: dict[str, Any]) -> None:
    for key in ("reasoning_content", "reasoning", "thinking"):
        if isinstance(message.get(key), str) and message[key] and not draft.thoughts:
            draft.think(message[key])
    if not draft.thoughts:
        for detail in items(message.get("reasoning_details")):
            draft.think(string(mapping(detail).get("text")) or string(mapping(detail).get("summary")))


def _known(call: ToolCall, seen: Sequence[ToolCall]) -> bool:
    """LangChain and Anthropic logs name a call twice: as a content block and in `tool_calls`."""
    return any(call.id is not None and call.id == other.id for other in seen)


def _spoken(draft: Draft, audio: dict[str, Any]) -> None:
    if audio:
        draft.say(string(audio.get("transcript")))
        draft.content.append(Part(type="audio", url=scalar(audio.get("id"))))


def _calls(message: dict[str, Any]) -> list[ToolCall]:
    extra = mapping(message.get("additional_kwargs"))
    listed = next(
        (found for source in (message, extra) for key in ("tool_calls", "toolCalls") if (found := source.get(key))), None
    )
    calls = [tool_call(mapping(call)) for call in items(decoded(listed))]
    legacy = mapping(decoded(first(message, "function_call"))) or mapping(extra.get("function_call"))
    if not calls and legacy:
        calls = [tool_call(legacy)]
    return calls


def _tool_messages(message: dict[str, Any], content: Any, rest: dict[str, Any]) -> list[Message]:
    call_id = scalar(first(message, "tool_call_id", "toolCallId", "call_id", "tool_use_id"))
    draft = Draft("tool")
    if any(_is_item(part) or {"toolResult", "functionResponse"} & set(mapping(part)) for part in _pieces(content)):
        for part in _pieces(content):
            draft.add(part)
        return draft.finish()
    return [Message(role="tool", content=content_parts(content), tool_call_id=call_id, **rest)]


def _weight(message: dict[str, Any]) -> float | None:
    chosen = first(message, "weight", "train", "loss")
    if isinstance(chosen, bool):
        return float(chosen)
    return float(chosen) if isinstance(chosen, int | float) and abs(chosen) < 1e9 else None


def candidate(messages: Iterable[Message], reason: Any = None, id: str | None = None) -> Candidate:
    """A reply. A `stop` that ends in tool calls and says nothing else is `tool_calls`, as every provider but some names it."""
    messages = tuple(messages)
    finish = finish_reason(reason)
    if finish == "stop" and messages and messages[-1].tool_calls and not messages[-1].text:
        finish = "tool_calls"
    return Candidate(id=id, messages=messages, finish_reason=finish)


def finish_reason(logged: Any) -> str | None:
    """`stop`, `length`, `tool_calls`, `content_filter` or `error`; another reason in lower case as logged."""
    if isinstance(logged, dict):  # LangSmith's JavaScript wrapper logs the whole last choice
        logged = logged.get("finish_reason") or logged.get("unified")
    if isinstance(logged, int) and not isinstance(logged, bool):
        return _GEMINI_NUMBERS.get(logged, "error")
    name = string(logged)
    return _FINISH.get(name.lower(), name.lower()) if name else None


def usage(logged: Any) -> Usage | None:
    """Token counts under any of the names in use; None when there is neither."""
    source = mapping(decoded(logged))
    source = mapping(source.get("billed_units")) or mapping(source.get("tokens")) or source
    asked = count(first(source, "prompt_tokens", "input_tokens", "inputTokens", "promptTokenCount", "promptTokens", "input"))
    told = count(
        first(source, "completion_tokens", "output_tokens", "outputTokens", "candidatesTokenCount", "completionTokens", "output")
    )
    return None if asked is None and told is None else Usage(prompt_tokens=asked, completion_tokens=told)


def tool_schemas(logged: Any) -> tuple[str, ...]:
    """Tools on offer as JSON of name, description and parameters; a provider's own tools have no parameters."""
    found: list[str] = []
    for entry in items(decoded(logged)) or [decoded(logged)]:
        tool = mapping(decoded(entry))
        if isinstance(config := tool.get("tools"), list):
            found += tool_schemas(config)
            continue
        declared = next((tool[key] for key in ("functionDeclarations", "function_declarations") if tool.get(key)), None)
        for one in items(declared) or [tool]:
            if schema := _schema(mapping(one)):
                found.append(schema)
    return tuple(found)


def _schema(tool: dict[str, Any]) -> str | None:
    inner = next((found for key in ("function", "toolSpec", "custom") if (found := mapping(tool.get(key)))), tool)
    name = string(inner.get("name")) or string(inner.get("type"))
    if name is None and len(inner) == 1:  # Gemini's own tools: {"googleSearch": {}}
        name = next(iter(inner))
    if not name:
        return None
    keys = (
        "parameters",
        "input_schema",
        "inputSchema",
        "parametersJsonSchema",
        "parameters_json_schema",
        "parameter_definitions",
    )
    schema = decoded(first(inner, *keys)) or {}
    schema = mapping(schema).get("json", schema) if set(mapping(schema)) == {"json"} else schema
    return json_text({"name": name, "description": string(inner.get("description")) or "", "parameters": schema})


def pair_tools(messages: Iterable[Message]) -> tuple[Message, ...]:
    """Give ids to calls and results that have none (Gemini, ShareGPT, legacy functions), so that each result names its call.

    A result without an id answers the oldest call without an answer, of its own name where it has one. Ids that were logged
    are never changed; a call may stay unanswered.
    """
    turns = list(messages)
    if not any(call.id is None for turn in turns for call in turn.tool_calls) and all(
        turn.tool_call_id for turn in turns if turn.role == "tool"
    ):
        return tuple(turns)
    open_calls: list[ToolCall] = []
    number = 0
    for at, turn in enumerate(turns):
        named = []
        for call in turn.tool_calls:
            named.append(call if call.id is not None else msgspec.structs.replace(call, id=f"call_{number}"))
            number += 1
        if named:
            turns[at] = msgspec.structs.replace(turn, tool_calls=tuple(named))
            open_calls += named
        elif turn.role == "tool":
            fitting = [
                c for c in open_calls if c.id == turn.tool_call_id or (not turn.tool_call_id and turn.name in (None, c.name))
            ]
            if fitting:
                open_calls.remove(fitting[0])
                turns[at] = msgspec.structs.replace(turn, tool_call_id=fitting[0].id)
    return tuple(turns)
