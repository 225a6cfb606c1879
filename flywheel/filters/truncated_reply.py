"""Was the answer cut off?"""

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class TruncatedReply:
    """Drop conversations whose reply the provider cut short, or that ends inside a code fence.

    `reasons` are the finish reasons of a reply that is not whole, lower case, as OpenAI, Anthropic and Gemini log them. A
    missing finish reason says nothing. A fence is taken as open when an odd number of lines starts with three backticks.
    """

    reasons: tuple[str, ...] = (
        "length",
        "max_tokens",
        "max_output_tokens",
        "model_length",
        "incomplete",
        "content_filter",
        "safety",
        "recitation",
        "blocklist",
        "prohibited_content",
        "error",
        "error_limit",
        "error_toxic",
    )
    fences: bool = True

    def score(self, records: pl.DataFrame) -> pl.Series:
        """1 for a reply that was cut off, else 0."""
        cut = pl.col("finish_reason").str.to_lowercase().is_in(list(self.reasons)).fill_null(False)
        if self.fences:
            cut |= pl.col("reply").str.count_matches(r"(?m)^[ \t>]*```") % 2 == 1
        return records.select(cut.cast(pl.Float64)).to_series()

    def keep(self, score: pl.Series) -> pl.Series:
        return score == 0
