"""Where rows went: how many entered each stage, stayed, were dropped or merged, and why; the sums are checked."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

if TYPE_CHECKING:
    from rich.table import Table


class Step(NamedTuple):
    """One stage's bookkeeping. `exits` has at least the columns `outcome` and `reason` of `flywheel.ledger.EXITS`."""

    stage: str
    rows_in: int
    kept: int
    exits: pl.DataFrame


_REASON = "reason:"
_FIXED = ("stage", "rows_in", "kept", "dropped", "merged")


def funnel(steps: Iterable[Step | tuple[str, int, int, pl.DataFrame]]) -> pl.DataFrame:
    """One row a stage, in the given order.

    Returns:
        `stage`, `rows_in`, `kept`, `dropped`, `merged`, then one column `reason:SLUG` for each reason seen anywhere, most
        frequent first (ties by name), with its count in that stage. Reasons sum to `dropped + merged`.
    """
    rows: list[dict[str, str | int]] = []
    totals: dict[str, int] = {}
    for step in map(Step._make, steps):
        outcomes = dict(step.exits.group_by("outcome").len().iter_rows())
        reasons = dict(step.exits.with_columns(pl.col("reason").fill_null("unstated")).group_by("reason").len().iter_rows())
        row: dict[str, str | int] = {"stage": step.stage, "rows_in": step.rows_in, "kept": step.kept}
        row |= {"dropped": outcomes.get("dropped", 0), "merged": outcomes.get("merged", 0)}
        rows.append(row | {f"{_REASON}{reason}": count for reason, count in reasons.items()})
        for reason, count in reasons.items():
            totals[reason] = totals.get(reason, 0) + count
    order = sorted(totals, key=lambda reason: (-totals[reason], reason))
    counted: dict[str, type[pl.DataType]] = dict.fromkeys((*_FIXED[1:], *(f"{_REASON}{reason}" for reason in order)), pl.Int64)
    return pl.DataFrame(rows, schema={"stage": pl.String, **counted}).with_columns(pl.exclude("stage").fill_null(0))


def check_sums(frame: pl.DataFrame, *, chained: bool = False) -> list[str]:
    """Sentences about rows that are unaccounted for; empty when `rows_in = kept + dropped + merged` holds everywhere.

    Args:
        frame: from `funnel`.
        chained: also require that each stage takes in what the one before kept.
    """
    problems = []
    before: int | None = None
    reasons = [name for name in frame.columns if name.startswith(_REASON)]
    for row in frame.iter_rows(named=True):
        left = row["kept"] + row["dropped"] + row["merged"]
        if left != row["rows_in"]:
            problems.append(
                f"{row['stage']}: {row['rows_in']} rows in, but {row['kept']} kept + {row['dropped']} dropped + "
                f"{row['merged']} merged = {left} ({left - row['rows_in']:+d})"
            )
        if (named := sum(row[name] for name in reasons)) != row["dropped"] + row["merged"]:
            problems.append(f"{row['stage']}: {row['dropped'] + row['merged']} rows left, but reasons are given for {named}")
        if chained and before is not None and before != row["rows_in"]:
            problems.append(f"{row['stage']}: {row['rows_in']} rows in, but the stage before kept {before}")
        before = row["kept"]
    return problems


def drop_reasons(frame: pl.DataFrame) -> pl.DataFrame:
    """Reasons over all stages: `reason`, `count`, most frequent first."""
    counts = {name.removeprefix(_REASON): int(frame[name].sum()) for name in frame.columns if name.startswith(_REASON)}
    return pl.DataFrame({"reason": list(counts), "count": list(counts.values())}, schema={"reason": pl.String, "count": pl.Int64})


def compact(frame: pl.DataFrame, *, reasons: int | None = None) -> pl.DataFrame:
    """The funnel with one text column `reasons` in the place of the many: `near 50, refusal 48`, most frequent first."""
    told = [_told(row, reasons) for row in frame.iter_rows(named=True)]
    return frame.select(_FIXED).with_columns(reasons=pl.Series(told, dtype=pl.String))


def _told(row: dict[str, Any], most: int | None) -> str:
    top = sorted((name for name in row if name.startswith(_REASON) and row[name]), key=lambda name: -row[name])
    shown = [f"{name.removeprefix(_REASON)} {row[name]:,}" for name in top[:most]]
    if most is not None and len(top) > most:
        shown.append(f"{len(top) - most} more")
    return ", ".join(shown)


def funnel_table(frame: pl.DataFrame, *, title: str | None = None, reasons: int = 3) -> "Table":
    """The funnel for a terminal: counts, the share kept, and each stage's `reasons` most frequent reasons."""
    from rich.table import Table

    table = Table(title=title, header_style="bold", title_justify="left")
    table.add_column("stage", no_wrap=True)
    for name in ("in", "kept", "", "dropped", "merged"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("mostly", overflow="fold")
    for row in frame.iter_rows(named=True):
        share = f"{row['kept'] / row['rows_in']:.1%}" if row["rows_in"] else "-"
        counts = [f"{row[name]:,}" if row[name] else "·" for name in ("dropped", "merged")]
        table.add_row(row["stage"], f"{row['rows_in']:,}", f"{row['kept']:,}", share, *counts, _told(row, reasons))
    return table
