"""Which children are like real records, found in one reading of the real records for all children of a run."""

import itertools
from collections.abc import Callable, Iterable, Sequence

import polars as pl

from flywheel.records import Record, to_batch
from flywheel.synthesize.verification.contract import Known

Batches = Iterable[pl.DataFrame]
Find = Callable[[Batches, Batches], set[str]]


class LikeReal:
    """Asks `find(children, real)` for the ids of those children that are like a real record, as rarely as it can.

    It is asked once when `Known.children` gives all children that the judge will see, else once for each batch of them.
    """

    def __init__(self, find: Find) -> None:
        self._find = find
        self._asked_about: set[str] = set()
        self._found: set[str] = set()

    def among(self, children: Sequence[Record], known: Known) -> set[str]:
        """The ids of the children that are like a real record, and of others that were found earlier."""
        if any(child.id not in self._asked_about for child in children):
            announced = () if self._asked_about else known.children()
            self._found |= self._find(self._noted(itertools.chain(announced, [to_batch(children)])), known.real())
        return self._found

    def _noted(self, batches: Batches) -> Batches:
        for batch in batches:
            new = batch.filter(~pl.col("id").is_in(self._asked_about)).unique("id", keep="first", maintain_order=True)
            self._asked_about.update(new["id"])
            yield new
