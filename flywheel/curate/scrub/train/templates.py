"""Templates to annotated texts: alternatives chosen, slots filled, places of the values kept."""

import re
from importlib.resources import files
from typing import NamedTuple

from flywheel.curate.scrub.train.values import LABELS, Values

_CHOICE = re.compile(r"(?<!\\)\[((?:\\.|[^\[\]\\])*)\]")
_SLOT = re.compile(r"\{([a-z_]+)\}")


class Annotated(NamedTuple):
    """A text and its entities: (start, end, label)."""

    text: str
    spans: list[tuple[int, int, str]]


def templates(name: str) -> list[str]:
    """The templates of `sentences` or `plain`."""
    lines = (files("flywheel.curate.scrub.train") / f"{name}.txt").read_text("utf-8").splitlines()
    return [line.replace("\\n", "\n") for line in lines if line and not line.startswith(";; ")]


def fill(template: str, values: Values) -> Annotated:
    """One text of the template."""
    chosen = _CHOICE.sub(lambda match: values.random.choice(match[1].split("|")), template)
    chosen = re.sub(r"\\([\[\]{}])", r"\1", chosen)
    pieces: list[str] = []
    spans: list[tuple[int, int, str]] = []
    length = position = 0
    for match in _SLOT.finditer(chosen):
        before, value = chosen[position : match.start()], values.make(match[1])
        start = length + len(before)
        if match[1] in LABELS:
            spans.append((start, start + len(value), LABELS[match[1]]))
        pieces += [before, value]
        length, position = start + len(value), match.end()
    return Annotated("".join([*pieces, chosen[position:]]), spans)
