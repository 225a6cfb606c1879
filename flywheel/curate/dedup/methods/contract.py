"""What every way of comparing texts gives back, and what they share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import polars as pl
import xxhash

from flywheel.curate.dedup.compiled import compiled
from flywheel.curate.dedup.words import Float64s, Int64s

PAIRS = pl.Schema({"row": pl.Int64, "other": pl.Int64, "similarity": pl.Float64, "start": pl.Int64, "stop": pl.Int64})
"""`other` comes before `row`, and is null where it is not known; `start` and `stop` are null for the whole text."""


def pairs_frame(row: Any, other: Any, similarity: Any, start: Any = None, stop: Any = None) -> pl.DataFrame:
    """Pairs with the columns of `PAIRS`, ordered by row, then other; scalars are repeated."""
    given = {"row": row, "other": other, "similarity": similarity, "start": start, "stop": stop}
    named = [pl.lit(each if each is None or np.isscalar(each) else pl.Series(each)).alias(name) for name, each in given.items()]
    return pl.select(named).cast(PAIRS).sort("row", "other", "start") if len(row) else pl.DataFrame(schema=PAIRS)


def among_distinct(texts: pl.Series, compare: Callable[[pl.Series], pl.DataFrame]) -> pl.DataFrame:
    """The pairs of `compare` among the different texts, and each repeated text with its first occurrence at similarity 1.

    A thousand copies of one text are a thousand pairs, not half a million. Texts of blanks alone are in no pair.
    """
    filled = pl.select(pl.when(texts.str.contains(r"\S")).then(texts)).to_series()
    return among_first(filled, lambda rows: compare(texts.gather(rows)))


def among_first(keys: pl.Series, compare: Callable[[pl.Series], pl.DataFrame]) -> pl.DataFrame:
    """The pairs of `compare`, and each repeated key with its first occurrence at similarity 1; null is in no pair.

    Args:
        keys: equal for equal texts.
        compare: gets the rows where a key occurs first, ascending; the rows of its pairs count among these.
    """
    rows = pl.DataFrame({"key": keys, "row": pl.int_range(len(keys), dtype=pl.Int64, eager=True)}).drop_nulls("key")
    rows = rows.select("row", first=pl.col("row").min().over("key"))
    at = rows.filter(pl.col("row") == pl.col("first"))["row"]
    found = compare(at)
    found = found.with_columns(row=at.gather(found["row"]), other=at.gather(found["other"]))
    copies = rows.filter(pl.col("row") != pl.col("first"))
    return pl.concat([found, pairs_frame(copies["row"], copies["first"], 1.0)]).sort("row", "other", "start")


class ByDigest(ABC):
    """A similarity that compares digests: `flywheel.plugins.Digests`, from which `pairs` follows."""

    @abstractmethod
    def digests(self, texts: pl.Series) -> pl.Series: ...

    @abstractmethod
    def among(self, digests: Iterable[pl.Series], *, floor: float) -> pl.DataFrame: ...

    def pairs(self, texts: pl.Series, *, floor: float = 1.0) -> pl.DataFrame:
        """As `flywheel.plugins.Similarity.pairs`."""
        return self.among([self.digests(texts)], floor=floor)


HASH = pl.Struct({"high": pl.UInt64, "low": pl.UInt64})


def text_hashes(texts: pl.Series) -> pl.Series:
    """128 bits of each text, of type `HASH`: in practice equal for equal texts alone; null where there is nothing but blanks."""
    filled = texts.str.contains(r"\S").fill_null(value=False)
    both = [divmod(xxhash.xxh3_128_intdigest(text.encode()), 1 << 64) for text in texts.filter(filled)]
    halves = np.zeros((len(texts), 2), np.uint64)
    halves[filled.to_numpy()] = np.array(both, np.uint64).reshape(-1, 2)
    made = pl.DataFrame({"high": halves[:, 0], "low": halves[:, 1], "filled": filled})
    return made.select(pl.when("filled").then(pl.struct("high", "low"))).to_series()


def joined(batches: Iterable[pl.Series], kind: pl.DataType) -> pl.Series:
    """Batches of digests, one behind the other; `kind` is their type, for when there is none."""
    return pl.concat([pl.Series(dtype=kind), *batches], rechunk=True)


@compiled
def jaccards(offsets: Any, values: Any, rows: Any, others: Any) -> Any:  # pragma: no cover
    """Jaccard similarity of pairs of ascending sets, each given by its row."""
    result = np.empty(len(rows), np.float64)
    for pair in range(len(rows)):
        i, one_end = offsets[rows[pair]], offsets[rows[pair] + 1]
        j, other_end = offsets[others[pair]], offsets[others[pair] + 1]
        total, common = one_end - i + other_end - j, 0
        while i < one_end and j < other_end:
            if values[i] == values[j]:
                common += 1
                i += 1
                j += 1
            elif values[i] < values[j]:
                i += 1
            else:
                j += 1
        result[pair] = common / (total - common) if total else 0.0
    return result


def at_least(rows: Int64s, others: Int64s, similarity: Float64s, floor: float) -> pl.DataFrame:
    """The pairs that are similar enough, the later text of each being its row."""
    enough = similarity >= floor - 1e-12
    rows, others = rows[enough], others[enough]
    return pairs_frame(np.maximum(rows, others), np.minimum(rows, others), similarity[enough])
