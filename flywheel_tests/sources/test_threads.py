import datetime as dt
import random
from typing import Any

import msgspec
import polars as pl

from flywheel.ledger import EXITS
from flywheel.records import Candidate, Feedback, Message, Record, ToolCall, from_batch, text_message, to_batch
from flywheel.sources.threads import stitch


def record(id: str, *texts: str, at: int | None = None, session: str | None = "s", **rest: Any) -> Record:
    """Turns alternate between user and assistant."""
    messages = tuple(text_message("assistant" if number % 2 else "user", text) for number, text in enumerate(texts))
    when = None if at is None else dt.datetime(2026, 1, 1, 0, at, tzinfo=dt.UTC)
    return Record(id=id, messages=messages, created_at=when, session=session, **rest)


def stitched(*records: Record) -> tuple[dict[str, Record], list[tuple[str, str, str]]]:
    """The records that stay, by id, and (id, reason, into) of the others."""
    kept, exits = stitch(to_batch(records))
    assert kept.height + exits.height == len(records)
    assert exits.columns == EXITS.names
    assert set(exits["into"]) <= set(kept["id"])
    assert set(exits["outcome"]) <= {"merged"}
    for _ in range(3):
        shuffled = random.sample(records, len(records))
        again = stitch(to_batch(shuffled))
        assert again.kept.equals(kept)
        assert again.exits.equals(exits)
    return {row.id: row for row in from_batch(kept)}, exits.select("id", "reason", "into").rows()


def test_ten_overlapping_turns_become_one_thread() -> None:
    texts = [f"text {number}" for number in range(20)]
    rows = [record(f"r{turn}", *texts[: 2 * turn], at=turn) for turn in range(1, 11)]

    kept, exits = stitched(*rows)

    assert kept == {"r10": rows[-1]}
    assert exits == sorted((f"r{turn}", "prefix_of", "r10") for turn in range(1, 10))


def test_a_row_that_was_updated_is_one_record_with_the_feedback_of_all_its_versions() -> None:
    good, bad = Feedback(name="thumb", value="up"), Feedback(name="tone", value="rude")
    kept, exits = stitched(
        record("x", "hi", "hello", at=1, session="one", feedback=(bad,)),
        record("v1", "hi", "hello", at=0, session="two", tags=("logged_id=x",), feedback=(good, bad)),
        record("v2", "hi", "good day", at=2, tags=("logged_id=x",)),
        record("z", "hi", "hello", at=3, tags=("other",), feedback=(good,)),
    )

    assert set(kept) == {"x", "v2", "z"} - {exit[0] for exit in exits}
    assert kept["x"].feedback == (bad, good)
    assert ("v1", "same_id", "x") in exits


def test_versions_of_a_row_that_another_continues_end_in_that_one() -> None:
    good = Feedback(name="thumb", value="up")
    kept, exits = stitched(
        record("x", "hi", "hello", at=1),
        record("v1", "hi", "hello", at=1, tags=("logged_id=x",), feedback=(good,)),
        record("v2", "hi", "hello", "more", "yes", at=2, tags=("logged_id=x",)),
    )

    assert exits == [("v1", "same_id", "v2"), ("x", "prefix_of", "v2")]
    assert [said.name for said in kept["v2"].feedback] == ["thumb@x"]


def test_another_session_with_the_same_words_is_another_conversation() -> None:
    kept, exits = stitched(
        record("a", "hi", "hello", session="one"),
        record("b", "hi", "hello", "more", "yes", session="two"),
        record("c", "hi", "hello"),
    )

    assert len(kept) == 3
    assert exits == []


def test_without_a_session_the_same_user_and_a_reply_in_common_are_needed() -> None:
    kept, exits = stitched(
        record("a", "hi", "hello", session=None, user="kim"),
        record("b", "hi", "hello", "more", "yes", session=None, user="kim"),
        record("c", "hi", "hello", session=None, user="lee"),
        record("d", "hi", session=None, user="kim"),
        record("e", "hi", "hello", session=None),
        record("f", "hi", "hello", "more", "no", session=None),
    )

    assert exits == [("a", "prefix_of", "b"), ("e", "prefix_of", "f")]
    assert set(kept) == {"b", "c", "d", "f"}


def test_a_request_without_a_reply_begins_its_session() -> None:
    _, exits = stitched(record("failed", "hi"), record("retried", "hi", "hello"))

    assert exits == [("failed", "prefix_of", "retried")]


def test_an_edited_question_is_a_branch_and_both_stay() -> None:
    kept, exits = stitched(
        record("a", "hi", "hello", at=1),
        record("b", "hi", "hello", "why?", "so", at=2),
        record("c", "hi", "hello", "how?", "thus", at=3),
    )

    assert set(kept) == {"b", "c"}
    assert exits == [("a", "prefix_of", "c")]  # of equally long ones the newest


def test_a_regenerated_answer_becomes_a_candidate_of_the_newest_oldest_first() -> None:
    kept, exits = stitched(
        record("third", "q", "C", at=3),
        record("first", "q", "A", at=1, finish_reason="length"),
        record("again", "q", "A", at=2, candidates=(Candidate(id="choice", messages=(text_message("assistant", "D"),)),)),
        record("unknown", "q", "B"),
    )

    assert [(c.id, c.messages[0].text, c.finish_reason) for c in kept["third"].candidates] == [
        ("unknown", "B", None),
        ("first", "A", "length"),
        ("choice", "D", None),
    ]
    assert exits == [(id, "regenerated", "third") for id in ("again", "first", "unknown")]


def test_the_answer_that_the_conversation_went_on_from_is_the_one_that_stays() -> None:
    kept, exits = stitched(
        record("one", "q", "A", at=1), record("two", "q", "B", at=2), record("next", "q", "A", "thanks", "welcome", at=3)
    )

    assert set(kept) == {"one", "next"}
    assert [c.id for c in kept["one"].candidates] == ["two"]
    assert exits == [("two", "regenerated", "one")]


def test_feedback_of_merged_records_is_kept_under_the_id_that_it_judges() -> None:
    bad, good = Feedback(name="thumb", value="false"), Feedback(name="thumb", value="true", comment="yes")

    kept, _ = stitched(
        record("turn", "q", "A", at=1, feedback=(bad,)),
        record("old", "q", "A", "r", "B", at=2, feedback=(bad,)),
        record("new", "q", "A", "r", "C", at=3, feedback=(good,)),
    )

    assert [(said.name, said.value) for said in kept["new"].feedback] == [
        ("thumb", "true"),
        ("thumb@turn", "false"),
        ("thumb@old", "false"),
    ]
    assert kept["new"].parents == ()


def test_a_turn_that_goes_into_a_regenerated_answer_ends_at_what_stays() -> None:
    _, exits = stitched(
        record("turn", "q", "A", at=1), record("late", "q", "A", "r", "B", at=9), record("on", "q", "A", "r", "C", at=3),
        record("end", "q", "A", "r", "C", "s", "D", at=4),
    )  # fmt: skip

    assert exits == [("late", "regenerated", "on"), ("turn", "prefix_of", "end")]


def test_equal_conversations_under_two_ids_both_stay() -> None:
    kept, exits = stitched(record("a", "q", "A", at=1), record("b", "q", "A", at=2))

    assert set(kept) == {"a", "b"}
    assert exits == []


def test_reasoning_that_the_history_leaves_out_does_not_matter_but_tool_calls_do() -> None:
    call = Message(role="assistant", reasoning="think", tool_calls=(ToolCall(id="1", name="f"),))
    other = Message(role="assistant", tool_calls=(ToolCall(id="1", name="g"),))
    result = Message(role="tool", tool_call_id="1", content=text_message("tool", "42").content)
    ask = text_message("user", "q")
    base = Record(id="a", session="s", messages=(ask, call))

    kept, exits = stitched(
        base,
        msgspec.structs.replace(base, id="b", messages=(ask, msgspec.structs.replace(call, reasoning=None), result)),
        msgspec.structs.replace(base, id="c", session="t"),
        msgspec.structs.replace(base, id="d", session="t", messages=(ask, other, result)),
    )

    assert exits == [("a", "prefix_of", "b")]
    assert set(kept) == {"b", "c", "d"}


def test_rows_come_oldest_first_and_derived_columns_are_left_out() -> None:
    batch = to_batch([record("b", "x", session="1"), record("c", "y", at=1, session="2"), record("a", "z", session="3")])

    kept, _ = stitch(batch.with_columns(day=pl.lit("2026-01-01")))

    assert kept["id"].to_list() == ["c", "a", "b"]
    assert kept.columns == batch.columns


def test_nothing_is_stitched_from_nothing() -> None:
    kept, exits = stitch(to_batch([]))

    assert (kept.height, exits.height) == (0, 0)
    assert kept.schema == to_batch([]).schema
