"""One day's log files -> batches of records, and for every line where it went."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import msgspec
import polars as pl
import pyarrow as pa
import xxhash

from flywheel import records as schema
from flywheel.errors import Rejected
from flywheel.ledger import exits
from flywheel.plugins import Source
from flywheel.records import LOGGED_ID, Record, digest
from flywheel.schema import column
from flywheel.sections import Logs, Public
from flywheel.sources.columns import Mapped
from flywheel.sources.files import open_file
from flywheel.sources.halves import Halves, HalvesSource
from flywheel.sources.lines import BadEntry, Blank, Entry
from flywheel.sources.pseudonyms import Pseudonyms, storable
from flywheel.sources.recognize import Recognizer
from flywheel.sources.tabular import is_parquet, parquet_rows, rows_or_entries
from flywheel.sources.unpack import unpack

REJECTED = pa.schema(
    [
        column("file", pa.string(), "the file's `uri` in `log_files`"),
        column("offset", pa.int64(), "where the entry begins, in bytes of the unpacked stream; of Parquet the number of the row"),
        column("length", pa.int64(), "bytes of the entry; 0 for a cut or a file that could not be opened"),
        column("reason", pa.string(), "a slug: `not_json`, `line_too_long`, `truncated`, `unknown_dialect`, `http_error`"),
    ]
)
READS = pa.schema(
    [
        column("file", pa.string(), "the file's `uri` in `log_files`"),
        column("sha256", pa.string(), "of the stored bytes when the file was registered"),
        column("bytes", pa.int64(), "of the unpacked stream that lines and entries cover"),
        column("lines", pa.int64(), "lines, document elements or rows: accepted + rejected + blank"),
        column("blank", pa.int64(), "empty lines, and the first line of CSV"),
        column("accepted", pa.int64(), "entries that gave at least one record"),
        column("rejected", pa.int64(), "entries that gave none, each a row of `rejected`"),
        column("records", pa.int64(), "records in accepted entries: those passed on + merged + dropped"),
        column("merged", pa.int64(), "records whose id had been read before on this day (`same_id`)"),
        column("dropped", pa.int64(), "records without messages or that cannot be stored"),
    ]
)
_BATCH_BYTES = 64 << 20


class Chunk(NamedTuple):
    """A batch of records with the columns of `SCHEMA`, and what fell beside it.

    `rejected` has the columns of `REJECTED`; `exits` those of `EXITS`, then `file` and `offset` of the entry.
    """

    records: pl.DataFrame
    rejected: pl.DataFrame
    exits: pl.DataFrame


class _Exit(NamedTuple):
    id: str
    reason: str
    merged: bool
    file: str
    offset: int


@dataclass
class _Counts:
    file: str
    sha256: str | None
    bytes: int = 0
    lines: int = 0
    blank: int = 0
    accepted: int = 0
    rejected: int = 0
    records: int = 0
    merged: int = 0
    dropped: int = 0


class _Reader(NamedTuple):
    """How the files of the project's logs, or of one public data set, are read."""

    logs: Logs
    recognizer: Recognizer
    origin: str | None


def _reader(logs: Logs, sources: Mapping[str, Source], origin: str | None) -> _Reader:
    mapped: dict[str, Source] = {"columns": Mapped(logs.columns)} if logs.columns else {}
    return _Reader(logs, Recognizer({**sources, **mapped}, logs.dialect), origin)


@dataclass
class _Apart:
    """An entry that holds halves of calls: how many of them were joined, and why another one was not."""

    reader: _Reader
    counts: _Counts
    offset: int
    length: int
    joined: int = 0
    reason: str = ""


class Reading:
    """The files of one day, read as often as it is iterated; `reads` has the counts of what was iterated last.

    Memory: one batch (`batch_rows` records, or 64 MB of entries where those are long), one entry, and about 200 bytes for
    each id of the day. Nothing that a file or a source does stops the others.

    Calls that were logged in halves (see `halves`) come after everything else, each at the place of its answer. The entry of a
    request is accepted too; its row leaves as `merged` into the call (`joined`).
    """

    def __init__(
        self,
        files: pl.DataFrame,
        *,
        logs: Logs,
        public: Iterable[Public] = (),
        root: Path,
        sources: Mapping[str, Source],
        key: bytes,
        batch_rows: int = 10_000,
    ) -> None:
        """Read nothing yet.

        Args:
            files: rows of `LOG_FILES`, read in this order. Of a file that has grown, the registered `size` is read.
            logs: the dialect, the licences and the app that records get, and the longest line.
            public: the data sets that files with a `public` belong to; the licences of those are theirs alone.
            root: the folder that relative uris start from.
            sources: by dialect; at least the one that `logs.dialect` names.
            key: secret of the user ids' HMAC.
            batch_rows: above 0.

        Raises:
            ConfigError: `sources` lacks `logs.dialect`, or that of a public data set.
        """
        self.files = files
        self.logs = logs
        self.root = root
        self._own = _reader(logs, sources, None)
        self._public = {one.name: _reader(one.logs(logs), sources, f"public:{one.name}") for one in public}
        self._reader = self._own
        self.batch_rows = batch_rows
        self._names = Pseudonyms(key)
        self._halves: Halves | None = None
        self._start()

    def __iter__(self) -> Iterator[Chunk]:
        """Batches in the order of files and offsets; the last may be short, and there is none for no lines."""
        self._start()
        files = self.files if "public" in self.files.columns else self.files.with_columns(public=None)
        for uri, size, sha256, problem, public in files.select("uri", "size", "sha256", "problem", "public").iter_rows():
            counts = _Counts(uri, sha256)
            self._reader = self._public.get(public, self._own)
            self._counts.append(counts)
            if problem is not None:
                self._reject(counts, BadEntry(0, 0, problem))
                continue
            try:
                file = open_file(uri, self.root)
            except Exception:  # every store raises its own
                self._reject(counts, BadEntry(0, 0, "unreadable"))
                continue
            with file:
                for item in self._items(file, size, counts):
                    self._take(counts, item)
                    if self._is_full():
                        yield self._flush()
        for _ in self._join():
            if self._is_full():
                yield self._flush()
        if self._waiting or self._rejected or self._exits:
            yield self._flush()

    def _items(self, file: BinaryIO, size: int | None, counts: _Counts) -> Iterator[Entry | BadEntry | Blank]:
        longest = self.logs.max_line_bytes
        if is_parquet(file):
            for item in parquet_rows(file, size=size, max_line_bytes=longest):
                counts.bytes += item.length
                yield item
            return
        columns = self._reader.logs.columns
        names = columns.names if columns else ()
        yield from rows_or_entries(_counted(unpack(file, size=size), counts), max_line_bytes=longest, columns=names)

    @property
    def reads(self) -> pl.DataFrame:
        """One row a file with the columns of `READS`, in the order of the files; complete once iteration is."""
        return pl.DataFrame([asdict(counts) for counts in self._counts], schema=pl.Schema(READS), orient="row")

    def _start(self) -> None:
        self._counts: list[_Counts] = []
        self._known: set[bytes] = set()  # digests of ids and of whole records
        self._waiting: list[Record] = []
        self._waiting_bytes = 0
        self._rejected: list[tuple[str, int, int, str]] = []
        self._exits: list[_Exit] = []
        self._apart: list[_Apart] = []
        if self._halves is not None:
            self._halves.close()
        self._halves = None

    def _is_full(self) -> bool:
        rows = max(len(self._waiting), len(self._rejected), len(self._exits))
        return rows >= self.batch_rows or self._waiting_bytes >= _BATCH_BYTES

    def _take(self, counts: _Counts, item: Entry | BadEntry | Blank) -> None:
        if isinstance(item, Blank):
            counts.lines += 1
            counts.blank += 1
        elif isinstance(item, BadEntry):
            self._reject(counts, item)
        else:
            try:
                dialect, found, halves = self._reader.recognizer.read(item)
                if not halves and not any(record.messages for record in found):
                    raise Rejected("no_messages")
            except Rejected as rejected:
                self._reject(counts, BadEntry(item.offset, item.length, rejected.reason))
                return
            if halves:
                self._halves = self._halves or Halves()
                for half in halves:
                    self._halves.hold(len(self._apart), counts.file, dialect, half)
                self._apart.append(_Apart(self._reader, counts, item.offset, item.length))
                return
            counts.lines += 1
            counts.accepted += 1
            self._accept(counts, item, dialect, found)

    def _join(self) -> Iterator[None]:
        """Pass on the calls that were logged in halves, one a step, and count the entries that held them."""
        if self._halves is None:
            return
        halves, into = self._halves, dict[int, str]()
        for at, requests in halves.answers():
            half = halves.held[at]
            apart = self._apart[half.entry]
            self._reader = apart.reader
            try:
                found = halves.join(cast(HalvesSource, self._reader.recognizer.sources[half.dialect]), at, requests)
            except Rejected as rejected:
                for one in [at, *requests]:
                    self._apart[halves.held[one].entry].reason = rejected.reason
            except Exception as error:  # a plugin's fault
                apart.reason = f"source_error:{type(error).__name__}"
            else:
                first = self._accept(apart.counts, Entry(apart.offset, apart.length, halves.data(at)), half.dialect, found)
                into.update(dict.fromkeys([at, *requests], first))
                yield
        yield from self._settle(halves, into)
        halves.close()
        self._halves = None

    def _settle(self, halves: Halves, into: dict[int, str]) -> Iterator[None]:
        """Say where every half went: `into` has the ids of the calls that they are in, by their places in `held`."""
        for at, half in enumerate(halves.held):
            self._apart[half.entry].joined += at in into
        for at, half in enumerate(halves.held):
            apart = self._apart[half.entry]
            if half.is_answer and at in into:
                continue
            if at in into or apart.joined:  # a page may hold halves of many calls
                apart.counts.records += 1
                reason = "joined" if at in into else "no_request" if half.is_answer else "no_response"
                apart.counts.merged += at in into
                apart.counts.dropped += at not in into
                given = into.get(at) or digest(halves.data(at))
                self._exits.append(_Exit(given, reason, at in into, apart.counts.file, apart.offset))
                yield
            else:
                apart.reason = apart.reason or ("no_request" if half.is_answer else "no_response")
        for apart in self._apart:
            if apart.joined:
                apart.counts.lines += 1
                apart.counts.accepted += 1
            else:
                self._reject(apart.counts, BadEntry(apart.offset, apart.length, apart.reason))
                yield

    def _reject(self, counts: _Counts, bad: BadEntry) -> None:
        counts.lines += 1
        counts.rejected += 1
        self._rejected.append((counts.file, *bad))

    def _accept(self, counts: _Counts, entry: Entry, dialect: str, found: list[Record]) -> str:
        """Pass on the records of an entry; gives the id of the last one."""
        given = ""
        counts.records += len(found)
        self._waiting_bytes += entry.length
        source = schema.Source(file=counts.file, offset=entry.offset, length=entry.length, dialect=dialect)
        for index, record in enumerate(found):
            given = self._names.id(record) or digest(entry.data, *([str(index).encode()] if len(found) > 1 else []))
            if not record.messages:
                counts.dropped += 1
                self._exits.append(_Exit(given, "no_messages", False, counts.file, entry.offset))
                continue
            record = self._complete(record, given, dialect)  # noqa: PLW2901
            record, body = storable(record)  # noqa: PLW2901
            if not self._is_new(body):
                variant = _variant(body)
                given = variant if _key(variant.encode()) in self._known else given
                counts.merged += 1
                self._exits.append(_Exit(given, "same_id", True, counts.file, entry.offset))
                continue
            tags = record.tags
            if not self._is_new(given.encode()):
                tags = (*record.tags, f"{LOGGED_ID}{given}")
                given = _variant(body)
                self._known.add(_key(given.encode()))
            self._waiting.append(msgspec.structs.replace(record, id=given, tags=tags, source=source))
        return given

    def _is_new(self, what: bytes) -> bool:
        known = len(self._known)
        self._known.add(_key(what))
        return len(self._known) > known

    def _complete(self, record: Record, given: str, dialect: str) -> Record:
        """Fill in what the reader knows and the source does not."""
        user = self._names.user(record.user) if record.user else None
        feedback = record.feedback
        if any(said.by for said in feedback):
            feedback = tuple(msgspec.structs.replace(said, by=self._names.judge(said.by)) for said in feedback)
        return msgspec.structs.replace(
            record,
            id=given,
            source=None,
            origin=(self._reader.origin or f"log:{dialect}") if record.origin == "log" else record.origin,
            user=user,
            app=record.app or self._reader.logs.app,
            feedback=feedback,
            licenses=tuple(dict.fromkeys((*self._reader.logs.licenses, *record.licenses))),
        )

    def _flush(self) -> Chunk:
        batch = self._store()
        rejected = pl.DataFrame(self._rejected, schema=pl.Schema(REJECTED), orient="row")
        left = pl.concat(self._left(merged=merged) for merged in (True, False))
        self._waiting, self._rejected, self._exits = [], [], []
        self._waiting_bytes = 0
        return Chunk(batch, rejected, left)

    def _left(self, *, merged: bool) -> pl.DataFrame:
        gone = [left for left in self._exits if left.merged is merged]
        ids = [left.id for left in gone]
        frame = exits(ids, [left.reason for left in gone], into=ids if merged else None, merged=merged)
        files = pl.Series("file", [left.file for left in gone], dtype=pl.String)
        return frame.with_columns(files, pl.Series("offset", [left.offset for left in gone], dtype=pl.Int64))

    def _store(self) -> pl.DataFrame:
        """The waiting records as a batch. One that Arrow refuses is dropped, alone."""
        try:
            return schema.to_batch(self._waiting)
        except Exception:  # found below, record by record
            batches = [schema.empty()]
        counts = {counts.file: counts for counts in self._counts}
        for record in self._waiting:
            try:
                batches.append(schema.to_batch([record]))
            except Exception:  # the exit says so; the error's text could hold the record's
                file, offset, *_ = msgspec.structs.astuple(cast(schema.Source, record.source))
                counts[file].dropped += 1
                self._exits.append(_Exit(record.id, "cannot_be_stored", False, file, offset))
        return pl.concat(batches)


def _variant(body: bytes) -> str:
    """The id of a record whose logged id another record has."""
    return digest(b"logged again", body)


def _key(what: bytes) -> bytes:
    return xxhash.xxh3_128_digest(what)


def _counted(pieces: Iterator[bytes], counts: _Counts) -> Iterator[bytes]:
    for piece in pieces:
        counts.bytes += len(piece)
        yield piece
