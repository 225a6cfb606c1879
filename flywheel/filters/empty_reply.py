"""Is there an answer to learn from?"""

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class EmptyReply:
    """Drop conversations whose last message holds no answer.

    A reply that only calls tools is an answer. A conversation that ends with a user's or a tool's message has none.
    """

    minimum: int = 1

    def score(self, records: pl.DataFrame) -> pl.Series:
        """Characters of the reply without surrounding blanks, plus its tool calls: 0 or more."""
        last = pl.col("messages").list.last()
        calls = pl.when(last.struct.field("role") == "assistant").then(last.struct.field("tool_calls").list.len())
        characters = pl.col("reply").str.strip_chars().str.len_chars()
        return records.select(characters + calls.fill_null(0)).to_series()

    def keep(self, score: pl.Series) -> pl.Series:
        return score >= self.minimum
