"""How varied synthetic rows are, measured beside the real rows that they are to join."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

_WORD = re.compile(r"\w+(?:'\w+)?")
_DIMENSIONS = 4096
_COURTEOUS = "please kindly could can would will you i we want need to like help me us let's let just now then"
_INSTRUCTING = """
    add adjust advise analyse analyze answer apply arrange ask assess book brainstorm build buy calculate call cancel categorize
    change check choose cite classify clean combine come compare complete compose compute configure confirm connect construct
    convert copy correct count create debug decide define delete deliver derive describe design determine develop differentiate
    discuss draft draw edit elaborate enable estimate evaluate examine exchange expand explain explore extract fill filter find
    fix follow format generate get give go guess have identify implement improve include increase inform infer insert install
    interpret invent know label learn list locate log look make match measure merge modify move name open order organize outline
    pack paraphrase parse pay pick plan play plot predict prepare present print prove provide put rank rate read recommend
    reduce refund remove rename repair replace rephrase reply report request reset resolve restore return review rewrite run
    save say schedule search see select send separate set shorten show simplify solve sort speak specify split start state stop
    store submit suggest sum summarize summarise support switch tell test think transform translate try turn understand update
    upload use validate verify visit wait walk work write
"""
_FUNCTIONAL = """
    a an the this that these those my your our their his her its some any all each every one two three both no more most other
    another such same new old good best short long simple following given above below of in on at by for from with about into
    as and or but if when how what which who where why is are be was it them they he she him me you us up out off down not
    to so than too very own few many much several
"""
_COURTESY, _VERBS, _NO_NOUNS = (frozenset(words.split()) for words in (_COURTEOUS, _INSTRUCTING, _FUNCTIONAL))


class Diversity(NamedTuple):
    """Of one group of rows. Shares and distances are 0 to 1; entropies are bits.

    `distinct_1`, `_2`, `_3`: distinct word n-grams among all (Li et al. 2016); it falls with the number of words, so compare
    groups of one size. `entropy_2`: of the distribution of word pairs (Zhang et al. 2018). `spread`: mean cosine distance
    between rows, by TF-IDF vectors hashed to 4,096 dimensions. `to_real`: mean distance of a row to the nearest real one.
    `verb_share`: rows whose prompt has a verb and its noun; `verb_nouns`: distinct pairs a row; `verb_entropy`: of the pairs.

    The pairs are those of Wang et al. 2022 (Self-Instruct), found without a parser: the first word of the prompt that is one of
    some 200 verbs of instruction, and the first word after it that is no article, pronoun, preposition, number or such. English.
    """

    rows: int
    distinct_1: float
    distinct_2: float
    distinct_3: float
    entropy_2: float
    spread: float
    to_real: float
    verb_share: float
    verb_nouns: float
    verb_entropy: float


def diversity(prompts: Sequence[str], texts: Sequence[str], real: Sequence[str]) -> Diversity:
    """Measure rows by their prompts and whole texts, beside the texts of real rows; a few thousand of each are enough.

    `to_real` compares a real row with the others when `texts` are the real ones themselves.
    """
    words = [_WORD.findall(text.lower()) for text in texts]
    grams = {n: Counter(gram for row in words for gram in zip(*(row[i:] for i in range(n)), strict=False)) for n in (1, 2, 3)}
    pairs = Counter(pair for prompt in prompts if (pair := verb_noun(prompt)))
    own, others = _vectors(texts, real)
    near = own @ others.T
    if texts is real:
        np.fill_diagonal(near, -1.0)
    count = len(texts)
    mean = own.sum(axis=0)
    alike = (float(mean @ mean) - float((own * own).sum())) / max(count * (count - 1), 1)
    return Diversity(
        count,
        len(grams[1]) / max(grams[1].total(), 1),
        len(grams[2]) / max(grams[2].total(), 1),
        len(grams[3]) / max(grams[3].total(), 1),
        _entropy(grams[2].values()),
        1 - alike if count > 1 else 0.0,
        float(np.clip(1 - near.max(axis=1), 0, 1).mean()) if near.size else 1.0,
        pairs.total() / max(count, 1),
        len(pairs) / max(count, 1),
        _entropy(pairs.values()),
    )


def verb_noun(prompt: str) -> tuple[str, str] | None:
    """The verb of an instruction and the noun that it is about, or None when there is no such verb."""
    words = [word for word in _WORD.findall(prompt.lower()) if word not in _COURTESY]
    verb = next((number for number, word in enumerate(words) if word in _VERBS), None)
    if verb is None:
        return None
    noun = next((word for word in words[verb + 1 :] if word not in _NO_NOUNS and not word.isdigit()), None)
    return None if noun is None else (words[verb], noun)


def _entropy(counts: Iterable[int]) -> float:
    numbers = list(counts)
    total = sum(numbers)
    return -sum(n / total * math.log2(n / total) for n in numbers) if total else 0.0


def _vectors(texts: Sequence[str], real: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Unit TF-IDF vectors of both groups, with the document frequencies of both together."""
    both = [Counter(_bucket(word) for word in _WORD.findall(text.lower())) for text in [*texts, *real]]
    rows = np.zeros((len(both), _DIMENSIONS), np.float32)
    for number, counts in enumerate(both):
        rows[number, list(counts)] = [1 + math.log(count) for count in counts.values()]
    rows *= np.log((1 + len(both)) / (1 + (rows > 0).sum(axis=0))).astype(np.float32) + 1
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return rows[: len(texts)], rows[len(texts) :]


def _bucket(word: str) -> int:
    return xxhash.xxh3_64_intdigest(word.encode("utf-8", "surrogatepass")) % _DIMENSIONS
