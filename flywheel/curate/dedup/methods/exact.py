"""Texts that are the same but for case, white space and Unicode forms."""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from flywheel.curate.dedup.methods.contract import HASH, ByDigest, among_first, joined, pairs_frame, text_hashes
from flywheel.curate.words import plain


@dataclass(frozen=True)
class Exact(ByDigest):
    """Equal texts, after NFKC and with runs of white space as one blank. Each is linked to its first occurrence.

    `case` and `punctuation` say whether those count. Similarity is 1. Texts are compared by 128 bits of each.
    """

    case: bool = False
    punctuation: bool = True

    def digests(self, texts: pl.Series) -> pl.Series:
        return text_hashes(self.normalised(texts))

    def among(self, digests: Iterable[pl.Series], *, floor: float = 1.0) -> pl.DataFrame:
        del floor  # what is equal is 1
        return among_first(joined(digests, HASH), lambda _: pairs_frame([], [], 1.0))

    def normalised(self, texts: pl.Series) -> pl.Series:
        """What is compared."""
        if not self.punctuation:
            return plain(texts)
        folded = texts.str.normalize("NFKC").str.replace_all(r"\s+", " ").str.strip_chars()
        return folded if self.case else folded.str.to_lowercase()
