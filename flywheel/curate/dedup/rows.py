"""What the search for duplicates keeps of every record in memory, in the order in which records take precedence."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flywheel.curate.dedup.words import Int64s, UInt32s, UInt64s

_BATCH_ROWS = 50_000
_SMALL = ("exact", "words", "end")


class Rows(NamedTuple):
    """Columns of all records, about 36 bytes a row without the ids; row 0 takes precedence over all others.

    `order` says where in `ids` and `days` each row is; `words` is 0 without words, `end` (the hash of the whole conversation
    without system prompts) is meaningless where `turns` is 0.
    """

    ids: pl.Series
    days: pl.Series
    order: UInt32s
    exact: UInt64s
    words: UInt64s
    end: UInt64s
    turns: UInt32s

    def __len__(self) -> int:
        return len(self.order)

    def names(self, rows: Any) -> tuple[pl.Series, pl.Series]:
        """Ids and days of some rows."""
        places = self.order[rows]
        return self.ids.gather(places), self.days.gather(places).cast(pl.String)


def read_rows(signatures: pl.LazyFrame, scores: pl.LazyFrame | None) -> Rows:
    """The small columns of all signatures: the best score first, where there are scores, then the oldest.

    Ties are broken by id, then day; a record without score comes after all that have one, one without a date after all of its
    score that have one.
    """
    days = signatures.select(pl.col("day").unique()).collect()["day"].sort()
    day = pl.col("day").cast(pl.Enum(days))
    keys = ["created_at", "id", "day"]
    if scores is not None:
        known = scores.select("id", "day", score=pl.col("score").fill_nan(None))
        signatures = signatures.join(known, on=["id", "day"], how="left")
        keys.insert(0, "score")
    ends = pl.col("beginnings").list
    columns: list[Any] = ["id", day, "exact", pl.col("words").fill_null(0), "created_at", *keys[: keys.index("created_at")]]
    frame = signatures.select(
        *columns,
        end=ends.last().fill_null(0),
        turns=ends.len(),
    ).collect()
    descending = [key == "score" for key in keys]
    order = frame.select(pl.arg_sort_by(*keys, descending=descending, nulls_last=True)).to_series().to_numpy()
    small = {name: frame[name].to_numpy().view(np.uint64)[order] for name in _SMALL}
    return Rows(frame["id"], frame["day"], order, **small, turns=frame["turns"].to_numpy()[order])


def batches(signatures: pl.LazyFrame, column: str) -> Iterator[tuple[UInt64s, Int64s, Any]]:
    """A list column in batches, in no order: the rows' `exact` hashes, the lists' offsets, their values (unsigned)."""
    for batch in signatures.select("exact", column).collect_batches(chunk_size=_BATCH_ROWS, maintain_order=False):
        exact, lists = batch["exact"].to_numpy().view(np.uint64), batch[column]
        ends = np.cumsum(lists.chunk_lengths())
        for chunk, end in zip(lists.get_chunks(), ends, strict=True):
            offsets, values = _flat(chunk)
            yield exact[end - len(chunk) : end], offsets, values


def _flat(lists: pl.Series) -> tuple[Int64s, Any]:
    """Offsets and values of one chunk, in its own memory; Arrow's `to_numpy` would import pandas."""
    array: Any = lists.to_arrow(compat_level=pl.CompatLevel.oldest())
    offsets = np.frombuffer(array.buffers()[1], np.int64)[array.offset : array.offset + len(array) + 1]
    values = array.values
    kind = np.dtype(f"u{values.type.bit_width // 8}")
    numbers = np.frombuffer(values.buffers()[1] or b"", kind)[values.offset :]
    return offsets - offsets[0], numbers[offsets[0] : offsets[-1]]
