"""What the UI shows of a finished step: counts, reasons, schema, column lineage, previews of scrubbed rows, plots."""

import base64
from collections.abc import Mapping
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
PREVIEW_CHARACTERS = 200
_UPSTREAM = {
    "conversations": "records",
    "cleaned": "conversations",
    "scrubbed": "cleaned",
    "curated": "scrubbed",
}


def metadata(project: Project, node: Node, made: Made, day: str | None) -> dict[str, Any]:
    """The metadata of one materialization. Numbers are plotted by Dagster over time or partitions."""
    shown: dict[str, Any] = {
        "dagster/row_count": made.rows,
        "rows_in": made.rows_in,
        "dropped": made.dropped,
        "merged": made.merged,
    }
    if made.version is not None:
        shown["table_version"] = made.version
        shown["dagster/uri"] = project.tables.uri(node.table)
    if made.reasons:
        shown["left_by_reason"] = reasons_table(made.reasons)
    for name, value in made.extra.items():
        shown[name] = _value(value)
    schema = project.tables.schema(node.table)
    if schema is not None:
        shown["dagster/column_schema"] = column_schema(schema)
    if lineage := column_lineage(node):
        shown["dagster/column_lineage"] = lineage
    if node.name.partition("/")[0] in PREVIEWED:
        shown["preview"] = preview(project, node, day)
    return shown


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        return dg.MetadataValue.md(f"![plot](data:image/png;base64,{base64.b64encode(value).decode()})")
    if isinstance(value, pl.DataFrame):
        return table(value)
    if isinstance(value, Mapping):
        return table(pl.DataFrame({"name": list(value.keys()), "rows": list(value.values())}, strict=False))
    return value


def table(frame: pl.DataFrame) -> dg.TableMetadataValue:
    """A small frame as a table; cells that are no scalar are shown as text."""
    records = [
        dg.TableRecord(
            {name: value if isinstance(value, str | int | float | bool) else str(value) for name, value in row.items()}
        )
        for row in frame.to_dicts()
    ]
    schema = dg.TableSchema([dg.TableColumn(name, str(kind).lower()) for name, kind in frame.schema.items()])
    return dg.MetadataValue.table(records, schema=schema)


def reasons_table(reasons: Mapping[tuple[str, str], int]) -> dg.TableMetadataValue:
    """How many rows left, by outcome and reason, most first."""
    rows = sorted(((count, outcome, reason) for (outcome, reason), count in reasons.items()), reverse=True)
    return table(pl.DataFrame(rows, schema=["rows", "outcome", "reason"], orient="row").select("outcome", "reason", "rows"))


def column_schema(schema: pa.Schema) -> dg.TableSchema:
    """Columns with their meaning, as the schema states it."""
    columns = []
    for field in schema:
        comment = (field.metadata or {}).get(b"comment", b"").decode()
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
    short = derive(rows).select("id", "origin", "model", "turns", pl.col("prompt", "reply").str.slice(0, PREVIEW_CHARACTERS))
    return table(short)
