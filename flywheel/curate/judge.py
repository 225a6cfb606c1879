"""The stages `verdicts/NAME` and `curated`: what each filter says of each record, and who stays when all have spoken."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from flywheel.errors import FlywheelError, PluginError
from flywheel.ledger import Outcome, exits, no_exits
from flywheel.plugins import Filter
from flywheel.records import derive
from flywheel.schema import column

VERDICTS = pa.schema(
    [
        column("id", pa.string(), "the record that was judged"),
        column("score", pa.float64(), "what the filter measured; null where it could not"),
        column("keep", pa.bool_(), "what it decided; true where nothing was measured"),
    ]
)


_ACTIONS = pl.Schema({"id": pl.String, "flag": pl.String, "action": pl.String})


def judge(records: pl.DataFrame, filter: Filter) -> pl.DataFrame:
    """Ask one filter about every record.

    Missing is not negative: a null score or a null decision keeps the record.

    Args:
        records: a batch; derived columns are added here.
        filter: a configured filter plugin.

    Returns:
        A row a record in the batch's order, with the columns of `VERDICTS`. NaN scores are null.

    Raises:
        PluginError: the filter raised, or answered with something else than one number or one boolean a row. The message names
            the filter and what it answered with, never a record's text.
    """
    name = type(filter).__name__
    batch = derive(records)
    measured = _ask(name, "score", filter.score, batch, rows=batch.height)
    if not (measured.dtype.is_numeric() or measured.dtype in (pl.Boolean, pl.Null)):
        raise PluginError(f"filter {name}: score() must give numbers, not {measured.dtype}.")
    if measured.dtype == pl.Null or measured.dtype.is_float():
        measured = measured.cast(pl.Float64).fill_nan(None)
    decided = _ask(name, "keep", filter.keep, measured, rows=batch.height)
    if decided.dtype not in (pl.Boolean, pl.Null):
        raise PluginError(f"filter {name}: keep() must give booleans, not {decided.dtype}. Compare the score with a setting.")
    kept = decided.cast(pl.Boolean).fill_null(True) | measured.is_null()
    return pl.DataFrame({"id": records["id"], "score": measured.cast(pl.Float64), "keep": kept})


def _ask(name: str, method: str, ask: Callable[[Any], Any], given: Any, *, rows: int) -> pl.Series:
    try:
        answer = ask(given)
    except Exception as error:  # its message and its frames may hold a record's text
        frame = error.__traceback__ and error.__traceback__.tb_next
        where = f" at {Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else ""
        raise PluginError(
            f"filter {name}: {method}() raised {type(error).__name__}{where}. "
            "`flywheel plugins check` runs it on awkward records and shows the whole error."
        ) from None
    if not isinstance(answer, pl.Series):
        raise PluginError(f"filter {name}: {method}() must give a polars Series, not {type(answer).__name__}.")
    if len(answer) != rows:
        raise PluginError(f"filter {name}: {method}() gave {len(answer)} values for {rows} records; one a record is needed.")
    return answer


def combine(
    records: pl.DataFrame,
    verdicts: Mapping[str, pl.DataFrame],
    duplicates: pl.DataFrame,
    *,
    review: pl.DataFrame | None = None,
) -> Outcome:
    """Keep the records that every filter keeps and that repeat no other.

    Args:
        records: a batch.
        verdicts: by filter name, in configured order, rows of `VERDICTS`; they may cover more records than these.
        duplicates: `id`, `kept` (the id that stays; the record's own where an earlier day has it), `reason`, `similarity`;
            rows that repeat another and therefore leave, of any records.
        review: `id`, `flag`, `action` of flagged records that are not simply dropped (`flywheel.curate.policy`): `keep` and
            `mask` stay, `review` leaves with the reason `FLAG_review`.

    Returns:
        The records that stay, in order. Each other has one exit, in order: the first filter that drops it with its score,
        else the duplicate's reason with `into` the id that stays and its similarity.

    Raises:
        FlywheelError: a filter has not judged some of the records.
    """
    ids = records.select("id")
    repeated = ids.join(duplicates.unique("id", keep="first"), on="id", how="left", maintain_order="left")
    leaving = repeated.select("id", "reason", into="kept", score=pl.col("similarity").cast(pl.Float64))
    held = pl.DataFrame(schema=_ACTIONS) if review is None else review.select(_ACTIONS.names())
    for name in reversed(list(verdicts)):
        verdict = ids.join(verdicts[name].unique("id", keep="first"), on="id", how="left", maintain_order="left")
        if missing := verdict["keep"].null_count():
            raise FlywheelError(f"verdicts/{name} lacks {missing} of {records.height} records. Materialize it again.")
        actions = held.filter(flag=name).select("id", "action").unique("id", keep="first")
        action = ids.join(actions, on="id", how="left", maintain_order="left")["action"]
        out = ~verdict["keep"] & ~action.is_in(["keep", "mask"]).fill_null(value=False)
        reason = pl.select(pl.when(action == "review").then(pl.lit(f"{name}_review")).otherwise(pl.lit(name))).to_series()
        leaving = leaving.with_columns(
            reason=pl.when(out).then(reason).otherwise("reason"),
            into=pl.when(~out).then("into"),
            score=pl.when(out).then(verdict["score"]).otherwise("score"),
        )
    gone = leaving["reason"].is_not_null()
    if not gone.any():
        return Outcome(records, no_exits())
    left = leaving.filter(gone)
    return Outcome(records.filter(~gone), exits(left["id"], left["reason"], into=left["into"], score=left["score"]))
