"""Bytes of a log file, whatever packed them: gzip, zstd or plain, UTF-8, UTF-16 or UTF-32, by content and never by name."""

import codecs
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Protocol

import zstandard

CHUNK_BYTES = 1 << 20
MAX_BYTES = 1 << 38
MAX_RATIO = 500
_RATIO_APPLIES_ABOVE = 256 << 20
_GZIP_PIECE = 1 << 16
_ZSTD_PIECE = 1 << 10
_GZIP = b"\x1f\x8b\x08"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_WINDOW = 1 << 27
_UNSUPPORTED = (b"PK\x03\x04", b"BZh", b"\xfd7zXZ\x00", b"PAR1", b"ORC", b"Obj\x01", b"SQLite format 3\x00", b"ARROW1")
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class Cut(Exception):
    """The stream ended before its time. `reason` is a slug: everything that could be read has been yielded already."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def unpack(file: BinaryIO, *, size: int | None = None, max_bytes: int = MAX_BYTES, max_ratio: int = MAX_RATIO) -> Iterator[bytes]:
    """The file's text as UTF-8, in pieces of any length, none empty.

    Memory is bounded: about 1 MB for plain and gzip, at most some 40 MB for hostile zstd. A UTF-8 byte order mark stays in
    the stream; UTF-16 and UTF-32 (with a mark, or JSON without one) are transcoded, unpaired surrogates becoming U+FFFD.

    Args:
        file: read from its current position to its end.
        size: stop after so many packed bytes: what a growing file gains after it was registered is left for the next time.
        max_bytes: unpacked bytes that a file may have.
        max_ratio: unpacked bytes for each packed one; applies above 256 MB. Gzip cannot exceed 1,032, zstd 32,000.

    Raises:
        Cut: after the last piece. `truncated` (the file or a compressed member ends early), `corrupt` (damaged compressed
            data), `trailing_garbage` (after a compressed member), `too_large`, `decompression_bomb`, `unreadable` (the
            device or the network failed), `unsupported_format` (zip, bzip2, xz, Parquet and other binary formats).
    """
    packed = _Packed(file, size)
    pieces = iter(packed)
    head = next(pieces, b"")
    whole = _chain(head, pieces)
    if head.startswith(_UNSUPPORTED):
        raise Cut("unsupported_format")
    if _is_gzip(head):
        unpacked = _members(whole, _GzipMember, _is_gzip)
    elif _is_zstd(head):
        unpacked = _members(whole, _ZstdMember, _is_zstd)
    else:
        unpacked = whole
    yield from _transcode(_capped(unpacked, packed, max_bytes, max_ratio))


class _Packed:
    """The raw bytes in pieces, counted."""

    def __init__(self, file: BinaryIO, size: int | None) -> None:
        self.file = file
        self.size = size
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        while self.size is None or self.count < self.size:
            wanted = CHUNK_BYTES if self.size is None else min(CHUNK_BYTES, self.size - self.count)
            try:
                piece = self.file.read(wanted)
            except Exception:  # any network file system raises its own
                raise Cut("unreadable") from None
            if not piece:
                break
            self.count += len(piece)
            yield piece
        if self.size is not None and self.count < self.size:
            raise Cut("truncated")


def _chain(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from rest


def _is_gzip(data: bytes) -> bool:
    return data.startswith(_GZIP)


def _is_zstd(data: bytes) -> bool:
    return data.startswith(_ZSTD) or (data[1:4] == b"\x2a\x4d\x18" and 0x50 <= data[0] <= 0x5F)


def _capped(pieces: Iterable[bytes], packed: _Packed, max_bytes: int, max_ratio: int) -> Iterator[bytes]:
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > max_bytes:
            raise Cut("too_large")
        if total > _RATIO_APPLIES_ABOVE and total > max_ratio * packed.count:
            raise Cut("decompression_bomb")
        if piece:
            yield piece


class _Member(Protocol):
    """One compressed member of a file. `remainder` is what of the fed data lies behind its end."""

    remainder: bytes

    @property
    def done(self) -> bool: ...

    def feed(self, data: bytes) -> Iterator[bytes]: ...


class _GzipMember:
    """`zlib.decompressobj` keeps what a cut member holds; `gzip.GzipFile` loses its last block."""

    def __init__(self) -> None:
        self.state = zlib.decompressobj(31)
        self.remainder = b""

    @property
    def done(self) -> bool:
        return self.state.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _GZIP_PIECE):
            pending = data[start : start + _GZIP_PIECE]
            while not self.state.eof:
                before = self.state.copy()
                try:
                    out = self.state.decompress(pending, CHUNK_BYTES)
                except zlib.error:
                    yield _until_damage(before, pending)
                    raise Cut("corrupt") from None
                yield out
                pending = self.state.unconsumed_tail
                if not pending and len(out) < CHUNK_BYTES:
                    break
            if self.state.eof:
                self.remainder = self.state.unused_data + data[start + _GZIP_PIECE :]
                return


def _until_damage(state: "zlib._Decompress", data: bytes) -> bytes:
    """What can be had of data in which zlib finds an error: it is fed byte by byte, at most 64 kB."""
    out = []
    try:
        for index in range(len(data)):
            out.append(state.decompress(data[index : index + 1]))
    except zlib.error:
        pass
    return b"".join(out)


class _ZstdMember:
    """A frame's decoder cannot bound its output, so it is fed 1 kB at a time: at most 32 MB come out."""

    def __init__(self) -> None:
        self.state = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
        self.remainder = b""

    @property
    def done(self) -> bool:
        return self.state.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _ZSTD_PIECE):
            try:
                yield self.state.decompress(data[start : start + _ZSTD_PIECE])
            except zstandard.ZstdError:
                raise Cut("corrupt") from None
            if self.state.eof:
                self.remainder = self.state.unused_data + data[start + _ZSTD_PIECE :]
                return


def _members(pieces: Iterable[bytes], begin: Callable[[], _Member], begins: Callable[[bytes], bool]) -> Iterator[bytes]:
    """Unpack members one after the other; NUL padding between and behind them is skipped."""
    member: _Member | None = None
    waiting = b""
    for piece in pieces:
        data = waiting + piece
        waiting = b""
        while data:
            if member is None:
                data = data.lstrip(b"\0")
                if 0 < len(data) < 4:
                    waiting = data
                    break
                if not data:
                    break
                if not begins(data):
                    raise Cut("trailing_garbage")
                member = begin()
            yield from member.feed(data)
            data = member.remainder if member.done else b""
            if member.done:
                member = None
    if member is not None:
        raise Cut("truncated")
    if waiting:
        raise Cut("trailing_garbage")


def _transcode(pieces: Iterator[bytes]) -> Iterator[bytes]:
    head = b""
    cut: Cut | None = None
    try:
        while len(head) < 4:
            head += next(pieces)
    except StopIteration:
        pass
    except Cut as ended:
        cut = ended
    encoding, mark = _encoding(head)
    if encoding is None:
        yield from _chain(head, pieces)
    else:
        decoder = codecs.getincrementaldecoder(encoding)("replace")
        try:
            for piece in _chain(head[mark:], pieces):
                if text := decoder.decode(piece):
                    yield text.encode()
        except Cut as ended:
            cut = ended
        if text := decoder.decode(b"", final=True):
            yield text.encode()
    if cut is not None:
        raise cut


def _encoding(head: bytes) -> tuple[str | None, int]:
    """The encoding to transcode from, None for UTF-8, and the length of its mark."""
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding, len(mark)
    if head[:1] in (b"{", b"[") and head[1:4] == b"\0\0\0":
        return "utf-32-le", 0
    if head[:3] == b"\0\0\0" and head[3:4] in (b"{", b"["):
        return "utf-32-be", 0
    if head[:1] in (b"{", b"[") and head[1:2] == b"\0" and head[3:4] == b"\0":
        return "utf-16-le", 0
    if head[:1] == b"\0" and head[1:2] in (b"{", b"[") and head[2:3] == b"\0":
        return "utf-16-be", 0
    return None, 0
