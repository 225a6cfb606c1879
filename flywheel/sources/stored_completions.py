"""OpenAI's stored completions, as the API lists them: the answers on one page, the messages that were asked on another.

Source: openai/openai-openapi `openapi.yaml` at f85dbe2 (`ChatCompletionList`, `ChatCompletionMessageList`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.errors import Rejected
from flywheel.records import Record
from flywheel.sources.halves import Half
from flywheel.sources.shapes import read_call
from flywheel.sources.values import first, has_any, has_keys, items, mapping, string

__all__ = ["StoredCompletions"]

_MESSAGE = re.compile(r"(.+)-(\d{1,6})")
_CALLS = ("request", "response", "traceId", "run_type", "call_type", "resourceSpans", "observations", "custom_id")


@dataclass(frozen=True)
class StoredCompletions:
    """A completion is joined with its messages, in whatever order and files the pages come; or within one line.

    A line may also hold both itself: the completion with `messages` (a list or a page) inside of it or beside it. Where a page
    of messages is missing, the conversation would lose turns, and the completion is rejected (`incomplete_request`).
    """

    specificity: ClassVar[int] = 45

    def sniff(self, head: bytes) -> bool:
        """A page of a list, or a completion without its request."""
        if has_any(head, *_CALLS):
            return False
        if has_keys(head, "data", "object") and b'"list"' in head:
            return has_keys(head, "choices") or has_keys(head, "role", "content")
        return b'"chat.completion"' in head and has_keys(head, "choices") and not has_keys(head, "messages")

    def halves(self, entry: Any) -> Iterator[Half]:
        """The completions or the messages of a page; a single completion."""
        row = mapping(entry)
        if _pair(row):
            return
        listed = [mapping(one) for one in items(row.get("data"))] if row.get("object") == "list" else [row]
        pages: dict[str, list[dict[str, Any]]] = {}
        for one in listed:
            if isinstance(one.get("choices"), list) and (key := string(one.get("id"))):
                yield Half(key, True, one)
            elif string(one.get("role")) and (found := _MESSAGE.fullmatch(string(one.get("id")) or "")):
                pages.setdefault(found[1], []).append({**one, "id": int(found[2])})
        for key, messages in pages.items():
            yield Half(key, False, {"messages": messages, "more": row.get("has_more") is True})

    def join(self, requests: list[Any], answer: Any) -> Iterator[Record]:
        """The record of a completion and the pages of its messages.

        Raises:
            Rejected: `no_request`, `incomplete_request`, and as `read_call`.
        """
        if not requests:
            raise Rejected("no_request")
        messages = {one["id"]: one for page in requests for one in page["messages"]}
        last = max(messages)
        whole = any(not page["more"] for page in requests if any(one["id"] == last for one in page["messages"]))
        if not whole or len(messages) != last + 1:
            raise Rejected("incomplete_request")
        return _call([messages[at] for at in sorted(messages)], answer)

    def parse(self, entry: Any) -> Iterator[Record]:
        """The record of a completion with its messages.

        Raises:
            Rejected: `no_request` for completions alone, `no_response` for messages alone, `unmapped`.
        """
        row = mapping(entry)
        if (pair := _pair(row)) is not None:
            return _call(*pair)
        found = list(self.halves(entry))
        if not found:
            raise Rejected("unmapped")
        raise Rejected("no_request" if any(half.is_answer for half in found) else "no_response")


def _pair(row: dict[str, Any]) -> tuple[list[Any], dict[str, Any]] | None:
    completion = mapping(first(row, "completion", "chat_completion"))
    completion = completion or (row if isinstance(row.get("choices"), list) else {})
    said = first(row, "messages", "input_messages") or completion.get("messages")
    messages = items(said) or items(mapping(said).get("data"))
    return (messages, completion) if messages and isinstance(completion.get("choices"), list) else None


def _call(messages: list[Any], completion: dict[str, Any]) -> Iterator[Record]:
    asked = []
    for message in map(mapping, messages):
        kept = {key: value for key, value in message.items() if key not in ("id", "content_parts")}
        asked.append({**kept, "content": message.get("content_parts") or message.get("content")})
    request = {"messages": asked, "tools": completion.get("tools"), "model": completion.get("model")}
    outer = {"metadata": completion.get("metadata"), "user": completion.get("input_user")}
    return read_call({**outer, "request": request, "response": completion})
