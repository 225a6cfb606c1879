"""ROUGE-L between short texts, and the most similar of many without comparing them all."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

_WORD = re.compile(r"\w+")


def words(text: str) -> tuple[str, ...]:
    """Words as ROUGE sees them: lower case, without punctuation, of any script."""
    return tuple(_WORD.findall(text.lower()))


def rouge_l(one: Sequence[str], other: Sequence[str]) -> float:
    """F-measure of the longest common subsequence: 2 * LCS / (m + n), 0 for two empty texts.

    Source: Lin 2004, "ROUGE", section 3, with beta 1; the subsequence by Hyyrö's bit-parallel algorithm (2004).
    """
    return 2 * _common(one, other) / (len(one) + len(other)) if one or other else 0.0


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    places: dict[str, int] = defaultdict(int)
    for at, word in enumerate(one):
        places[word] |= 1 << at
    full = (1 << len(one)) - 1
    row = full
    for word in other:
        matched = row & places.get(word, 0)
        row = ((row + matched) | (row - matched)) & full
    return len(one) - row.bit_count()


class Similar:
    """Texts that can be asked for one at least `least` similar by ROUGE-L; none is missed.

    A pair that similar shares at least `least / (2 - least)` of the words of each, so it shares one of the words that are left
    when that many, the last in a fixed order, are put aside; only texts that share such a word are compared.
    """

    def __init__(self, least: float) -> None:
        if not 0 < least <= 1:
            raise ValueError(f"the similarity is above 0 and at most 1, not {least}")
        self._least = least
        self._texts: list[tuple[str, ...]] = []
        self._by_word: dict[tuple[str, int], list[int]] = defaultdict(list)

    def add(self, text: Sequence[str]) -> None:
        for key in self._keys(text):
            self._by_word[key].append(len(self._texts))
        self._texts.append(tuple(text))

    def find(self, text: Sequence[str]) -> Iterable[int]:
        """Numbers of the texts, in the order in which they were added, that are similar."""
        candidates = sorted({number for key in self._keys(text) for number in self._by_word.get(key, ())})
        counts = Counter(text)
        for number in candidates:
            other = self._texts[number]
            both = len(text) + len(other)
            shared = sum((counts & Counter(other)).values())
            if 2 * shared >= self._least * both and rouge_l(text, other) >= self._least:
                yield number

    def _keys(self, text: Sequence[str]) -> list[tuple[str, int]]:
        """Each word with its how-manieth occurrence; long words, which are rarer, first."""
        seen: Counter[str] = Counter()
        numbered = []
        for word in text:
            numbered.append((word, seen[word]))
            seen[word] += 1
        numbered.sort(key=lambda key: (-len(key[0]), key))
        needed = math.ceil(self._least / (2 - self._least) * len(numbered) - 1e-9)
        return numbered[: len(numbered) - needed + 1]
