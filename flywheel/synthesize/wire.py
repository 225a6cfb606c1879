"""Messages and tools as an OpenAI-compatible endpoint takes them."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from flywheel.records import Message, Part
from flywheel.synthesize.faults import ModelFailed

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def wire_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The `messages` of a request. Reasoning and weights stay behind.

    Raises:
        ModelFailed: `unsupported_part`, for audio and files, which endpoints take in too many ways.
    """
    return [_message(message) for message in messages]


def _message(message: Message) -> dict[str, Any]:
    row: dict[str, Any] = {"role": message.role, "content": _content(message)}
    if message.tool_calls:
        row["content"] = row["content"] or None
        row["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.role == "tool":
        row["tool_call_id"] = message.tool_call_id
    elif message.name and _NAME.fullmatch(message.name):
        row["name"] = message.name
    return row


def _content(message: Message) -> str | list[dict[str, Any]]:
    if all(part.type in ("text", "refusal") for part in message.content):
        return message.text
    return [_part(part) for part in message.content]


def _part(part: Part) -> dict[str, Any]:
    if part.type == "image":
        return {"type": "image_url", "image_url": {"url": part.url}}
    if part.type not in ("text", "refusal"):
        raise ModelFailed("unsupported_part")
    return {"type": "text", "text": part.text or ""}


def wire_tools(tools: Sequence[str]) -> list[dict[str, Any]]:
    """The `tools` of a request, from those of a record.

    Raises:
        ModelFailed: `bad_tool`: one is no JSON object.
    """
    try:
        return [{"type": "function", "function": msgspec.json.decode(tool, type=dict)} for tool in tools]
    except (msgspec.DecodeError, RecursionError):
        raise ModelFailed("bad_tool") from None
