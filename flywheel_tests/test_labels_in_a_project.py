"""`[[labels]]` on their way from flywheel.toml to filters, sets and the sets' metadata."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flywheel.errors import ConfigError
from flywheel.plan import Plan
from flywheel.project import Project
from flywheel.settings import load_settings
from flywheel.steps import make
from flywheel_tests.projects import call, call_id, make_all, write_project

SETS = """
[splits]
validation = 0
test = 0
[[sets]]
name = "kto"
format = "trl_kto"
[[sets]]
name = "pairs"
format = "trl_preference"
[[sets]]
name = "chat"
format = "trl_messages"
"""
STARS = """
[[labels]]
name = "many_stars"
feedback = "rating"
at_least = 4
says = "good"
[[labels]]
name = "few_stars"
feedback = "rating"
at_most = 2
says = "bad"
"""
FILTERS = """
[[filters]]
use = "disliked"
[[filters]]
use = "empty_reply"
"""


def logged() -> list[dict[str, Any]]:
    regenerated = [call(20, reply="It is written on the back.", session_id="s"), call(20, session_id="s")]
    regenerated[1]["timestamp"] += 60
    regenerated[1]["response"]["id"] = call_id(21)
    return [
        call(1, feedback={"name": "rating", "value": 5}),
        call(2, feedback={"name": "rating", "value": 1}),
        call(3, feedback={"name": "rating", "value": 3}),
        call(4, feedback={"name": "thumbs", "value": "down"}),
        call(5, feedback={"name": "correction", "value": "Replace the battery first."}),
        *regenerated,
    ]


def project(folder: Path, toml: str) -> Project:
    return write_project(folder, {"2026-03-02": logged()}, toml=toml)


def rows(made: Project, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (made.sets / name / "latest" / "train.jsonl").read_bytes().splitlines()]


def test_labels_of_the_project_reach_its_sets_and_leave_their_origin(tmp_path: Path) -> None:
    made = project(tmp_path, SETS + STARS + '[[filters]]\nuse = "empty_reply"\n')
    make_all(made)

    assert sorted(row["label"] for row in rows(made, "kto")) == [False, False, True]
    labels = made.tables.read("labels").sort("set", "id")
    assert labels.filter(set="kto").select("id", "label", "evidence").rows() == [
        (call_id(1), "good", ["rating:many_stars"]),
        (call_id(2), "bad", ["rating:few_stars"]),
        (call_id(4), "bad", ["thumbs:thumbs_down"]),
    ]
    assert labels.filter(set="pairs").select("id", "origin", "rule").rows() == [
        (call_id(5), "correction", "correction"),
        (call_id(21), "regenerated", "regenerated"),
    ]
    pairs = {row["chosen"][0]["content"]: row["rejected"][0]["content"] for row in rows(made, "pairs")}
    assert "It is written on the back." in pairs.values()
    assert "Replace the battery first." in pairs


def test_a_set_of_pairs_reports_their_bias_and_a_set_without_labels_nothing(tmp_path: Path) -> None:
    made = project(tmp_path, SETS + '[[filters]]\nuse = "empty_reply"\n')
    make_all(made)

    found = {name: make(made, f"training_set/{name}").extra for name in ("kto", "pairs", "chat")}

    assert found["kto"]["labels"] == {"bad": 1}
    bias = found["pairs"]["pair_bias"]
    assert bias["origin"].to_list() == ["all", "correction", "regenerated"]
    assert bias.row(by_predicate=pl.col("origin") == "regenerated", named=True)["longer"] == 1.0
    assert bias.row(by_predicate=pl.col("origin") == "correction", named=True)["longer"] == 0.0
    assert "labels" not in found["chat"]


def test_what_was_called_bad_is_dropped_by_the_projects_rules(tmp_path: Path) -> None:
    made = project(tmp_path, SETS + STARS + FILTERS)
    make_all(made)

    exits = made.tables.read("exits").filter(reason="disliked")
    assert sorted(exits["id"]) == [call_id(2), call_id(4)]


def test_new_rules_make_only_what_takes_rules_stale(tmp_path: Path) -> None:
    plain = '[[filters]]\nuse = "empty_reply"\n'
    make_all(project(tmp_path, SETS + plain))

    again = Plan(project(tmp_path, SETS + plain + STARS))

    stale = {name for phase in range(5) for names in again.stale(phase).values() for name in names}
    assert stale == {"training_set/kto", "training_set/pairs", "ledger"}


def test_new_rules_make_the_verdicts_of_a_filter_that_takes_them_stale_and_a_set_may_be_empty(tmp_path: Path) -> None:
    made = project(tmp_path, SETS + FILTERS)
    make_all(made)

    again = Plan(project(tmp_path, SETS + FILTERS + STARS))

    assert again.stale(1) == {"2026-03-02": ["verdicts/disliked"]}
    assert make(made, "training_set/kto").rows == 0


def test_rules_of_a_sets_own_take_the_place_of_the_projects(tmp_path: Path) -> None:
    own = '[[sets]]\nname = "own"\nformat = "trl_kto"\n[sets.settings]\n'
    own += 'rules = [{name = "all_good", feedback = "rating", says = "good"}]\n'
    made = project(tmp_path, "[splits]\nvalidation = 0\ntest = 0\n" + own + STARS + '[[filters]]\nuse = "empty_reply"\n')
    make_all(made)

    assert sorted(row["label"] for row in rows(made, "own")) == [False, True, True, True]


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        ('[[labels]]\nname = "a"\nsays = "good"\n', r"needs either `feedback`.*\$\.labels\[0\]"),
        ('[[labels]]\nname = "a"\nfeedback = "b"\nsays = "goood"\n', "goood"),
        ('[[labels]]\nname = "a"\nfeedback = "b"\nsays = "good"\n' * 2, r"two \[\[labels\]\] are called 'a'"),
    ],
)
def test_a_wrong_rule_is_an_error_that_names_it(labels: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "flywheel.toml").write_text(labels, "utf-8")

    with pytest.raises(ConfigError, match=complaint):
        load_settings(tmp_path / "flywheel.toml")
