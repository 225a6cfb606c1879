"""What the filters count as a word."""

import polars as pl

# Scripts that are written without spaces count by the character, everything else by the whitespace-separated token.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
WORD = rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+"


def count_words(texts: pl.Series) -> pl.Series:
    """Words of each text: 0 or more (UInt32). Markdown marks that stand alone count as a word."""
    return texts.str.count_matches(WORD)
