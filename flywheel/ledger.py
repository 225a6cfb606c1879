"""Who left, where and why: the rows that every stage writes down for the records that it does not pass on."""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl
import pyarrow as pa

from flywheel.schema import column

EXITS = pa.schema(
    [
        column("id", pa.string(), "the record that left"),
        column("outcome", pa.string(), "`dropped` or `merged`"),
        column("reason", pa.string(), "a slug: `near_duplicate`, `length`, `prefix_of`"),
        column("into", pa.string(), "for merged records and duplicates: the id that stays"),
        column("score", pa.float64(), "what was measured, where something was"),
    ]
)
_EXITS = pl.Schema({"id": pl.String, "outcome": pl.String, "reason": pl.String, "into": pl.String, "score": pl.Float64})


class Outcome(NamedTuple):
    """What a stage makes of a batch: `rows in = kept + exits`, always."""

    kept: pl.DataFrame
    exits: pl.DataFrame


def exits(
    ids: Sequence[str] | pl.Series,
    reason: str | Sequence[str] | pl.Series,
    *,
    into: Sequence[str | None] | pl.Series | None = None,
    score: Sequence[float | None] | pl.Series | None = None,
    merged: bool = False,
) -> pl.DataFrame:
    """Exit rows with the columns of `EXITS`; `reason` is one for all or one a row."""
    count = len(ids)
    return pl.DataFrame(
        {
            "id": ids,
            "outcome": ["merged" if merged else "dropped"] * count,
            "reason": [reason] * count if isinstance(reason, str) else reason,
            "into": [None] * count if into is None else into,
            "score": [None] * count if score is None else score,
        },
        schema=_EXITS,
    )


def no_exits() -> pl.DataFrame:
    """Exit rows of a stage that passed everything on."""
    return pl.DataFrame(schema=_EXITS)
