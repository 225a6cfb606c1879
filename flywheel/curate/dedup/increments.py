"""What a search for duplicates has to look at again when some days changed: the rows that those days' rows are connected with.

Rows are *connected* when `find_duplicates` can let one decide about the other: they have the same id, the same conversation or
the same hash in a MinHash band (as those with the same words have), or one is a beginning of the other; and when a chain of
such rows lies between them. What becomes of a row follows from the rows connected with it alone. So where a set of rows holds
everything that is connected with its members, now and in the search before, searching it gives those rows what a search of
all rows would, and every other row keeps what it has.

Connections are looked up in the keys of all rows, which are about a quarter of the bytes of their signatures; word n-grams are
read with the rows that are searched again, `GROUP_ROWS` rows at a time. A key is 32 bits here: two that are equal by chance
connect rows that need not be, which costs a comparison and changes nothing.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flywheel.curate.dedup.compiled import compiled, on_all_cores
from flywheel.curate.dedup.duplicates import find_duplicates
from flywheel.curate.dedup.words import Bools, Int64s, UInt32s, UInt64s

KEYS = ("id", "day", "exact", "beginnings", "bands")
MOST_ROWS = 0.25
GROUP_ROWS = 1000
_BATCH_ROWS = 50_000
_HALF = np.uint64(32)
_WITHOUT_BANDS = 2


class Again(NamedTuple):
    """What was searched again: the rows (`id`, `day`), the days that hold or held them, and what `find_duplicates` says."""

    rows: pl.DataFrame
    days: list[str]
    duplicates: pl.DataFrame


def find_again(
    signatures: pl.LazyFrame,
    *,
    before: pl.DataFrame,
    changed: Collection[str],
    pick: Callable[[list[str], pl.Series], pl.DataFrame] | None = None,
    wanted: Callable[[pl.LazyFrame, list[str]], pl.LazyFrame] = lambda rows, _: rows,
    similarity: float = 0.8,
    scores: pl.LazyFrame | None = None,
    most: float = MOST_ROWS,
) -> Again | None:
    """Search those rows again whose result may differ from that of the search before.

    A row of `find_duplicates(wanted(signatures))` is a row of this result, or one of the search before whose record is not among
    `rows` and whose day did not change. That holds for days that came, went or were made again, whatever decides which rows
    are wanted or how they are scored, if `changed` names every day in which any of it differs.

    Memory is about 130 bytes a row of the keys of all days, and what the search takes for the rows that it looks at.

    Args:
        signatures: rows of `SIGNATURES` of all days, wanted or not, with their `day`. Read in one pass, all columns but the word
            n-grams; then those days that have rows to search.
        before: columns `KEYS` of the rows that the changed days had in the search before, wanted or not.
        changed: days in which a signature, score or decision is not what it was in the search before.
        pick: reads the signatures of some days whose `exact` is one of some values; a filter over `signatures` when None.
        wanted: keeps of some rows of some days those that are searched.
        similarity: as in `find_duplicates`.
        scores: as in `find_duplicates`.
        most: the share of the rows above which a search of all is the better way.

    Returns:
        None where more than `most` of the rows would have to be searched, or their bands differ in number.
    """
    reached = _reach(signatures, before, changed, most)
    if reached is None:
        return None
    days = sorted({*reached.days, *changed})
    if pick is None:
        known = signatures.filter(pl.col("day").is_in(days), pl.col("exact").is_in(reached.exact.implode())).collect()
    else:
        known = pick(days, reached.exact)
    rows = known.select("id", "day")
    known = wanted(known.lazy(), days).collect()
    some = None if scores is None else scores.filter(pl.col("day").is_in(days))
    return Again(rows, days, find_duplicates(known, similarity=similarity, scores=some))


def unless_again(duplicates: pl.DataFrame, again: Again, changed: Collection[str]) -> pl.DataFrame:
    """Of the duplicates of the search before, those that still hold, and those that were found again."""
    left = duplicates.filter(~pl.col("day").is_in(list(changed))).join(again.rows, on=["id", "day"], how="anti")
    return pl.concat([left.select(again.duplicates.columns), again.duplicates]).sort("day", "id")


class _Reached(NamedTuple):
    exact: pl.Series
    days: list[str]


class _Chunk(NamedTuple):
    """Keys of some rows; rows with an equal value, not 0, in one line of `shared` are connected.

    `beginnings[offsets[i]:offsets[i + 1]]` are those of row i, the last of them the whole conversation.
    """

    exact: UInt64s
    days: pl.Series
    shared: UInt32s
    offsets: Int64s
    beginnings: UInt32s
    reached: Bools

    def values(self, rows: Bools) -> list[UInt32s]:
        """Keys of some rows: each line of `shared`, then whole conversations, then what lies before their ends."""
        sizes = np.diff(self.offsets)
        whole = np.zeros(len(self.beginnings), bool)
        whole[self.offsets[1:][sizes > 0] - 1] = True
        mine = np.repeat(rows, sizes)
        return [*self.shared[:, rows], self.beginnings[mine & whole], self.beginnings[mine & ~whole]]


def _reach(signatures: pl.LazyFrame, before: pl.DataFrame, changed: Collection[str], most: float) -> _Reached | None:
    rows = int(signatures.select(pl.len()).collect().item())
    fresh = signatures.filter(pl.col("day").is_in(list(changed))).select(pl.len()).collect().item()
    if max(fresh, before.height) > most * rows:
        return None
    days = signatures.select(pl.col("day").unique()).collect()["day"]
    kinds = pl.Enum(pl.concat([days, before["day"].unique()]).unique().sort())
    everything = pl.concat([signatures.select(KEYS), before.lazy().select(KEYS)])
    chunks = []
    for batch in _hashed(everything, kinds):
        chunk = _chunk(batch, list(changed))
        if chunk is None:
            return None
        chunks.append(chunk)
    if len({len(chunk.shared) for chunk in chunks} - {_WITHOUT_BANDS}) > 1:
        return None
    fronts = [chunk.reached.copy() for chunk in chunks]
    while any(front.any() for front in fronts):
        fronts = _connected(chunks, fronts)
        for chunk, front in zip(chunks, fronts, strict=True):
            np.logical_or(chunk.reached, front, out=chunk.reached)
        if sum(int(chunk.reached.sum()) for chunk in chunks) > most * rows + before.height:
            return None
    exact = np.unique(np.concatenate([np.empty(0, np.uint64), *(chunk.exact[chunk.reached] for chunk in chunks)]))
    touched = {day for chunk in chunks for day in chunk.days.filter(chunk.reached).unique().to_list()}
    return _Reached(pl.Series(exact.view(np.int64)), sorted(touched))


def _hashed(rows: pl.LazyFrame, kinds: pl.Enum) -> Iterator[pl.DataFrame]:
    small: list[Any] = [pl.col("id").hash(), pl.col("day").cast(kinds), "exact"]
    return rows.select(*small, "beginnings", "bands").collect_batches(chunk_size=_BATCH_ROWS, maintain_order=False)


def _chunk(batch: pl.DataFrame, changed: list[str]) -> _Chunk | None:
    """None where the rows' bands differ in number."""
    exact = batch["exact"].to_numpy().view(np.uint64)
    offsets, bands = _values(batch["bands"])
    sizes = np.diff(offsets)
    width = int(sizes.max(initial=0))
    if not np.isin(sizes, (0, width)).all():
        return None
    shared = np.zeros((_WITHOUT_BANDS + width, batch.height), np.uint32)
    shared[0], shared[1] = _key(batch["id"].to_numpy()), _key(exact)
    shared[_WITHOUT_BANDS:, sizes > 0] = bands.reshape(-1, max(width, 1)).T[:width]
    offsets, beginnings = _values(batch["beginnings"])
    seeds = batch["day"].cast(pl.String).is_in(changed).to_numpy(writable=True)
    return _Chunk(exact, batch["day"], shared, offsets, beginnings, seeds)


def _values(lists: pl.Series) -> tuple[Int64s, UInt32s]:
    """Where each list's keys begin and the last one's end, and the keys."""
    offsets = np.append(0, np.cumsum(lists.list.len().to_numpy(), dtype=np.int64))
    return offsets, _key(lists.explode(empty_as_null=False, keep_nulls=False).to_numpy().view(np.uint64))


def _key(hashes: UInt64s) -> UInt32s:
    """The upper halves; never 0, which stands for none."""
    keys: UInt32s = np.maximum((hashes >> _HALF).astype(np.uint32), 1)
    return keys


class _Sets(NamedTuple):
    """Sets of keys: `slots` are open-addressing tables of them, `bits` tell most other keys at the first look."""

    bits: UInt64s
    slots: UInt32s


def _sets(values: Iterable[UInt32s]) -> _Sets:
    distinct = [np.unique(each) for each in values]
    longest = max(*map(len, distinct), 32).bit_length()
    bits = np.zeros((len(distinct), 1 << (longest - 2)), np.uint64)
    slots = np.zeros((len(distinct), 1 << (longest + 1)), np.uint32)
    for each, its_bits, its_slots in zip(distinct, bits, slots, strict=True):
        _fill(each, its_bits, its_slots)
    return _Sets(bits, slots)


def _connected(chunks: list[_Chunk], fronts: list[Bools]) -> list[Bools]:
    """The rows that are not reached yet and directly connected with one of the front."""
    keys = [chunk.values(front) for chunk, front in zip(chunks, fronts, strict=True) if front.any()]
    lines = max(map(len, keys)) - 2
    shared = [np.concatenate([each[line] for each in keys if line < len(each) - 2]) for line in range(lines)]
    equal = _sets(shared)
    ends, inner = (_sets([np.concatenate([each[place] for each in keys])]) for place in (-2, -1))

    def work(number: int, _: int) -> Bools:
        chunk = chunks[number]
        found = np.zeros(len(chunk.exact), bool)
        _mark_equal(chunk.shared[:lines], equal.bits, equal.slots, found)
        _mark_begun(chunk.offsets, chunk.beginnings, ends.bits[0], ends.slots[0], inner.bits[0], inner.slots[0], found)
        return found & ~chunk.reached

    return on_all_cores(work, ((number, number + 1) for number in range(len(chunks))))


@compiled
def _fill(values: Any, bits: Any, slots: Any) -> None:  # pragma: no cover
    for value in values:
        if value == 0:
            continue
        place = np.int64(value) & (len(bits) * 64 - 1)
        bits[place >> 6] |= np.uint64(1) << np.uint64(place & 63)
        slot = np.int64(value) & (len(slots) - 1)
        while slots[slot] != 0:
            slot = (slot + 1) & (len(slots) - 1)
        slots[slot] = value


@compiled
def _holds(value: Any, bits: Any, slots: Any) -> bool:  # pragma: no cover
    place = np.int64(value) & (len(bits) * 64 - 1)
    if not (bits[place >> 6] >> np.uint64(place & 63)) & np.uint64(1):
        return False
    slot = np.int64(value) & (len(slots) - 1)
    while slots[slot] != 0:
        if slots[slot] == value:
            return True
        slot = (slot + 1) & (len(slots) - 1)
    return False


@compiled
def _mark_equal(shared: Any, bits: Any, slots: Any, found: Any) -> None:  # pragma: no cover
    for line in range(len(shared)):
        for row in range(shared.shape[1]):
            if _holds(shared[line, row], bits[line], slots[line]):
                found[row] = True


@compiled
def _mark_begun(
    offsets: Any, beginnings: Any, end_bits: Any, end_slots: Any, inner_bits: Any, inner_slots: Any, found: Any
) -> None:  # pragma: no cover
    """Rows that go on after one of the ends, and rows that end where something else goes on."""
    for row in range(len(offsets) - 1):
        last = offsets[row + 1] - 1
        for place in range(offsets[row], last):
            if _holds(beginnings[place], end_bits, end_slots):
                found[row] = True
        if last >= offsets[row] and _holds(beginnings[last], inner_bits, inner_slots):
            found[row] = True
