"""Words of a text with their places, for comparisons that must say where; scripts without blanks count by character."""

import re
import unicodedata
from typing import NamedTuple

import polars as pl

# Thai, kana, CJK ideographs with their extensions and compatibility forms: written without blanks between words.
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


class Word(NamedTuple):
    """A word in lower case and NFKC, and the characters that it is in its text."""

    word: str
    start: int
    stop: int


def words(text: str) -> list[Word]:
    """The words of a text in order: runs of word characters, each character of a script without blanks by itself."""
    return [Word(unicodedata.normalize("NFKC", found.group()).lower(), *found.span()) for found in _WORD.finditer(text)]


def spaced(texts: pl.Series) -> pl.Series:
    """The texts in NFKC, with blanks around the characters of scripts without them, for whatever splits at blanks."""
    other = texts.str.len_bytes() != texts.str.len_chars()
    if not other.fill_null(value=False).any():
        return texts
    apart = texts.filter(other).str.normalize("NFKC").str.replace_all(f"([{_UNSPACED}])", " $1 ")
    return texts.clone().scatter(other.arg_true(), apart)  # scatter changes the series that it is called on


def plain(texts: pl.Series) -> pl.Series:
    """The words of each text joined by single blanks: equal for texts that differ in case, punctuation and spacing alone."""
    return spaced(texts).str.to_lowercase().str.extract_all(r"[\p{Alphabetic}\p{M}\p{N}_]+").list.join(" ")
