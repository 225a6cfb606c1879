"""Texts that a few typed characters turn into each other."""

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from flywheel.curate.dedup.compiled import compiled, on_all_cores
from flywheel.curate.dedup.methods.contract import among_distinct, at_least
from flywheel.curate.dedup.methods.exact import Exact
from flywheel.errors import FlywheelError

_BINS = 64
_ROWS = 256
_CHECK = 16


@dataclass(frozen=True)
class EditRatio:
    """Twice the length of the longest common subsequence over the sum of both lengths, as `rapidfuzz.fuzz.ratio` / 100.

    Case and white space aside. No pair is missed: every two texts are compared that their lengths and letters allow to be
    similar, on all cores, within the band that the floor leaves and only until the floor is out of reach. Time grows with
    the square of the number of different texts, and the lower the floor the longer it takes; more than `limit` are refused.
    Beside the texts and the pairs memory is about 22 bytes a character. To measure:
    `python -m flywheel_tests.benchmarks.methods --methods edit_ratio --sizes 2000,8000,32000`.

    Source: Hyyrö, "Bit-parallel LCS-length computation revisited", 2004; Ukkonen, "Algorithms for approximate string
    matching", 1985 (the band).
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
        present = np.zeros(sys.maxunicode + 1, bool)
        present[data] = True
        data = (np.cumsum(present, dtype=np.int32) - 1)[data]
        alphabet = int(present.sum())
        letters = _letters(data, ends)

        def work(start: int, stop: int) -> Any:
            return _similar(data, ends, letters, alphabet, floor, start, stop)

        starts = range(0, len(coded), _ROWS)
        found = on_all_cores(work, ((start, min(start + _ROWS, len(coded))) for start in starts))
        rows, others = (np.concatenate([np.empty(0, np.int64), *(part[at] for part in found)]) for at in (0, 1))
        ratio = np.concatenate([np.empty(0), *(part[2] for part in found)])
        return at_least(order[rows], order[others], ratio, floor)


@compiled
def _letters(data: Any, ends: Any) -> Any:  # pragma: no cover
    """How often each text has each letter, letters sharing 64 bins."""
    letters = np.zeros((len(ends) - 1, _BINS), np.int32)
    for row in range(len(letters)):
        for at in range(ends[row], ends[row + 1]):
            letters[row, data[at] % _BINS] += 1
    return letters


@compiled
def _similar(data: Any, ends: Any, letters: Any, alphabet: int, floor: float, start: int, stop: int) -> Any:  # pragma: no cover
    """Pairs of texts, which come shortest first, that are similar enough, the shorter being one of `start` to `stop`."""
    rows: list[Any] = [np.int64(0) for _ in range(0)]
    others: list[Any] = [np.int64(0) for _ in range(0)]
    ratios: list[Any] = [0.0 for _ in range(0)]
    kinds = np.zeros(alphabet, np.int32)
    for row in range(start, stop):
        mine = data[ends[row] : ends[row + 1]]
        # for each letter of the text, numbered from 1, the places where it stands, 64 to a word
        count = 0
        for letter in mine:
            if kinds[letter] == 0:
                count += 1
                kinds[letter] = count
        masks = np.zeros((count + 1, len(mine) // 64 + 1), np.uint64)
        for at in range(len(mine)):
            masks[kinds[mine[at]], at // 64] |= np.uint64(1) << np.uint64(at % 64)
        for other in range(row + 1, len(ends) - 1):
            total = len(mine) + ends[other + 1] - ends[other]
            if 2 * len(mine) < floor * total:
                break
            common = 0
            for bin in range(_BINS):
                common += min(letters[row, bin], letters[other, bin])
            if 2 * common < floor * total:
                continue
            needed = int(np.ceil(floor * total / 2 - 1e-9))
            shared = _lcs(kinds, masks, len(mine), data[ends[other] : ends[other + 1]], needed)
            if shared >= needed:
                rows.append(np.int64(row))
                others.append(np.int64(other))
                ratios.append(2 * shared / total)
        for letter in mine:
            kinds[letter] = 0
    return np.array(rows), np.array(others), np.array(ratios)


@compiled
def _lcs(kinds: Any, masks: Any, length: int, text: Any, needed: int) -> int:  # pragma: no cover
    """Length of the longest common subsequence of a text and one that the masks describe, or -1 if that is below `needed`.

    At most `length - needed` letters of the one and `len(text) - needed` of the other stand outside a subsequence that is
    long enough, so that only blocks within that distance of the diagonal matter. Every zero of the state is a matched place;
    what both ends can still add to the matches before the diagonal is at most the rest of the text.
    """
    left, right = length - needed, len(text) - needed
    state = np.full(masks.shape[1], ~np.uint64(0))
    first, last = 0, min(masks.shape[1], (left + 64) // 64)
    for at in range(len(text)):
        carry = np.uint64(0)
        kind = kinds[text[at]]
        for block in range(first, last):
            before = state[block]
            matched = before & masks[kind, block]
            summed = before + matched
            overflow = np.uint64(summed < before)
            summed += carry
            overflow |= np.uint64(summed < carry)
            state[block] = summed | (before - matched)
            carry = overflow
        if at % _CHECK == _CHECK - 1:
            rest = len(text) - at - 1
            if _zeros(state, length - rest) + rest < needed:
                return -1
        if at > right:
            first = (at - right) // 64
        if at + 1 + left <= length:
            last = (at + 1 + left + 63) // 64
    shared = _zeros(state, length)
    return shared if shared >= needed else -1


@compiled
def _zeros(state: Any, stop: int) -> int:  # pragma: no cover
    """How many of the first `stop` bits are 0; none when `stop` is below 0."""
    zeros = 0
    for block in range((max(stop, 0) + 63) // 64):
        bits = ~state[block]
        if block * 64 + 64 > stop:
            bits &= (np.uint64(1) << np.uint64(stop - block * 64)) - np.uint64(1)
        bits -= (bits >> np.uint64(1)) & np.uint64(0x5555555555555555)
        bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
        bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
        zeros += int((bits * np.uint64(0x0101010101010101)) >> np.uint64(56))
    return zeros
