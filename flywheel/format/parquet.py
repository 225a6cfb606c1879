"""The records themselves, with their schema, for tools that read Parquet."""

import datetime as dt
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
import pyarrow as pa

from flywheel.records import Record
from flywheel.schema import SCHEMA


@dataclass(frozen=True)
class Parquet:
    """Every record as it is, messages nested; nothing is refused.

    Args:
        columns: the columns to write, in this order; all when empty.
    """

    columns: tuple[str, ...] = ()
    suffix: ClassVar[str] = "parquet"

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.columns) - set(SCHEMA.names)):
            raise ValueError(f"no column is called {unknown[0]!r}; there is {', '.join(SCHEMA.names)}")

    @property
    def schema(self) -> pa.Schema:
        """The columns of the file."""
        return pa.schema([SCHEMA.field(name) for name in self.columns]) if self.columns else SCHEMA

    def render(self, record: Record) -> dict[str, Any]:
        """One row of the file, in the schema's order."""
        row = msgspec.to_builtins(record, builtin_types=(dt.datetime,))
        return {name: row[name] for name in self.schema.names}
