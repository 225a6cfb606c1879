"""Did somebody say that the answer was bad?"""

from dataclasses import dataclass

import polars as pl

from flywheel.curate.label_rules import LabelRule
from flywheel.curate.labels import label_table


@dataclass(frozen=True)
class Disliked:
    """Drop conversations whose reply was called bad.

    What counts as bad is up to `rules`, by default the project's `[[labels]]` and after them the built-in ones. Feedback on
    an earlier turn or on another answer does not count. A conversation that nobody judged is kept.

    Args:
        minimum: the share of bad feedback from which a conversation is dropped; 1 drops only those of which nobody said good.
        require_good: keep only conversations that were called good by everybody who judged them, at least one.
        rules: what feedback means.
    """

    minimum: float = 1.0
    require_good: bool = False
    rules: tuple[LabelRule, ...] = ()

    def score(self, records: pl.DataFrame) -> pl.Series:
        """Share of bad among the feedback that labels the reply: 0 to 1; null without, or 1 where good is required."""
        share = label_table(records, self.rules)["bad_share"]
        return share.fill_null(1.0) if self.require_good else share

    def keep(self, score: pl.Series) -> pl.Series:
        return score == 0 if self.require_good else score < self.minimum
