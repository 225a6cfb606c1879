import io

import polars as pl
from rich.console import Console

from flywheel.inspect.funnel import Step, check_sums, drop_reasons, funnel, funnel_table
from flywheel.ledger import exits, no_exits

STEPS = [
    Step("records", 10, 9, exits(["a"], "http_error")),
    Step("cleaned", 9, 9, no_exits()),
    Step("deduplicated", 9, 5, pl.concat([exits(["b", "c"], "near_duplicate"), exits(["d", "e"], "prefix_of", merged=True)])),
]


def test_each_stage_counts_what_stayed_left_and_merged_by_reason() -> None:
    frame = funnel(STEPS)

    assert frame.select("stage", "rows_in", "kept", "dropped", "merged").rows() == [
        ("records", 10, 9, 1, 0),
        ("cleaned", 9, 9, 0, 0),
        ("deduplicated", 9, 5, 2, 2),
    ]
    assert frame["reason:near_duplicate"].to_list() == [0, 0, 2]
    assert check_sums(frame, chained=True) == []
    assert drop_reasons(frame).rows() == [("near_duplicate", 2), ("prefix_of", 2), ("http_error", 1)]


def test_a_row_that_vanished_is_reported_with_its_stage_and_number() -> None:
    problems = check_sums(funnel([Step("cleaned", 10, 8, exits(["a"], "length"))]))

    assert problems == ["cleaned: 10 rows in, but 8 kept + 1 dropped + 0 merged = 9 (-1)"]


def test_a_row_that_appeared_twice_is_reported() -> None:
    assert "(+1)" in check_sums(funnel([Step("cleaned", 10, 10, exits(["a"], "length"))]))[0]


def test_an_outcome_that_is_neither_dropped_nor_merged_is_reported() -> None:
    strange = exits(["a"], "length").with_columns(outcome=pl.lit("lost"))

    assert len(check_sums(funnel([Step("cleaned", 1, 0, strange)]))) == 2


def test_rows_lost_between_two_stages_are_reported_when_stages_are_chained() -> None:
    frame = funnel([Step("cleaned", 5, 5, no_exits()), Step("scrubbed", 4, 4, no_exits())])

    assert check_sums(frame) == []
    assert check_sums(frame, chained=True) == ["scrubbed: 4 rows in, but the stage before kept 5"]


def test_the_table_shows_counts_shares_and_the_most_frequent_reasons() -> None:
    out = Console(file=io.StringIO(), width=120)
    out.print(funnel_table(funnel(STEPS), title="Funnel", reasons=1))
    shown = out.file.getvalue()  # type: ignore[attr-defined]

    assert "90.0%" in shown
    assert "near_duplicate 2, 1 more" in shown
    assert "http_error 1" in shown


def test_no_stages_make_an_empty_funnel() -> None:
    assert funnel([]).columns == ["stage", "rows_in", "kept", "dropped", "merged"]
    assert check_sums(funnel([])) == []
