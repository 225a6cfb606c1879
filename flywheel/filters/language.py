"""Which language is the conversation in?"""

import functools
from dataclasses import dataclass
from typing import Any

import polars as pl

_NOT_PROSE = r"(?ms)^[ \t>]*```.*?(?:^[ \t>]*```|\z)|`[^`\n]+`|https?://\S+|<[^<>\n]+>|\$\$.*?\$\$|[{}\[\]();=|*#_\\/]+"
_SEEN = 1000


@dataclass(frozen=True)
class Language:
    """Drop conversations that are in none of the wanted languages.

    `languages` are ISO 639-1 codes; without any every language is kept and nothing is measured. Code, links and formulas
    are left out, and what remains decides when it has at least `letters` letters: the guess is poor below some 40.

    Source: Lui and Baldwin 2012, "langid.py", as py3langid, 97 languages; its model is in the package, no download.
    """

    languages: tuple[str, ...] = ()
    minimum: float = 0.5
    letters: int = 40

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.languages) - set(_identifier().nb_classes)) if self.languages else []:
            raise ValueError(f"unknown language {unknown[0]!r}; known: {', '.join(sorted(_identifier().nb_classes))}")

    def score(self, records: pl.DataFrame) -> pl.Series:
        """Probability that prompt and reply are in one of the languages: 0 to 1; null where there is too little prose."""
        if not self.languages:
            return pl.Series([1.0] * records.height, dtype=pl.Float64)
        prose = records.select(
            pl.concat_str("reply", pl.lit("\n"), "prompt").str.replace_all(_NOT_PROSE, " ").str.head(_SEEN)
        ).to_series()
        enough = prose.str.count_matches(r"\p{L}") >= self.letters
        wanted = frozenset(self.languages)
        scores = [_probability(text, wanted) if long else None for text, long in zip(prose, enough, strict=True)]
        return pl.Series(scores, dtype=pl.Float64)

    def keep(self, score: pl.Series) -> pl.Series:
        return score >= self.minimum


@functools.cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _probability(text: str, wanted: frozenset[str]) -> float:
    return min(1.0, float(sum(share for language, share in _identifier().rank(text) if language in wanted)))
