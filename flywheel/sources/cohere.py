"""Cohere Chat, versions 1 and 2.

Source: docs.cohere.com API reference, `v1/chat` and `v2/chat`, 2025.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.records import Message, Record
from flywheel.sources.chat import Exchange, candidate, conversation, tool_schemas, usage
from flywheel.sources.shapes import read_call
from flywheel.sources.values import has_keys, items, json_text, mapping, scalar, string

__all__ = ["Cohere", "answers", "read"]


@dataclass(frozen=True)
class Cohere:
    """Chat requests with their responses, streamed or not. Version 1's `preamble` becomes the system message."""

    specificity: ClassVar[int] = 40

    def sniff(self, head: bytes) -> bool:
        """A wrapped call with Cohere's generation id or stream events."""
        told = has_keys(head, "generation_id") or has_keys(head, "event_type", "is_finished") or b'"message-start"' in head
        return has_keys(head, "request") and (told or has_keys(head, "tool_plan") or has_keys(head, "billed_units"))

    def parse(self, entry: Any) -> Iterator[Record]:
        """One record, or a reason why there is none."""
        return read_call(entry)


def answers(response: dict[str, Any]) -> bool:
    """Whether this is a version 1 text or a version 2 message."""
    if isinstance(response.get("text"), str) and {"generation_id", "response_id", "chat_history"} & set(response):
        return True
    return isinstance(response.get("message"), dict) and "finish_reason" in response


def read(request: Any, response: dict[str, Any]) -> Exchange:
    """The exchange."""
    asked = mapping(request)
    if isinstance(response.get("message"), dict):
        prompt = conversation(asked.get("messages") or request)
        reply = conversation([{**response["message"], "role": "assistant"}])
    else:
        prompt = _version_1(asked)
        reply = conversation([{"role": "assistant", "content": response["text"], "tool_calls": response.get("tool_calls")}])
    spent = mapping(response.get("usage")) or mapping(response.get("meta"))
    return Exchange(
        prompt=prompt,
        replies=(candidate(reply, response.get("finish_reason")),),
        id=scalar(response.get("id")) or scalar(response.get("generation_id")),
        model=string(asked.get("model")),
        usage=usage(spent),
        tools=tool_schemas(asked["tools"]) if asked.get("tools") else (),
    )


def _version_1(asked: dict[str, Any]) -> tuple[Message, ...]:
    turns: list[dict[str, Any]] = []
    if preamble := string(asked.get("preamble")):
        turns.append({"role": "system", "content": preamble})
    for turn in map(mapping, items(asked.get("chat_history"))):
        turns += _results(turn) if turn.get("tool_results") else [turn]
    if message := string(asked.get("message")):
        turns.append({"role": "user", "content": message})
    return conversation([*turns, *_results(asked)])


def _results(turn: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"role": "tool", "name": mapping(one.get("call")).get("name"), "content": json_text(one.get("outputs"))}
        for one in map(mapping, items(turn.get("tool_results")))
    ]
