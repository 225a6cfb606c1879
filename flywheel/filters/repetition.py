"""Does the reply go round in circles?"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from flywheel.filters.words import WORD

_LAID_OUT = r"(?ms)^[ \t>]*```.*?(?:^[ \t>]*```|\z)|(?m-s)^[ \t]*\|.*$"


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
        lines = _repeated_lines(replies, self.line_characters)
        grams, top = _repeated_words(replies, self.ngram, self.least_words)
        return pl.Series(np.maximum(np.maximum(lines, grams), top).clip(0, 1))

    def keep(self, score: pl.Series) -> pl.Series:
        return score <= self.maximum


def _exploded(texts: pl.Series, pieces: pl.Expr) -> pl.DataFrame:
    """One row a piece: `row` (its text), `piece` and `size` (its characters)."""
    flat = pl.DataFrame({"row": pl.int_range(len(texts), dtype=pl.UInt32, eager=True), "piece": texts.rename("piece")})
    flat = flat.select("row", pieces.alias("piece")).explode("piece", empty_as_null=False, keep_nulls=False)
    return flat.with_columns(size=pl.col("piece").str.len_chars())


def _repeated_lines(texts: pl.Series, least: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    lines = _exploded(texts, pl.col("piece").str.split("\n")).with_columns(pl.col("piece").str.strip_chars())
    again = ~pl.struct("row", "piece").is_first_distinct() & (pl.col("size") >= least)
    return _share(lines, pl.col("size").filter(again).sum(), len(texts))


def _repeated_words(
    texts: pl.Series, ngram: int, least: int
) -> tuple["np.ndarray[tuple[int], np.dtype[np.float64]]", "np.ndarray[tuple[int], np.dtype[np.float64]]"]:
    words = _exploded(texts, pl.col("piece").str.to_lowercase().str.extract_all(WORD))
    hashed, row = words["piece"].hash(seed=0).to_numpy(), words["row"].to_numpy()
    long = pl.DataFrame({"row": row, "gram": _grams(hashed, ngram)}).with_row_index()
    whole = long.filter(pl.col("row") == pl.col("row").shift(1 - ngram))
    repeats = whole.filter(~pl.struct("row", "gram").is_first_distinct())["index"].to_numpy()
    edges = np.zeros(len(row) + ngram + 1, dtype=np.int64)
    np.add.at(edges, repeats, 1)
    np.add.at(edges, repeats + ngram, -1)
    covered = pl.Series("covered", np.cumsum(edges)[: len(row)] > 0)
    grams = _share(words.with_columns(covered), pl.col("size").filter("covered").sum(), len(texts))

    four = pl.DataFrame({"row": row, "gram": _grams(hashed, 4), "size": words["size"].rolling_sum(4).shift(-3)})
    counts = pl.col("row").len().over("row")
    four = four.filter((counts >= least) & (pl.col("row") == pl.col("row").shift(-3)))
    most = four.group_by("row", "gram").agg(pl.col("size").sum().alias("size"), pl.len().alias("times"))
    most = most.filter(pl.col("times") > 1).group_by("row").agg(pl.col("size").max().alias("most"))
    total = words.group_by("row").agg(pl.col("size").sum())
    share = total.join(most, on="row").select("row", share=pl.col("most") / pl.col("size"))
    top = np.zeros(len(texts))
    top[share["row"].to_numpy()] = share["share"].to_numpy()
    return grams, top


def _grams(hashed: "np.ndarray[tuple[int], np.dtype[np.uint64]]", length: int) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
    """A hash of the `length` words from each place on; meaningless for the last places."""
    grams = np.zeros_like(hashed)
    for step in range(length):
        grams = grams * np.uint64(0x9E3779B97F4A7C15) + np.roll(hashed, -step)
    return grams


def _share(pieces: pl.DataFrame, part: pl.Expr, rows: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    shares = pieces.group_by("row").agg(part.alias("part"), pl.col("size").sum().alias("whole")).filter(pl.col("whole") > 0)
    result = np.zeros(rows)
    result[shares["row"].to_numpy()] = (shares["part"] / shares["whole"]).to_numpy()
    return result
