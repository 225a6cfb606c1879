"""Messages and tools as TRL and chat templates read them, and their column types for `datasets`."""

from typing import Any, Literal

import msgspec

from flywheel.errors import Rejected
from flywheel.format import chat
from flywheel.format.tools import functions
from flywheel.records import Message, Record

Reasoning = Literal["drop", "inline", "thinking", "reasoning_content"]
Arguments = Literal["object", "text"]


def message(turn: Message, *, reasoning: Reasoning, arguments: Arguments) -> dict[str, Any]:
    """One message. `content` is always there and text, empty where there are only calls; other keys where they say something.

    Raises:
        Rejected: the reasons of `chat.content`; `number_too_large` for arguments as objects with an integer beyond 64 bits,
            at which `datasets` refuses the whole file.
    """
    text = chat.content(turn, images="reject")
    assert isinstance(text, str)  # only kept images make parts
    row: dict[str, Any] = {"role": turn.role, "content": text}
    if turn.reasoning and turn.role == "assistant" and reasoning != "drop":
        if reasoning == "inline":
            row["content"] = chat.with_reasoning(turn.reasoning, text)
        else:
            row[reasoning] = turn.reasoning
    if turn.name:
        row["name"] = turn.name
    if turn.role == "tool":
        row["tool_call_id"] = turn.tool_call_id
    if turn.tool_calls:
        row["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": call.arguments if arguments == "text" else _object(call.arguments),
                },
            }
            for call in turn.tool_calls
        ]
    return row


def _object(arguments: str) -> Any:
    value = msgspec.json.decode(arguments)
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            stack.extend(one.values())
        elif isinstance(one, list):
            stack.extend(one)
        elif isinstance(one, int) and not -(2**63) <= one < 2**63:
            raise Rejected("number_too_large")
    return value


def tools(record: Record) -> str:
    """The tools on offer as the JSON text of a list, which TRL decodes; `[]` when there are none.

    Raises:
        Rejected: the reasons of `tools.functions`.
    """
    return msgspec.json.encode(functions(record, tool_name=chat.ANY_NAME)).decode()


def turns(name: str, reasoning: Reasoning, arguments: Arguments) -> dict[str, Any]:
    """The type of a column of messages, as the `features` of a dataset card write it."""
    extra = [reasoning] if reasoning in ("thinking", "reasoning_content") else []
    text = [{"name": key, "dtype": "string"} for key in ("role", "content", *extra, "name", "tool_call_id")]
    function = [
        {"name": "name", "dtype": "string"},
        {"name": "arguments", "dtype": "string" if arguments == "text" else "json"},
    ]
    call = [
        {"name": "id", "dtype": "string"},
        {"name": "type", "dtype": "string"},
        {"name": "function", "struct": function},
    ]
    return {"name": name, "list": [*text, {"name": "tool_calls", "list": call}]}
