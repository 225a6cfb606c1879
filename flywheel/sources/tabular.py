"""CSV and Parquet files -> entries: each row is an object of its columns, as if it were a line of JSON.

Which dialect a row is in is decided as for any other entry, by its columns' names; `[logs] columns` names those that no
dialect knows. CSV is RFC 4180 with `,`, `;`, tab or `|`, in any packing and encoding that `unpack` reads.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from typing import Any, BinaryIO, NamedTuple

import msgspec

from flywheel.errors import Rejected
from flywheel.sources.chat import has_messages
from flywheel.sources.lines import BadEntry, Blank, Entry, entries
from flywheel.sources.unpack import MAX_BYTES, MAX_RATIO, Cut
from flywheel.sources.values import decoded

__all__ = ["csv_rows", "is_parquet", "parquet_rows", "rows_or_entries"]

Item = Entry | BadEntry | Blank

_MAGIC = b"PAR1"
_SNIFFED = 1 << 16
_DELIMITERS = ",;\t|"
_NAME = re.compile(r"[^\s\x00-\x1f{}\[\]:][^\x00-\x1f{}\[\]:]{0,99}")
_KNOWN = {
    *("prompt", "completion", "messages", "conversation", "conversations", "instruction", "output", "input", "chosen"),
    *("rejected", "request", "response", "inputs", "outputs", "trace_id", "traceid", "request_id", "call_type", "run_type"),
    *("function_name", "question", "answer", "reply"),
}
_STRUCTURED = {"request", "response", "tools", "functions", "metadata", "usage", "inputs", "outputs", "extra"}
_ENCODER = msgspec.json.Encoder()
_ROWS = 128
_SLICE_BYTES = 32 << 20
_BOMB_BYTES = 256 << 20


class Table(NamedTuple):
    """What a CSV file's first line says."""

    delimiter: str
    columns: tuple[str, ...]


def rows_or_entries(pieces: Iterator[bytes], *, max_line_bytes: int = 32 << 20, columns: Collection[str] = ()) -> Iterator[Item]:
    """The rows of a CSV file, or the entries of any other text (see `entries`).

    It is CSV when its first line is no JSON, has at least two different names as RFC 4180 writes them, one of which is among
    `columns` or is a name that a dialect knows, and the next row has as many fields.
    """
    held: list[bytes] = []
    cut: Cut | None = None
    size = 0
    try:
        while size < _SNIFFED and (piece := next(pieces, None)) is not None:
            held.append(piece)
            size += len(piece)
    except Cut as early:
        cut = early
    stream = chain(held, _raise(cut) if cut else pieces)
    table = _table(b"".join(held)[: 4 * _SNIFFED], columns)
    return csv_rows(stream, table, max_line_bytes=max_line_bytes) if table else entries(stream, max_line_bytes=max_line_bytes)


def _raise(cut: Cut) -> Iterator[bytes]:
    raise cut
    yield b""


def _table(head: bytes, columns: Collection[str]) -> Table | None:
    text = head.decode("utf-8", "replace").removeprefix("\ufeff").lstrip("\r\n")
    if not text or text[0] in "{[":
        return None
    first, _, rest = text.partition("\n")
    for delimiter in _DELIMITERS:
        names = _fields(first.rstrip("\r"), delimiter)
        if names is None or len(names) < 2 or len(set(names)) < len(names) or not all(map(_NAME.fullmatch, names)):
            continue
        if not {*columns, *_KNOWN} & {*names, *(name.lower() for name in names)}:
            continue
        record, lines = "", iter(rest.split("\n"))
        for line in lines:
            record += ("\n" if record else "") + line
            if record.count('"') % 2 == 0:
                break
        fields = _fields(record.rstrip("\r"), delimiter)
        if not record or (fields is not None and len(fields) == len(names)) or record.count('"') % 2:
            return Table(delimiter, tuple(names))
    return None


def _fields(record: str, delimiter: str) -> list[str] | None:
    """A row's fields; None where a quoted field is not followed by a delimiter. `csv` has a limit that is the process's own."""
    if '"' not in record:
        return record.split(delimiter)
    found, at = [], 0
    while True:
        if record[at : at + 1] == '"':
            end = at + 1
            while (end := record.find('"', end)) >= 0 and record[end + 1 : end + 2] == '"':
                end += 2
            if end < 0 or (end + 1 < len(record) and record[end + 1] != delimiter):
                return None
            found.append(record[at + 1 : end].replace('""', '"'))
            at = end + 1
        else:
            end = record.find(delimiter, at)
            found.append(record[at:] if end < 0 else record[at:end])
            at = len(record) if end < 0 else end
        if at >= len(record):
            return found
        at += 1


def csv_rows(pieces: Iterable[bytes], table: Table, *, max_line_bytes: int = 32 << 20) -> Iterator[Item]:
    """The rows behind the first line, which is the names of the columns and counts as blank, as do empty lines.

    A row lies at its offset and length in the stream; its `data` is the row as JSON. Memory: one row, at most
    `max_line_bytes`, and one piece.

    Yields:
        `Entry`, `BadEntry` or `Blank`, in order. Reasons: `ragged_row` (too few or too many fields), `bad_quotes` (then the
        next line is tried by itself: an open quote costs no more than its own line), `not_utf8`, `line_too_long`, and those
        of `Cut`.
    """
    splitter = _Csv(table, max_line_bytes)
    cut: Cut | None = None
    rest = b""
    stream = iter(pieces)
    while cut is None:
        try:
            piece = next(stream, None)
        except Cut as early:
            cut = early
            break
        if piece is None:
            break
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield from splitter.line(line, ended=True)
        if len(rest) > max_line_bytes:
            yield from splitter.overlong(rest)
            rest = b""
    if rest and cut is None:
        yield from splitter.line(rest, ended=False)
    yield from splitter.close()
    if cut is not None:
        yield BadEntry(splitter.offset, len(rest), cut.reason)


class _Csv:
    """Physical lines to rows: a row goes on while a quote is open."""

    def __init__(self, table: Table, limit: int) -> None:
        self.table = table
        self.limit = limit
        self.offset = 0  # of the first held line
        self.held: list[bytes] = []
        self.size = 0
        self.is_open = False
        self.header = True
        self.skipped = 0

    def line(self, line: bytes, *, ended: bool) -> Iterator[Item]:
        if self.skipped:  # the end of a line that was too long to keep
            length = self.skipped + len(line)
            yield BadEntry(self.offset, length, "line_too_long")
            self.offset += length + ended
            self.skipped = 0
            return
        self.held.append(line + b"\n" if ended else line)
        self.size += len(self.held[-1])
        self.is_open ^= line.count(b'"') % 2 == 1
        if not self.is_open:
            yield from self._row()
        elif self.size > self.limit:
            yield from self._give_up("bad_quotes")

    def overlong(self, part: bytes) -> Iterator[Item]:
        while self.held:
            yield from self._give_up("bad_quotes")
        self.skipped += len(part)

    def close(self) -> Iterator[Item]:
        if self.skipped:
            yield from self.line(b"", ended=False)
        while self.held:
            yield from self._give_up("bad_quotes")

    def _row(self) -> Iterator[Item]:
        raw = b"".join(self.held)
        data = raw.rstrip(b"\r\n")
        if self.header or not data.strip(b" \t\r\n\0"):
            if self.header and not data.strip(b" \t\r\n\0\xef\xbb\xbf"):
                yield self._taken(Blank(self.offset, len(data)), raw)
                return
            self.header = False
            yield self._taken(Blank(self.offset, len(data)), raw)
            return
        try:
            fields = _fields(data.decode(), self.table.delimiter)
        except UnicodeDecodeError:
            yield self._taken(BadEntry(self.offset, len(data), "not_utf8"), raw)
            return
        if fields is not None and len(fields) == len(self.table.columns):
            row = dict(zip(self.table.columns, fields, strict=True))
            yield self._taken(Entry(self.offset, len(data), _json(row)), raw)
        elif len(self.held) == 1:
            yield self._taken(BadEntry(self.offset, len(data), "ragged_row" if fields is not None else "bad_quotes"), raw)
        else:
            yield from self._give_up("bad_quotes")

    def _taken(self, item: Item, raw: bytes) -> Item:
        self.offset += len(raw)
        self.held, self.size, self.is_open = [], 0, False
        return item

    def _give_up(self, reason: str) -> Iterator[Item]:
        """Reject the first held line alone, and read the others as if it had not been there."""
        first, *others = self.held
        yield self._taken(BadEntry(self.offset, len(first.rstrip(b"\r\n")), reason), first)
        for line in others:
            ended = line.endswith(b"\n")
            yield from self.line(line[:-1] if ended else line, ended=ended)


def is_parquet(file: BinaryIO) -> bool:
    """Whether a file that can be read from any place is Parquet; it is left at its start."""
    try:
        if not file.seekable():
            return False
        head = file.read(len(_MAGIC))
        file.seek(0)
    except Exception:  # every store raises its own; reading says what is wrong
        return False
    return head == _MAGIC


def parquet_rows(
    file: BinaryIO,
    *,
    size: int | None = None,
    max_line_bytes: int = 32 << 20,
    max_bytes: int = MAX_BYTES,
    max_ratio: int = MAX_RATIO,
) -> Iterator[Item]:
    """The rows of a Parquet file: `offset` is the row's number, `data` the row as JSON, `length` that of `data`.

    Memory: a page of each column, and 128 rows or 32 MB of them. A text that one page repeats a million times stays one text
    until its row is read. A page whose own header lies about its size can still make Arrow allocate up to 2 GB.

    Args:
        file: open at its start.
        size: as it was registered; a file of another length is another file (`changed`).
        max_line_bytes: bytes of a row as JSON (`line_too_long`).
        max_bytes, max_ratio: as for `unpack`; also held against the sizes that the file's own footer states.

    Yields:
        `Entry` or `BadEntry`, in order; after `corrupt`, `decompression_bomb`, `too_large` or `changed` nothing more.
    """
    import pyarrow.parquet as pq

    number = total = 0
    try:
        packed = file.seek(0, 2)
        file.seek(0)
        if size is not None and packed != size:
            raise Cut("changed")
        source = pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True)
        texts = _check(source.metadata, packed, max_bytes, max_ratio)
        source = pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20, read_dictionary=texts)
        for batch in source.iter_batches(batch_size=_ROWS, use_threads=False):
            for row in _python_rows(batch):
                data = _json(row)
                total += len(data)
                if total > max_bytes:
                    raise Cut("too_large")
                if total > _BOMB_BYTES and total > max_ratio * packed:
                    raise Cut("decompression_bomb")
                if len(data) > max_line_bytes:
                    yield BadEntry(number, len(data), "line_too_long")
                else:
                    yield Entry(number, len(data), data)
                number += 1
    except Cut as cut:
        yield BadEntry(number, 0, cut.reason)
    except MemoryError:
        yield BadEntry(number, 0, "too_large")
    except Exception:  # Arrow has many; the text of its errors could hold the file's
        yield BadEntry(number, 0, "corrupt")


def _check(metadata: Any, packed: int, max_bytes: int, max_ratio: int) -> list[str]:
    """Hold the footer's sizes against the caps; gives the top-level text columns."""
    total = 0
    for at in range(metadata.num_row_groups):
        group = metadata.row_group(at)
        for column in range(group.num_columns):
            total += group.column(column).total_uncompressed_size
    if total > max_bytes:
        raise Cut("too_large")
    if total > _BOMB_BYTES and total > max_ratio * packed:
        raise Cut("decompression_bomb")
    schema = metadata.schema
    columns = [schema.column(at) for at in range(len(schema))]
    return [one.path for one in columns if one.physical_type == "BYTE_ARRAY" and "." not in one.path]


def _python_rows(batch: Any) -> Iterator[dict[str, Any]]:
    """The batch's rows as Python objects, few at a time where they are long."""
    import pyarrow as pa
    import pyarrow.compute as pc

    widest = 0
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            longest = pc.max(pc.binary_length(column.dictionary)).as_py() if len(column.dictionary) else 0
            widest += longest or 0
        else:
            widest += column.nbytes // max(1, len(column)) * 4
    step = max(1, min(len(batch), _SLICE_BYTES // max(1, widest)))
    for start in range(0, len(batch), step):
        yield from batch.slice(start, step).to_pylist(maps_as_pydicts="lossy")


def _json(row: dict[str, Any]) -> bytes:
    """A row as JSON. A cell that holds a conversation, or a call's sides, as JSON text becomes the conversation itself."""
    for name, value in row.items():
        if type(value) is str and value[:1] in ("[", "{"):
            inner = decoded(value)
            if inner is not value and (has_messages(inner) or name.lower() in _STRUCTURED):
                row[name] = inner
    try:
        return _ENCODER.encode(row)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        return _ENCODER.encode({name: _plain(value) for name, value in row.items()})


def _plain(value: Any) -> Any:
    """The value where JSON can hold it, else null."""
    try:
        _ENCODER.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError, Rejected):
        return None
    return value
