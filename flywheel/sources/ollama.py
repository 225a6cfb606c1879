"""Ollama's own `api/chat` and `api/generate`.

Source: ollama/ollama `docs/api.md`, 2025.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.records import Message, Record
from flywheel.sources.chat import Exchange, candidate, conversation, tool_schemas, usage
from flywheel.sources.shapes import read_call
from flywheel.sources.values import first, has_keys, mapping, moment, string

__all__ = ["Ollama", "answers", "read"]


@dataclass(frozen=True)
class Ollama:
    """Requests with their responses, whole or as JSON lines."""

    specificity: ClassVar[int] = 40

    def sniff(self, head: bytes) -> bool:
        """A wrapped call with Ollama's `done`."""
        return has_keys(head, "request", "done", "created_at") and not has_keys(head, "choices")

    def parse(self, entry: Any) -> Iterator[Record]:
        """One record, or a reason why there is none."""
        return read_call(entry)


def answers(response: dict[str, Any]) -> bool:
    """Whether this is a finished message or text."""
    return "done" in response and (isinstance(response.get("message"), dict) or isinstance(response.get("response"), str))


def read(request: Any, response: dict[str, Any]) -> Exchange:
    """The exchange."""
    asked = mapping(request)
    prompt: tuple[Message, ...] = ()
    if system := string(asked.get("system")):
        prompt = conversation(system, "system")
    prompt += conversation(first(asked, "messages", "prompt") or request)
    told = mapping(response.get("message")) or {"content": response.get("response"), "thinking": response.get("thinking")}
    return Exchange(
        prompt=prompt,
        replies=(candidate(conversation([{**told, "role": "assistant"}]), response.get("done_reason")),),
        model=string(first(response, "model")) or string(asked.get("model")),
        created_at=moment(response.get("created_at")),
        usage=usage({"input": response.get("prompt_eval_count"), "output": response.get("eval_count")}),
        tools=tool_schemas(asked["tools"]) if asked.get("tools") else (),
    )
