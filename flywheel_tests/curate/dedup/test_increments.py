"""Days that come in any order, late days, erased records: the result is that of a run from scratch over what is there."""

import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flywheel.curate.dedup.duplicates import find_duplicates
from flywheel.curate.dedup.signatures import SIGNATURES, sign
from flywheel.records import Record, to_batch
from flywheel.sections import Dedup
from flywheel.tables import Tables
from flywheel_tests.curate.dedup.samples import chat, signed, varied, words
from flywheel_tests.projects import call, call_id, make_all, write_log, write_project

DAYS = tuple(f"2026-01-{day:02}" for day in range(1, 7))


def deliveries(seed: int) -> dict[str, list[Record]]:
    """A few days of families, twins, continued conversations and ids that come again."""
    generator = random.Random(seed)
    days: dict[str, list[Record]] = {day: [] for day in DAYS}
    for family in range(25):
        base = words(generator.randrange(15, 60), seed * 1000 + family)
        for member in range(generator.randrange(1, 5)):
            turns = (varied(base, generator.randrange(3), member), "Yes, of course.", "Thanks then.", "Bye now.")
            name, minute = f"{generator.randrange(60):02}", generator.choice([None, generator.randrange(9)])
            for day in generator.sample(DAYS, generator.choice([1, 1, 2])):
                if name not in {record.id for record in days[day]}:
                    days[day].append(chat(name, *turns[: generator.randrange(1, 5)], minute=minute))
    return days


def write(tables: Tables, day: str, records: list[Record]) -> None:
    tables.write("signatures", sign(to_batch(records), settings=Dedup()), schema=SIGNATURES, fingerprint=1, day=day)


@given(seed=st.integers(0, 99), order=st.permutations(DAYS), erased=st.sets(st.integers(0, 59), max_size=20))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_days_in_any_order_with_records_erased_since_give_the_result_of_a_run_from_scratch(
    tmp_path_factory: pytest.TempPathFactory, seed: int, order: list[str], erased: set[int]
) -> None:
    days, forgotten = deliveries(seed), {f"{number:02}" for number in erased}
    tables = Tables(str(tmp_path_factory.mktemp("tables")))
    for day in order:
        write(tables, day, days[day])
        find_duplicates(tables.scan("signatures"))
    for day in order[::2]:
        write(tables, day, [record for record in days[day] if record.id not in forgotten])

    left = {d: [r for r in days[d] if d not in order[::2] or r.id not in forgotten] for d in DAYS}
    scratch = pl.concat([signed(left[day], day) for day in DAYS])

    assert find_duplicates(tables.scan("signatures")).equals(find_duplicates(scratch))


def test_signing_a_new_day_leaves_the_other_days_files_as_they_are(tmp_path: Path) -> None:
    tables, days = Tables(str(tmp_path)), deliveries(1)
    for day in DAYS[:-1]:
        write(tables, day, days[day])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}

    write(tables, DAYS[-1], days[DAYS[-1]])

    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    assert before.items() < after.items()
    assert {path.parent.name for path in after.keys() - before.keys()} == {f"day={DAYS[-1]}"}


def scored(**scores: float | None) -> pl.LazyFrame:
    rows = [{"id": name, "day": DAYS[0], "score": score} for name, score in scores.items()]
    return pl.LazyFrame(rows, schema={"id": pl.String, "day": pl.String, "score": pl.Float64})


def family() -> list[Record]:
    """Four conversations, each similar to each other, the oldest first."""
    base = words(80, 4)
    return [chat(name, varied(base, 1, minute), "Yes.", minute=minute) for minute, name in enumerate("abcd")]


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ({"a": 0.1, "b": 0.2, "c": 0.9, "d": 0.3}, "c"),
        ({"a": 0.1, "b": 0.9, "c": 0.9, "d": 0.9}, "b"),
        ({"b": None, "c": float("nan"), "d": -5.0}, "d"),
        ({}, "a"),
    ],
)
def test_the_best_score_stays_then_the_oldest_and_one_without_score_comes_last(
    scores: dict[str, float | None], kept: str
) -> None:
    signatures = signed(family(), DAYS[0])

    for seed in range(3):
        found = find_duplicates(signatures.sample(fraction=1, shuffle=True, seed=seed), scores=scored(**scores))
        assert found["id"].to_list() == sorted(set("abcd") - {kept})
        assert set(found["kept"]) == {kept}
        assert set(found["reason"]) == {"near"}


def test_of_identical_conversations_the_best_score_stays_and_of_continued_ones_the_longest() -> None:
    turns = ("Where is my parcel?", "It is on its way.", "And the invoice?", "It is attached.")
    records = [chat("a", *turns, minute=0), chat("b", *turns, minute=1), chat("c", *turns[:2], minute=2)]

    found = find_duplicates(signed(records, DAYS[0]), scores=scored(a=0.1, b=0.2, c=0.9))

    assert found.select("id", "kept", "reason").rows() == [("a", "b", "exact"), ("c", "b", "prefix")]


def test_a_score_decides_among_days_that_came_in_any_order() -> None:
    records, expected = family(), {"a": "c", "b": "c", "d": "c"}
    scores = pl.LazyFrame({"id": list("abcd"), "day": DAYS[:4], "score": [1.0, 2.0, 4.0, 3.0]})

    for seed in range(4):
        order = random.Random(seed).sample(range(4), 4)
        found = find_duplicates(pl.concat([signed([records[i]], DAYS[i]) for i in order]), scores=scores)
        assert dict(found.select("id", "kept").iter_rows()) == expected


LONG = "My router number 7 stopped after the update of week 49; it blinks red and green by turns, and what should I try first?"
FAMILY = {
    "2026-03-02": call(1, prompt=LONG, reply=f"{LONG} Hold the power button."),
    "2026-03-03": call(2, prompt=LONG, reply=f"{LONG} Hold the power button for ten seconds."),
    "2026-03-04": call(3, prompt=LONG, reply=f"{LONG} Hold the button."),
}


@pytest.mark.parametrize(("keep", "kept"), [("score:length", 2), ("-score:length", 3)])
def test_a_project_keeps_the_same_conversation_in_whatever_order_its_days_come(tmp_path: Path, keep: str, kept: int) -> None:
    toml = f'[dedup]\nkeep = "{keep}"\n[[filters]]\nuse = "length"\n'
    project = write_project(tmp_path, toml=toml)

    for day in ("2026-03-03", "2026-03-04", "2026-03-02"):
        write_log(tmp_path, day, "app.jsonl", [FAMILY[day], call(int(day[-1]) * 10)])
        made = make_all(project)
        assert [node for node, of in made if node == "signatures"] == ["signatures"], "only the new day is signed"

    found = project.tables.read("duplicates").select("id", "kept", "reason").rows()
    assert sorted(found) == [(call_id(n), call_id(kept), "near") for n in (1, 2, 3) if n != kept]
    curated = project.tables.read("curated")["id"].to_list()
    assert sorted(curated) == sorted(call_id(number) for number in (kept, 20, 30, 40))
