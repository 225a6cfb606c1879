"""Careless capitals and punctuation in the prompt."""

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from flywheel.plugins import Model
from flywheel.records import Record
from flywheel.synthesize.protect import outside_protected

STYLES: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "unpunctuated": lambda text: re.sub(r"[.,;:!?]+(?=\s|$)", "", text),
    "emphatic": lambda text: re.sub(r"[.!?]+(?=\s|$)", lambda end: "??" if "?" in end.group() else "!!", text),
    "careless": lambda text: re.sub(r"[.,;:!?]+(?=\s|$)|'", "", text).lower(),
}


@dataclass(frozen=True)
class Casing:
    """Write the last prompt as people in a hurry do, one child for each style, and keep the answer.

    Styles: `lower`, `upper`, `unpunctuated`, `emphatic` (doubled end marks) and `careless` (lower, no marks, no apostrophes).
    Code, links, addresses, numbers, identifiers and placeholders stay. A style that changes nothing makes no child.

    Source: Ribeiro et al. 2020, "Beyond accuracy: behavioral testing of NLP models with CheckList", invariance tests.
    """

    styles: tuple[str, ...] = ("lower", "careless")

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.styles) - set(STYLES)):
            raise ValueError(f"there is no style {unknown[0]!r}; there is {', '.join(STYLES)}")

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:  # noqa: ARG002
        made = {seed.prompt}
        for style in self.styles:
            if (prompt := outside_protected(seed.prompt, STYLES[style])) not in made:
                made.add(prompt)
                yield seed.child(prompt=prompt, tags=(f"style={style}",))
