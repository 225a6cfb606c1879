"""Is there enough to learn from, and not too much to fit?"""

from dataclasses import dataclass

import polars as pl

from flywheel.filters.words import count_words


@dataclass(frozen=True)
class Length:
    """Drop conversations whose last prompt and reply together are too short or too long.

    The defaults lose next to nothing: a chat's shortest good answers are one word. The 50-word minimum made for web pages
    (Rae et al. 2021, Gopher) drops 43 % of real chat texts; `gopher_quality` has it.
    """

    minimum: int = 2
    maximum: int = 20_000

    def score(self, records: pl.DataFrame) -> pl.Series:
        """Words of prompt and reply: 0 or more. Scripts without spaces count by the character."""
        return count_words(records["prompt"]) + count_words(records["reply"])

    def keep(self, score: pl.Series) -> pl.Series:
        return score.is_between(self.minimum, self.maximum)
