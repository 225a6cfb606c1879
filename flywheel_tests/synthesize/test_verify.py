"""What verification lets through, and what it stops."""

from typing import Any

import msgspec
import polars as pl
import pytest

from flywheel.records import Message, Record, ToolCall, empty, from_batch, text_message, to_batch
from flywheel.synthesize.verify import verify
from flywheel_tests.synthesize.conversations import chat

SEED = chat(tools=('{"name": "weather", "parameters": {}}', "not even JSON"))


def reasons(*children: Record, **limits: Any) -> list[tuple[str, str | None]]:
    outcome = verify(to_batch(children), to_batch([SEED]), **limits)
    assert outcome.kept.height + outcome.exits.height == len(children)
    return list(outcome.exits.select("reason", "into").iter_rows())


def calling(name: str, arguments: str) -> Record:
    call = Message(role="assistant", tool_calls=(ToolCall(id="t", name=name, arguments=arguments),))
    return SEED.child(messages=[text_message("user", "Weather?"), call])


def test_sound_children_pass_in_order() -> None:
    children = [SEED.child(prompt="How can I reset it?"), SEED.child(reply="Click."), calling("weather", '{"city": "Oslo"}')]

    outcome = verify(to_batch(children), to_batch([SEED]))

    assert from_batch(outcome.kept) == children
    assert outcome.exits.height == 0


@pytest.mark.parametrize(
    ("child", "reason"),
    [
        (msgspec.structs.replace(SEED.child(reply="x"), messages=()), "no_messages"),
        (SEED.child(messages=[text_message("user", "Well?")]), "no_reply"),
        (SEED.child(reply=" \n"), "no_reply"),
        (SEED.child(prompt="  "), "no_prompt"),
        (SEED.child(messages=[text_message("assistant", "Hello.")]), "no_prompt"),
        (calling("weather", '{"city": "Oslo"'), "bad_tool_arguments"),
        (calling("weather", '["Oslo"]'), "bad_tool_arguments"),
        (calling("wether", "{}"), "undeclared_tool"),
    ],
)
def test_a_malformed_child_is_stopped_with_its_reason(child: Record, reason: str) -> None:
    assert reasons(child) == [(reason, None)]


def test_a_child_that_repeats_its_seed_is_stopped() -> None:
    assert reasons(SEED.child(), SEED.child(prompt="  How do I\nreset my password?")) == [("same_as_seed", "s1")] * 2


def test_reasoning_before_the_same_reply_makes_a_difference() -> None:
    prompt, reply = SEED.messages
    thoughtful = (
        SEED.child(messages=[prompt, msgspec.structs.replace(reply, reasoning=text)]) for text in ("So.", "Or so.", "So.")
    )

    assert [reason for reason, _ in reasons(*thoughtful)] == ["duplicate"]


def test_a_child_that_repeats_an_earlier_one_is_stopped_and_names_it() -> None:
    first, again = SEED.child(prompt="Reset how?"), SEED.child(prompt="Reset   how? ")

    assert reasons(first, again) == [("duplicate", first.id)]


def test_case_and_punctuation_make_a_difference() -> None:
    assert reasons(SEED.child(prompt=SEED.prompt.lower()), SEED.child(prompt=SEED.prompt.rstrip("?"))) == []


def test_duplicates_are_found_across_batches_that_share_what_was_seen() -> None:
    seen: dict[str, str] = {}
    first, again = SEED.child(prompt="Reset how?"), SEED.child(prompt="Reset how? ")

    assert reasons(first, seen=seen) == []
    assert reasons(again, seen=seen) == [("duplicate", first.id)]


def test_a_child_whose_seed_is_not_there_is_stopped() -> None:
    assert reasons(chat(id="other").child(reply="x")) == [("no_seed", None)]


def test_lengths_outside_the_limits_are_stopped() -> None:
    long, short = SEED.child(prompt="x" * 50), SEED.child(prompt="y", reply="z")

    assert reasons(long, short, shortest=10, longest=50) == [("length", None)] * 2


def test_nothing_in_is_nothing_out() -> None:
    outcome = verify(empty(), empty())

    assert outcome.kept.schema == empty().schema
    assert outcome.exits.schema["score"] == pl.Float64
