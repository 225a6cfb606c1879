"""Feedback on a part of a conversation that another day's record took the place of goes over to that record."""

from typing import Any

import polars as pl
import pyarrow as pa

from flywheel.schema import FEEDBACK, column

HANDED_OVER = pa.schema(
    [
        column("id", pa.string(), "the record that takes it"),
        column("given_by", pa.string(), "the record that went"),
        column("given_on", pa.string(), "that one's day"),
        column("feedback", pa.list_(FEEDBACK), "what the taker did not have"),
    ]
)
_SUCCEEDED = ("same_id", "other_version", "prefix")
_WHO = ("id", "day", "session", "user", "feedback")


def hand_over(duplicates: pl.DataFrame, records: pl.LazyFrame) -> pl.DataFrame:
    """What the records that stay are told by duplicates of other days.

    A session that crosses midnight is logged on two days; the longest record stays, and what was said about an earlier turn
    goes along under `NAME@ID`, as when one day's requests are stitched. Feedback that comes a day later, with the same id and
    the same conversation, keeps its name: it is about the same reply. A shorter conversation of somebody else (another
    session, or another user where there is none) has nothing to give.

    Args:
        duplicates: rows of `DUPLICATES`.
        records: records of all days with their `day`; of the days that take part, some columns are read.

    Returns:
        Columns of `HANDED_OVER` and `day`, that of the taker; ordered by them.
    """
    schema = pl.Schema(HANDED_OVER) | {"day": pl.String()}
    moved = duplicates.filter(pl.col("reason").is_in(_SUCCEEDED) & (pl.col("day") != pl.col("kept_day")))
    if moved.is_empty():
        return pl.DataFrame(schema=schema)
    givers = moved.select("id", "day")
    takers = moved.select(id="kept", day="kept_day").unique()
    said = pl.col("feedback").list.len() > 0
    days = pl.concat([givers["day"], takers["day"]]).unique()
    records = records.filter(pl.col("day").is_in(days.implode())).select(_WHO)
    giving = records.filter(said).join(givers.lazy(), on=["id", "day"], how="semi").collect()
    pairs = moved.join(giving, on=["id", "day"])
    takers = takers.join(pairs.select(id="kept", day="kept_day"), on=["id", "day"], how="semi")
    taking = records.join(takers.lazy(), on=["id", "day"], how="semi").collect()
    pairs = pairs.join(taking, left_on=["kept", "kept_day"], right_on=["id", "day"], suffix="_kept")
    rows = []
    for pair in pairs.sort("kept_day", "kept", "day", "id").iter_rows(named=True):
        given = _given(pair)
        if given:
            row = {"id": pair["kept"], "given_by": pair["id"], "given_on": pair["day"], "feedback": given}
            rows.append(row | {"day": pair["kept_day"]})
    return pl.DataFrame(rows, schema=schema)


def take_over(records: pl.DataFrame, handed: pl.DataFrame) -> pl.DataFrame:
    """The records, in order, with what was handed over to them behind their own feedback."""
    if handed.is_empty() or records.is_empty():
        return records
    more = handed.group_by("id", maintain_order=True).agg(more=pl.col("feedback").explode())
    joined = records.join(more, on="id", how="left", maintain_order="left")
    both = pl.concat_list("feedback", pl.col("more"))
    return joined.with_columns(feedback=pl.when(pl.col("more").is_null()).then("feedback").otherwise(both)).drop("more")


def _given(pair: dict[str, Any]) -> list[dict[str, Any]]:
    if pair["reason"] == "same_id":
        return [said for said in pair["feedback"] if said not in pair["feedback_kept"]]
    owner = "session" if pair["session"] or pair["session_kept"] else "user"
    if pair["reason"] == "prefix" and (pair[owner] is None or pair[owner] != pair[f"{owner}_kept"]):
        return []
    # an id that is its own taker's says nothing: then the day tells which version was judged
    about = pair["id"] if pair["id"] != pair["kept"] else f"{pair['id']}@{pair['day']}"
    return [said if "@" in said["name"] else said | {"name": f"{said['name']}@{about}"} for said in pair["feedback"]]
