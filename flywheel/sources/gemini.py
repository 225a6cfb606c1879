"""Gemini `generateContent`, of Google AI and Vertex, in camelCase or snake_case.

Source: ai.google.dev `v1beta` REST reference (`GenerateContentRequest`, `GenerateContentResponse`), 2025.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.records import Candidate, Record
from flywheel.sources.chat import Exchange, candidate, conversation, tool_schemas, usage
from flywheel.sources.shapes import read_call
from flywheel.sources.values import first, has_keys, items, mapping, moment, scalar, string

__all__ = ["Gemini", "answers", "read"]


@dataclass(frozen=True)
class Gemini:
    """Requests with their responses, streamed or not. Calls have no ids: results are paired by name and order."""

    specificity: ClassVar[int] = 40

    def sniff(self, head: bytes) -> bool:
        """A wrapped call whose request has contents."""
        return has_keys(head, "contents") and has_keys(head, "request")

    def parse(self, entry: Any) -> Iterator[Record]:
        """One record, or a reason why there is none."""
        return read_call(entry)


def answers(response: dict[str, Any]) -> bool:
    """Whether this is a list of candidates."""
    return isinstance(response.get("candidates"), list)


def read(request: Any, response: dict[str, Any]) -> Exchange:
    """The exchange."""
    asked = mapping(request)
    contents = asked.get("contents")
    prompt = conversation(contents if isinstance(contents, list | str) else [contents] if contents else request)
    system = first(asked, "systemInstruction", "system_instruction") or first(mapping(asked.get("config")), "system_instruction")
    if isinstance(system, str | dict):
        said = system if isinstance(system, str) else system.get("parts")
        prompt = (*conversation([{"role": "system", "content": said}]), *prompt)
    return Exchange(
        prompt=prompt,
        replies=tuple(_reply(mapping(one)) for one in items(response.get("candidates"))),
        id=scalar(first(response, "responseId", "response_id")),
        model=string(first(response, "modelVersion", "model_version")) or string(asked.get("model")),
        created_at=moment(first(response, "createTime", "create_time")),
        usage=usage(first(response, "usageMetadata", "usage_metadata")),
        tools=tool_schemas(asked["tools"]) if asked.get("tools") else (),
    )


def _reply(one: dict[str, Any]) -> Candidate:
    content = {"parts": [], **mapping(one.get("content")), "role": "assistant"}
    return candidate(conversation([content]), first(one, "finishReason", "finish_reason"))
