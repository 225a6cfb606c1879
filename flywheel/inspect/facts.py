"""The facts that a table's promises are about: numbers that one query reduces it to. They hold no record text."""

import polars as pl

from flywheel.curate.dedup.prompts import prompt_hashes
from flywheel.tables import Tables


def record_facts(tables: Tables, table: str, day: str | None = None) -> dict[str, float]:
    """Facts of a table of records, or of one day of it.

    Returns:
        `rows`, `repeated_ids` (rows beyond the first of their id), `no_id`, `no_messages`, `no_reply` (rows whose last
        message is no assistant's, or says and calls nothing) and `no_split`.
    """
    where = {} if day is None else {"day": day}
    last = pl.col("messages").list.last()
    said = last.struct.field("content").list.eval(pl.element().struct.field("text").str.len_chars() > 0).list.any()
    called = last.struct.field("tool_calls").list.len() > 0
    replied = (last.struct.field("role") == "assistant") & (said | called)
    row = (
        tables.scan(table, version=None, **where)
        .select(
            rows=pl.len(),
            repeated_ids=pl.len() - pl.col("id").n_unique(),
            no_id=(pl.col("id").fill_null("") == "").sum(),
            no_messages=(pl.col("messages").list.len().fill_null(0) == 0).sum(),
            no_reply=(~replied.fill_null(value=False)).sum(),
            no_split=pl.col("split").is_null().sum(),
        )
        .collect()
        .row(0, named=True)
    )
    return {name: float(value) for name, value in row.items()}


def file_facts(tables: Tables) -> dict[str, float]:
    """`files`, and `problems`: files that cannot be read or whose day is none of the project's, so that nothing was read."""
    row = (
        tables.scan("log_files")
        .select(files=pl.len(), problems=pl.col("problem").is_not_null().sum())
        .collect()
        .row(0, named=True)
    )
    return {name: float(value) for name, value in row.items()}


def reading_facts(tables: Tables, day: str) -> dict[str, float]:
    """Facts of one day's reading: `lines`, `unaccounted` = lines - accepted - rejected - blank, and the share rejected."""
    row = (
        tables.scan("reads", day=day).select(pl.col("lines", "accepted", "rejected", "blank").sum()).collect().row(0, named=True)
    )
    lines = float(row["lines"] or 0)
    unaccounted = lines - sum(float(row[name] or 0) for name in ("accepted", "rejected", "blank"))
    return {"lines": lines, "unaccounted": unaccounted, "rejected_share": float(row["rejected"] or 0) / max(lines, 1.0)}


def flow_facts(tables: Tables, source: str, target: str, day: str | None = None) -> dict[str, float]:
    """`unaccounted` = rows of `source` - rows of `target` - exits of the stage `target`; 0 when nothing vanished."""
    where = {} if day is None else {"day": day}
    left = tables.rows("exits", stage=target, day=day or "all")
    return {"unaccounted": float(tables.rows(source, **where) - tables.rows(target, **where) - left)}


def duplicate_facts(tables: Tables, table: str) -> dict[str, float]:
    """`remaining`: rows of `table` that are a duplicate of another id, as duplicates are known now."""
    duplicates = tables.scan("duplicates").filter(pl.col("id") != pl.col("kept")).select("id").unique()
    remaining = tables.scan(table).select("id").join(duplicates, on="id", how="semi").select(pl.len()).collect().item()
    return {"remaining": float(remaining)}


def split_facts(tables: Tables) -> dict[str, float]:
    """`straddling`: families with rows in more than one split; `leaking`: prompts that are asked in more than one."""
    splits = tables.read("splits")
    asked = splits.join(prompt_hashes(tables.scan("signatures")), on=["id", "day"], how="left").drop_nulls("prompt")
    return {"straddling": _straddling(splits, "family"), "leaking": _straddling(asked, "prompt")}


def _straddling(splits: pl.DataFrame, by: str) -> float:
    return float((splits.group_by(by).agg(splits=pl.col("split").n_unique())["splits"] > 1).sum())
