"""Texts that a few typed characters turn into each other."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from flywheel.curate.dedup.compiled import compiled
from flywheel.curate.dedup.methods.contract import among_distinct, at_least
from flywheel.curate.dedup.methods.exact import Exact
from flywheel.errors import FlywheelError

_BINS = 64


@dataclass(frozen=True)
class EditRatio:
    """Twice the length of the longest common subsequence over the sum of both lengths, as `rapidfuzz.fuzz.ratio` / 100.

    Case and white space aside. Every two texts are compared that their lengths and letters allow to be similar, so time
    grows with the square of the number of different texts: more than `limit` are refused.

    Source: Hyyrö, "Bit-parallel LCS-length computation revisited", 2004.
    """

    limit: int = 20_000

    def pairs(self, texts: pl.Series, *, floor: float) -> pl.DataFrame:
        """As the contract says.

        Raises:
            FlywheelError: there are more than `limit` different texts.
        """
        return among_distinct(Exact().normalised(texts), lambda different: self._pairs(different, floor))

    def _pairs(self, texts: pl.Series, floor: float) -> pl.DataFrame:
        if len(texts) > self.limit:
            raise FlywheelError(
                f"edit_ratio compares every text with every other, and there are {len(texts):,} different ones, more than its "
                f'`limit` of {self.limit:,}. Use `minhash` or `jaccard` with unit = "character", or raise the limit.'
            )
        coded = [np.frombuffer(text.encode("utf-32-le"), np.uint32) for text in texts]
        order = np.argsort([len(code) for code in coded], kind="stable")
        ends = np.cumsum([0, *(len(coded[at]) for at in order)])
        data = np.concatenate([*(coded[at] for at in order), np.empty(0, np.uint32)])
        rows, others, ratio = _similar(data, ends, floor)
        return at_least(order[rows], order[others], ratio, floor)


@compiled
def _similar(data: Any, ends: Any, floor: float) -> Any:  # pragma: no cover
    """Pairs of texts, which come shortest first, that are similar enough."""
    count = len(ends) - 1
    letters = np.zeros((count, _BINS), np.int32)
    for row in range(count):
        for at in range(ends[row], ends[row + 1]):
            letters[row, data[at] % _BINS] += 1
    rows: list[Any] = [np.int64(0) for _ in range(0)]
    others: list[Any] = [np.int64(0) for _ in range(0)]
    ratios: list[Any] = [0.0 for _ in range(0)]
    for row in range(count):
        mine = data[ends[row] : ends[row + 1]]
        blocks = len(mine) // 64 + 1
        # which letters the text has, and for each the places where it stands, 64 to a word
        ordered = np.argsort(mine)
        known = np.empty(len(mine), np.uint32)
        masks = np.zeros((len(mine), blocks), np.uint64)
        kinds = 0
        for at in ordered:
            if kinds == 0 or known[kinds - 1] != mine[at]:
                known[kinds] = mine[at]
                kinds += 1
            masks[kinds - 1, at // 64] |= np.uint64(1) << np.uint64(at % 64)
        for other in range(row + 1, count):
            total = len(mine) + ends[other + 1] - ends[other]
            if 2 * len(mine) < floor * total:
                break
            common = 0
            for bin in range(_BINS):
                common += min(letters[row, bin], letters[other, bin])
            if 2 * common < floor * total:
                continue
            shared = _lcs(known[:kinds], masks, len(mine), data[ends[other] : ends[other + 1]])
            if 2 * shared >= floor * total:
                rows.append(row)
                others.append(other)
                ratios.append(2 * shared / total)
    return np.array(rows), np.array(others), np.array(ratios)


@compiled
def _lcs(known: Any, masks: Any, length: int, text: Any) -> Any:  # pragma: no cover
    """Length of the longest common subsequence of a text and the one that the masks describe."""
    blocks = masks.shape[1]
    state = np.full(blocks, ~np.uint64(0))
    for letter in text:
        kind = np.searchsorted(known, letter)
        if kind == len(known) or known[kind] != letter:
            continue
        carry = np.uint64(0)
        for block in range(blocks):
            before = state[block]
            matched = before & masks[kind, block]
            summed = before + matched
            overflow = np.uint64(summed < before)
            summed += carry
            overflow |= np.uint64(summed < carry)
            state[block] = summed | (before - matched)
            carry = overflow
    unmatched = 0
    for at in range(length):
        unmatched += int((state[at // 64] >> np.uint64(at % 64)) & np.uint64(1))
    return length - unmatched
