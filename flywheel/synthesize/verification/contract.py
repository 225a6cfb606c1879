"""What a check is: settings, from which a judge is made that says of each synthetic record what is wrong with it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

from flywheel.records import Record


def _none() -> Iterable[pl.DataFrame]:
    return ()


@dataclass(frozen=True)
class Known:
    """What children are compared with: their parents by id, and the real records, read anew by each call of `real`.

    `children` gives all that the judge of a run will be asked about, and maybe more; a judge that reads the real records can
    then compare them with all children at once.
    """

    parents: Mapping[str, Record] = field(default_factory=dict)
    real: Callable[[], Iterable[pl.DataFrame]] = _none
    children: Callable[[], Iterable[pl.DataFrame]] = _none

    def parents_of(self, child: Record) -> list[Record]:
        return [self.parents[parent] for parent in child.parents if parent in self.parents]


Judge = Callable[[Sequence[Record], Known], list[str | None]]


class Check(Protocol):
    """A frozen dataclass whose fields are its settings."""

    def judge(self) -> Judge:
        """A judge for one run: children in, batch by batch in order; for each a reason slug, or None where nothing is wrong.

        It may remember earlier batches. A child that the check cannot decide on has a reason too: what is not verified is not
        passed on.
        """
        ...


def one_by_one(reason: Callable[[Record, Known], str | None]) -> Judge:
    """A judge that looks at each child alone."""
    return lambda children, known: [reason(child, known) for child in children]
