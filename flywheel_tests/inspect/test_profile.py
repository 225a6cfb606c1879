import datetime as dt

import polars as pl

from flywheel.inspect.profile import profile
from flywheel.records import Candidate, Feedback, Message, Record, Source, ToolCall, empty, text_message, to_batch


def asked(id: str, prompt: str, reply: str, **rest: object) -> Record:
    return Record(id=id, messages=(text_message("user", prompt), text_message("assistant", reply)), **rest)  # type: ignore[arg-type]


RECORDS = [
    asked("a", "one two", "a b c", model="m1", session="s", source=Source(dialect="openai_chat"), finish_reason="stop"),
    asked("b", "one two three four", "", model="m1", session="s", feedback=(Feedback(name="thumbs", value="up"),)),
    asked("c", "x", "é" * 10, model="m2", candidates=(Candidate(),), created_at=dt.datetime(2026, 1, 2, tzinfo=dt.UTC)),
    Record(
        id="d",
        messages=(
            text_message("system", "be kind"),
            text_message("user", "where"),
            Message(role="assistant", tool_calls=(ToolCall(name="find"),)),
            text_message("tool", "here"),
            text_message("user", "thanks"),
            text_message("assistant", "welcome"),
        ),
    ),
]


def values(frame: pl.DataFrame) -> dict[tuple[str, str], float]:
    return {(metric, label): value for metric, label, value in frame.iter_rows()}


def test_counts_shares_and_quantiles_are_those_of_the_records() -> None:
    found = values(profile(to_batch(RECORDS)))

    assert (found["rows", ""], found["turns", ""], found["sessions", ""]) == (4, 5, 1)
    assert found["multi_turn_share", ""] == found["tool_call_share", ""] == found["feedback_share", ""] == 0.25
    assert found["candidates_share", ""] == found["empty_reply_share", ""] == 0.25
    assert (found["prompt_words", "min"], found["prompt_words", "max"], found["reply_characters", "max"]) == (1, 4, 10)
    assert (found["role", "user"], found["role", "tool"]) == (5, 1)
    assert (found["model", "m1"], found["model", "(none)"], found["dialect", "openai_chat"]) == (2, 1, 1)
    assert (found["day", "2026-01-02"], found["feedback", "thumbs=up"]) == (1, 1)


def test_batches_of_any_size_give_the_same_profile() -> None:
    batch = to_batch(RECORDS)

    assert profile([batch[:1], batch[1:3], empty(), batch[3:]]).equals(profile(batch))
    assert profile(batch.reverse()).equals(profile(batch))


def test_rare_labels_are_added_up_so_that_counts_still_sum_to_the_rows() -> None:
    records = [Record(id=str(i), model=f"model-{i % 7}") for i in range(70)]

    models = profile(to_batch(records), top=3).filter(pl.col("metric") == "model")

    assert models["label"].to_list() == ["model-0", "model-1", "model-2", "(others)"]
    assert models["value"].sum() == 70


def test_a_language_column_is_counted_when_it_is_named() -> None:
    batch = to_batch(RECORDS).with_columns(lang=pl.Series(["en", "en", "fr", None]))

    found = values(profile(batch, language="lang"))

    assert (found["language", "en"], found["language", "fr"], found["language", "(none)"]) == (2, 1, 1)


def test_no_text_of_a_record_is_in_the_profile() -> None:
    shown = " ".join(profile(to_batch(RECORDS))["label"])

    assert "welcome" not in shown
    assert "thanks" not in shown


def test_no_records_are_profiled_as_none() -> None:
    assert profile(empty()).rows() == [("rows", "", 0.0)]
