"""Does a conversation use words from a list of offensive ones?"""

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import polars as pl

_FOLDER = files("flywheel.filters") / "data" / "ldnoobw"
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")


@dataclass(frozen=True)
class WordList:
    """Flag conversations that use more listed words than allowed, by default any. A word list is no classifier.

    It finds words, not what is meant: on HateCheck (Röttger et al. 2021) such a list finds 7.6 % of the hateful rows and
    flags 18.5 % of the harmless ones (measured with the English list before this filter was written). Medical, legal and
    quoted use is flagged, insults in other words pass, and so do inflected and disguised forms. For a row that must not be
    lost, choose `mask` or `review` under `[policy.actions]`.

    `languages` are those of the list: its files' names, all 28 of them with `"*"`; `words` are yours, in addition, and
    `allow` are listed ones that do not count. Case does not matter. A word is found where no letter or digit stands beside
    it, in scripts without spaces anywhere. `placeholder` is what `mask` puts in its place.

    Source: LDNOOBW, the list that C4 was filtered with (Raffel et al. 2020); CC BY 4.0, see `data/NOTICE`.
    """

    languages: tuple[str, ...] = ("en",)
    words: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    maximum: int = 0
    placeholder: str = "<REMOVED>"

    def __post_init__(self) -> None:
        there = available()
        if unknown := sorted(set(self.languages) - {*there, "*"}):
            raise ValueError(f"there is no word list for {unknown[0]!r}; there is {', '.join(there)}")

    def score(self, records: pl.DataFrame) -> pl.Series:
        """Listed words in the conversation, each time they are used: 0 or more."""
        return records["text"].str.count_matches(self._pattern)

    def keep(self, score: pl.Series) -> pl.Series:
        return score <= self.maximum

    def mask(self, texts: pl.Series) -> pl.Series:
        """The texts with every listed word replaced by the placeholder."""
        return texts.str.replace_all(self._pattern, self.placeholder.replace("$", "$$"))

    @property
    def _pattern(self) -> str:
        return _compiled(self.languages, self.words, self.allow)


def available() -> list[str]:
    """The languages that there is a list for: ISO codes, as the list has them."""
    return sorted(entry.name.removesuffix(".txt") for entry in _FOLDER.iterdir() if entry.name.endswith(".txt"))


@lru_cache(maxsize=8)
def _compiled(languages: tuple[str, ...], words: tuple[str, ...], allow: tuple[str, ...]) -> str:
    chosen = available() if "*" in languages else languages
    listed = [line.strip() for name in chosen for line in (_FOLDER / f"{name}.txt").read_text("utf-8").splitlines()]
    left = {word.casefold() for word in allow}
    wanted = sorted(
        {word for word in (*listed, *words) if word and word.casefold() not in left}, key=lambda word: (-len(word), word)
    )
    parts = [_bounded(word) for word in wanted]
    return f"(?i:{'|'.join(parts)})" if parts else r"[^\s\S]"


def _bounded(word: str) -> str:
    """The word as a pattern: runs of spaces are alike, and no letter or digit stands beside it."""
    spelled = r"\s+".join(re.escape(piece) for piece in word.split())
    if _UNSPACED.search(word):
        return spelled
    before, after = (r"\b" if re.match(r"\w", edge) else "" for edge in (word[0], word[-1]))
    return f"{before}{spelled}{after}"
