"""Which dialect an entry is written in, and the records that its source makes of it."""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from flywheel.errors import ConfigError, Rejected
from flywheel.plugins import Source
from flywheel.records import Record
from flywheel.sources.halves import Half, HalvesSource
from flywheel.sources.lines import Entry, decode

NOT_MINE = "unmapped"
_HEAD = 1 << 20
_SHAPES = 4096


class Parsed(NamedTuple):
    """An accepted entry: its dialect and the records as its source gave them; or the halves of calls that it holds."""

    dialect: str
    records: list[Record]
    halves: list[Half]


class Recognizer:
    """Finds an entry's source among several.

    The first source whose `sniff` knows the entry reads it, and its word is final, unless it rejects the entry as `unmapped`:
    then the next one that knows it may try. The most specific comes first (`specificity`, 50 where a source states none), then
    the name. As sniffing with all of them would cost more than parsing, an entry that has the same top-level keys as an
    earlier one is first offered to the source that read that one. One source given by name is not asked to sniff.
    """

    def __init__(self, sources: Mapping[str, Source], dialect: str = "auto") -> None:
        """`dialect`: a key of `sources`, or `auto`. Raises ConfigError when there is no such source."""
        if dialect != "auto" and dialect not in sources:
            raise ConfigError(
                f"[logs] dialect = {dialect!r}: no source of that name is loaded. There is {', '.join(sorted(sources))}, or auto."
            )
        self.named = None if dialect == "auto" else dialect
        self.sources = sources
        self.order = sorted(sources, key=lambda name: (-getattr(sources[name], "specificity", 50), name))
        self.by_shape: dict[Any, str] = {}

    def read(self, entry: Entry) -> Parsed:
        """The entry's records or halves, at least one.

        Raises:
            Rejected: the reason of `decode` or of the source; `unknown_dialect`; `no_records` (the source gave none);
                `source_error:TYPE` (the source failed: its message is not kept, it could hold text).
        """
        value = decode(entry.data)
        if self.named:
            return _parse(self.named, self.sources[self.named], value)
        head = entry.data[:_HEAD]
        shape = tuple(value) if type(value) is dict else type(value)
        usual = self.by_shape.get(shape)
        if usual is not None and _knows(self.sources[usual], head):
            try:
                return _parse(usual, self.sources[usual], value)
            except Rejected as rejected:
                if rejected.reason != NOT_MINE:
                    raise
        return self._search(entry, shape, head)

    def _search(self, entry: Entry, shape: Any, head: bytes) -> Parsed:
        reason = "unknown_dialect"
        for name in self.order:
            if not _knows(self.sources[name], head):
                continue
            try:
                parsed = _parse(name, self.sources[name], decode(entry.data))  # anew: a source may have changed the value
            except Rejected as rejected:
                if rejected.reason != NOT_MINE:
                    raise
                reason = rejected.reason
                continue
            if len(self.by_shape) >= _SHAPES:
                self.by_shape.clear()
            self.by_shape[shape] = name
            return parsed
        raise Rejected(reason)


def _knows(source: Source, head: bytes) -> bool:
    try:
        return source.sniff(head)
    except Exception as error:  # a plugin's fault, counted on the entry that shows it
        raise Rejected(f"source_error:{type(error).__name__}") from None


def _parse(name: str, source: Source, value: Any) -> Parsed:
    try:
        halves = list(cast(HalvesSource, source).halves(value)) if hasattr(source, "halves") else []
        records = [] if halves else list(source.parse(value))
    except Rejected as rejected:
        raise Rejected(rejected.slug) from None
    except Exception as error:  # a plugin's fault, counted on the entry that shows it
        raise Rejected(f"source_error:{type(error).__name__}") from None
    if not records and not halves:
        raise Rejected("no_records")
    return Parsed(name, records, halves)
