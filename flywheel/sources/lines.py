"""Bytes of text -> entries: the lines of JSON Lines, or the elements of a file that is one JSON document.

Lines end at a line feed only. Nothing that a line holds can harm its neighbours, and a bad line is passed on with its place
and a reason, never its text. One parser, msgspec, decides for the whole project what is JSON (`decode`).
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from flywheel.errors import Rejected
from flywheel.sources.documents import BadEntry, Documents, Entry
from flywheel.sources.unpack import Cut

__all__ = ["BadEntry", "Blank", "Entry", "decode", "entries"]

_PADDING = b" \t\r\0"
_MARK = b"\xef\xbb\xbf"
_WINDOW = 1 << 18
_DECODER = msgspec.json.Decoder()
_SURROGATE = re.compile(
    rb"\\(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)", re.DOTALL
)


class Blank(NamedTuple):
    """A line of nothing but blanks, NUL padding or a byte order mark."""

    offset: int
    length: int


Item = Entry | BadEntry | Blank
_new = tuple.__new__  # a named tuple's own takes twice as long


def entries(pieces: Iterable[bytes], *, max_line_bytes: int = 32 << 20) -> Iterator[Item]:
    """Split a stream of UTF-8 text, in pieces of any length, into entries.

    JSON Lines unless the first line that is not blank opens a bracket which it does not close, or holds an array and is
    alone in the file: then the file is one document, and each element of its array (or each of several objects) is an entry.
    A damaged first line followed by lines that stand for themselves is a damaged line.

    Offsets count from the start of the stream (after unpacking; for UTF-16 and UTF-32 after transcoding to UTF-8). An
    entry's `data` is without surrounding blanks, NUL padding and byte order mark, and lies exactly at its offset.
    Memory: one entry, at most `max_line_bytes`, and one piece.

    Yields:
        `Entry` (not decoded yet), `BadEntry` or `Blank`, in order. Reasons: `line_too_long` (skipped unread), `not_json` (a
        damaged element), `truncated` (a document without its end), and those of `Cut`. What lies before a cut is yielded; the
        cut is one `BadEntry`, of length 0 when nothing was left over.
    """
    stream = iter(pieces)
    head = _look_ahead(stream, max_line_bytes)
    splitter = Documents(max_line_bytes) if _is_document(head, max_line_bytes) else _Lines(max_line_bytes)
    cut = head.end.reason if isinstance(head.end, Cut) else None
    yield from splitter.feed(head.data)
    if head.end is None:
        try:
            for piece in stream:
                yield from splitter.feed(piece)
        except Cut as early:
            cut = early.reason
    yield from splitter.close(cut)


def decode(data: bytes) -> Any:
    """One entry's JSON value: strict UTF-8, of keys given twice the last wins, integers of up to some 4,000 digits exact.

    An unpaired surrogate escape, as JavaScript writes when it cuts an emoji in half, becomes U+FFFD.

    Raises:
        Rejected: `not_json` (also NaN and Infinity), `not_utf8`, `too_deep` (close to Python's recursion limit of 1,000),
            `number_out_of_range` (beyond a double, or an integer of thousands of digits).
    """
    try:
        return _DECODER.decode(data)
    except UnicodeDecodeError:
        raise Rejected("not_utf8") from None
    except RecursionError:
        raise Rejected("too_deep") from None
    except msgspec.ValidationError:
        raise Rejected("number_out_of_range") from None
    except msgspec.DecodeError:
        repaired = _SURROGATE.sub(_pair, data)
    if repaired == data:
        raise Rejected("not_json")
    return decode(repaired)


def _pair(escape: "re.Match[bytes]") -> bytes:
    """The escape itself, or U+FFFD for half a surrogate pair. The length stays, and a second pass changes nothing."""
    text = escape.group()
    return b"\\ufffd" if len(text) == 6 else text


class _Lines:
    """Splits at line feeds as the bytes come. A line that grows too long is counted, not kept."""

    def __init__(self, max_line_bytes: int) -> None:
        self.max_line_bytes = max_line_bytes
        self.offset = 0
        self.parts: list[bytes] = []
        self.held = 0

    def feed(self, piece: bytes) -> list[Item]:
        first, *rest = piece.split(b"\n")
        self._hold(first)
        if not rest:
            return []
        last = rest.pop()
        found = [self._line()]
        offset, limit = self.offset, self.max_line_bytes
        for line in rest:
            length = len(line)
            if length > limit or not length or line[0] != 123 or line[-1] != 125:  # not simply {...}
                found.append(_item(offset, line, limit))
            else:
                found.append(_new(Entry, (offset, length, line)))
            offset += length + 1
        self.offset = offset
        self._hold(last)
        return found

    def close(self, reason: str | None = None) -> list[Item]:
        """The last line, which has no line feed. At a cut it counts as an entry only when it is whole."""
        last = self._line() if self.held else None
        end = self.offset - 1 if self.held else self.offset
        if reason and isinstance(last, Entry) and not _is_whole(last.data):
            return [BadEntry(last.offset, last.length, reason)]
        if last is not None:
            end = last.offset + last.length
        return [*([last] if last else []), *([BadEntry(end, 0, reason)] if reason else [])]

    def _hold(self, part: bytes) -> None:
        self.held += len(part)
        self.parts.append(part)
        if self.held > self.max_line_bytes:
            self.parts.clear()

    def _line(self) -> Item:
        """The held line, ended."""
        offset, length = self.offset, self.held
        line = b"".join(self.parts)
        self.offset += length + 1
        self.held = 0
        self.parts.clear()
        if length > self.max_line_bytes:
            return BadEntry(offset, length, "line_too_long")
        return _item(offset, line, self.max_line_bytes)


def _item(offset: int, line: bytes, limit: int) -> Item:
    if len(line) > limit:
        return BadEntry(offset, len(line), "line_too_long")
    data = line.lstrip(_PADDING)
    while data.startswith(_MARK):
        data = data[3:].lstrip(_PADDING)
    start = offset + len(line) - len(data)
    stripped = data.rstrip(_PADDING)
    data = stripped if stripped[-1:] in (b"}", b"]", b"") else data.rstrip(b" \t\r")  # a number may have been cut there
    return Entry(start, len(data), data) if data else Blank(offset, len(line))


def _is_whole(data: bytes) -> bool:
    """Whether this is a JSON object or array; a number or word could have been longer."""
    try:
        return isinstance(decode(data), dict | list)
    except Rejected:
        return False


class _Head(NamedTuple):
    """The start of a stream: what was read, its first line that is not blank, what follows that, and how the stream ended."""

    data: bytes
    first: bytes
    rest: bytes
    overlong: bool
    end: Cut | StopIteration | None


def _look_ahead(stream: Iterator[bytes], limit: int) -> _Head:
    """Read the first line that is not blank and some way further, at most `limit` bytes and a window."""
    data = bytearray()
    begin, line_end, end = 0, -1, None
    while end is None and (len(data) - begin <= limit if line_end < 0 else len(data) - line_end <= _WINDOW):
        searched = len(data)
        try:
            data += next(stream)
        except (StopIteration, Cut) as stopped:
            end = stopped
        while line_end < 0 and (line_end := data.find(b"\n", searched)) >= 0:
            if not data[begin:line_end].strip(_PADDING + _MARK):
                begin = searched = line_end + 1
                line_end = -1
        if begin > limit:
            break
    line_end = len(data) if line_end < 0 else line_end
    first = bytes(data[begin:line_end]).strip(_PADDING + _MARK)
    return _Head(bytes(data), first, bytes(data[line_end:]), line_end - begin > limit, end)


def _is_document(head: _Head, limit: int) -> bool:
    opening = head.first[:1]
    if opening not in (b"{", b"["):
        return False
    if head.overlong:
        return opening == b"["
    alone = head.end is not None and not head.rest.strip(_PADDING + b"\n")
    if _is_whole(head.first) or _closes_at_its_end(head.first, limit):
        return alone and opening == b"["
    if opening == b"{" and isinstance(next(iter(Documents(limit).feed(head.data)), None), Entry):
        return True
    return not _lines_stand_alone(head)


def _closes_at_its_end(line: bytes, limit: int) -> bool:
    """Whether the brackets of a line that is not valid JSON match: then it is a bad line, not the start of a document."""
    found = Documents(limit).feed(b"[" + line + b"\n]") if line[:1] == b"[" else Documents(limit).feed(line + b"\n")
    return len(found) == 1 and isinstance(found[0], Entry) and found[0].length == len(line)


def _lines_stand_alone(head: _Head) -> bool:
    """Whether, behind a first line that is not closed, an object fills a line where no document could have one."""
    lines = [text for line in head.rest.split(b"\n") if (text := line.strip(_PADDING))]
    if head.end is None:
        lines = lines[:-1]
    before = head.first
    for number, line in enumerate(lines):
        if line[:1] == b"{" and line[-1:] == b"}" and _is_whole(line):
            after = lines[number + 1] if number + 1 < len(lines) else b"{" if head.end is not None else b""
            if before[-1:] not in b"[,:" or after[:1] == b"{":
                return True
        before = line
    return False
