"""Is the reply text or ornament?"""

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class SymbolRatio:
    """Drop conversations whose replies are mostly symbols.

    Source: Rae et al. 2021 (Gopher), section A.1.1, made for web pages, maximum 0.1; the default here is looser because
    chat replies are short and written in Markdown, whose headings are `#`.
    """

    maximum: float = 0.3

    def score(self, records: pl.DataFrame) -> pl.Series:
        """Symbols (`#`, `...`, `…`) per word of each reply: 0 or more, 0 for an empty reply."""
        words = records["reply"].str.count_matches(r"\S+").clip(lower_bound=1)
        return records["reply"].str.count_matches(r"#|\.\.\.|…") / words

    def keep(self, score: pl.Series) -> pl.Series:
        return score <= self.maximum
