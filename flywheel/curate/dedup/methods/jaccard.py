"""All pairs of texts whose n-gram sets overlap: exact, where MinHash may miss some."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import xxhash

from flywheel.curate.dedup.methods.contract import (
    HASH,
    ByDigest,
    among_first,
    at_least,
    jaccards,
    joined,
    pairs_frame,
    text_hashes,
)
from flywheel.curate.dedup.shingles import Sets, hash_tokens, shingle
from flywheel.curate.words import plain, spaced


@dataclass(frozen=True)
class Jaccard(ByDigest):
    """Texts whose sets of n-grams have at least the given Jaccard similarity; none is missed.

    `unit` is `word` or `character` (punctuation and case aside). Two texts can only be similar if they share one of their
    rarest n-grams, so only those are compared; time still grows with the square of what is written from one template.

    Source: Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", 2007 (prefix filtering).
    """

    ngram: int = 3
    unit: Literal["word", "character"] = "word"

    def digests(self, texts: pl.Series) -> pl.Series:
        return ngram_digests(texts, self.ngram, self.unit)

    def among(self, digests: Iterable[pl.Series], *, floor: float) -> pl.DataFrame:
        return among_distinct_sets(digests, lambda sets: self._pairs(sets, floor))

    def _pairs(self, sets: Sets, floor: float) -> pl.DataFrame:
        sizes = np.diff(sets.offsets)
        flat = pl.DataFrame({"row": np.repeat(np.arange(len(sizes)), sizes), "gram": sets.values})
        prefix = (pl.col("size") - (floor * pl.col("size")).ceil() + 1).cast(pl.Int64)
        rarest = (
            flat.lazy()
            .with_columns(size=pl.len().over("row"), common=pl.len().over("gram"))
            .sort("row", "common", "gram")
            .filter(pl.int_range(pl.len()).over("row") < prefix)
            .select("row", "gram", "size")
        )
        close = (pl.col("size") >= floor * pl.col("size_right")) & (pl.col("size_right") >= floor * pl.col("size"))
        shared = rarest.join(rarest, on="gram").filter((pl.col("row") > pl.col("row_right")) & close)
        found = shared.select("row", "row_right").unique().collect()
        if found.is_empty():
            return pairs_frame([], [], 1.0)
        rows, others = found["row"].to_numpy(), found["row_right"].to_numpy()
        return at_least(rows, others, jaccards(sets.offsets, sets.values, rows, others), floor)


NGRAMS = pl.Struct({"text": HASH, "grams": pl.List(pl.UInt32)})


def ngram_digests(texts: pl.Series, n: int, unit: str) -> pl.Series:
    """Of each text its hash and its set of hashed n-grams, of type `NGRAMS`: 4 bytes an n-gram."""
    sets = ngrams(texts, n, unit)
    lists: Any = pa.LargeListArray
    return pl.DataFrame({"text": text_hashes(texts), "grams": pl.from_arrow(lists.from_arrays(*sets))}).to_struct()


def among_distinct_sets(digests: Iterable[pl.Series], compare: Callable[[Sets], pl.DataFrame]) -> pl.DataFrame:
    """As `contract.among_distinct`, of `ngram_digests`."""
    every = joined(digests, NGRAMS)
    sets = _sets(every.struct.field("grams"))
    return among_first(every.struct.field("text"), lambda rows: compare(sets.take(rows.to_numpy())))


def _sets(lists: pl.Series) -> Sets:
    array: Any = lists.to_arrow(compat_level=pl.CompatLevel.oldest())
    offsets = array.offsets.to_numpy()
    return Sets(offsets - offsets[0], array.values.to_numpy()[offsets[0] : offsets[-1]])


def ngrams(texts: pl.Series, n: int, unit: str) -> Sets:
    """Sets of hashed n-grams of words or characters; a text that is shorter than one is its own."""
    if unit == "word":
        return shingle(spaced(texts), ngram=n)
    return hash_tokens(
        [
            [xxhash.xxh32_intdigest(text[at : at + n].encode()) for at in range(max(1, len(text) - n + 1))] if text else []
            for text in plain(texts).fill_null("").str.replace_all(" ", "", literal=True)
        ]
    )
