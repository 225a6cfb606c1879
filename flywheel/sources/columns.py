"""Rows whose columns the user named in `[logs] columns`: one exchange or one conversation a row."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.errors import Rejected
from flywheel.records import Candidate, Feedback, Record
from flywheel.sections import Columns
from flywheel.sources.chat import Exchange, conversation, has_messages, tool_schemas
from flywheel.sources.envelope import to_record
from flywheel.sources.sharegpt import sharegpt_messages
from flywheel.sources.values import decoded, has_keys, items, mapping, moment, scalar, string

__all__ = ["Mapped"]


@dataclass(frozen=True)
class Mapped:
    """The columns of a table, or the keys of a line, as the project names them; other entries are left to other dialects."""

    columns: Columns

    specificity: ClassVar[int] = 100

    def sniff(self, head: bytes) -> bool:
        """The column of the prompt or of the messages."""
        return has_keys(head, self.columns.messages or self.columns.prompt or "")

    def parse(self, entry: Any) -> Iterator[Record]:
        """One record.

        Raises:
            Rejected: `unmapped` without the columns; `no_messages`, or `no_response` where the reply's column is empty.
        """
        row, names = mapping(entry), self.columns
        asked = names.messages or names.prompt or ""
        if asked not in row or (names.reply is not None and names.reply not in row):
            raise Rejected("unmapped")
        try:
            messages = _messages(row.get(asked), chat=names.messages is not None)
            if not messages:
                raise Rejected("no_messages")
            if (system := string(row.get(names.system or ""))) and messages[0].role != "system":
                messages = (*conversation(system, "system"), *messages)
            replies = [messages[:0]]
            if names.reply is not None:
                replies = [_messages(row.get(names.reply), "assistant")]
                if not replies[0]:
                    raise Rejected("no_response")
            if names.rejected is not None and (other := _messages(row.get(names.rejected), "assistant")):
                replies.append(other)
            tools = decoded(row.get(names.tools or ""))
            exchange = Exchange(
                prompt=messages,
                replies=tuple(Candidate(id=f"rejected:{at}" if at else None, messages=said) for at, said in enumerate(replies)),
                model=scalar(row.get(names.model or "")),
                tools=tool_schemas(tools) if tools else (),
            )
            yield to_record(
                exchange,
                {},
                id=scalar(row.get(names.id or "")) or "",
                created_at=moment(row.get(names.created_at or "")),
                session=scalar(row.get(names.session or "")),
                user=scalar(row.get(names.user or "")),
                app=scalar(row.get(names.app or "")),
                feedback=tuple(self._feedback(row, two=len(replies) > 1)),
                tags=tuple(self._tags(row)),
            )
        except RecursionError:
            raise Rejected("too_deep") from None

    def _feedback(self, row: dict[str, Any], *, two: bool) -> Iterator[Feedback]:
        if two:
            yield Feedback(name="winner", value="true")
        for name in self.columns.feedback:
            if value := scalar(row.get(name)):
                yield Feedback(name=name, value=value)
        if self.columns.correction and (text := string(row.get(self.columns.correction))):
            yield Feedback(name="correction", value=text)

    def _tags(self, row: dict[str, Any]) -> Iterator[str]:
        for name in self.columns.tags:
            value = decoded(row.get(name))
            for one in items(value) or [value]:
                if text := scalar(one):
                    yield f"{name}={text}"


def _messages(value: Any, role: str = "user", *, chat: bool = False) -> Any:
    """A cell's messages: a list of messages or turns, an object, or bare text, which is never taken for JSON unless a chat."""
    inner = decoded(value) if chat else value
    if isinstance(inner, list):
        return sharegpt_messages(inner) if has_messages(inner) else ()
    if isinstance(inner, dict):
        return conversation(inner, role)
    text = scalar(inner)
    return conversation([{"role": role, "content": text}]) if text and text.strip() else ()
