"""Rows that come in any order and go oldest first, sorted in a temporary file: memory does not grow with them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import duckdb
import polars as pl

_MEMORY = "256MB"
_BATCH_ROWS = 50_000
_AGE = "created_at, id, day, number"


class Aging:
    """Collects batches; gives their rows back in the order of `created_at` (none last), `id`, `day`, then as they came.

    Strings are ordered by their bytes. The file lies in the folder for temporary files, and goes when the context ends.
    """

    def __init__(self, schema: pl.Schema) -> None:
        """`schema` has `created_at`, in microseconds, `id` and `day` among its columns."""
        self._schema = schema
        self._rows = 0
        self._sorted = False

    def __enter__(self) -> "Aging":
        self._folder = tempfile.TemporaryDirectory(prefix="flywheel-")
        config: dict[str, str | bool | int | float | list[str]] = {"memory_limit": _MEMORY, "temp_directory": self._folder.name}
        self._file = duckdb.connect(Path(self._folder.name) / "rows.duckdb", config=config)
        self._file.execute("set enable_progress_bar = false")
        self._write("create table rows as", self._schema.to_frame().with_columns(number=pl.lit(0, pl.Int64)))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        self._folder.cleanup()

    def add(self, batch: pl.DataFrame) -> None:
        numbers = pl.int_range(self._rows, self._rows + batch.height, eager=True)
        self._write("insert into rows", batch.select(self._schema.names()).with_columns(number=numbers))
        self._rows += batch.height

    def oldest_first(self, *columns: str) -> Iterator[pl.DataFrame]:
        """All rows, in batches; `number` counts them as they came. No row can be added any more."""
        self._sort()
        yield from self._read(f"select {', '.join(columns)} from aged")

    def at(self, places: pl.Series, *columns: str) -> pl.DataFrame:
        """The rows at some places of that order, from 0, with the place as `at`: ascending, each once."""
        self._sort()
        self._write("create or replace temp table wanted as", places.unique().to_frame("at").cast(pl.Int64))
        chosen = f'select rowid as "at", {", ".join(columns)} from aged where rowid in (select "at" from wanted)'
        schema = pl.Schema({"at": pl.Int64} | {column: self._schema[column] for column in columns})
        return pl.concat([schema.to_frame(), *(frame.cast(schema) for frame in self._read(chosen))]).sort("at")

    def _sort(self) -> None:
        if not self._sorted:
            self._file.execute(f"create table aged as select * from rows order by {_AGE.replace(',', ' nulls last,')}")
            self._file.execute("drop table rows")
            self._sorted = True

    def _write(self, statement: str, frame: pl.DataFrame) -> None:
        self._file.register("batch", frame.to_arrow(compat_level=pl.CompatLevel.oldest()))
        self._file.execute(f"{statement} select * from batch")
        self._file.unregister("batch")

    def _read(self, query: str) -> Iterator[pl.DataFrame]:
        for batch in self._file.sql(query).to_arrow_reader(_BATCH_ROWS):
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            yield frame
