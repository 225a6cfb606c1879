"""Typing mistakes in the prompt."""

import random
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from flywheel.plugins import Model
from flywheel.records import Record, digest
from flywheel.synthesize.protect import outside_protected

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_WORD = re.compile(r"[A-Za-z]{4,}")


def _neighbours() -> dict[str, str]:
    """Keys that touch each key on a QWERTY keyboard, whose rows are each shifted by half a key."""
    near: dict[str, set[str]] = {key: set() for row in _ROWS for key in row}
    for upper, row in enumerate(_ROWS):
        lower = _ROWS[upper + 1] if upper + 1 < len(_ROWS) else ""
        for column, key in enumerate(row):
            touching = row[column + 1 : column + 2] + lower[max(0, column - 1) : column + 1]
            for other in touching:
                near[key].add(other)
                near[other].add(key)
    return {key: "".join(sorted(keys)) for key, keys in near.items()}


_NEAR = _neighbours()


@dataclass(frozen=True)
class Typos:
    """Put typing mistakes into the last prompt and keep the answer, so that a model learns to overlook them.

    In about `rate` of the words with four letters or more, and in one at least, a letter after the first is replaced by a
    neighbour on the keyboard, dropped, doubled, or swapped with the next. Code, links, addresses, numbers, identifiers and
    placeholders stay. `copies` children a seed, the same ones every time. A prompt without such words has none.

    Source: Belinkov and Bisk 2018, "Synthetic and natural noise both break neural machine translation", section 4.
    """

    rate: float = 0.15
    copies: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise ValueError(f"`rate` is a share of the words, above 0 and at most 1, not {self.rate}")
        if self.copies < 1:
            raise ValueError(f"`copies` is at least 1, not {self.copies}")

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:  # noqa: ARG002
        made = {seed.prompt}
        for copy in range(self.copies):
            dice = random.Random(digest(b"typos", seed.id.encode(), str(copy).encode()))
            if (prompt := _mistyped(seed.prompt, self.rate, dice)) not in made:
                made.add(prompt)
                yield seed.child(prompt=prompt)


def _mistyped(text: str, rate: float, dice: random.Random) -> str:
    words = 0

    def count(part: str) -> str:
        nonlocal words
        words += len(_WORD.findall(part))
        return part

    outside_protected(text, count)
    chosen = {number for number in range(words) if dice.random() < rate} or ({dice.randrange(words)} if words else set())
    numbers = iter(range(words))

    def mistype(match: re.Match[str]) -> str:
        return _mistake(match.group(), dice) if next(numbers) in chosen else match.group()

    return outside_protected(text, lambda part: _WORD.sub(mistype, part))


def _mistake(word: str, dice: random.Random) -> str:
    """The word with one mistake after its first letter, always different from the word."""
    at = dice.randrange(1, len(word) - 1)
    letter, following = word[at], word[at + 1]
    kinds = ("neighbour", "drop", "double", "swap") if letter != following else ("neighbour", "drop", "double")
    match dice.choice(kinds):
        case "neighbour":
            near = dice.choice(_NEAR[letter.lower()])
            return word[:at] + (near.upper() if letter.isupper() else near) + word[at + 1 :]
        case "drop":
            return word[:at] + word[at + 1 :]
        case "double":
            return word[:at] + letter + word[at:]
        case _:
            return word[:at] + following + letter + word[at + 2 :]
