"""Anthropic Messages API, also through Bedrock and Vertex.

Source: anthropic-sdk-python `src/anthropic/types` at 009b035.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.records import Record
from flywheel.sources.chat import Exchange, candidate, conversation, tool_schemas, usage
from flywheel.sources.shapes import read_call
from flywheel.sources.values import has_keys, mapping, scalar, string

__all__ = ["Anthropic", "answers", "read"]


@dataclass(frozen=True)
class Anthropic:
    """Messages requests with their responses, streamed or not. Each `tool_result` block becomes a `tool` message."""

    specificity: ClassVar[int] = 40

    def sniff(self, head: bytes) -> bool:
        """A wrapped message: its stop reason or stream events beside a request."""
        told = has_keys(head, "stop_reason", "content") or b'"message_start"' in head
        return told and has_keys(head, "request") and not has_keys(head, "choices")

    def parse(self, entry: Any) -> Iterator[Record]:
        """One record, or a reason why there is none."""
        return read_call(entry)


def answers(response: dict[str, Any]) -> bool:
    """Whether this is a message."""
    content = isinstance(response.get("content"), list)
    return (content and "stop_reason" in response) or (response.get("type") == "message" and content)


def read(request: Any, response: dict[str, Any]) -> Exchange:
    """The exchange."""
    asked = mapping(request)
    prompt = conversation(asked["messages"]) if "messages" in asked else conversation(asked.get("prompt") or request)
    system = conversation([{"role": "system", "content": asked["system"]}]) if asked.get("system") else ()
    return Exchange(
        prompt=(*system, *prompt),
        replies=(candidate(conversation([{"role": "assistant", "content": response["content"]}]), response.get("stop_reason")),),
        id=scalar(response.get("id")),
        model=string(response.get("model")) or string(asked.get("model")),
        usage=usage(response.get("usage")),
        tools=tool_schemas(asked.get("tools")) if asked.get("tools") else (),
    )
