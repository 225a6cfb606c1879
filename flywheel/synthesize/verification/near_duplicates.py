"""Whether a synthetic conversation nearly repeats a real one, or an earlier synthetic one."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from flywheel.curate.dedup.shingles import shingle
from flywheel.curate.dedup.words import UInt32s
from flywheel.records import Record, derive, to_batch
from flywheel.synthesize.verification.contract import Judge, Known
from flywheel.synthesize.verification.like_real import Batches, LikeReal


@dataclass(frozen=True)
class NearDuplicates:
    """Its word 3-grams overlap by `similarity` (Jaccard) or more with those of a real record or of an earlier child.

    Records of the same family are not compared unless `family` says so: noise and paraphrases resemble their seeds on purpose.
    Every pair is found and verified. Reasons: `like_a_real_record`, `like_another_child`.
    """

    similarity: float = 0.8
    ngram: int = 3
    family: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.similarity <= 1:
            raise ValueError(f"`similarity` is above 0 and at most 1, not {self.similarity}")

    def judge(self) -> Judge:
        earlier = _Index(self.similarity)
        owners: list[tuple[str, ...]] = []
        like_real = LikeReal(self._like_real)

        def judge(children: Sequence[Record], known: Known) -> list[str | None]:
            if not children:
                return []
            sets = shingle(derive(to_batch(children))["text"], ngram=self.ngram)
            real = like_real.among(children, known)
            reasons: list[str | None] = []
            for at, child in enumerate(children):
                related = (number for number in earlier.find(sets.row(at)))
                if child.id in real:
                    reasons.append("like_a_real_record")
                elif any(self.family or set(owners[number]).isdisjoint(child.parents) for number in related):
                    reasons.append("like_another_child")
                else:
                    earlier.add(sets.row(at))
                    owners.append(child.parents)
                    reasons.append(None)
            return reasons

        return judge

    def _like_real(self, children: Batches, real: Batches) -> set[str]:
        """Ids of children that overlap enough with a real record. Memory is that of the children's 3-grams and ids."""
        index = _Index(self.similarity)
        owners: list[tuple[str, list[str]]] = []
        for batch in children:
            sets = shingle(derive(batch)["text"], ngram=self.ngram)
            for row in range(batch.height):
                index.add(sets.row(row))
            owners += batch.select("id", "parents").rows()
        found: set[str] = set()
        for batch in real:
            sets = shingle(derive(batch)["text"], ngram=self.ngram)
            for row, id in enumerate(batch["id"]):
                pairs = (owners[number] for number in index.find(sets.row(row)))
                found |= {child for child, parents in pairs if self.family or id not in parents}
        return found


class _Index:
    """Sets of hashes, found again by any that overlaps enough; by the prefixes that two such sets must share a value of."""

    def __init__(self, least: float) -> None:
        self._least = least
        self._sets: list[UInt32s] = []
        self._by_value: dict[int, list[int]] = defaultdict(list)

    def add(self, values: UInt32s) -> None:
        for value in self._prefix(values):
            self._by_value[value].append(len(self._sets))
        self._sets.append(values)

    def find(self, values: UInt32s) -> Iterator[int]:
        for number in sorted({number for value in self._prefix(values) for number in self._by_value.get(value, ())}):
            other = self._sets[number]
            common = len(np.intersect1d(values, other, assume_unique=True))
            if common >= self._least * (len(values) + len(other) - common) - 1e-9:
                yield number

    def _prefix(self, values: UInt32s) -> list[int]:
        return [int(value) for value in values[: len(values) - math.ceil(self._least * len(values) - 1e-9) + 1]]
