"""What every way of comparing texts gives back, and what they share."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

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
    rows = pl.DataFrame({"text": texts, "row": pl.int_range(len(texts), dtype=pl.Int64, eager=True)})
    rows = rows.filter(pl.col("text").str.contains(r"\S")).with_columns(first=pl.col("row").min().over("text"))
    different = rows.filter(pl.col("row") == pl.col("first"))
    at = different["row"]
    found = compare(different["text"])
    found = found.with_columns(row=at.gather(found["row"]), other=at.gather(found["other"]))
    copies = rows.filter(pl.col("row") != pl.col("first"))
    return pl.concat([found, pairs_frame(copies["row"], copies["first"], 1.0)]).sort("row", "other", "start")


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
