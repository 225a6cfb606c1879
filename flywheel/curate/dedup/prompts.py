"""Conversations that ask the same and are answered differently: candidates for preferences, and a leak between splits."""

import polars as pl


def prompt_hashes(signatures: pl.LazyFrame) -> pl.DataFrame:
    """`id`, `day` and `prompt`: a hash of all that was said before the last message, system prompts aside.

    Null where nothing was. Upper and lower case, white space and Unicode forms do not count (see `sign`).

    Args:
        signatures: rows of `SIGNATURES` with their `day`.
    """
    asked = pl.when(pl.col("beginnings").list.len() > 1).then(pl.col("beginnings").list.get(-2, null_on_oob=True))
    return signatures.select("id", "day", prompt=asked).collect()


def conflicts(signatures: pl.LazyFrame, records: pl.LazyFrame) -> pl.DataFrame:
    """Groups of records that ask the same and are answered differently.

    Args:
        signatures: as for `prompt_hashes`.
        records: `id` and `day` of the records that count.

    Returns:
        `prompt`, `id`, `day`; a row a record of a group of two or more, the largest groups first.
    """
    asked = prompt_hashes(signatures.join(records.select("id", "day"), on=["id", "day"], how="semi")).drop_nulls("prompt")
    grouped = asked.with_columns(size=pl.len().over("prompt")).filter(pl.col("size") > 1)
    return grouped.sort("size", "prompt", "day", "id", descending=[True, False, False, False]).drop("size")
