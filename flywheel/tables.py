"""Delta tables: atomic commits, versions, and for each partition the fingerprint of what it was made from.

A table is a folder below one root (local, or a URL that deltalake understands). Every write replaces partitions, or the
whole table, in one commit: a reader sees the version before or after, never a mix. The fingerprint goes into the same
commit as a Delta application transaction, so data and fingerprint cannot disagree, whenever a process is killed.
"""

import itertools
import json
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import polars as pl
import pyarrow as pa

from flywheel.errors import FlywheelError

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from pyarrow.fs import PyFileSystem

_WHOLE = "*"
_OVERTAKEN = "table {name!r} was written by another run meanwhile; run again"


class NotMade(FlywheelError, FileNotFoundError):
    """A table that was never written is wanted."""


class Overtaken(FlywheelError):
    """A table has changed since the version that a write goes on from."""


@dataclass(frozen=True)
class Written:
    """A finished write: rows in the partition, and the table's version after it."""

    rows: int
    version: int


@dataclass(frozen=True)
class Tables:
    """The tables below `root`. Instances hold no connection and may be shared between processes."""

    root: str
    batch_rows: int = 10_000

    def uri(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/tables/{name}"

    def exists(self, name: str) -> bool:
        return self._open(name) is not None

    def names(self) -> list[str]:
        """Every table, sorted; a name may hold one slash."""
        from pyarrow.fs import FileSelector, FileType

        root = f"{self.root.rstrip('/')}/tables"
        if "://" not in root and not Path(root).is_dir():
            return []
        files = file_system(root)

        def folders(below: str) -> set[str]:
            found = files.get_file_info(FileSelector(below))
            return {one.path.strip("/") for one in found if one.type == FileType.Directory}

        names = []
        for name in folders(""):
            inside = folders(name)
            names += [name] if f"{name}/_delta_log" in inside else [each for each in inside if self.exists(each)]
        return sorted(names)

    def version(self, name: str) -> int | None:
        table = self._open(name)
        return None if table is None else table.version()

    def identity(self, name: str) -> str | None:
        """What tells this table from another that was made in its place; None when it was never written."""
        table = self._open(name)
        return None if table is None else str(table.metadata().id)

    def fingerprint(self, name: str, **where: str) -> int | None:
        """What the partition was made from (`write`), or None when it was never written."""
        return self.fingerprints(name)(**where)

    def fingerprints(self, name: str) -> Callable[..., int | None]:
        """A look-up of `fingerprint` over one snapshot of the table, for asking about many partitions."""
        table = self._open(name)
        return lambda **where: None if table is None else table.transaction_version(_partition(where))

    def write(
        self,
        name: str,
        data: pl.DataFrame | Iterable[pl.DataFrame],
        *,
        schema: pa.Schema,
        fingerprint: int,
        before_commit: Callable[[], None] | None = None,
        **where: str,
    ) -> Written:
        """Replace one partition, or the whole table when `where` is empty, in one commit.

        Batches are streamed: memory is bounded by one batch. Columns come in `schema`'s order, then the partition's.

        Args:
            data: one batch or many, with at least the columns of `schema`.
            fingerprint: 63-bit digest of the inputs, settings and code that made the data.
            before_commit: called when the data is on disk and before any reader can see it.
            where: partition column = value, for example day="2026-01-31". A table has the same partition columns always.
        """
        rows, added = self._write_file(name, [data] if isinstance(data, pl.DataFrame) else data, schema, where)
        if before_commit is not None:
            before_commit()
        replaced = _equal(where)
        version = self._commit(name, [added] if added else [], schema, {_partition(where): fingerprint}, replaced, list(where))
        return Written(rows, version)

    def write_partitions(
        self,
        name: str,
        data: Mapping[str, pl.DataFrame],
        *,
        schema: pa.Schema,
        fingerprints: Mapping[str, int],
        column: str = "day",
        since: int | None = None,
    ) -> Written:
        """Replace the whole table, or these partitions of it, in one commit, each with a fingerprint of its own.

        For small tables of all days whose content decides, day by day, what has to be made again.

        Args:
            data: partition value -> rows. Partitions that are not named are gone after the write.
            fingerprints: partition value -> 63-bit digest; may hold more keys than `data`.
            since: the version of the table that the data goes on from; then partitions that are not named stay as they are.

        Raises:
            Overtaken: the table is no longer at that version; nothing is changed.
        """
        written = [self._write_file(name, [frame], schema, {column: value}) for value, frame in data.items()]
        files = [added for _, added in written if added]
        replaced = None if since is None else [(column, "in", list(data))]
        version = self._commit(name, files, schema, fingerprints, replaced, [column], since)
        return Written(sum(rows for rows, _ in written), version)

    def invalidate(self, name: str, **where: str) -> None:
        """Forget what a partition was made from, so that it is made again; its rows stay as they are."""
        from deltalake import CommitProperties, Transaction

        table = self._open(name)
        if table is not None:
            forget = CommitProperties(app_transactions=[Transaction(_partition(where), 0)])
            table.create_write_transaction([], mode="append", schema=table.schema(), commit_properties=forget)

    def _commit(
        self,
        name: str,
        files: list[dict[str, Any]],
        schema: pa.Schema,
        fingerprints: Mapping[str, int],
        replaced: list[tuple[str, str, Any]] | None,
        partition_by: list[str],
        since: int | None = None,
    ) -> int:
        from deltalake import CommitProperties, DeltaTable, Schema, Transaction
        from deltalake.exceptions import CommitFailedError, DeltaError
        from deltalake.transaction import AddAction, create_table_with_add_actions

        for column in partition_by:
            schema = schema.append(pa.field(column, pa.string()))
        transactions = [Transaction(partition, fingerprint) for partition, fingerprint in fingerprints.items()]
        commit: dict[str, Any] = {
            "schema": Schema.from_arrow(schema),
            "partition_by": partition_by or None,
            "commit_properties": CommitProperties(app_transactions=transactions),
        }
        actions: list[Any] = [AddAction(**added) for added in files]
        table = self._open(name)
        if table is None:
            try:
                create_table_with_add_actions(self.uri(name), add_actions=actions, mode="error", **commit)
            except DeltaError:  # another process may have created it since
                table = self._open(name)
                if table is None:
                    raise
        if table is not None:
            if since not in (None, table.version()):
                raise Overtaken(_OVERTAKEN.format(name=name))
            try:
                table.create_write_transaction(actions, mode="overwrite", partition_filters=replaced, **commit)
            except CommitFailedError:  # somebody was faster, after the table was opened here
                if since is None:
                    raise
                raise Overtaken(_OVERTAKEN.format(name=name)) from None
        return DeltaTable(self.uri(name)).version()

    def _write_file(
        self, name: str, frames: Iterable[pl.DataFrame], schema: pa.Schema, where: Mapping[str, str]
    ) -> tuple[int, dict[str, Any] | None]:
        """Stream the frames, in order, into one new Parquet file that no commit names yet.

        deltalake's own writer is not used because it writes batches in parallel and loses their order.
        """
        import pyarrow.parquet as pq

        folder = "".join(f"{column}={quote(value, safe='')}/" for column, value in where.items())
        path = f"{folder}{uuid.uuid4().hex}.parquet"
        if "://" not in self.root:
            Path(self.uri(name), folder).mkdir(parents=True, exist_ok=True)
        files = file_system(self.uri(name))
        filled = (frame for frame in frames if frame.height)
        first = next(filled, None)
        if first is None:
            return 0, None
        rows = 0
        options: Any = {"compression": "zstd", "use_dictionary": [leaf for field in schema for leaf in _repeating(field)]}
        with files.open_output_stream(path) as stream, pq.ParquetWriter(stream, schema, **options) as writer:
            for frame in itertools.chain([first], filled):
                rows += frame.height
                writer.write_table(frame.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema))
        if "://" not in self.root:
            _sync(Path(self.uri(name)) / path)
        added = {
            "path": path,
            "size": files.get_file_info(path).size,
            "partition_values": dict(where),
            "modification_time": int(time.time() * 1000),
            "data_change": True,
            "stats": json.dumps({"numRecords": rows}),
        }
        return rows, added

    def scan(self, name: str, *, version: int | None = None, **where: str) -> pl.LazyFrame:
        """The table, or one partition of it, lazily.

        Raises:
            NotMade: the table was never written.
        """
        table = self._open(name, version)
        if table is None:
            raise NotMade(f"table {name!r} has not been made yet; `flywheel run` makes it")
        if not where:
            return pl.scan_delta(table)
        # not a filter over scan_delta: polars 2.1 finds no row where the partition's value is escaped in the path
        return pl.scan_pyarrow_dataset(table.to_pyarrow_dataset(partitions=_equal(where)))

    def read(self, name: str, *, version: int | None = None, **where: str) -> pl.DataFrame:
        """The table, or one partition of it, in the order in which it was written."""
        return self.scan(name, version=version, **where).collect()

    def batches(self, name: str, *, columns: Sequence[str] | None = None, **where: str) -> Iterator[pl.DataFrame]:
        """One partition, or the whole table by partition value, in batches of at most `batch_rows` rows, each in written order.

        Only `columns` are read from the files; all when None. Yields nothing when the table was never written.
        """
        table = self._open(name)
        if table is None:
            return
        for partition in sorted(table.partitions(), key=lambda values: tuple(values.values())) or [{}]:
            if any(partition.get(column) != value for column, value in where.items()):
                continue
            dataset: Any = table.to_pyarrow_dataset(
                partitions=[(column, "=", value) for column, value in partition.items()] or None
            )
            for batch in dataset.to_batches(columns=None if columns is None else list(columns), batch_size=self.batch_rows):
                if batch.num_rows:
                    frame = pl.from_arrow(batch)
                    assert isinstance(frame, pl.DataFrame)
                    yield frame

    def pick(
        self, name: str, column: str, values: pl.Series, *, partitions: tuple[str, Sequence[str]], version: int | None = None
    ) -> pl.DataFrame:
        """The rows whose `column` holds one of `values`, in no order.

        Of row groups without such a row only that column is read.

        Args:
            partitions: partition column, and those of its values that are looked at.

        Raises:
            NotMade: the table was never written.
        """
        table = self._open(name, version)
        if table is None:
            raise NotMade(f"table {name!r} has not been made yet; `flywheel run` makes it")
        by, chosen = partitions
        dataset: Any = table.to_pyarrow_dataset(partitions=[(by, "in", list(chosen))])
        frames = [pl.DataFrame(dataset.schema.empty_table())]
        for file in dataset.get_fragments():
            held = pl.Series(file.to_table(columns=[column])[column]).is_in(values.implode())
            ends = pl.Series([group.num_rows for group in file.row_groups]).cum_sum()
            groups = ends.search_sorted(held.arg_true(), "right").unique().to_list()
            if groups:
                some = pl.DataFrame(file.subset(row_group_ids=groups).to_table(schema=dataset.schema))
                frames.append(some.filter(pl.col(column).is_in(values.implode())))
        return pl.concat(frames)

    def dataset(self, name: str) -> Any:
        """The table as a pyarrow dataset, which DuckDB queries with its filters and columns pushed down.

        Raises:
            NotMade: the table was never written.
        """
        table = self._open(name)
        if table is None:
            raise NotMade(f"table {name!r} has not been made yet; `flywheel run` makes it")
        return table.to_pyarrow_dataset()

    def schema(self, name: str) -> pa.Schema | None:
        """The table's columns with their comments, partition columns last; None when it was never written."""
        table = self._open(name)
        columns: Any = table.schema().to_arrow() if table is not None else None
        return None if columns is None else pa.schema(columns)

    def partitions(self, name: str, column: str = "day", *, version: int | None = None) -> list[str]:
        """The values of a partition column that hold rows, sorted."""
        table = self._open(name, version)
        if table is None:
            return []
        return sorted({str(partition[column]) for partition in table.partitions()})

    def rows(self, name: str, **where: str) -> int:
        """Rows of a table or of one partition, from the table's own log; 0 when it was never written."""
        if not self.exists(name):
            return 0
        return int(self.scan(name, version=None, **where).select(pl.len()).collect().item())

    def _open(self, name: str, version: int | None = None) -> "DeltaTable | None":
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            return DeltaTable(self.uri(name), version=version)
        except TableNotFoundError:
            return None


def file_system(url: str) -> "PyFileSystem":
    """The files below a folder or URL, through deltalake's stores: what a table can lie on, anything else can too."""
    from deltalake.fs import DeltaStorageHandler
    from pyarrow.fs import PyFileSystem

    return PyFileSystem(DeltaStorageHandler(url))


def _equal(where: Mapping[str, str]) -> list[tuple[str, str, Any]] | None:
    return [(column, "=", value) for column, value in where.items()] or None


def _partition(where: Mapping[str, str]) -> str:
    return "/".join(where.values()) or _WHOLE


def _repeating(field: "pa.Field[Any]", path: str = "") -> list[str]:
    """The columns below a field that gain by a dictionary of their values: not those of numbers, which are hashes or measures."""
    kind: Any = field.type
    path += field.name
    if pa.types.is_list(kind):
        return _repeating(pa.field("element", kind.value_type), f"{path}.list.")
    if pa.types.is_struct(kind):
        return [leaf for each in kind for leaf in _repeating(each, f"{path}.")]
    return [] if pa.types.is_integer(kind) or pa.types.is_floating(kind) else [path]


def _sync(path: Path) -> None:
    """Make the file and its folder entry durable before a commit names it."""
    for target in (path, path.parent):
        descriptor = os.open(target, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
