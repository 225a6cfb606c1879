"""What the preference formats share: which pair of a record they write, and its two conversations."""

from collections.abc import Collection
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

from flywheel.curate.label_rules import LabelRule
from flywheel.curate.labels import Labels, Origin, Pair, label
from flywheel.errors import Rejected
from flywheel.records import Message, Record

Against = Literal["next_best", "worst"]


class Labelled(NamedTuple):
    """What a row of a set was labelled with: the labels of its record, and the pair where the format writes one."""

    labels: Labels
    pair: Pair | None = None


@runtime_checkable
class Labelling(Protocol):
    """A format whose rows carry labels."""

    def labelled(self, record: Record) -> Labelled:
        """What `render` writes of the record's labels; raises `Rejected` as it does."""
        ...


def labelled(
    record: Record, rules: tuple[LabelRule, ...], *, origins: Collection[Origin] = (), against: Against = "next_best"
) -> Labelled:
    """The record's labels, and its pair from the most reliable origin; of its candidates the first or the last.

    Raises:
        Rejected: `conflict`, `equal_pair` (the same but for white space), `prompts_differ` (an answer holds turns that are no
            answer), `ambiguous_prompt` (where the answers begin cannot be known), `no_pair`; `other_origin` where the only
            pairs come from elsewhere than `origins`.
    """
    found = label(record, rules)
    wanted = [pair for pair in found.pairs if not origins or pair.origin in origins]
    if not wanted:
        raise Rejected("other_origin" if found.pairs else found.no_pair or "no_pair")
    best = [pair for pair in wanted if pair.origin == wanted[0].origin]
    return Labelled(found, best[0 if against == "next_best" else -1])


def branches(record: Record, pair: Pair) -> tuple[Record, Record]:
    """The conversation that ends with the chosen answer, and the one that ends with the rejected one.

    Their answers have no training weight of their own: a preference trains on both.
    """

    def ending(answer: tuple[Message, ...]) -> Record:
        unweighted = (msgspec.structs.replace(turn, weight=None) for turn in (*pair.prompt, *answer))
        return msgspec.structs.replace(record, messages=tuple(unweighted))

    return ending(pair.chosen), ending(pair.rejected)


def parted(
    pair: Pair, chosen: list[dict[str, Any]], rejected: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Two rendered conversations as their common prompt and the two answers.

    Raises:
        Rejected: `prompts_differ`.
    """
    at, other = len(chosen) - len(pair.chosen), len(rejected) - len(pair.rejected)
    if chosen[:at] != rejected[:other]:
        raise Rejected("prompts_differ")
    return chosen[:at], chosen[at:], rejected[other:]
