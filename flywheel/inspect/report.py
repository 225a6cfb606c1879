"""What a terminal prints after a run: the funnel, a few rows, where the sets are."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from flywheel.project import Project

if TYPE_CHECKING:
    from rich.table import Table

SHOWN_CHARACTERS = 240


def funnel_of(project: Project) -> "Table | None":
    """The funnel of the project's tables as they are; None when nothing was read yet."""
    from flywheel.inspect.funnel import funnel, funnel_table
    from flywheel.inspect.ledger import flows

    stages = flows(project.tables, project.settings)
    return funnel_table(funnel(stages), title="Where the rows went") if stages else None


def example_rows(project: Project, count: int) -> Iterator[str]:
    """A few conversations of the first mixture, shortened, evenly spaced over it: scrubbed text only."""
    from flywheel.records import derive

    mixture = f"mixture/{project.settings.mix[0].name}"
    rows = project.tables.rows(mixture)
    if not rows:
        return
    every = max(1, rows // (20 * count))
    drawn = derive(project.tables.scan(mixture).gather_every(every).collect())
    telling = drawn.filter(pl.col("prompt").str.len_chars() > 40, pl.col("reply").str.len_chars() > 80)
    spaced = telling.gather_every(max(1, telling.height // count)).head(count)
    for row in spaced.select("id", "origin", "turns", "prompt", "reply").iter_rows(named=True):
        yield f"{row['id']}  {row['origin']}, {row['turns']} turn{'s' if row['turns'] != 1 else ''}"
        yield f"  user: {_short(row['prompt'])}"
        yield f"  assistant: {_short(row['reply'])}"


def _short(text: str) -> str:
    folded = " ".join(text.split())
    return folded if len(folded) <= SHOWN_CHARACTERS else folded[:SHOWN_CHARACTERS].rstrip() + " …"


def set_lines(project: Project) -> Iterator[str]:
    """One line a set: rows by split, tokens, folder."""
    from flywheel.format.latest import latest_export

    if not project.tables.exists("training_sets"):
        return
    files = project.tables.read("training_sets")
    for chosen in project.settings.sets:
        folder = latest_export(project, chosen.name)
        own = files.filter(pl.col("set") == chosen.name)
        if folder is None or own.is_empty():
            continue
        splits = ", ".join(f"{rows:,} {split}" for split, rows in own.select("split", "rows").iter_rows())
        yield f"{chosen.name} ({chosen.format}): {splits}; {own['tokens'].sum():,} tokens; {folder}"
