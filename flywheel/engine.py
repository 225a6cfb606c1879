"""Runs a stage over a table, batch by batch, and writes down who left.

Every table-making step ends here, so that the order of its commits is the same everywhere: first the exits, then the table
with its fingerprint. A step killed in between has not happened, and the next run does it again.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow as pa

from flywheel.ledger import EXITS, Outcome, no_exits
from flywheel.progress import advance
from flywheel.schema import SCHEMA
from flywheel.tables import Tables

ALL_DAYS = "all"


@dataclass(frozen=True)
class Made:
    """What a step did. `reasons` counts exits as {(outcome, reason): rows}; `extra` is shown beside the counts."""

    table: str
    rows_in: int
    rows: int
    version: int | None
    reasons: dict[tuple[str, str], int] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def dropped(self) -> int:
        return sum(count for (outcome, _), count in self.reasons.items() if outcome == "dropped")

    @property
    def merged(self) -> int:
        return sum(count for (outcome, _), count in self.reasons.items() if outcome == "merged")


class Exits:
    """Collects the exit rows of one stage and partition while its batches stream by."""

    def __init__(self) -> None:
        self._frames = [no_exits()]

    def add(self, frame: pl.DataFrame) -> None:
        if frame.height:
            self._frames.append(frame)

    @property
    def frame(self) -> pl.DataFrame:
        return pl.concat(self._frames)

    @property
    def reasons(self) -> dict[tuple[str, str], int]:
        counts = self.frame.group_by("outcome", "reason").len().sort("outcome", "reason")
        return {(outcome, reason): count for outcome, reason, count in counts.iter_rows()}


def file_exits(tables: Tables, stage: str, frame: pl.DataFrame, *, fingerprint: int, day: str | None = None) -> None:
    """Replace the exits of one stage, on one day or of all days."""
    tables.write("exits", frame, schema=EXITS, fingerprint=fingerprint, stage=stage, day=day or ALL_DAYS)


def write_stage(
    tables: Tables,
    table: str,
    outcomes: Iterable[tuple[int, Outcome]],
    *,
    fingerprint: int,
    stage: str | None = None,
    schema: pa.Schema = SCHEMA,
    day: str | None = None,
    before_commit: Callable[[], None] | None = None,
    group_rows: int | None = None,
) -> Made:
    """Write what a stage keeps into `table` and what leaves into `exits`, streaming.

    Args:
        outcomes: pairs of the rows that went into a batch and its outcome.
        stage: the name under which exits are filed; the table's when None.
        day: the partition, or None for a table of all days.
        before_commit: called when all batches are written and before any reader can see them.
        group_rows: rows that are read together where a few rows of a partition are wanted; those of a batch when None.
    """
    left, rows_in = Exits(), 0

    def kept() -> Iterator[pl.DataFrame]:
        nonlocal rows_in
        for count, outcome in outcomes:
            rows_in += count
            left.add(outcome.exits)
            yield from [outcome.kept] if group_rows is None else outcome.kept.iter_slices(group_rows)

    def beside() -> None:
        if before_commit is not None:
            before_commit()
        file_exits(tables, stage or table, left.frame, fingerprint=fingerprint, day=day)

    where = {} if day is None else {"day": day}
    written = tables.write(table, kept(), schema=schema, fingerprint=fingerprint, before_commit=beside, **where)
    return Made(table, rows_in, written.rows, written.version, left.reasons)


def map_table(
    tables: Tables,
    source: str,
    target: str,
    function: Callable[[pl.DataFrame], Outcome],
    *,
    fingerprint: int,
    day: str,
    schema: pa.Schema = SCHEMA,
    group_rows: int | None = None,
) -> Made:
    """Apply a batch function to one day of `source` and write what it keeps to `target`. Memory is bounded by one batch.

    The function must treat each record on its own: where a batch ends must not matter.
    """

    def outcomes() -> Iterator[tuple[int, Outcome]]:
        done, total = 0, tables.rows(source, day=day)
        for batch in tables.batches(source, day=day):
            yield batch.height, function(batch.drop("day"))
            done += batch.height
            advance(target, done, total=total, day=day)

    return write_stage(tables, target, outcomes(), fingerprint=fingerprint, day=day, schema=schema, group_rows=group_rows)
