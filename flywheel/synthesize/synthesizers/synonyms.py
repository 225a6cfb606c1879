"""Words of the prompt replaced by synonyms: those of a dictionary, or the nearest by their vectors."""

import functools
import random
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from flywheel.plugins import Model
from flywheel.records import Record, digest
from flywheel.synthesize.protect import outside_protected

GROUPS = """
big, large | small, little | quick, fast, rapid | begin, start | end, finish | help, assist | buy, purchase | fix, repair
show, display | choose, select, pick | need, require | get, obtain | answer, reply, response | question, query | problem, issue
mistake, error | important, essential | difficult, hard | easy, simple | correct, right | wrong, incorrect | near, close to
explain, clarify | describe, outline | often, frequently | maybe, perhaps | also, too | cheap, inexpensive | delete, remove
photo, picture | phone, telephone | job, work | reset, restore | change, modify | create, make | send, deliver | find, locate
"""
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


@dataclass(frozen=True)
class Synonyms:
    """Replace `rate` of the words of the last prompt that have a synonym, one at least, and keep the answer.

    Synonyms come from `dictionary`, a text file with one group a line (`quick, fast, rapid`), else from a short list of common
    English words. Only whole words in the form listed are replaced, their case kept; code, links, numbers and placeholders
    stay. A word with several senses is replaced in all: a dictionary for your domain is safer than a general one. `copies`
    children a seed, the same ones every time.

    With `neighbours`, other words of the dictionary count as synonyms too: for each word of the prompt that is listed in it,
    those so many whose vectors by `[models.embedder]` are nearest, with a cosine of `similarity` at least. A group of one word
    is then of use, so a plain list of words, one a line, will do. Vectors put opposites (`cheap`, `expensive`) and siblings
    (`Monday`, `Friday`) close together too: list only words that may stand for each other, and have the rows checked.

    Source: Zhang et al. 2015, "Character-level convolutional networks for text classification", section 2.4; Wei and Zou 2019
    (EDA), for the rate; Wang and Yang 2015, "That's so annoying!!!", for neighbours of vectors.
    """

    dictionary: str | None = None
    rate: float = 0.1
    copies: int = 1
    neighbours: int = 0
    similarity: float = 0.7

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise ValueError(f"`rate` is a share of the words, above 0 and at most 1, not {self.rate}")
        if self.copies < 1:
            raise ValueError(f"`copies` is at least 1, not {self.copies}")
        if self.neighbours < 0:
            raise ValueError(f"`neighbours` is 0 or more, not {self.neighbours}")
        if not 0 < self.similarity <= 1:
            raise ValueError(f"`similarity` is a cosine above 0 and at most 1, not {self.similarity}")
        if self.dictionary is not None and not Path(self.dictionary).is_file():
            raise ValueError(f"`dictionary` names no file: {self.dictionary}")

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        known = synonyms(self.dictionary)
        if self.neighbours:
            known = {**known, **await self._near(seed.prompt, known, model)}
        made = {seed.prompt}
        for copy in range(self.copies):
            dice = random.Random(digest(b"synonyms", seed.id.encode(), str(copy).encode()))
            if (prompt := self._replaced(seed.prompt, known, dice)) not in made:
                made.add(prompt)
                yield seed.child(prompt=prompt)

    async def _near(self, text: str, known: Mapping[str, tuple[str, ...]], model: Model) -> dict[str, tuple[str, ...]]:
        """The listed words of a text, each with its synonyms and its nearest other listed words."""
        import numpy as np

        listed = sorted(known)
        wanted = sorted({word.lower() for word in _words(text)} & set(listed))
        if not wanted:
            return {}
        vectors = await model.embed(listed)
        places = [listed.index(word) for word in wanted]
        cosines = vectors[places] @ vectors.T
        cosines[range(len(places)), places] = -1
        found = {}
        for word, row in zip(wanted, cosines, strict=True):
            nearest = [int(at) for at in np.argsort(-row, kind="stable")[: self.neighbours] if row[at] >= self.similarity]
            found[word] = tuple(dict.fromkeys((*known[word], *(listed[at] for at in nearest))))
        return found

    def _replaced(self, text: str, known: Mapping[str, tuple[str, ...]], dice: random.Random) -> str:
        words = _words(text)
        replaceable = [at for at, word in enumerate(words) if known.get(word.lower())]
        count = min(len(replaceable), max(1, round(self.rate * len(words))))
        chosen = set(dice.sample(replaceable, count))
        numbers = iter(range(len(words)))

        def change(match: re.Match[str]) -> str:
            word = match.group()
            return _cased(dice.choice(known[word.lower()]), word) if next(numbers) in chosen else word

        return outside_protected(text, lambda part: _WORD.sub(change, part))


def _words(text: str) -> list[str]:
    """The words that may be replaced, in order."""
    words: list[str] = []

    def noted(part: str) -> str:
        words.extend(_WORD.findall(part))
        return part

    outside_protected(text, noted)
    return words


@functools.lru_cache(maxsize=8)
def synonyms(dictionary: str | None) -> dict[str, tuple[str, ...]]:
    """The other words of each listed word's groups; none for a word alone in its group."""
    text = GROUPS.replace("|", "\n") if dictionary is None else Path(dictionary).read_text("utf-8")
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        group = [word.strip().lower() for word in line.partition("#")[0].split(",") if word.strip()]
        for word in group:
            others = found.setdefault(word, [])
            others += [other for other in group if other != word and other not in others]
    return {word: tuple(others) for word, others in found.items()}


def _cased(word: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[0].upper() + word[1:] if like[0].isupper() else word
