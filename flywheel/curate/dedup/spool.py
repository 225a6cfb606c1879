"""Sets of hashes that wait in a temporary file until their group is compared."""

import tempfile
from threading import Lock
from typing import IO, Any, NamedTuple

import numpy as np

from flywheel.curate.dedup.components import Groups
from flywheel.curate.dedup.kernels import gather, sort_rows
from flywheel.curate.dedup.words import Int32s, Int64s, UInt32s

_IN_MEMORY_BYTES = 1 << 28
_LOADED_VALUES = 1 << 26


class Spans(NamedTuple):
    """Sets of 32-bit hashes, ascending, each value once: row i is `values[starts[i]:stops[i]]`."""

    values: UInt32s
    starts: Int64s
    stops: Int64s


class _Chunk(NamedTuple):
    at: int
    places: Int32s
    sizes: Int32s


class Spool:
    """Collects the sets of the rows of groups in any order; gives them back group by group.

    The file has no name: it is gone with the process. Up to 256 MB stay in memory.
    """

    def __init__(self, groups: Groups, count: int) -> None:
        self._starts = groups.starts
        self._places = groups.places(count)
        self._missing = np.ones(len(groups.rows), bool)
        self._chunks: list[list[_Chunk]] = [[] for _ in groups.starts[1:]]
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115
        self._reading = Lock()
        self._end = 0

    def add(self, rows: Int32s, offsets: Int64s, values: UInt32s) -> None:
        """Keep those of a batch's sets that are wanted and not there yet; `rows` are -1 where nothing is."""
        known = np.flatnonzero(rows >= 0)
        places, first = np.unique(self._places[rows[known]], return_index=True)
        wanted = places >= 0
        wanted[wanted] = self._missing[places[wanted]]
        places, taken = places[wanted], known[first[wanted]]
        self._missing[places] = False
        sizes = np.diff(offsets)[taken]
        ends = np.cumsum(sizes)
        gathered = np.empty(int(sizes.sum()), np.uint32)
        gather(values, offsets[taken], sizes, gathered)
        cuts = np.searchsorted(places, self._starts)
        for group in np.flatnonzero(np.diff(cuts)):
            inside = slice(cuts[group], cuts[group + 1])
            at = self._end + 4 * int(ends[inside.start] - sizes[inside.start])
            self._chunks[group].append(_Chunk(at, places[inside], sizes[inside].astype(np.int32)))
        self._file.seek(self._end)
        self._file.write(gathered.data.cast("B"))
        self._end += gathered.nbytes

    def load(self, group: int) -> Spans:
        """A group's sets, in the order of its rows; more than 256 MB of them lie in a mapped file of their own.

        Threads may load groups at once, when all is added.
        """
        start, stop = self._starts[group : group + 2]
        starts, stops = np.empty(stop - start, np.int64), np.empty(stop - start, np.int64)
        total = int(sum(chunk.sizes.sum() for chunk in self._chunks[group]))
        values = np.empty(total, np.uint32) if total <= _LOADED_VALUES else _mapped(total)
        used = 0
        for chunk in self._chunks[group]:
            ends = used + np.cumsum(chunk.sizes, dtype=np.int64)
            starts[chunk.places - start], stops[chunk.places - start] = ends - chunk.sizes, ends
            with self._reading:
                self._file.seek(chunk.at)
                _read_into(self._file, values[used : ends[-1]].data.cast("B"))
            used = int(ends[-1])
        sort_rows(values, starts, stops)
        return Spans(values, starts, stops)


def _read_into(file: Any, buffer: memoryview) -> None:
    while buffer:
        read = file.readinto(buffer)
        if not read:
            raise EOFError("the temporary file of candidates ended early")
        buffer = buffer[read:]


def _mapped(count: int) -> UInt32s:
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.uint32, mode="w+", shape=(count,))
