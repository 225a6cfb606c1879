"""The two kinds of file that an export writes, row by row, made durable when closed."""

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import pyarrow as pa

from flywheel.errors import PluginError

_ROW_GROUP = 2_000


class Writer(Protocol):
    """An open file of rows. Leaving it writes everything to the disk."""

    def write(self, row: dict[str, Any], line: bytes, /) -> None:
        """Append one row, given also as its JSON without a newline."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None: ...


def open_writer(path: Path, schema: pa.Schema | None) -> Writer:
    """A writer chosen by the file's suffix.

    Raises:
        PluginError: the suffix is neither `jsonl` nor `parquet`, or a Parquet file has no schema.
    """
    if path.suffix == ".jsonl":
        return _JsonLines(path)
    if path.suffix != ".parquet":
        raise PluginError(f"a format writes {path.suffix!r} files; known suffixes are 'jsonl' and 'parquet'.")
    if schema is None:
        raise PluginError("a format with the suffix 'parquet' needs a `schema`, the pyarrow schema of its rows.")
    return _Rows(path, schema)


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, _row: dict[str, Any], line: bytes, /) -> None:
        self._file.write(line + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._file:
            self._file.flush()
            os.fsync(self._file.fileno())


class _Rows:
    """Parquet in row groups of `_ROW_GROUP` rows; that many rows are in memory."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        import pyarrow.parquet as pq

        self._file = path.open("wb")
        self._schema = schema
        self._writer = pq.ParquetWriter(self._file, schema, compression="zstd")
        self._waiting: list[dict[str, Any]] = []

    def write(self, row: dict[str, Any], _line: bytes, /) -> None:
        self._waiting.append(row)
        if len(self._waiting) >= _ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_pylist(self._waiting, schema=self._schema))
            self._waiting.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._file:
            if kind is None:
                self._flush()
            self._writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())
