"""Rows that share MinHash bands with each other, directly or through others, grouped so that groups can be compared alone."""

from typing import Any, NamedTuple

import numpy as np

from flywheel.curate.dedup.compiled import compiled, one_ahead
from flywheel.curate.dedup.words import Int32s, Int64s, UInt32s

_ROW = np.uint64(0xFFFFFFFF)


class Groups(NamedTuple):
    """Rows that share a band with another one: whole components one after the other, rows ascending within each.

    Group i is `rows[starts[i]:starts[i + 1]]`.
    """

    rows: Int64s
    starts: Int64s

    def places(self, count: int) -> Int32s:
        """For each of `count` rows its position in `rows`, or -1."""
        places = np.full(count, -1, np.int32)
        places[self.rows] = np.arange(len(self.rows), dtype=np.int32)
        return places


def connected(bands: UInt32s, *, limit: int) -> Groups:
    """Components of rows that share a value within a band, in groups of at most `limit` rows or of one larger component.

    Args:
        bands: hashes, shape (bands, rows); memory beside them is 20 bytes a row, and 24 a row that shares.
    """
    count = bands.shape[1]
    parents = np.arange(count, dtype=np.int32)
    for keys in one_ahead(sorted_keys, bands):
        _unite(keys, parents)
    sizes = _settle(parents)
    members = np.flatnonzero(sizes[parents] > 1)
    keys = (parents[members].astype(np.uint64) << np.uint64(32)) | members.astype(np.uint64)
    keys.sort()
    rows = (keys & _ROW).astype(np.int64)
    component_ends = np.flatnonzero(np.diff(parents[rows], append=-1)) + 1
    return Groups(rows, _cuts(component_ends, limit))


def sorted_keys(hashes: UInt32s) -> Any:
    """Hashes in their upper, positions in their lower half, ascending: equal hashes stand together."""
    keys = hashes.astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= np.arange(len(hashes), dtype=np.uint64)
    keys.sort()
    return keys


def _cuts(ends: Int64s, limit: int) -> Int64s:
    cuts = [0]
    while len(ends) and cuts[-1] < ends[-1]:
        fits = int(np.searchsorted(ends, cuts[-1] + limit, side="right")) - 1
        largest = ends[fits] if fits >= 0 else 0
        cuts.append(int(largest if largest > cuts[-1] else ends[np.searchsorted(ends, cuts[-1], side="right")]))
    return np.array(cuts)


@compiled
def _root(parents: Any, row: int) -> int:  # pragma: no cover
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row


@compiled
def _unite(keys: Any, parents: Any) -> None:  # pragma: no cover
    """Union-find over runs of keys with equal upper halves; the smaller row is the root."""
    for i in range(1, len(keys)):
        if keys[i] >> np.uint64(32) == keys[i - 1] >> np.uint64(32):
            one = _root(parents, np.int64(keys[i] & np.uint64(0xFFFFFFFF)))
            other = _root(parents, np.int64(keys[i - 1] & np.uint64(0xFFFFFFFF)))
            parents[max(one, other)] = min(one, other)


@compiled
def _settle(parents: Any) -> Any:  # pragma: no cover
    """Let every row point at its root; returns how many rows point at each."""
    sizes = np.zeros(len(parents), np.int32)
    for row in range(len(parents)):
        parents[row] = _root(parents, row)
        sizes[parents[row]] += 1
    return sizes
