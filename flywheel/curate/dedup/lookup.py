"""Where 64-bit hashes stand: an open-addressing index of 7 to 13 bytes a value, built and asked without the interpreter lock."""

from typing import Any

import numpy as np

from flywheel.curate.dedup.compiled import compiled
from flywheel.curate.dedup.words import Int32s, UInt64s

ROW_LIMIT = 1 << 31


class Index:
    """Positions of the first of each of `values`, which are hashes: their lowest bits must be as good as random."""

    def __init__(self, values: UInt64s) -> None:
        if len(values) >= ROW_LIMIT:
            raise ValueError(f"{len(values):,} rows are too many to search at once; the limit is {ROW_LIMIT - 1:,}")
        self.values = values
        self.table = np.full(1 << max(3, (len(values) * 5 // 4).bit_length()), -1, np.int32)
        _fill(values, self.table)

    def find(self, wanted: UInt64s) -> Int32s:
        """For each wanted value the first position that holds it, or -1."""
        found = np.empty(len(wanted), np.int32)
        _find(self.values, self.table, wanted, found)
        return found

    def first(self) -> Int32s:
        """For each of the values the position of its first occurrence."""
        return self.find(self.values)


@compiled
def _fill(values: Any, table: Any) -> None:  # pragma: no cover
    mask = np.uint64(len(table) - 1)
    for position in range(len(values)):
        slot = values[position] & mask
        while table[slot] >= 0 and values[table[slot]] != values[position]:
            slot = (slot + np.uint64(1)) & mask
        if table[slot] < 0:
            table[slot] = position


@compiled
def _find(values: Any, table: Any, wanted: Any, found: Any) -> None:  # pragma: no cover
    mask = np.uint64(len(table) - 1)
    for i in range(len(wanted)):
        slot = wanted[i] & mask
        while table[slot] >= 0 and values[table[slot]] != wanted[i]:
            slot = (slot + np.uint64(1)) & mask
        found[i] = table[slot]
