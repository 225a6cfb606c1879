"""What the UI shows of a finished step: counts, reasons, schema, column lineage, previews of scrubbed rows, plots."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pyarrow as pa

from flywheel.engine import Made
from flywheel.plan import Node
from flywheel.project import Project
from flywheel.schema import SCHEMA

PREVIEWED = ("scrubbed", "curated", "synthetic", "verified", "mixture")
PREVIEW_ROWS = 5
PREVIEW_CHARACTERS = 160
BAR = 8
_UPSTREAM = {
    "conversations": "records",
    "cleaned": "conversations",
    "scrubbed": "cleaned",
    "curated": "scrubbed",
}
_FLOWS = ("records", *_UPSTREAM, "verified", "mixture", "training_set")


def metadata(project: Project, node: Node, made: Made, day: str | None) -> dict[str, Any]:
    """The metadata of one materialization, what is made to be looked at first. Dagster plots numbers over time or partitions."""
    kind = node.name.partition("/")[0]
    shown: dict[str, Any] = {"dagster/row_count": made.rows}
    for name, value in made.extra.items():
        if isinstance(value, bytes | pl.DataFrame):
            shown[name] = _value(value)
    shown["rows_in"] = made.rows_in
    if kind in _FLOWS:
        shown |= {"dropped": made.dropped, "merged": made.merged}
    if made.version is not None:
        shown["table_version"] = made.version
        shown["dagster/uri"] = project.tables.uri(node.table)
    if made.reasons:
        shown["left_by_reason"] = reasons_table(made.reasons)
    shown |= {
        name: _value(value)
        for name, value in made.extra.items()
        if name not in shown or not isinstance(value, bytes | pl.DataFrame)
    }
    if "path" in made.extra:
        shown["path"] = dg.MetadataValue.path(made.extra["path"])
        shown["card"] = dg.MetadataValue.md(_card(Path(made.extra["path"])))
    schema = project.tables.schema(node.table)
    if schema is not None:
        shown["dagster/column_schema"] = column_schema(schema)
    if lineage := column_lineage(node):
        shown["dagster/column_lineage"] = lineage
    if kind in PREVIEWED:
        shown["preview"] = preview(project, node, day)
    return shown


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        return dg.MetadataValue.md(f"![plot](data:image/png;base64,{base64.b64encode(value).decode()})")
    if isinstance(value, pl.DataFrame):
        return table(value)
    if isinstance(value, Mapping):
        return table(pl.DataFrame({"name": list(value.keys()), "rows": list(value.values())}, strict=False)) if value else "none"
    return value


def _card(folder: Path) -> str:
    """The dataset card without its header for machines."""
    text = (folder / "README.md").read_text("utf-8")
    return text.partition("\n---\n")[2] if text.startswith("---\n") else text


def table(frame: pl.DataFrame) -> dg.TableMetadataValue:
    """A small frame as a table; cells that are no scalar are shown as text, and counts of rows get bars.

    Dagster shows a picture only behind a link, and a table at once: so a table is where most people see a plot.
    """
    frame = _with_bars(frame).with_columns(pl.col("^sha256$").str.head(12))
    records = [
        dg.TableRecord(
            {name: value if isinstance(value, str | int | float | bool) else str(value) for name, value in row.items()}
        )
        for row in frame.to_dicts()
    ]
    schema = dg.TableSchema([dg.TableColumn(name, str(kind).lower()) for name, kind in frame.schema.items()])
    return dg.MetadataValue.table(records, schema=schema)


def _with_bars(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds `share`: of `rows` in their sum, or of `kept` in `rows_in`, as a bar and in percent where it is not whole."""
    if {"rows_in", "kept"} <= set(frame.columns):
        named, whole, part = "kept", frame["rows_in"].to_list(), frame["kept"].to_list()
        shares = [p / w if w else 0.0 for p, w in zip(part, whole, strict=True)]
    elif "rows" in frame.columns and frame.height > 1 and frame["rows"].dtype.is_integer():
        named, whole, part = "rows", frame["rows"].to_list(), frame["rows"].to_list()
        shares = [rows / max(1, sum(part)) for rows in part]
    else:
        return frame
    longest = max([1, *whole])
    lengths = [(-(-BAR * p // longest), -(-BAR * w // longest)) for p, w in zip(part, whole, strict=True)]
    bars = [f"{'█' * p}{'░' * (w - p)}" for p, w in lengths]
    told = [bar if share == 1 else f"{bar}\N{NO-BREAK SPACE}{share:.0%}" for bar, share in zip(bars, shares, strict=True)]
    order = [name for name in frame.columns if name != "share"]
    order.insert(order.index(named) + 1, "share")
    return frame.with_columns(pl.Series("share", told)).select(order)


def reasons_table(reasons: Mapping[tuple[str, str], int]) -> dg.TableMetadataValue:
    """How many rows left, by outcome and reason, most first."""
    rows = sorted(((count, outcome, reason) for (outcome, reason), count in reasons.items()), reverse=True)
    return table(pl.DataFrame(rows, schema=["rows", "outcome", "reason"], orient="row").select("outcome", "reason", "rows"))


def column_schema(schema: pa.Schema) -> dg.TableSchema:
    """Columns with their meaning, as the schema states it."""
    columns = []
    for field in schema:
        comment = (field.metadata or {}).get(b"comment", b"partition of the table").decode()
        columns.append(dg.TableColumn(field.name, str(field.type)[:80], description=comment))
    return dg.TableSchema(columns)


def column_lineage(node: Node) -> dg.TableColumnLineage | None:
    """Every column comes from the column of the same name in the table before."""
    source = "curated" if node.name.startswith("mixture/") else _UPSTREAM.get(node.name)
    if source is None:
        return None
    deps = {name: [dg.TableColumnDep(dg.AssetKey(source), name)] for name in SCHEMA.names}
    if node.name.startswith("mixture/"):
        deps["split"] = [dg.TableColumnDep(dg.AssetKey("splits"), "split")]
    return dg.TableColumnLineage(deps)


def preview(project: Project, node: Node, day: str | None) -> dg.TableMetadataValue:
    """The first rows, shortened. Only for tables after the scrubber: metadata is copied into the event log."""
    from flywheel.records import derive

    rows = project.tables.scan(node.table, version=None, **node.where(day)).head(PREVIEW_ROWS).collect()
    short = derive(rows).select("id", "turns", pl.col("prompt", "reply").str.slice(0, PREVIEW_CHARACTERS))
    return table(short)
