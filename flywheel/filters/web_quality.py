"""Two published quality rules for web pages, by name, for those who want them. They are wrong for chat: see each class."""

from dataclasses import dataclass

import polars as pl

_STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
_TERMINAL = r"""[.!?"']\s*$"""


@dataclass(frozen=True)
class GopherQuality:
    """Drop conversations whose reply breaks a rule of Gopher's quality filter.

    The rules were made for English web pages: the 50-word minimum alone drops 43 % of 3,671 real chat texts.

    Source: Rae et al. 2021 (Gopher), section A.1.1, all numbers. Words are separated by whitespace.
    """

    min_words: int = 50
    max_words: int = 100_000
    min_mean_word_length: float = 3.0
    max_mean_word_length: float = 10.0
    max_symbol_ratio: float = 0.1
    max_bullet_lines: float = 0.9
    max_ellipsis_lines: float = 0.3
    min_alphabetic_words: float = 0.8
    min_stop_words: int = 2

    def score(self, records: pl.DataFrame) -> pl.Series:
        """Number of broken rules: 0 to 7."""
        reply = pl.col("reply")
        words = reply.str.count_matches(r"\S*\w\S*")
        least, lines = words.clip(lower_bound=1), pl.max_horizontal(1, reply.str.count_matches(r"(?m)^.*\S.*$"))
        letters = reply.str.extract_all(r"\S*\w\S*").list.join("").str.len_chars()
        symbols = pl.max_horizontal(reply.str.count_matches("#"), reply.str.count_matches(r"\.\.\.|…"))
        stop = [reply.str.contains(rf"(?i)(?:^|\s){word}(?:$|[\s.,;:!?])").cast(pl.UInt8) for word in _STOP_WORDS]
        broken = (
            ~words.is_between(self.min_words, self.max_words),
            ~(letters / least).is_between(self.min_mean_word_length, self.max_mean_word_length),
            symbols / least > self.max_symbol_ratio,
            reply.str.count_matches(r"(?m)^\s*[•\-*]") / lines > self.max_bullet_lines,
            reply.str.count_matches(r"(?m)(?:\.\.\.|…)\s*$") / lines > self.max_ellipsis_lines,
            reply.str.count_matches(r"\S*\p{L}\S*") / reply.str.count_matches(r"\S+").clip(1) < self.min_alphabetic_words,
            pl.sum_horizontal(stop) < self.min_stop_words,
        )
        return records.select(pl.sum_horizontal(rule.cast(pl.UInt8) for rule in broken)).to_series()

    def keep(self, score: pl.Series) -> pl.Series:
        return score == 0


@dataclass(frozen=True)
class C4Quality:
    """Drop conversations whose reply is short of sentences, or holds a curly bracket, `lorem ipsum` or a JavaScript notice.

    The rules were made for web pages: the five-sentence minimum drops 62 % of 3,671 real chat texts, curly brackets most code.

    Source: Raffel et al. 2020 (T5), section 2.2, all numbers; only lines of `min_line_words` words that end in `.`, `!`, `?` or a
    quote count.
    A curly bracket excludes wherever it stands, as in the paper; datatrove looks for it in the lines that count.
    """

    min_sentences: int = 5
    min_line_words: int = 3

    def score(self, records: pl.DataFrame) -> pl.Series:
        """Sentences in lines that count: 0 or more; -1 for a text that is excluded whatever its length."""
        line = pl.element()
        whole = line.filter(line.str.contains(_TERMINAL) & (line.str.count_matches(r"\S+") >= self.min_line_words))
        lines = pl.col("reply").str.split("\n").list.eval(whole).list.join("\n")
        excluded = pl.col("reply").str.contains(r"\{|(?i:lorem ipsum|javascript must be enabled|enable javascript)")
        sentences = lines.str.count_matches(r"""(?m)[.!?]["'”’)\]]*(?:\s|$)|["']\s*$""").cast(pl.Int64)
        return records.select(pl.when(excluded).then(-1).otherwise(sentences)).to_series()

    def keep(self, score: pl.Series) -> pl.Series:
        return score >= self.min_sentences
