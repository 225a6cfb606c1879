"""What is searched again when some days changed, and that the result is that of a search from scratch."""

import random
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

import msgspec
import polars as pl
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.curate.dedup.duplicates import find_duplicates
from flywheel.curate.dedup.increments import KEYS, Again, find_again, unless_again
from flywheel.curate.dedup.matching import REACH
from flywheel.curate.dedup.signatures import sign
from flywheel.records import Candidate, text_message, to_batch
from flywheel.sections import Dedup
from flywheel_tests.curate.dedup.samples import START, chat, varied, words

DAYS = tuple(f"2026-01-{day:02}" for day in range(1, 8))
SIMILARITY = 0.6
EVERYTHING = 100.0
ROWS = {"id": pl.String, "day": pl.String}
Row: TypeAlias = "dict[str, Any]"


@cache
def pool() -> pl.DataFrame:
    """Signatures of 150 conversations: without words, beginnings that share no band with what goes on, chains of thin bands."""
    generator = random.Random(5)
    records = [chat("", *"👍🎉!?"[start:stop]) for start in range(4) for stop in range(start + 1, 5)] * 3
    for thread in range(12):
        said = [" ".join(words(4 ** (turn + 1), 10 * thread + turn)) for turn in range(4)]
        records += [chat("", *said[:count]) for count in range(1, 5)]
    for family in range(6):
        base = words(24, 1000 + family)
        for member in range(12):
            base = varied(base, generator.randrange(4), 100 * family + member).split()
            turns = (" ".join(base), f"Yes {family}.", "Thanks then.", "Bye.")
            records.append(chat("", *turns[: generator.randrange(1, 5)]))
    candidate = Candidate(messages=(text_message("assistant", "No."),))
    records += [msgspec.structs.replace(each, candidates=(candidate,)) for each in records[::17]]
    return sign(to_batch(records), settings=Dedup(similarity=SIMILARITY, permutations=16))


@dataclass
class Corpus:
    """Signatures by day, what filters drop, scores; and the result that is kept up to date."""

    days: dict[str, pl.DataFrame] = field(default_factory=dict)
    unwanted: set[tuple[str, str]] = field(default_factory=set)
    scores: dict[tuple[str, str], float] = field(default_factory=dict)
    result: pl.DataFrame | None = None

    def signatures(self, days: Collection[str] | None = None) -> pl.DataFrame:
        parts = [frame.with_columns(day=pl.lit(day)) for day, frame in self.days.items() if days is None or day in days]
        return pl.concat([pool().clear().with_columns(day=pl.lit("")), *parts])

    def wanted(self, rows: pl.LazyFrame, _: list[str] | None = None) -> pl.LazyFrame:
        return rows.join(pl.LazyFrame(list(self.unwanted), ROWS, orient="row"), on=["id", "day"], how="anti")

    def scored(self) -> pl.LazyFrame | None:
        rows = [(*row, score) for row, score in self.scores.items()]
        return pl.LazyFrame(rows, ROWS | {"score": pl.Float64}, orient="row") if rows else None

    def change(self, day: str, generator: random.Random) -> None:
        """A new or late day, one that is made again with other rows or less, one that goes, other verdicts, other scores."""
        kind = generator.choice(["made", "made", "again", "erased", "gone", "judged", "scored"])
        rows = self.days.get(day)
        if kind == "again" and self.days:
            other = self.days[generator.choice(sorted(self.days))]
            self.days[day] = other.sample(-(-other.height // 2), seed=generator.randrange(99))
        elif kind == "made" or rows is None:
            count = generator.randrange(1, 8)
            taken = pool().sample(count, seed=generator.randrange(10**6), with_replacement=True)
            ids = generator.sample([f"{number:02}" for number in range(99)], count)
            minutes = [START.replace(minute=generator.randrange(9)) if generator.random() < 0.9 else None for _ in ids]
            self.days[day] = taken.with_columns(id=pl.Series(ids), created_at=pl.Series(minutes, dtype=taken["created_at"].dtype))
        elif kind == "erased":
            self.days[day] = rows.sample(rows.height // 2, seed=generator.randrange(99))
        elif kind == "gone":
            del self.days[day]
        elif kind == "judged":
            self.unwanted ^= {(name, day) for name in rows["id"] if generator.random() < 0.5}
        else:
            self.scores |= {(name, day): float(generator.randrange(3)) for name in rows["id"] if generator.random() < 0.7}

    def search(self, changed: Collection[str], before: pl.DataFrame) -> Again | None:
        """Bring the result up to date."""
        signatures = self.signatures().lazy()
        again = find_again(
            signatures,
            before=before.select(KEYS),
            changed=changed,
            wanted=self.wanted,
            similarity=SIMILARITY,
            scores=self.scored(),
            most=EVERYTHING,
        )
        if again is not None:
            known = find_duplicates(signatures.head(0).collect()) if self.result is None else self.result
            self.result = unless_again(known, again, changed)
        return again

    def from_scratch(self) -> pl.DataFrame:
        return find_duplicates(self.wanted(self.signatures().lazy()), similarity=SIMILARITY, scores=self.scored())


@given(seed=st.integers(0, 10**6))
@settings(max_examples=12, deadline=None)
def test_days_that_come_change_or_go_leave_the_result_of_a_search_from_scratch(seed: int) -> None:
    generator, corpus = random.Random(seed), Corpus()
    for step in range(10):
        changed = DAYS if step == 0 else generator.sample(DAYS, generator.choice([1, 1, 2]))
        before = corpus.signatures(changed)
        for day in changed:
            corpus.change(day, generator)

        assert corpus.search(changed, before) is not None or not corpus.days
        assert corpus.result is not None
        assert corpus.result.equals(corpus.from_scratch())


def number(name: str) -> int:
    return xxhash.xxh3_64_intdigest(name.encode()) - (1 << 63)


def crafted(name: str, day: str, *, exact: str = "", said: str = "", bands: str = "", shingles: Collection[int] = ()) -> Row:
    """A signature whose hashes are those of the given names, of each word of `said` and `bands`; else like no other's."""
    own = f"{name} {day}"
    return {
        "id": name,
        "created_at": START,
        "exact": number(exact or own),
        "beginnings": [number(each) for each in said.split()] or [number(f"{own} said")],
        "words": number(f"{own} words"),
        "shingles": list(shingles) or [number(own) >> 32],
        "bands": [number(f"{at} {each}") for at, each in enumerate(bands.split() or [f"{own}-1", f"{own}-2"])],
        "day": day,
    }


def table(*rows: Row) -> pl.DataFrame:
    return pl.DataFrame(list(rows), pool().schema | {"day": pl.String})


def again(rows: pl.DataFrame, changed: str, most: float = EVERYTHING) -> Again | None:
    return find_again(rows.lazy(), before=rows.head(0).select(KEYS), changed=[changed], most=most)


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (crafted("same", DAYS[1]), crafted("same", DAYS[0])),
        (crafted("new", DAYS[1], exact="text"), crafted("old", DAYS[0], exact="text")),
        (crafted("new", DAYS[1], bands="equal other"), crafted("old", DAYS[0], bands="equal one")),
        (crafted("new", DAYS[1], bands="other equal"), crafted("old", DAYS[0], bands="one equal")),
        (crafted("new", DAYS[1], said="question answer"), crafted("old", DAYS[0], said="question answer more thanks")),
        (crafted("new", DAYS[1], said="question answer more"), crafted("old", DAYS[0], said="question answer")),
    ],
    ids=["id", "conversation", "first band", "second band", "goes on", "was begun"],
)
def test_what_one_row_can_decide_about_is_searched_again_and_what_it_cannot_is_not(new: Row, old: Row) -> None:
    beside = crafted("beside", DAYS[0], exact="answer", said="aside thanks", bands="y x")
    shifted = crafted("shifted", DAYS[2], said="question elsewhere", bands="equal-1 other-1")

    found = again(table(new, old, beside, shifted), DAYS[1])

    assert found is not None
    assert sorted(found.rows.rows()) == sorted((str(row["id"]), str(row["day"])) for row in (new, old))
    assert found.days == [DAYS[0], DAYS[1]]


def test_a_chain_of_connections_is_followed_to_its_end() -> None:
    links = [crafted(f"{at}", DAYS[at % 3], said=f"{at} {at + 1}", bands=f"a{at // 2} b{(at + 1) // 2}") for at in range(20)]
    strangers = [crafted(f"stranger{at}", DAYS[at % 3]) for at in range(20)]

    found = again(table(*links, *strangers, crafted("new", DAYS[3], bands="a0 none")), DAYS[3])

    assert found is not None
    assert set(found.rows["id"]) == {*map(str, range(20)), "new"}


def test_a_row_that_left_may_have_kept_two_others_out_of_each_others_reach() -> None:
    first, last = (crafted(name, DAYS[0], bands="one", shingles=[*range(40), at]) for at, name in ((50, "a"), (51, "z")))
    between = [crafted(f"m{at:04}", DAYS[0], bands="one") for at in range(REACH - 1)]
    leaving = crafted("n", DAYS[1], bands="one")
    corpus = Corpus({DAYS[0]: table(first, *between, last).drop("day"), DAYS[1]: table(leaving).drop("day")})
    corpus.search(DAYS, corpus.signatures().head(0))
    assert corpus.result is not None
    assert corpus.result.is_empty()

    before = corpus.signatures([DAYS[1]])
    del corpus.days[DAYS[1]]
    corpus.search([DAYS[1]], before)

    assert corpus.result.select("id", "kept", "reason").rows() == [("z", "a", "near")]
    assert corpus.result.equals(corpus.from_scratch())


def test_above_a_share_of_the_rows_a_search_from_scratch_is_due() -> None:
    strangers = [crafted(f"stranger{at}", DAYS[0]) for at in range(6)]
    linked = [crafted(f"linked{at}", DAYS[0], bands="one two") for at in range(2)]
    rows = table(crafted("new", DAYS[1], bands="one three"), *linked, *strangers)

    assert again(rows, DAYS[1], most=0.34) is not None
    assert again(rows, DAYS[1], most=0.33) is None
    assert again(rows, DAYS[1], most=0.1) is None


def test_days_signed_in_different_ways_are_left_to_the_search_from_scratch() -> None:
    assert again(table(crafted("new", DAYS[1]), crafted("old", DAYS[0], bands="one")), DAYS[1]) is None
    assert again(table(crafted("new", DAYS[0], bands="one two three"), crafted("old", DAYS[0])), DAYS[0]) is None
