from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flywheel.inspect.facts import duplicate_facts, flow_facts
from flywheel.inspect.ledger import ledger_facts
from flywheel.plan import Plan, nodes
from flywheel.project import Project
from flywheel_tests.projects import call, call_id, make_all, write_log, write_project

DAYS = {"2026-03-02": [call(n) for n in range(12)], "2026-03-03": [call(n) for n in range(12, 20)]}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = write_project(tmp_path, DAYS)
    make_all(project)
    return project


def chats(project: Project) -> list[str]:
    return project.tables.read("mixture/chat")["id"].to_list()


def test_a_second_run_over_unchanged_logs_makes_nothing(project: Project) -> None:
    versions = {name: project.tables.version(name) for name in project.tables.names()}

    assert make_all(Project(project.settings)) == []
    assert {name: project.tables.version(name) for name in project.tables.names()} == versions


def test_a_new_day_costs_that_day_and_the_steps_of_all_days(project: Project) -> None:
    write_log(project.settings.root, "2026-03-04", "app.jsonl", [call(n) for n in range(30, 35)])

    made = make_all(Project(project.settings))

    assert {day for name, day in made if day is not None} == {"2026-03-04"}
    assert len(chats(project)) == 25


def test_a_file_delivered_again_under_another_name_adds_no_row(project: Project) -> None:
    before = chats(project)
    write_log(project.settings.root, "2026-03-03", "copy-of-app.jsonl", DAYS["2026-03-03"])
    write_log(project.settings.root, "2026-03-05", "late-copy.jsonl", DAYS["2026-03-02"])

    make_all(Project(project.settings))

    assert chats(project) == before
    ledger = project.tables.read("ledger")
    copies = ledger.filter(pl.col("file").str.contains("copy"))
    assert copies["reason"].to_list() == ["same_id"] * 20
    assert ledger_facts(project.tables, project.settings)["unaccounted"] == 0


def test_a_changed_filter_makes_its_verdicts_again_and_what_depends_on_them(project: Project) -> None:
    toml = '[[filters]]\nuse = "empty_reply"\n\n[[filters]]\nuse = "length"\n'
    make_all(write_project(project.settings.root, toml=toml))

    changed = write_project(project.settings.root, toml=toml + "minimum = 1\n")
    made = {name for name, _ in make_all(changed)}

    assert "verdicts/length" in made
    assert made.isdisjoint({"records", "cleaned", "scrubbed", "signatures", "verdicts/empty_reply"})


def test_the_order_in_which_days_arrive_does_not_matter(tmp_path: Path) -> None:
    older = [call(1, prompt="How do I reset the password of my billing account, please tell me now?")]
    newer = [
        call(
            2,
            prompt="How do I reset the password of my billing account, please tell me now?",
            reply=call(1)["response"]["choices"][0]["message"]["content"],
        )
    ]
    results = []
    for order in (("2026-03-02", "2026-03-03"), ("2026-03-03", "2026-03-02")):
        folder = tmp_path / order[0]
        folder.mkdir()
        project = write_project(folder)
        for day in order:
            write_log(folder, day, "app.jsonl", older if day == "2026-03-02" else newer)
            make_all(Project(project.settings))
        results.append(chats(project))
        assert duplicate_facts(project.tables, "mixture/chat") == {"remaining": 0}

    assert results == [[call_id(1)], [call_id(1)]]


def test_the_same_logs_give_the_same_rows_in_the_same_order(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    folder.mkdir()
    again = write_project(folder, DAYS)
    make_all(again)

    for table in ("records", "scrubbed", "curated", "mixture/chat", "duplicates", "splits"):
        assert again.tables.read(table).equals(project.tables.read(table)), table


def test_every_line_ends_in_the_ledger_once(tmp_path: Path) -> None:
    lines: list[dict[str, Any] | str] = [
        call(1),
        "",
        '{"cut": ',
        "no json",
        call(1),
        call(2),
        {"status": 500, "request": call(3)["request"], "response": {"error": {}}},
    ]
    project = write_project(tmp_path, {"2026-03-02": lines})
    make_all(project)

    ledger = project.tables.read("ledger").sort("offset")
    reads = project.tables.read("reads").row(0, named=True)

    assert (reads["lines"], reads["blank"], reads["accepted"], reads["rejected"]) == (7, 1, 3, 3)
    assert ledger["fate"].to_list() == ["kept", "rejected", "rejected", "merged", "kept", "rejected"]
    assert ledger_facts(project.tables, project.settings) == {"entries": 6, "unaccounted": 0, "stages_that_do_not_add_up": 0}


def test_rows_in_equal_rows_kept_and_left_at_every_daily_stage(project: Project) -> None:
    stages = ("records", "conversations", "cleaned", "scrubbed", "curated")
    for day in DAYS:
        for source, target in pairwise(stages):
            assert flow_facts(project.tables, source, target, day) == {"unaccounted": 0}


def test_a_node_whose_check_failed_is_stale_until_it_passes(project: Project) -> None:
    project.tables.invalidate("scrubbed", day="2026-03-02")

    stale = Plan(project).stale(1)

    assert stale["2026-03-02"][0] == "scrubbed"
    assert set(stale) == {"2026-03-02"}


def test_every_node_comes_after_its_inputs(project: Project) -> None:
    seen: set[str] = set()
    for node in nodes(project.settings).values():
        assert set(node.inputs) <= seen, node.name
        assert all(nodes(project.settings)[source].phase <= node.phase for source in node.inputs)
        seen.add(node.name)
