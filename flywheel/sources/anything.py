"""An exchange out of an observability tool's `input` and `output`, which are any JSON and often JSON inside a string."""

from typing import Any

from flywheel.errors import Rejected
from flywheel.records import Candidate, Message
from flywheel.sources.chat import Exchange, candidate, conversation, has_messages, tool_schemas
from flywheel.sources.shapes import read_exchange
from flywheel.sources.streams import unstream
from flywheel.sources.values import decoded, first, items, mapping, string

__all__ = ["read_anything"]

_BLOCKS = ("text", "output_text", "thought", "reasoning", "thinking", "tool_call", "tool_use", "raw_text")


def read_anything(asked: Any, told: Any, *, plain_text: bool = True) -> Exchange:
    """What an input and an output say.

    Args:
        asked: a provider's request, a list of messages, or text.
        told: a provider's response, a message or several, tool calls, or text.
        plain_text: whether bare text may be the user's prompt and the assistant's reply.

    Raises:
        Rejected: `no_content` without an input, `no_response` without an output, `plain_text` where bare text is not
            accepted, `unmapped`.
    """
    asked, told = decoded(asked), unstream(decoded(told))
    if asked in (None, "", {}, []):
        raise Rejected("no_content")
    if told in (None, "", {}, []):
        raise Rejected("no_response")
    answer = mapping(told)
    if "choices" in answer or "candidates" in answer or "stop_reason" in answer or answer.get("object") == "response":
        return read_exchange(asked, told)
    prompt, tools = _prompt(asked, plain_text)
    return Exchange(prompt=prompt, replies=_replies(told, plain_text), tools=tools)


def _prompt(asked: Any, plain_text: bool) -> tuple[tuple[Message, ...], tuple[str, ...]]:
    source = mapping(asked)
    turns = asked
    if source:
        turns = decoded(first(source, "messages", "input", "contents", "chat_history", "prompt", "question", "query", "value"))
        if isinstance(turns, dict):
            turns = first(turns, "messages") or [turns]
    if isinstance(turns, str):
        if not plain_text:
            raise Rejected("plain_text")
        turns = [{"role": "user", "content": turns}]
    if not has_messages(turns):
        raise Rejected("unmapped")
    turns, offered = _split_tools(turns[0] if isinstance(turns[0], list) else turns)
    system = decoded(first(source, "system", "instructions", "systemInstruction", "system_instruction"))
    said = mapping(system).get("parts", system)
    before = conversation([{"role": "system", "content": said}]) if said and isinstance(said, str | list) else ()
    tools = first(source, "tools", "functions")
    return (*before, *conversation(turns)), tool_schemas(tools or offered) if tools or offered else ()


def _split_tools(turns: list[Any]) -> tuple[list[Any], list[Any]]:
    """LangChain through Langfuse logs the tools on offer as messages of the tool role."""
    offered = [mapping(turn).get("content") for turn in turns if _is_offer(turn)]
    return [turn for turn in turns if not _is_offer(turn)], offered


def _is_offer(turn: Any) -> bool:
    content = mapping(mapping(turn).get("content"))
    return mapping(turn).get("role") == "tool" and content.get("type") == "function" and "function" in content


def _replies(told: Any, plain_text: bool) -> tuple[Candidate, ...]:
    if isinstance(told, str):
        if not plain_text:
            raise Rejected("plain_text")
        return (candidate(conversation(told, "assistant")),)
    answer = mapping(told)
    inner = decoded(first(answer, "messages", "output", "message", "generations", "content", "completion", "text", "answer"))
    if answer and not isinstance(first(answer, "role", "type"), str):
        if isinstance(inner, str):
            return _replies(inner, plain_text)
        if isinstance(inner, dict) and not mapping(answer.get("message")):
            return _replies(inner, plain_text)
        told = inner if isinstance(inner, list) else told
    if isinstance(told, list):
        return _listed(told, plain_text)
    message = mapping(answer.get("message")) or answer
    if not message or not ({"role", "type", "content", "parts", "tool_calls", "kwargs"} & set(message)):
        raise Rejected("unmapped")
    return (candidate(conversation([{**message, **_as_assistant(message)}]), first(answer, "finish_reason", "finishReason")),)


def _listed(told: list[Any], plain_text: bool) -> tuple[Candidate, ...]:
    """Several outputs: LangChain generations, bare tool calls, or messages of one turn."""
    if told and isinstance(told[0], list):
        told = told[0]
    if all(string(mapping(one).get("toolName")) or "toolCallId" in mapping(one) for one in told):
        return (candidate(conversation([{"role": "assistant", "tool_calls": told}]), "tool_calls"),)
    if told and isinstance(mapping(told[0]).get("message"), dict):  # LangChain generations are choices
        return tuple(reply for one in items(told) for reply in _replies(mapping(one)["message"], plain_text))
    if told and all(mapping(one).get("type") in _BLOCKS and "role" not in mapping(one) for one in told):
        return (candidate(conversation([{"role": "assistant", "content": told}]), None),)
    if not has_messages(told):
        raise Rejected("unmapped")
    said = [message for message in conversation(told, "assistant") if message.role in ("assistant", "tool")]
    if not said or said[-1].role != "assistant":
        raise Rejected("unmapped")
    return (candidate(said, mapping(told[-1]).get("finish_reason")),)


def _as_assistant(message: dict[str, Any]) -> dict[str, Any]:
    return {} if "kwargs" in message else {"role": "assistant"}
