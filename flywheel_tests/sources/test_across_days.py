"""What the log of one day leaves open and that of the next one settles, from the files to the sets."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flywheel.inspect.ledger import ledger_facts
from flywheel.inspect.trace import trace
from flywheel.plan import Plan
from flywheel.project import Project
from flywheel_tests.projects import call, call_id, make_all, write_log, write_project

FIRST, SECOND = "2026-03-02", "2026-03-03"
TURNS = (
    "My router drops the connection every evening at ten, what should I try first?",
    "Restart it, and then tell me which lamps are lit a minute after that.",
    "Power and signal are green, the one for the internet blinks in orange.",
    "Then the line is at fault: I opened ticket 4711 with your provider.",
    "Thanks! How long will that take, and will I be told when it is done?",
    "Two working days at most; you get a text message when it is done.",
)


def request(number: int, turns: int, **extra: Any) -> dict[str, Any]:
    """One request of a session that repeats its history: `turns` questions, all but the last answered before."""
    entry = call(number, reply=TURNS[2 * turns - 1], session_id="evening", user_id="kim", **extra)
    roles = ("user", "assistant")
    entry["request"]["messages"] = [{"role": roles[at % 2], "content": TURNS[at]} for at in range(2 * turns - 1)]
    return entry


def chats(project: Project) -> pl.DataFrame:
    return project.tables.read("mixture/chat")


def said(project: Project) -> dict[str, list[tuple[str, str]]]:
    """By record: name and value of its feedback."""
    rows = chats(project).select("id", "feedback").rows()
    return {id: [(given["name"], given["value"]) for given in feedback] for id, feedback in rows}


def test_a_session_that_crosses_midnight_ends_up_once_with_all_its_feedback(tmp_path: Path) -> None:
    logs = {
        FIRST: [request(1, 1), request(2, 2, rating="up"), call(9)],
        SECOND: [request(3, 3, rating="down"), call(10)],
    }
    project = write_project(tmp_path, logs)
    make_all(project)

    assert set(chats(project)["id"]) == {call_id(3), call_id(9), call_id(10)}
    assert len(chats(project).filter(id=call_id(3))["messages"][0]) == 6
    assert said(project)[call_id(3)] == [("rating", "down"), (f"rating@{call_id(2)}", "up")]
    told = {step.what: step.details for step in trace(call_id(3), tables=project.tables)}
    assert told["took over"] == {"feedback of": call_id(2), "given_on": FIRST}
    assert ledger_facts(project.tables, project.settings)["unaccounted"] == 0
    assert ledger_facts(project.tables, project.settings)["stages_that_do_not_add_up"] == 0


def test_it_does_not_matter_which_side_of_midnight_arrives_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_KEY", "the same in both projects")
    ends = []
    logs = {FIRST: [request(1, 1), request(2, 2, rating="up")], SECOND: [request(3, 3)]}
    for number, order in enumerate(((FIRST, SECOND), (SECOND, FIRST))):
        folder = tmp_path / str(number)
        folder.mkdir()
        for day in order:
            project = write_project(folder, {day: logs[day]})
            make_all(project)
        ends.append(chats(project))

    assert ends[0].equals(ends[1])
    assert make_all(Project(project.settings)) == []


def test_feedback_that_comes_the_next_day_with_the_row_again_is_about_that_row(tmp_path: Path) -> None:
    project = write_project(tmp_path, {FIRST: [call(1), call(2)]})
    make_all(project)
    write_log(tmp_path, SECOND, "updated.jsonl", [call(1, rating="up")])
    made = make_all(Project(project.settings))

    assert said(project) == {call_id(1): [("rating", "up")], call_id(2): []}
    assert ("curated", FIRST) in made
    write_log(tmp_path, SECOND, "again.jsonl", [call(1, rating="up")])
    make_all(Project(project.settings))
    assert said(project)[call_id(1)] == [("rating", "up")]


def test_a_row_that_is_updated_on_the_same_day_is_one_row(tmp_path: Path) -> None:
    project = write_project(tmp_path, {FIRST: [call(1), call(1, rating="up"), call(1)]})
    make_all(project)

    assert said(project) == {call_id(1): [("rating", "up")]}
    assert ledger_facts(project.tables, project.settings)["unaccounted"] == 0


def test_somebody_elses_longer_conversation_takes_no_feedback(tmp_path: Path) -> None:
    other = request(3, 3) | {"session_id": "another", "user_id": "lee"}
    project = write_project(tmp_path, {FIRST: [request(2, 2, rating="up")], SECOND: [other]})
    make_all(project)

    assert said(project) == {call_id(3): []}


def test_numbers_that_start_anew_every_day_lose_no_row(tmp_path: Path) -> None:
    def rows(first: int) -> list[dict[str, Any]]:
        return [call(first + number) | {"id": str(number)} for number in range(4)]

    project = write_project(tmp_path)
    for day, first in ((FIRST, 0), (SECOND, 10)):
        entries = [{"id": row["id"], "messages": _messages(row)} for row in rows(first)]
        write_log(tmp_path, day, "set.jsonl", entries)
        write_log(tmp_path, day, "copy.json", [json.dumps(entries)])
    make_all(project)

    assert chats(project).height == 8
    assert chats(project)["id"].n_unique() == 8
    assert Plan(Project(project.settings)).due_days() == {}


def _messages(row: dict[str, Any]) -> list[dict[str, str]]:
    return [*row["request"]["messages"], row["response"]["choices"][0]["message"]]
