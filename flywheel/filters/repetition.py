"""Does the reply go round in circles?"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flywheel.filters.words import WORD

_LAID_OUT = r"(?ms)^[ \t>]*```.*?(?:^[ \t>]*```|\z)|(?m-s)^[ \t]*\|.*$"


Numbers = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Repetition:
    """Drop conversations whose reply repeats itself, as models do when they get stuck.

    The score is the worst of three shares of the reply's characters: in lines that already occurred (lines of at least
    `line_characters`), in word `ngram`s that already occurred, and in its most frequent word 4-gram (from `least_words` on).
    Fenced code and table rows are left out: they repeat by nature.

    Source: Rae et al. 2021 (Gopher), section A.1.1 and table A1, whose limits for web pages are 0.20, 0.10 and 0.16. The
    default here is looser because lists, tables and templates in chat replies repeat on purpose.
    """

    maximum: float = 0.5
    ngram: int = 10
    line_characters: int = 20
    least_words: int = 50

    def score(self, records: pl.DataFrame) -> pl.Series:
        """Share of repeated characters: 0 to 1, 0 for a reply without words."""
        replies = records["reply"].str.replace_all(_LAID_OUT, "")
        lines = _pieces(replies, pl.col("piece").str.split("\n"))
        words = _pieces(replies, pl.col("piece").str.to_lowercase().str.extract_all(WORD))
        shares = (
            _share_of_repeated_lines(lines, self.line_characters, len(replies)),
            _share_of_repeated_ngrams(words, self.ngram, len(replies)),
            _share_of_top_ngram(words, 4, self.least_words, len(replies)),
        )
        return pl.Series(np.maximum.reduce(shares).clip(0, 1))

    def keep(self, score: pl.Series) -> pl.Series:
        return score <= self.maximum


class _Pieces(NamedTuple):
    """Lines or words of all texts, one after the other: the text's row, the characters, a hash."""

    row: Numbers
    size: Numbers
    hashed: Numbers


def _pieces(texts: pl.Series, split: pl.Expr) -> _Pieces:
    flat = pl.DataFrame({"row": pl.int_range(len(texts), dtype=pl.UInt32, eager=True), "piece": texts.rename("piece")})
    flat = flat.select("row", split.alias("piece")).explode("piece", empty_as_null=False, keep_nulls=False)
    pieces = flat["piece"].str.strip_chars()
    return _Pieces(flat["row"].to_numpy(), pieces.str.len_chars().to_numpy(), pieces.hash(seed=0).to_numpy())


def _share_of_repeated_lines(lines: _Pieces, least: int, rows: int) -> Numbers:
    again = _seen_before(_in_row(lines.hashed, lines.row)) & (lines.size >= least)
    return _share(lines, np.where(again, lines.size, 0), rows)


def _share_of_repeated_ngrams(words: _Pieces, ngram: int, rows: int) -> Numbers:
    starts = _starts(words, ngram)
    repeats = starts[_seen_before(_in_row(_ngrams(words.hashed, ngram), words.row)[starts])]
    edges = np.zeros(len(words.row) + 1, dtype=np.int64)
    edges[repeats] += 1
    edges[repeats + ngram] -= 1
    return _share(words, np.where(np.cumsum(edges)[:-1] > 0, words.size, 0), rows)


def _share_of_top_ngram(words: _Pieces, ngram: int, least: int, rows: int) -> Numbers:
    starts = _starts(words, ngram)
    starts = starts[np.bincount(words.row, minlength=rows)[words.row[starts]] >= least]
    sizes = sum(words.size[starts + step].astype(np.int64) for step in range(ngram))
    grams = pl.DataFrame(
        {"gram": _in_row(_ngrams(words.hashed, ngram), words.row)[starts], "row": words.row[starts], "size": sizes},
        schema_overrides={"size": pl.Int64},
    )
    counted = grams.group_by("gram").agg(pl.col("row").first(), pl.col("size").sum(), times=pl.len())
    top = np.zeros(rows)
    repeated = counted.filter(pl.col("times") > 1)
    np.maximum.at(top, repeated["row"].to_numpy(), repeated["size"].to_numpy().astype(np.float64))
    return top / np.maximum(np.bincount(words.row, weights=words.size, minlength=rows), 1)


def _starts(words: _Pieces, ngram: int) -> Numbers:
    """Places from which `ngram` words of one text follow."""
    return np.flatnonzero(words.row[: max(len(words.row) - ngram + 1, 0)] == words.row[ngram - 1 :])


def _ngrams(hashed: Numbers, ngram: int) -> Numbers:
    """A hash of the `ngram` words from each place on; it runs over the end of a text, which `_starts` leaves out."""
    grams: Numbers = np.zeros_like(hashed)
    for step in range(ngram):
        grams = grams * np.uint64(0x9E3779B97F4A7C15) + np.roll(hashed, -step)
    return grams


def _in_row(hashed: Numbers, row: Numbers) -> Numbers:
    """The hash of a piece together with its row, in 64 bits: a false repeat in a batch of 100 million has odds of 1 in 3,700."""
    mixed: Numbers = (hashed ^ (hashed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return mixed + row * np.uint64(0x94D049BB133111EB)


def _seen_before(hashed: Numbers) -> Numbers:
    again: Numbers = (~pl.Series(hashed).is_first_distinct()).to_numpy()
    return again


def _share(pieces: _Pieces, part: Numbers, rows: int) -> Numbers:
    whole = np.bincount(pieces.row, weights=pieces.size, minlength=rows)
    return np.bincount(pieces.row, weights=part, minlength=rows) / np.maximum(whole, 1)
