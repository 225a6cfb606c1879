from dataclasses import dataclass
from typing import Any

import polars as pl
import pytest

from flywheel.curate.judge import VERDICTS, combine, judge
from flywheel.errors import FlywheelError, PluginError
from flywheel.filters.length import Length
from flywheel.filters.refusal import Refusal
from flywheel.records import Record, empty, to_batch
from flywheel.testing import awkward_records, chat

SECRET = "4111 1111 1111 1111"


@dataclass(frozen=True)
class Planted:
    """Answers what the test wants."""

    scores: Any
    keeps: Any = None

    def score(self, _: pl.DataFrame) -> Any:
        if isinstance(self.scores, Exception):
            raise self.scores
        return self.scores

    def keep(self, score: pl.Series) -> Any:
        return score > 0 if self.keeps is None else self.keeps


def two() -> pl.DataFrame:
    return to_batch([chat(SECRET, "ok", id="a"), chat("Hi", "Hello", id="b")])


def test_a_verdict_is_one_row_a_record_in_order() -> None:
    batch = awkward_records()

    verdicts = judge(batch, Length())

    assert verdicts["id"].to_list() == batch["id"].to_list()
    assert verdicts.schema == pl.from_arrow(VERDICTS.empty_table()).schema  # type: ignore[union-attr]
    assert judge(empty(), Length()).schema == verdicts.schema


def test_a_filter_sees_the_derived_columns() -> None:
    @dataclass(frozen=True)
    class Seen:
        def score(self, records: pl.DataFrame) -> pl.Series:
            return records["turns"] + records["prompt"].str.len_chars()

        def keep(self, score: pl.Series) -> pl.Series:
            return score > 3

    assert judge(two(), Seen()).rows() == [("a", 20.0, True), ("b", 3.0, False)]


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_what_was_not_measured_is_kept(missing: float | None) -> None:
    measured = pl.Series([missing, -1.0], dtype=pl.Float64)

    assert judge(two(), Planted(measured)).rows() == [("a", None, True), ("b", -1.0, False)]
    assert judge(two(), Planted(measured, pl.Series([False, False])))["keep"].to_list() == [True, False]
    assert judge(two(), Planted(pl.Series([1, 2]), pl.Series([None, False])))["keep"].to_list() == [True, False]
    assert judge(two(), Planted(pl.Series([None, None])))["keep"].to_list() == [True, True]


@pytest.mark.parametrize(
    ("plugin", "complaint"),
    [
        (Planted(pl.Series([1])), r"score\(\) gave 1 values for 2 records"),
        (Planted([1, 2]), r"score\(\) must give a polars Series, not list"),
        (Planted(pl.Series([SECRET, "x"])), r"score\(\) must give numbers, not String"),
        (Planted(pl.Series([1, 2]), pl.Series([1, 0])), r"keep\(\) must give booleans, not Int64"),
        (Planted(pl.Series([1, 2]), pl.Series([True])), r"keep\(\) gave 1 values for 2 records"),
        (Planted(ValueError(SECRET)), r"score\(\) raised ValueError at test_judge.py:\d+"),
    ],
)
def test_a_wrong_answer_names_the_filter_and_never_the_text(plugin: Planted, complaint: str) -> None:
    with pytest.raises(PluginError, match=f"filter Planted: {complaint}") as caught:
        judge(two(), plugin)

    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def records(*ids: str) -> pl.DataFrame:
    return to_batch(Record(id=i) for i in ids)


def verdict(**keeps: tuple[float, bool]) -> pl.DataFrame:
    rows = [(key, score, keep) for key, (score, keep) in keeps.items()]
    return pl.DataFrame(rows, schema={"id": pl.String, "score": pl.Float64, "keep": pl.Boolean}, orient="row")


def duplicates(*rows: tuple[str, str, str, float]) -> pl.DataFrame:
    schema = {"id": pl.String, "kept": pl.String, "reason": pl.String, "similarity": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_a_record_stays_when_every_filter_keeps_it_and_it_repeats_none() -> None:
    verdicts = {
        "length": verdict(a=(5, True), b=(1, False), c=(7, True), d=(2, False), x=(0, False)),
        "refusal": verdict(a=(0, True), b=(1, False), c=(0, True), d=(0, True), x=(0, False)),
    }

    outcome = combine(
        records("a", "b", "c", "d"), verdicts, duplicates(("c", "z", "near_duplicate", 0.9), ("d", "a", "exact", 1.0))
    )

    assert outcome.kept["id"].to_list() == ["a"]
    assert outcome.exits.rows() == [
        ("b", "dropped", "length", None, 1.0),
        ("c", "dropped", "near_duplicate", "z", 0.9),
        ("d", "dropped", "length", None, 2.0),
    ]


def test_the_first_failing_filter_in_configured_order_is_the_reason() -> None:
    fails = verdict(a=(3, False))

    for names in (("one", "two"), ("two", "one")):
        exits = combine(records("a"), dict.fromkeys(names, fails), duplicates()).exits
        assert exits["reason"].to_list() == [names[0]]


def test_rows_in_are_rows_kept_and_rows_out_on_real_filters() -> None:
    batch = awkward_records()
    verdicts = {"length": judge(batch, Length(minimum=2)), "refusal": judge(batch, Refusal())}

    outcome = combine(batch, verdicts, duplicates(("plain_again", "plain", "exact", 1.0)))

    assert outcome.kept.height + outcome.exits.height == batch.height
    assert set(outcome.exits["reason"]) == {"length", "exact", "refusal"}
    assert set(outcome.kept["id"]) | set(outcome.exits["id"]) == set(batch["id"])


def test_a_record_that_a_filter_never_judged_stops_the_stage() -> None:
    with pytest.raises(FlywheelError, match="verdicts/length lacks 1 of 2 records"):
        combine(records("a", "b"), {"length": verdict(a=(1, True))}, duplicates())


def test_without_filters_and_duplicates_all_stay() -> None:
    outcome = combine(records("a", "b"), {}, duplicates())

    assert outcome.kept.height == 2
    assert outcome.exits.is_empty()
    assert combine(empty(), {}, duplicates()).kept.is_empty()
