"""Calls whose request and answer were logged apart: batch files, stored completions. Held back, and joined at the day's end.

A source says so by a method `halves`, which gives the halves that an entry holds (none where it stands for itself), and a
method `join`, which makes records of an answer and the requests with its key. Which of the two comes first, and in which of
the day's files, does not matter.
"""

import tempfile
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import msgspec

from flywheel.errors import Rejected
from flywheel.records import Record

__all__ = ["Half", "Halves", "HalvesSource", "Held"]

_SPOOL_BYTES = 32 << 20


class Half(NamedTuple):
    """A request, or an answer, as far as its source needs it; `key` is what the other half has too, "" for the file."""

    key: str
    is_answer: bool
    value: Any


@runtime_checkable
class HalvesSource(Protocol):
    """A source that knows entries which are half a call. Its `parse` rejects them, for readers of single entries."""

    def halves(self, entry: Any) -> Iterable[Half]:
        """The halves in an entry; none when it is no such entry."""
        ...

    def join(self, requests: list[Any], answer: Any) -> Iterable[Record]:
        """The records of an answer.

        Args:
            requests: the values of the requests with its key, in the order of the logs, none twice; there may be none.
            answer: the answer's value.

        Raises:
            Rejected: they are no conversation.
        """
        ...


class Held(NamedTuple):
    """A half that waits: the entry that it stands in, and where its value is in the spool."""

    entry: int
    dialect: str
    key: str
    is_answer: bool
    file: str
    start: int
    length: int


class Halves:
    """The halves of a day. Memory: about 300 bytes each; their values lie in an unnamed temporary file, gone with the process."""

    def __init__(self) -> None:
        self.held: list[Held] = []
        self._spool = tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES)  # noqa: SIM115, closed by `close`
        self._end = 0

    def hold(self, entry: int, file: str, dialect: str, half: Half) -> None:
        """Keep a half of the entry with this number."""
        value = msgspec.json.encode(half.value)
        self._spool.seek(self._end)
        self._spool.write(value)
        self.held.append(Held(entry, dialect, half.key or f"\0{file}", half.is_answer, file, self._end, len(value)))
        self._end += len(value)

    def close(self) -> None:
        """Forget them all."""
        self.held = []
        self._spool.close()

    def answers(self) -> Iterator[tuple[int, list[int]]]:
        """Each answer with the requests of its key, as places in `held`. Requests of the answer's own file go before others.

        Batches number their requests from 1 again and again, so a key may be known from several files.
        """
        requests: dict[tuple[str, str], list[int]] = {}
        for at, half in enumerate(self.held):
            if not half.is_answer:
                requests.setdefault((half.dialect, half.key), []).append(at)
        for at, half in enumerate(self.held):
            if half.is_answer:
                fitting = requests.get((half.dialect, half.key), [])
                yield at, [one for one in fitting if self.held[one].file == half.file] or fitting

    def data(self, at: int) -> bytes:
        """The JSON of a half's value."""
        self._spool.seek(self.held[at].start)
        return self._spool.read(self.held[at].length)

    def join(self, source: HalvesSource, answer: int, requests: list[int]) -> list[Record]:
        """The records of an answer and its requests, at least one.

        Raises:
            Rejected: the source's reason.
        """
        distinct = dict.fromkeys(self.data(at) for at in requests)
        found = list(source.join([msgspec.json.decode(one) for one in distinct], msgspec.json.decode(self.data(answer))))
        if not any(record.messages for record in found):
            raise Rejected("no_messages")
        return found
