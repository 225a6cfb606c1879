"""Passages of many words that stand in two places, within texts that are otherwise different."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import xxhash

from flywheel.curate.dedup.compiled import compiled
from flywheel.curate.dedup.methods.contract import ByDigest, joined, pairs_frame
from flywheel.curate.words import words

WORDS = pl.Struct({"hash": pl.List(pl.UInt64), "start": pl.List(pl.UInt32), "stop": pl.List(pl.UInt32)})


@dataclass(frozen=True)
class Spans(ByDigest):
    """Runs of at least `tokens` words that occurred before, in an earlier text or earlier in the same one.

    Every window of `tokens` words is hashed and linked to its first occurrence; windows that follow each other there as here
    are one span. Similarity is 1; `start` and `stop` are the span's characters in the row. Memory: about 60 bytes a word.

    Source: Lee et al., "Deduplicating training data makes language models better", 2022 (50 tokens, by suffix array; the
    repetitions of length `tokens` that a suffix array finds are those that equal windows have).
    """

    tokens: int = 50

    def digests(self, texts: pl.Series) -> pl.Series:
        found = [words(text or "") for text in texts]
        hashes = [[xxhash.xxh3_64_intdigest(word.word.encode()) for word in row] for row in found]
        starts, stops = ([[word[at] for word in row] for row in found] for at in (1, 2))
        return pl.DataFrame({"hash": hashes, "start": starts, "stop": stops}, schema=WORDS.to_schema()).to_struct()

    def among(self, digests: Iterable[pl.Series], *, floor: float = 1.0) -> pl.DataFrame:
        del floor  # what is equal is 1
        every = joined(digests, WORDS).struct.unnest()
        counts = every["hash"].list.len().to_numpy()
        ends = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        hashes, starts, stops = (every[name].explode(empty_as_null=False).to_numpy() for name in ("hash", "start", "stop"))
        owner = np.repeat(np.arange(len(counts)), counts)
        windows = _windows(hashes, ends, self.tokens)
        first = _first_occurrence(windows, owner, ends, self.tokens)
        begin, end = _joined(first, owner, self.tokens)
        return pairs_frame(owner[begin], owner[first[begin]], 1.0, starts[begin], stops[end])


def _first_occurrence(windows: Any, owner: Any, ends: Any, tokens: int) -> Any:
    """For each place the first one whose window is equal; itself where there is none before, or no whole window."""
    places = np.arange(len(windows))
    whole = places[places + tokens <= ends[1:][owner]] if len(places) else places
    frame = pl.DataFrame({"place": whole, "window": windows[whole]})
    first = places.copy()
    first[whole] = frame.select(pl.col("place").min().over("window")).to_series().to_numpy()
    return first


@compiled
def _windows(hashes: Any, ends: Any, tokens: int) -> Any:  # pragma: no cover
    """A hash of each place's next `tokens` words, rolled along each text; 0 where fewer follow."""
    factor = np.uint64(0x9E3779B97F4A7C15)
    power = np.uint64(1)
    for _ in range(tokens):
        power *= factor
    result = np.zeros(len(hashes), np.uint64)
    for text in range(len(ends) - 1):
        rolled = np.uint64(0)
        for at in range(ends[text], ends[text + 1]):
            rolled = rolled * factor + hashes[at]
            if at - tokens >= ends[text]:
                rolled -= power * hashes[at - tokens]
            if at - tokens + 1 >= ends[text]:
                result[at - tokens + 1] = rolled ^ (rolled >> np.uint64(31))
    return result


@compiled
def _joined(first: Any, owner: Any, tokens: int) -> Any:  # pragma: no cover
    """The first and the last word of each run of windows that repeats one run of earlier windows."""
    begins: list[Any] = [np.int64(0) for _ in range(0)]
    ends: list[Any] = [np.int64(0) for _ in range(0)]
    for at in range(len(first)):
        if first[at] == at:
            continue
        if at and first[at - 1] == first[at] - 1 and first[at - 1] != at - 1 and owner[at - 1] == owner[at]:
            ends[-1] = at + tokens - 1
        else:
            begins.append(at)
            ends.append(at + tokens - 1)
    return np.array(begins), np.array(ends)
