"""The Arrow schema of a record, column by column. Every table of records has it; lineage needs nothing else."""

from typing import Any

import pyarrow as pa


def column(name: str, kind: pa.DataType, meaning: str) -> "pa.Field[Any]":
    """A column with its meaning, kept in the schema as a comment."""
    return pa.field(name, kind, metadata={"comment": meaning})


PART = pa.struct([("type", pa.string()), ("text", pa.string()), ("url", pa.string()), ("media_type", pa.string())])
TOOL_CALL = pa.struct([("id", pa.string()), ("name", pa.string()), ("arguments", pa.string())])
MESSAGE = pa.struct(
    [
        ("role", pa.string()),
        ("content", pa.list_(PART)),
        ("reasoning", pa.string()),
        ("tool_calls", pa.list_(TOOL_CALL)),
        ("tool_call_id", pa.string()),
        ("name", pa.string()),
        ("weight", pa.float32()),
    ]
)
CANDIDATE = pa.struct([("id", pa.string()), ("messages", pa.list_(MESSAGE)), ("finish_reason", pa.string())])
FEEDBACK = pa.struct(
    [
        ("name", pa.string()),
        ("value", pa.string()),
        ("comment", pa.string()),
        ("by", pa.string()),
        ("at", pa.timestamp("us", "UTC")),
    ]
)
SOURCE = pa.struct([("file", pa.string()), ("offset", pa.int64()), ("length", pa.int64()), ("dialect", pa.string())])
USAGE = pa.struct([("prompt_tokens", pa.int64()), ("completion_tokens", pa.int64())])

SCHEMA = pa.schema(
    [
        column("id", pa.string(), "stable: from the log's own request or span id, else from the entry's bytes"),
        column("parents", pa.list_(pa.string()), "ids of the records that this one was made from"),
        column("origin", pa.string(), "`log:DIALECT`, `public:NAME` or `synthetic:NAME`"),
        column("generation", pa.int16(), "0 for logs, 1 + the deepest parent's for synthetic records"),
        column("source", SOURCE, "file URI, byte offset and length in the decompressed stream, dialect"),
        column("created_at", pa.timestamp("us", "UTC"), "when the reply was requested, as logged"),
        column("session", pa.string(), "the log's conversation, thread or trace id"),
        column("user", pa.string(), "keyed HMAC of the log's user id, never the raw id"),
        column("app", pa.string(), "the application, workload or service that wrote the log"),
        column("model", pa.string(), "the model that answered"),
        column("messages", pa.list_(MESSAGE), "the conversation in order, the reply last"),
        column("finish_reason", pa.string(), "`stop`, `length`, `tool_calls`, `content_filter`, `error` or as logged"),
        column("usage", USAGE, "tokens as the provider counted them"),
        column("tools", pa.list_(pa.string()), "tools on offer, each JSON of {name, description, parameters}"),
        column("candidates", pa.list_(CANDIDATE), "other answers to the same prompt"),
        column("feedback", pa.list_(FEEDBACK), "what people or judges said of the reply"),
        column("licenses", pa.list_(pa.string()), "SPDX ids or names of the licences that bind the row"),
        column("tags", pa.list_(pa.string()), "free labels; metadata pairs are `key=value`"),
        column("split", pa.string(), "`train`, `validation` or `test` once assigned"),
    ]
)


def without_column(schema: pa.Schema, name: str) -> pa.Schema:
    """The schema less one column, which a partition supplies."""
    return schema.remove(schema.get_field_index(name))
