import datetime as dt

import polars as pl

from flywheel.records import (
    SCHEMA,
    Candidate,
    Feedback,
    Message,
    Part,
    Record,
    Source,
    ToolCall,
    Usage,
    derive,
    empty,
    from_batch,
    text_message,
    to_batch,
)

FULL = Record(
    id="a",
    parents=("p",),
    origin="log:openai_chat",
    generation=1,
    source=Source(file="x.jsonl", offset=3, length=9, dialect="openai_chat"),
    created_at=dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC),
    session="s",
    user="u",
    app="app",
    model="m",
    messages=(
        text_message("user", "hi"),
        Message(
            role="assistant",
            content=(Part(text="x"), Part(type="image", url="u", media_type="image/png"), Part(text="y")),
            reasoning="because",
            tool_calls=(ToolCall(id="c", name="f", arguments='{"a":1}'),),
            weight=0.0,
        ),
    ),
    finish_reason="stop",
    usage=Usage(prompt_tokens=3, completion_tokens=4),
    tools=('{"name":"f"}',),
    candidates=(Candidate(id="k", messages=(text_message("assistant", "z"),), finish_reason="stop"),),
    feedback=(Feedback(name="thumb", value="true", at=dt.datetime(2026, 1, 3, tzinfo=dt.UTC)),),
    licenses=("MIT",),
    tags=("k=v",),
    split="train",
)
BARE = Record(id="b")
NO_REPLY = Record(id="c", messages=(text_message("user", "q1"), text_message("assistant", "r"), text_message("user", None)))


def test_records_survive_the_way_to_a_batch_and_back() -> None:
    batch = to_batch([FULL, BARE, NO_REPLY])

    assert from_batch(batch) == [FULL, BARE, NO_REPLY]
    assert batch.columns == SCHEMA.names


def test_derived_columns_equal_the_records_properties() -> None:
    records = [FULL, BARE, NO_REPLY]
    rows = derive(to_batch(records)).to_dicts()

    assert [(row["prompt"], row["reply"], row["text"], row["turns"]) for row in rows] == [
        (record.prompt, record.reply, record.text, record.turns) for record in records
    ]


def test_deriving_twice_changes_nothing() -> None:
    once = derive(to_batch([FULL]))

    assert derive(once).equals(once)
    assert derive(empty()).schema == once.schema


def test_a_child_inherits_lineage_licences_and_split() -> None:
    child = FULL.child(prompt="hello")

    assert (child.parents, child.generation, child.licenses, child.split) == (("a",), 2, ("MIT",), "train")
    assert (child.prompt, child.messages[1]) == ("hello", FULL.messages[1])
    assert child.id == FULL.child(prompt="hello").id != FULL.child(prompt="hello!").id


def test_an_empty_batch_has_the_schema() -> None:
    assert empty().schema == to_batch([FULL]).schema
    assert isinstance(empty(), pl.DataFrame)
