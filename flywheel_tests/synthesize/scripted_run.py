"""Runs a synthesizer against a scripted server, and says what became of everything."""

from collections.abc import Sequence
from typing import NamedTuple

from flywheel.plugins import Model, Synthesizer
from flywheel.records import Record, from_batch, to_batch
from flywheel.synthesize.driver import synthesize
from flywheel.synthesize.verify import verify


class Run(NamedTuple):
    """The children that hold every general rule, and how many seeds and answers left for each reason."""

    children: list[Record]
    reasons: dict[str, int]


def run(plugin: Synthesizer, seeds: Sequence[Record], model: Model | None) -> Run:
    made = synthesize([to_batch(seeds)], plugin, name="test", model=model)
    children = [child for batch in made for child in from_batch(batch)]
    outcome = verify(to_batch(children), to_batch(seeds))
    assert made.seeds == made.made + made.seed_exits.height
    assert made.children == len(children) + made.child_exits.height
    assert outcome.exits.height == 0, outcome.exits["reason"].to_list()
    return Run(children, made.reasons)
