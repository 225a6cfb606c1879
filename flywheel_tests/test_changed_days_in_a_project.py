"""A changed day in a project costs a search of what is connected with it; the tables are those of a project made from scratch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flywheel.curate.dedup import increments
from flywheel.engine import Made
from flywheel.plan import Plan
from flywheel.project import Project
from flywheel.steps import make
from flywheel_tests.curate.dedup.samples import varied, words
from flywheel_tests.projects import call, call_id, write_log, write_project

DAYS = tuple(f"2026-03-{day:02}" for day in range(2, 9))
EARLY, LATE, NEW = DAYS[0], DAYS[3], DAYS[6]
TURNS = [" ".join(words(25, 900 + turn)) for turn in range(6)]
POLICY = """
[[filters]]
use = "copyright_notice"
name = "notice"

[policy.actions]
notice = "review"
"""


@pytest.fixture(autouse=True)
def one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_KEY", "the same in all projects")


def chat(number: int, **extra: Any) -> dict[str, Any]:
    """A call that is like no other."""
    return call(number, prompt=" ".join(words(40, number)), reply=" ".join(words(40, 500 + number)), **extra)


def session(number: int, turns: int, **extra: Any) -> dict[str, Any]:
    """One request of a session that repeats its history."""
    entry = call(number, reply=TURNS[2 * turns - 1], session_id="evening", user_id="kim", **extra)
    entry["request"]["messages"] = [
        {"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(TURNS[: 2 * turns - 1])
    ]
    return entry


def logs() -> dict[str, list[dict[str, Any]]]:
    """Five chats a day on five days that are like no others."""
    return {day: [chat(10 * at + number) for number in range(5)] for at, day in enumerate(DAYS[:6]) if day != LATE}


def similar(number: int, to: int) -> dict[str, Any]:
    return call(number, prompt=varied(words(40, to), 1, number), reply=" ".join(words(40, 500 + to)))


def search(project: Project, *, phases: int = 3) -> Made | None:
    """Make what is stale up to the search for duplicates; what that did, None when it was not due."""
    done = None
    for phase in range(phases):
        for day, names in Plan(Project(project.settings)).stale(phase).items():
            for name in names:
                if name != "rejected":
                    done = make(project, name, day)
    return done if done is not None and done.table == "duplicates" else None


def searched(made: Made | None) -> int:
    assert made is not None
    rows: int = made.extra["searched_rows"]
    return rows


def assert_as_from_scratch(project: Project, logs: Mapping[str, list[dict[str, Any]]], *, toml: str = "") -> None:
    """The tables, and the fingerprints that say which days are made again, are those of a project that saw all days at once."""
    folder = project.settings.root / "scratch"
    folder.mkdir(exist_ok=True)
    for old in (folder / "logs").rglob("*.jsonl"):
        old.unlink()
    scratch = write_project(folder, logs, toml=toml)
    scratch.tables.invalidate("duplicates")
    assert searched(search(scratch)) == sum(map(len, logs.values()))
    for name in ("duplicates", "handed_over"):
        assert (
            project.tables.read(name)
            .sort(pl.all().exclude("feedback"))
            .equals(scratch.tables.read(name).sort(pl.all().exclude("feedback")))
        ), name
    ours, theirs = (each.tables.fingerprints("duplicates") for each in (project, scratch))
    assert [ours(day=day) for day in logs] == [theirs(day=day) for day in logs]


def test_a_new_day_a_late_day_and_a_day_made_again_cost_what_is_connected_with_them(tmp_path: Path) -> None:
    there = logs()
    there[EARLY].append(session(5, 1, rating="up"))
    project = write_project(tmp_path, there)
    assert searched(search(project)) == 26

    there[NEW] = [similar(60, to=10), chat(61), session(62, 2)]
    write_log(tmp_path, NEW, "app.jsonl", there[NEW])
    files = set(tmp_path.rglob("duplicates/day=*/*.parquet"))
    assert searched(search(project)) == 5, "the new day, a similar chat and what the session began with"
    assert project.tables.read("duplicates").select("id", "kept", "reason").sort("id").rows() == [
        (call_id(5), call_id(62), "prefix"),
        (call_id(60), call_id(10), "near"),
    ]
    assert project.tables.read("handed_over")["given_by"].to_list() == [call_id(5)]

    there[LATE] = [similar(30, to=10), similar(31, to=61), session(32, 3)]
    write_log(tmp_path, LATE, "app.jsonl", there[LATE])
    assert searched(search(project)) == 8
    assert project.tables.read("handed_over").select("given_by", "id").rows() == [(call_id(5), call_id(32))]

    there[DAYS[1]] = there[DAYS[1]][1:]
    write_log(tmp_path, DAYS[1], "app.jsonl", there[DAYS[1]])
    assert searched(search(project)) == 6, "what resembled the erased chat stands up for itself"
    near = project.tables.read("duplicates").filter(reason="near")
    assert near.select("id", "kept").rows() == [(call_id(61), call_id(31))]
    assert_as_from_scratch(project, there)
    assert files & set(tmp_path.rglob("duplicates/day=*/*.parquet")) == files
    assert search(project) is None


def test_a_decision_on_one_day_costs_what_is_connected_with_it(tmp_path: Path) -> None:
    there = logs()
    claimed = f"Copyright 2019 Kestrel. {' '.join(words(60, 77))}"
    there[LATE] = [call(number, prompt=claimed, reply=claimed) for number in (30, 31)]
    project = write_project(tmp_path, there, toml=POLICY)
    search(project)
    assert project.tables.read("duplicates").is_empty(), "both wait for a decision"

    decided = project.settings.root / project.settings.policy.decisions
    decided.parent.mkdir(parents=True, exist_ok=True)
    decided.write_text("".join(["id,flag,decision\n", *(f"{call_id(number)},notice,keep\n" for number in (30, 31))]), "utf-8")

    assert searched(search(project)) == 2
    assert project.tables.read("duplicates").select("id", "kept").rows() == [(call_id(31), call_id(30))]


def test_everything_is_searched_when_the_search_before_says_nothing(tmp_path: Path) -> None:
    project = write_project(tmp_path, logs(), toml="[[filters]]\nuse = 'length'\n")
    assert searched(search(project)) == 25

    write_log(tmp_path, LATE, "app.jsonl", [chat(30)])
    longest = write_project(tmp_path, toml="[dedup]\nkeep = 'score:length'\n[[filters]]\nuse = 'length'\n")
    assert searched(search(longest)) == 26, "another way of searching"

    write_log(tmp_path, NEW, "app.jsonl", [chat(60)])
    longest.tables.invalidate("handed_over")
    assert searched(search(longest)) == 27, "a run was killed between two tables"

    write_log(tmp_path, NEW, "app.jsonl", [chat(61)])
    search(longest, phases=2)
    live = {Path(longest.tables.uri("signatures")) / path for path in longest.tables.dataset("signatures").files}
    old = set(tmp_path.rglob("signatures/day=*/*.parquet")) - live
    assert len(old) == 1
    for path in old:
        path.unlink()
    assert searched(search(longest)) == 27, "old signatures were vacuumed"


def test_a_search_that_another_run_overtakes_starts_from_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = logs()
    project = write_project(tmp_path, there)
    search(project)
    there[NEW] = [similar(60, to=10)]
    write_log(tmp_path, NEW, "app.jsonl", there[NEW])
    find_again = increments.find_again

    def slow(*given: Any, **named: Any) -> increments.Again | None:
        found = find_again(*given, **named)
        project.tables.invalidate("duplicates", day=EARLY)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(increments, "find_again", slow)
        assert searched(search(project)) == 26

    assert_as_from_scratch(project, there)
