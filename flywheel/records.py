"""The one schema that every table of records has, the in-memory `Record`, and the batch between them.

A *record* is one conversation that ends, where there is an answer, with the assistant's reply. A *batch* is a polars
DataFrame with the columns of `SCHEMA`, in its order, followed by any derived columns (`derive`). Stages and plugins exchange
batches; dialects and synthesizers, which work one conversation at a time, build `Record`s.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import polars as pl
import xxhash

from flywheel.columnar import table_of
from flywheel.schema import SCHEMA

__all__ = [
    "DERIVED",
    "LOGGED_ID",
    "SCHEMA",
    "Candidate",
    "Feedback",
    "Message",
    "Part",
    "Record",
    "Source",
    "ToolCall",
    "Usage",
    "derive",
    "digest",
    "empty",
    "from_batch",
    "text_message",
    "to_batch",
]

LOGGED_ID = "logged_id="  # a tag: the log's id, where another record of the day has it
DERIVED = ("prompt", "reply", "text", "turns")


class Part(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One piece of a message's content.

    `type` is `text`, `image`, `audio`, `file` or `refusal`; text and refusals carry `text`, the others carry `url`
    (a reference, or a `data:` URL as logged) and `media_type`.
    """

    type: str = "text"
    text: str | None = None
    url: str | None = None
    media_type: str | None = None


class ToolCall(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A call that the assistant asks for. `arguments` is JSON text as the model wrote it: it may be invalid."""

    id: str | None = None
    name: str
    arguments: str = "{}"


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One turn. `role` is `system`, `developer`, `user`, `assistant` or `tool`; `weight` 0 keeps it out of the training loss."""

    role: str
    content: tuple[Part, ...] = ()
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    weight: float | None = None

    @property
    def text(self) -> str:
        """The text parts joined by newlines; empty when there are none. Refusals count as text."""
        return "\n".join(part.text for part in self.content if part.text)


def text_message(role: str, text: str | None, **rest: Any) -> Message:
    """A message with one text part, or with none when `text` is None or empty."""
    return Message(role=role, content=(Part(text=text),) if text else (), **rest)


class Candidate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Another answer to the same prompt: a second choice, a regenerated or an edited reply."""

    id: str | None = None
    messages: tuple[Message, ...] = ()
    finish_reason: str | None = None


class Feedback(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What somebody thought of the reply. `value` is the logged scalar as text (`true`, `0.8`, `good`)."""

    name: str
    value: str | None = None
    comment: str | None = None
    by: str | None = None
    at: dt.datetime | None = None


class Source(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where a record was read: URI of the file, byte offset and length of the entry in the decompressed stream, dialect."""

    file: str | None = None
    offset: int | None = None
    length: int | None = None
    dialect: str | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Tokens as the provider counted them."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One conversation with its lineage. Fields are the columns of `SCHEMA`, documented there."""

    id: str
    parents: tuple[str, ...] = ()
    origin: str = "log"
    generation: int = 0
    source: Source | None = None
    created_at: dt.datetime | None = None
    session: str | None = None
    user: str | None = None
    app: str | None = None
    model: str | None = None
    messages: tuple[Message, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    tools: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    feedback: tuple[Feedback, ...] = ()
    licenses: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    split: str | None = None

    @property
    def prompt(self) -> str:
        """Text of the last user message; empty when there is none."""
        return next((m.text for m in reversed(self.messages) if m.role == "user"), "")

    @property
    def reply(self) -> str:
        """Text of the last message when the assistant wrote it, else empty."""
        return self.messages[-1].text if self.messages and self.messages[-1].role == "assistant" else ""

    @property
    def text(self) -> str:
        """All messages' text in order, joined by blank lines."""
        return "\n\n".join(text for m in self.messages if (text := m.text))

    @property
    def turns(self) -> int:
        """Number of user messages."""
        return sum(m.role == "user" for m in self.messages)

    def child(
        self,
        *,
        prompt: str | None = None,
        reply: str | None = None,
        messages: Sequence[Message] | None = None,
        tags: Sequence[str] = (),
    ) -> "Record":
        """A synthetic record made from this one.

        `prompt` replaces the text of the last user message, whose images and files stay; `reply` that of the final assistant
        message (appended when there is none); `messages` replaces the whole conversation first. The child inherits licences,
        tags, user, app and split, counts one generation more, and its id follows from its parent and its content, so the same
        child made twice is one record. Source, model, candidates, feedback and usage belong to the parent alone.
        """
        turns = list(self.messages if messages is None else messages)
        if prompt is not None:
            last = max((i for i, m in enumerate(turns) if m.role == "user"), default=None)
            if last is None:
                raise ValueError(f"record {self.id} has no user message whose prompt could be replaced")
            others = tuple(part for part in turns[last].content if part.type != "text")
            turns[last] = msgspec.structs.replace(turns[last], content=(Part(text=prompt), *others))
        if reply is not None:
            answer = text_message("assistant", reply)
            if turns and turns[-1].role == "assistant":
                turns[-1] = msgspec.structs.replace(turns[-1], content=answer.content)
            else:
                turns.append(answer)
        return Record(
            id=digest(b"child", self.id.encode(), msgspec.json.encode(turns)),
            parents=(self.id,),
            origin="synthetic",
            generation=self.generation + 1,
            created_at=self.created_at,
            session=self.session,
            user=self.user,
            app=self.app,
            messages=tuple(turns),
            tools=self.tools,
            licenses=self.licenses,
            tags=(*self.tags, *tags),
            split=self.split,
        )


def digest(*parts: bytes) -> str:
    """A 128-bit id of length-prefixed parts, 32 hexadecimal characters. Not for secrets: it has no key."""
    state = xxhash.xxh3_128()
    for part in parts:
        state.update(len(part).to_bytes(8, "little"))
        state.update(part)
    return state.hexdigest()


def to_batch(records: Iterable[Record]) -> pl.DataFrame:
    """Records as a batch, in the given order.

    Raises:
        AttributeError, TypeError, ValueError, OverflowError, pyarrow.ArrowException: as `flywheel.columnar.table_of`.
    """
    frame = pl.from_arrow(table_of(list(records), SCHEMA))
    assert isinstance(frame, pl.DataFrame)
    return frame


def from_batch(batch: pl.DataFrame) -> list[Record]:
    """The batch's rows as records. Derived and partition columns are left out."""
    return msgspec.convert(batch.select(SCHEMA.names).to_dicts(), list[Record])


def empty() -> pl.DataFrame:
    """A batch of no rows."""
    frame = pl.from_arrow(SCHEMA.empty_table())
    assert isinstance(frame, pl.DataFrame)
    return frame


def derive(batch: pl.DataFrame) -> pl.DataFrame:
    """Add the columns that filters see: `prompt`, `reply`, `text` (strings, never null) and `turns` (UInt32).

    They equal the `Record` properties of the same names.
    """
    flat = (
        batch.lazy()
        .select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"), "messages")
        .explode("messages", empty_as_null=False, keep_nulls=False)
        .with_columns(
            role=pl.col("messages").struct.field("role"),
            said=pl.col("messages")
            .struct.field("content")
            .list.eval(pl.element().struct.field("text").filter(pl.element().struct.field("text").str.len_bytes() > 0))
            .list.join("\n")
            .fill_null(""),
        )
        .group_by("row", maintain_order=True)
        .agg(
            prompt=pl.col("said").filter(pl.col("role") == "user").last(),
            reply=pl.when(pl.col("role").last() == "assistant").then(pl.col("said").last()),
            text=pl.col("said").filter(pl.col("said") != "").str.join("\n\n"),
            turns=(pl.col("role") == "user").sum().cast(pl.UInt32),
        )
    )
    rows = pl.LazyFrame({"row": pl.int_range(batch.height, dtype=pl.UInt32, eager=True)})
    derived = rows.join(flat, on="row", how="left", maintain_order="left").select(
        pl.col("prompt", "reply", "text").fill_null(""), pl.col("turns").fill_null(0)
    )
    return batch.drop(DERIVED, strict=False).hstack(derived.collect())
