"""A file that is one JSON document, split into entries: each element of an array, or each of several objects.

The splitter follows strings and brackets, not all of the grammar: whether an entry is valid JSON is decided by decoding it.
What it does look at is whatever betrays that an entry has no proper end (a raw line feed in a string, a string followed by
no `,`, `:` or bracket, a bracket of the wrong kind, an object where no value can stand). Then it gives up that entry alone
and goes on at the next place that looks as the array's elements do: the same indentation, or the same first key.

Sound elements need no following: what lies before the next such place is the element when the parser takes it whole.
"""

import re
from typing import NamedTuple

import msgspec

_BLANK = b" \t\r\n\0\xef\xbb\xbf"
_SPACE = re.compile(rb"[ \t\r\n\0\xef\xbb\xbf]*")
_IN_STRING = re.compile(rb'[^"\\\n]*+(?:\\.[^"\\\n]*+)*+', re.DOTALL)
_TO_BRACKET = re.compile(  # over whole strings that are followed as they should be; it stops at any other quote
    rb'(?:[^\[\]{}"]++|"(?:[^"\\\n]++|\\.)*+"(?=[ \t\r\n]*+[,:\]}]))*+', re.DOTALL
)
_TO_COMMA = re.compile(rb'[^\[\]{}",]*+')
_FIRST_KEY = re.compile(rb'\{\s*"(?:[^"\\\n]|\\.){0,200}"')
_ANY = re.compile(rb"\{(?:(?<=,\{)|(?<=, \{)|(?<=,\n\{))")
_TOP = re.compile(rb"(?<=[\r\n])[{\[]")
_CLOSES = {ord("}"): ord("{"), ord("]"): ord("[")}
_QUOTE, _COMMA, _BACKSLASH, _OPEN_ARRAY, _OPEN_OBJECT = b'",\\[{'
_AFTER_STRING = b",:]}"
_WHOLE = msgspec.json.Decoder(msgspec.Raw)
_KEPT_WHILE_LOST = 4096


class Entry(NamedTuple):
    """One entry as bytes; `offset` counts from the start of the unpacked stream, `length` is that of `data`."""

    offset: int
    length: int
    data: bytes


class BadEntry(NamedTuple):
    """A stretch of the stream that is no entry, and why: a slug."""

    offset: int
    length: int
    reason: str


class Documents:
    """Splits one array, or objects one after the other, as the bytes come; memory is one entry and one piece."""

    def __init__(self, max_entry_bytes: int) -> None:
        self.max_entry_bytes = max_entry_bytes
        self.found: list[Entry | BadEntry] = []
        self.buffer = b""
        self.base = 0  # offset of buffer[0] in the stream
        self.at = 0  # where scanning goes on
        self.start = -1  # absolute offset of the open entry, -1 between entries
        self.lost = False  # inside a damaged entry, looking for the next one
        self.oversize = False  # the open entry is too long: followed, not kept
        self.in_string = False
        self.after_string = False
        self.stack = bytearray()  # open brackets
        self.level = 0  # depth of the entries: 1 inside an array
        self.next_entry = _TOP
        self.follow_to = 0  # absolute offset up to which elements are followed bracket by bracket
        self.budget = 0  # bytes that may be read a second time after damage: keeps hostile input linear

    def feed(self, piece: bytes) -> list[Entry | BadEntry]:
        """The entries that end in this piece."""
        keep = self.at if self.start < 0 or self.oversize or self.lost else self.start - self.base
        self.buffer = self.buffer[keep:] + piece
        self.base += keep
        self.at -= keep
        self.budget += 4 * len(piece)
        while self._step():
            pass
        return self._take()

    def close(self, reason: str | None = None) -> list[Entry | BadEntry]:
        """What is left at the end of the stream; `reason` says why it ended early, if it did."""
        end = self.base + len(self.buffer.rstrip(_BLANK))
        if self.start >= 0:
            early = "line_too_long" if self.oversize else "not_json" if self.lost else "truncated"
            self.found.append(BadEntry(self.start, max(end - self.start, 0), reason or early))
        elif self.stack or reason:
            self.found.append(BadEntry(end, 0, reason or "truncated"))
        return self._take()

    def _take(self) -> list[Entry | BadEntry]:
        found, self.found = self.found, []
        return found

    def _step(self) -> bool:
        """Move on by one token; False when more bytes are needed."""
        if self.lost:
            return self._recover(self.at)
        if self.start < 0:
            return self._between()
        if not self.oversize and self.base + self.at - self.start > self.max_entry_bytes:
            self.oversize = True
        if self.in_string:
            return self._string()
        return self._separator() if self.after_string else self._structure()

    def _between(self) -> bool:
        """Between entries: find the start of the next, or the end of the array."""
        buffer = self.buffer
        gap = self.at
        self.at = _SPACE.match(buffer, gap).end()  # type: ignore[union-attr]
        if self.at >= len(buffer):
            self.at = max(gap, len(buffer) - _KEPT_WHILE_LOST)  # indentation is looked at once the entry begins
            return False
        byte = buffer[self.at]
        if self.level and byte in b",]":
            self.at += 1
            if byte != _COMMA:
                self.stack.clear()
                self.level = 0
        elif not self.level and byte == _OPEN_ARRAY:
            self.at += 1
            self.stack[:] = b"["
            self.level = 1
        else:
            self.start = self.base + self.at
            if not self.level and byte != _OPEN_OBJECT:
                return self._damage(self.at)
            if self.level and byte == _OPEN_OBJECT:
                if self.next_entry in (_TOP, _ANY):
                    self._learn(buffer[gap : self.at])
                if self.start >= self.follow_to:
                    self._leap()
        return True

    def _leap(self) -> None:
        """Take the element whole if a sound one lies before the next place that looks like a start; else follow it."""
        after = self.next_entry.search(self.buffer, self.at + 1)
        end = after.start() if after else len(self.buffer)
        self.follow_to = self.base + end
        data = self.buffer[self.at : end].rstrip(b" \t\r\n")
        if not after or data[-1:] != b"," or len(data) > self.max_entry_bytes:
            return
        data = data[:-1].rstrip(b" \t\r\n")
        try:
            _WHOLE.decode(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return
        self.found.append(Entry(self.start, len(data), data))
        self.start = -1
        self.at = end

    def _learn(self, gap: bytes) -> None:
        """Note how the array's first object begins: alone on its line with this indentation, or with this key."""
        if b"\n" in gap:
            indent = gap[gap.rindex(b"\n") :]
            self.next_entry = re.compile(rb"\{(?<=" + re.escape(indent) + rb"\{)")
        elif key := _FIRST_KEY.match(self.buffer, self.at):
            opening = re.escape(key.group())  # first in the expression, so that it is searched for as fast as a literal
            self.next_entry = re.compile(b"%b(?:(?<=,%b)|(?<=, %b)|(?<=,\n%b))" % (opening, opening, opening, opening))
        else:
            self.next_entry = _ANY

    def _string(self) -> bool:
        self.at = _IN_STRING.match(self.buffer, self.at).end()  # type: ignore[union-attr]
        if self.at >= len(self.buffer):
            return False
        byte = self.buffer[self.at]
        if byte == _BACKSLASH:
            return False
        if byte != _QUOTE:
            return self._damage(self.at)
        self.at += 1
        self.in_string = False
        self.after_string = True
        return True

    def _separator(self) -> bool:
        """Behind a string: anything but a separator or a closing bracket betrays that quotes do not pair."""
        self.at = _SPACE.match(self.buffer, self.at).end()  # type: ignore[union-attr]
        if self.at >= len(self.buffer):
            return False
        if self.buffer[self.at] not in _AFTER_STRING:
            return self._damage(self.at)
        self.after_string = False
        return True

    def _structure(self) -> bool:
        """Outside strings: up to the next bracket or quote, or comma between an array's elements."""
        buffer, at = self.buffer, self.at
        shallow = self.level == 1 and len(self.stack) == 1
        token = (_TO_COMMA if shallow else _TO_BRACKET).match(buffer, at)
        end = token.end()  # type: ignore[union-attr]
        if end >= len(buffer):
            self.oversize = self.oversize or self.base + end - self.start > self.max_entry_bytes
            self.at = end if self.oversize else at  # the text before a bracket is looked at together with it
            return False
        byte = buffer[end]
        if byte == _QUOTE:
            self.in_string = True
            self.at = end + 1
        elif byte in b"{[":
            return self._open(at, end)
        elif shallow and byte in b",]":
            self._finish(end)
        elif shallow:
            return self._damage(end)
        else:
            return self._shut(end)
        return True

    def _open(self, at: int, end: int) -> bool:
        """An opening bracket: a value must be able to stand here."""
        if len(self.stack) > self.level and not self.oversize:
            before = (
                self.buffer[max(at, end - 99) : end].rstrip(_BLANK)[-1:] or self.buffer[max(at - 1, 0) : end].rstrip(_BLANK)[-1:]
            )
            if before not in ((b":",) if self.stack[-1] == _OPEN_OBJECT else (b",", b"[")):
                return self._damage(end)
        self.stack.append(self.buffer[end])
        self.at = end + 1
        return True

    def _shut(self, end: int) -> bool:
        if self.stack[-1] != _CLOSES[self.buffer[end]]:
            return self._damage(end)
        self.stack.pop()
        self.at = end + 1
        if len(self.stack) == self.level:
            self._finish(end + 1)
        return True

    def _finish(self, end: int) -> None:
        self.at = end
        if self.oversize or self.base + end - self.start > self.max_entry_bytes:
            self.found.append(BadEntry(self.start, self.base + end - self.start, "line_too_long"))
        else:
            data = self.buffer[self.start - self.base : end].rstrip(b" \t\r\n")
            self.found.append(Entry(self.start, len(data), data))
        self.start = -1
        self.oversize = False

    def _damage(self, at: int) -> bool:
        """Give up the open entry, of which the bytes up to `at` are known not to hold together."""
        self.lost = True
        self.at = at
        self.in_string = self.after_string = False
        first = max(self.start - self.base + 1, 0)
        if self.oversize or at - first > self.budget:
            first = at
        return self._recover(first)

    def _recover(self, at: int) -> bool:
        found = self.next_entry.search(self.buffer, max(at, 0))
        if found is None:
            self.at = max(at, len(self.buffer) - _KEPT_WHILE_LOST, 0)
            return False
        self.budget -= max(self.at - found.start(), 0)
        end = self.base + len(self.buffer[: found.start()].rstrip(b"," + _BLANK))
        self.found.append(BadEntry(self.start, max(end - self.start, 0), "line_too_long" if self.oversize else "not_json"))
        self.start = -1
        self.lost = self.oversize = False
        self.level = 0 if self.next_entry is _TOP else 1
        self.stack[:] = b"[" * self.level
        self.at = found.start()
        return True
