"""What a table of records holds, as one long table of metrics."""

from collections.abc import Iterable

import polars as pl

from flywheel.records import derive

_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_NAMED = {0.0: "min", 0.5: "median", 1.0: "max"}
_LABEL = 24
"""Characters of the longest feedback value that is taken for a label."""
_SCHEMA = {"metric": pl.String, "label": pl.String, "value": pl.Float64}


def profile(records: pl.DataFrame | Iterable[pl.DataFrame], *, language: str | None = None, top: int = 20) -> pl.DataFrame:
    """Counts, shares and length quantiles of records; only labels and numbers, never text.

    Memory holds a dozen numbers a record, so a table may come in batches of any size; the order of rows does not matter.

    Args:
        records: a batch or many, with the columns of `flywheel.records.SCHEMA`.
        language: a column of language codes beside them, if there is one.
        top: how many labels of each kind are listed, most frequent first; the rest is one row labelled `(others)`.

    Returns:
        `metric`, `label`, `value`. Metrics without labels (label is empty): `rows`, `turns` (sum of user turns), `sessions`,
        `users`, and the shares of rows `multi_turn_share`, `tool_call_share`, `feedback_share`, `candidates_share`,
        `empty_reply_share`, from 0 to 1. Quantiles (label `min`, `p05`, `p25`, `median`, `p75`, `p95`, `max`):
        `turns_per_row`, `prompt_words`, `prompt_characters`, `reply_words`, `reply_characters`. Counts of rows by label:
        `model`, `app`, `dialect`, `origin`, `finish_reason`, `day`, `language`; of messages: `role`; of ratings: `feedback`.
        A label that is null is `(none)`.
    """
    batches = [records] if isinstance(records, pl.DataFrame) else records
    facts, counts = [], []
    for batch in batches:
        if batch.height:
            facts.append(_facts(batch, language))
            counts += [_nested(batch, "messages", "role"), _nested(batch, "feedback", "name", "value")]
    if not facts:
        return pl.DataFrame([("rows", "", 0.0)], schema=_SCHEMA, orient="row")
    rows = pl.concat(facts)
    labels = [name for name in ("model", "app", "dialect", "origin", "finish_reason", "day", "language") if name in rows.columns]
    listed = pl.concat(counts).group_by("metric", "label").agg(pl.col("value").sum())
    parts = [_totals(rows), *(_quantiles(rows, name) for name in _LENGTHS), *(_count(rows, name) for name in labels), listed]
    counted = pl.concat(parts[1 + len(_LENGTHS) :])
    order = pl.Enum(["role", *labels, "feedback"])
    counted = counted.with_columns(pl.col("metric").cast(order)).sort("metric", -pl.col("value"), "label")
    return pl.concat([*parts[: 1 + len(_LENGTHS)], _first(counted.with_columns(pl.col("metric").cast(pl.String)), top)])


_LENGTHS = ("turns_per_row", "prompt_words", "prompt_characters", "reply_words", "reply_characters")


def _facts(batch: pl.DataFrame, language: str | None) -> pl.DataFrame:
    """A few numbers and labels of each row."""
    calls = pl.element().struct.field("tool_calls").list.len().fill_null(0)
    labels = ["model", "app", "origin", "finish_reason"]
    return derive(batch).select(
        *labels,
        pl.col("session", "user").hash(),
        pl.col("source").struct.field("dialect"),
        pl.col("created_at").dt.strftime("%Y-%m-%d").alias("day"),
        *([pl.col(language).cast(pl.String).alias("language")] if language else []),
        pl.col("turns").alias("turns_per_row"),
        *(pl.col(side).str.count_matches(r"\S+").alias(f"{side}_words") for side in ("prompt", "reply")),
        *(pl.col(side).str.len_chars().alias(f"{side}_characters") for side in ("prompt", "reply")),
        (pl.col("messages").list.eval(calls).list.sum() > 0).fill_null(False).alias("tool_call"),
        *((pl.col(name).list.len().fill_null(0) > 0).alias(name) for name in ("feedback", "candidates")),
        pl.col("session").is_null().alias("no_session"),
        pl.col("user").is_null().alias("no_user"),
    )


def _nested(batch: pl.DataFrame, column: str, *fields: str) -> pl.DataFrame:
    """Counts of the values that a list of structs has in these fields.

    Feedback on an earlier turn (`NAME@ID`) counts as NAME; a value that is a text rather than a label is `(text)`.
    """
    flat = batch.select(pl.col(column).explode(empty_as_null=False, keep_nulls=False)).unnest(column)
    if column == "feedback":
        text = pl.col("value").str.len_chars() > _LABEL
        value = pl.when(text).then(pl.lit("(text)")).otherwise("value").alias("value")
        flat = flat.with_columns(pl.col("name").str.replace("@.*", ""), value)
    label = pl.concat_str([pl.col(field).fill_null("(none)") for field in fields], separator="=")
    metric = pl.lit("role" if column == "messages" else column).alias("metric")
    return flat.group_by(label.alias("label")).len().select(metric, "label", pl.col("len").cast(pl.Float64).alias("value"))


def _totals(rows: pl.DataFrame) -> pl.DataFrame:
    share = {
        "multi_turn_share": pl.col("turns_per_row") > 1,
        "tool_call_share": pl.col("tool_call"),
        "feedback_share": pl.col("feedback"),
        "candidates_share": pl.col("candidates"),
        "empty_reply_share": pl.col("reply_characters") == 0,
    }
    totals = rows.select(
        pl.len().alias("rows"),
        pl.col("turns_per_row").sum().alias("turns"),
        pl.col("session").filter(~pl.col("no_session")).n_unique().alias("sessions"),
        pl.col("user").filter(~pl.col("no_user")).n_unique().alias("users"),
        *(found.mean().alias(name) for name, found in share.items()),
    )
    return pl.DataFrame([(name, "", float(totals[name][0])) for name in totals.columns], schema=_SCHEMA, orient="row")


def _quantiles(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    found = [rows[name].quantile(share, "nearest") for share in _QUANTILES]
    labels = [_NAMED.get(share, f"p{round(share * 100):02d}") for share in _QUANTILES]
    return pl.DataFrame({"metric": [name] * len(labels), "label": labels, "value": found}, schema=_SCHEMA)


def _count(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    counted = rows.group_by(pl.col(name).fill_null("(none)").alias("label")).len()
    return counted.select(pl.lit(name).alias("metric"), "label", pl.col("len").cast(pl.Float64).alias("value"))


def _first(counted: pl.DataFrame, top: int) -> pl.DataFrame:
    """The first `top` labels of each metric, the rest as one."""
    rank = pl.int_range(pl.len()).over("metric")
    label = pl.when((rank >= top) & (pl.len().over("metric") > top)).then(pl.lit("(others)")).otherwise(pl.col("label"))
    return counted.with_columns(label=label).group_by("metric", "label", maintain_order=True).agg(pl.col("value").sum())
