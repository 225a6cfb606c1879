"""Words at random places masked or replaced."""

import random
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from flywheel.plugins import Model
from flywheel.records import Record, digest
from flywheel.synthesize.protect import outside_protected

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class RandomTokens:
    """Disturb `rate` of the words of the last prompt, one at least, and keep the answer.

    `mask_share` of the chosen words become `mask`, `random_share` any word of the same conversation; the rest stay.

    The words are those between white space and punctuation; code, links, numbers and placeholders are left alone. The tag
    `chosen=N` says how many words were chosen. `copies` children a seed, the same ones every time.

    Source: Devlin et al. 2019 (BERT), section 3.1: 15 %, of those 80 % masked, 10 % replaced, 10 % unchanged.
    """

    rate: float = 0.15
    mask_share: float = 0.8
    random_share: float = 0.1
    mask: str = "[MASK]"
    copies: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise ValueError(f"`rate` is a share of the words, above 0 and at most 1, not {self.rate}")
        if min(self.mask_share, self.random_share) < 0 or self.mask_share + self.random_share > 1:
            raise ValueError("`mask_share` and `random_share` are shares that add up to at most 1")
        if self.copies < 1:
            raise ValueError(f"`copies` is at least 1, not {self.copies}")

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:  # noqa: ARG002
        vocabulary = sorted(set(_WORD.findall(seed.text)))
        made = {seed.prompt}
        for copy in range(self.copies):
            dice = random.Random(digest(b"random_tokens", seed.id.encode(), str(copy).encode()))
            prompt, chosen = self._disturbed(seed.prompt, vocabulary, dice)
            if prompt not in made:
                made.add(prompt)
                yield seed.child(prompt=prompt, tags=(f"chosen={chosen}",))

    def _disturbed(self, text: str, vocabulary: list[str], dice: random.Random) -> tuple[str, int]:
        words: list[str] = []
        outside_protected(text, lambda part: words.extend(_WORD.findall(part)) or part)  # type: ignore[func-returns-value]
        count = max(1, round(self.rate * len(words))) if words else 0
        chosen = set(dice.sample(range(len(words)), count))
        numbers = iter(range(len(words)))

        def change(match: re.Match[str]) -> str:
            if next(numbers) not in chosen:
                return match.group()
            drawn = dice.random()
            if drawn < self.mask_share:
                return self.mask
            return dice.choice(vocabulary) if drawn < self.mask_share + self.random_share else match.group()

        return outside_protected(text, lambda part: _WORD.sub(change, part)), count
