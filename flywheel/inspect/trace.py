"""Where one record came from and where it went: every table that knows it, in the order of the graph."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from flywheel.format.publish import latest
from flywheel.tables import Tables

STAGES = ("records", "conversations", "cleaned", "scrubbed", "curated", "splits", "verified")
_ASIDE = (
    "exits",
    "verdicts",
    "duplicates",
    "signatures",
    "handed_over",
    "rejected",
    "log_files",
    "ledger",
    "contamination",
    "similar_pairs",
)


@dataclass(frozen=True)
class TraceStep:
    """One thing known about a record. `stage` is a table or set, `what` a verb, `details` say the rest; never its text."""

    stage: str
    what: str
    details: dict[str, Any]

    def __str__(self) -> str:
        told = ", ".join(f"{key} {_plain(value)}" for key, value in self.details.items() if value is not None)
        return f"{self.stage:<16} {self.what:<12} {told}".rstrip()


def trace(id: str, *, tables: Tables, sets: Path | None = None, stages: Sequence[str] = STAGES) -> list[TraceStep]:
    """All steps of a record's way, in the order of `stages`; empty when nothing knows the id.

    Steps are `read` (file, offset, length, dialect) or `made` (from parents), `present` (in a stage's table), `seeded` (a
    synthetic child), `took over` (feedback of another day's part), `merged` and `dropped` (reason, into, score), `scored` (by
    a filter), `repeats` and `kept for` (duplicates), `exported` (set, file line, split). Tables that do not exist are passed
    over; the cost is one filtered scan of each table.

    Args:
        id: a record's id.
        tables: the project's tables.
        sets: the folder of the exported sets, with `NAME/latest`; `sets` beside the tables when None.
        stages: tables of records, in the graph's order. Other tables of records (`synthetic/NAME`, `mixture/NAME`) follow.
    """
    steps: list[TraceStep] = []
    exits = _rows(tables, "exits", pl.col("id") == id)
    known = [*stages, *(name for name in tables.names() if name not in (*stages, *_ASIDE))]
    for stage in known:
        for row in _rows(tables, stage, pl.col("id") == id):
            if not any(step.what in ("read", "made") for step in steps):
                steps.append(_origin(stage, row))
            steps.append(TraceStep(stage, "present", _keep(row, "day", "split")))
        if stage.startswith("synthetic/"):
            children = _rows(tables, stage, pl.col("parents").list.contains(id))
            steps += [TraceStep(stage, "seeded", {"record": row["id"]} | _keep(row, "generation")) for row in children]
        if stage == "curated":
            handed = _rows(tables, "handed_over", pl.col("id") == id)
            steps += [TraceStep(stage, "took over", {"feedback of": row["given_by"]} | _keep(row, "given_on")) for row in handed]
        steps += [_exit(stage, row) for row in exits if row.get("stage") == stage]
        if stage == "scrubbed":
            steps += _repeats(id, tables)
            steps += _verdicts(id, tables)
    if "scrubbed" not in known:
        steps += [*_repeats(id, tables), *_verdicts(id, tables)]
    steps += [_exit(str(row.get("stage")), row) for row in exits if row.get("stage") not in known]
    return steps + _exports(id, sets or Path(tables.root) / "sets")


def id_on_line(file: str | Path, line: int) -> str:
    """The id of the record on a line (counted from 1) of an exported set, by the lineage.parquet beside the file.

    Raises:
        FileNotFoundError: there is no lineage.parquet beside the file.
        LookupError: the lineage has no such line.
    """
    file = Path(file)
    rows = pl.scan_parquet(file.parent / "lineage.parquet").filter(pl.col("line") == line).collect()
    if "split" in rows.columns and rows["split"].n_unique() > 1:
        rows = rows.filter(pl.col("split") == file.stem)
    if rows.is_empty():
        raise LookupError(f"{file.parent / 'lineage.parquet'} has no line {line} for {file.name}; lines count from 1.")
    return str(rows["id"][0])


def render(id: str, steps: Sequence[TraceStep]) -> list[str]:
    """The trace as lines of text, the id first."""
    return [f"record {id}", *(f"  {step}" for step in steps)] if steps else [f"record {id} is in no table of this project"]


def _origin(stage: str, row: dict[str, Any]) -> TraceStep:
    if row.get("parents"):
        return TraceStep(stage, "made", {"from": " ".join(row["parents"])} | _keep(row, "origin", "generation", "model"))
    source = row.get("source") or {}
    return TraceStep(
        stage, "read", _keep(source, "file", "offset", "length", "dialect") | _keep(row, "created_at", "app", "model")
    )


def _exit(stage: str, row: dict[str, Any]) -> TraceStep:
    return TraceStep(stage, row["outcome"], _keep(row, "reason", "into", "score", "day"))


def _verdicts(id: str, tables: Tables) -> list[TraceStep]:
    rows = sorted(_rows(tables, "verdicts", pl.col("id") == id), key=lambda row: str(row.get("filter")))
    return [TraceStep("verdicts", "scored", _keep(row, "filter", "score", "keep", "day")) for row in rows]


def _repeats(id: str, tables: Tables) -> list[TraceStep]:
    steps = []
    for row in _rows(tables, "duplicates", (pl.col("id") == id) | (pl.col("kept") == id)):
        what = "repeats" if row["id"] == id else "kept for"
        other = row["kept"] if row["id"] == id else row["id"]
        steps.append(TraceStep("duplicates", what, {"record": other} | _keep(row, "reason", "similarity", "day")))
    return steps


def _exports(id: str, sets: Path) -> list[TraceStep]:
    """The lines of the newest version of every set that hold the record."""
    steps = []
    for folder in sorted(sets.glob("*")):
        version = latest(folder)
        if version is not None:
            rows = pl.scan_parquet(version / "lineage.parquet").filter(pl.col("id") == id).collect().to_dicts()
            told = {"version": version.name}
            steps += [TraceStep(f"sets/{folder.name}", "exported", _keep(row, "split", "line") | told) for row in rows]
    return steps


def _rows(tables: Tables, name: str, wanted: pl.Expr) -> list[dict[str, Any]]:
    """Matching rows without their messages; none when the table is absent or is about something else."""
    if not tables.exists(name):
        return []
    frame = tables.scan(name)
    columns = frame.collect_schema().names()
    if not set(wanted.meta.root_names()) <= set(columns):
        return []
    return frame.filter(wanted).select(pl.exclude("messages", "candidates", "feedback", "tools")).collect().to_dicts()


def _keep(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names if row.get(name) is not None}


def _plain(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
