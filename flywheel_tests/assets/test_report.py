import polars as pl

from assets.report import table


def rows(frame: pl.DataFrame) -> list[dict[str, object]]:
    return [dict(record.data) for record in table(frame).records]


def test_a_funnel_gets_bars_of_what_came_in_and_was_kept() -> None:
    shown = rows(pl.DataFrame({"stage": ["read", "judged"], "rows_in": [100, 50], "kept": [50, 50], "reasons": ["bad 50", ""]}))

    assert list(shown[0]) == ["stage", "rows_in", "kept", "share", "reasons"]
    assert [row["share"] for row in shown] == ["████░░░░\N{NO-BREAK SPACE}50%", "████"]


def test_counts_of_rows_get_bars_of_their_share_in_the_sum() -> None:
    shown = rows(pl.DataFrame({"reason": ["refusal", "near"], "rows": [3, 1], "share": [0.75, 0.25]}))

    assert [row["share"] for row in shown] == ["████████\N{NO-BREAK SPACE}75%", "███\N{NO-BREAK SPACE}25%"]


def test_a_table_without_counts_of_rows_or_without_rows_has_no_bars() -> None:
    for frame in (pl.DataFrame({"name": ["a", "b"], "rows": ["x", "y"]}), pl.DataFrame({"rows": [1]}), pl.DataFrame()):
        assert [column.name for column in table(frame).schema.columns] == frame.columns


def test_a_checksum_is_shortened_because_a_table_is_cut_at_the_edge_of_the_page() -> None:
    assert rows(pl.DataFrame({"sha256": ["a" * 64]})) == [{"sha256": "a" * 12}]
