"""`[[duplicates]]` from the configuration to the sets, in a small project."""

from pathlib import Path

import polars as pl
import pytest

from flywheel.errors import PluginError
from flywheel.inspect.ledger import ledger_facts
from flywheel.inspect.trace import trace
from flywheel.project import Project, check_plugins
from flywheel_tests.projects import call, call_id, make_all, write_log, write_project

QUOTE = "The only way to do great work is to love what you do, as the founder said."
FIX = "Hold the power button of the blue device for ten whole seconds and then wait for the light."
RULES = """
[[duplicates]]
name = "quotes"
level = "sentence"
action = "cut"

[[duplicates]]
name = "answers"
level = "message"
method = "jaccard"
threshold = 0.8
action = "drop"
roles = ["assistant"]

[[duplicates]]
name = "topics"
method = "tf_idf"
threshold = 0.9
"""


def logs() -> dict[str, list[object]]:
    return {
        "2026-03-02": [call(n, reply=f"{QUOTE} Number {n} is then reset by menu {n * 31}.") for n in range(3)]
        + [call(10, reply=f"{FIX} It blinks.")],
        "2026-03-03": [call(11, reply=f"{FIX} It blinks."), call(12)],
    }


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = write_project(tmp_path, logs(), toml=RULES)  # type: ignore[arg-type]
    make_all(made)
    return made


def said(project: Project) -> dict[str, str]:
    rows = project.tables.read("mixture/chat")
    return {row["id"]: row["messages"][-1]["content"][0]["text"] for row in rows.iter_rows(named=True)}


def test_a_rule_drops_whole_records_and_cuts_passages_of_others(project: Project) -> None:
    kept = said(project)

    assert set(kept) == {call_id(n) for n in (0, 1, 2, 10, 12)}
    assert [QUOTE in kept[call_id(n)] for n in range(3)] == [True, False, False]
    assert kept[call_id(2)] == "Number 2 is then reset by menu 62."
    assert QUOTE in str(project.tables.read("curated", day="2026-03-02")["messages"].to_list()[2])


def test_the_ledger_and_the_trace_say_who_left_and_for_whom(project: Project) -> None:
    row = project.tables.read("ledger").filter(pl.col("id") == call_id(11)).row(0, named=True)

    assert (row["fate"], row["stage"], row["reason"], row["into"], row["score"]) == (
        "dropped",
        "mixture/chat",
        "similar:answers",
        call_id(10),
        1.0,
    )
    assert ledger_facts(project.tables, project.settings) == {"entries": 6, "unaccounted": 0, "stages_that_do_not_add_up": 0}
    assert any("similar:answers" in str(step) for step in trace(call_id(11), tables=project.tables))


def test_the_evidence_says_which_with_whom_how_similar_and_by_which_method(project: Project) -> None:
    pairs = project.tables.read("similar_pairs", rule="answers")

    assert pairs.filter(pl.col("similarity").is_between(0.5, 0.8)).height == 3
    assert pairs.filter(pl.col("similarity") >= 0.8).select("id", "other", "similarity", "method", "level").rows() == [
        (call_id(11), call_id(10), 1.0, "jaccard", "message")
    ]


def test_a_threshold_moves_without_comparing_again(project: Project) -> None:
    write_log(project.settings.root, "2026-03-04", "app.jsonl", [call(13, reply=f"{FIX} It hums and does nothing more.")])
    make_all(Project(project.settings))
    assert call_id(13) in said(project)
    before = project.tables.version("similar_pairs")

    made = make_all(write_project(project.settings.root, toml=RULES.replace("threshold = 0.8", "threshold = 0.6")))

    assert not any(name.startswith("similar/") for name, _ in made)
    assert project.tables.version("similar_pairs") == before
    assert call_id(13) not in said(project)


def test_another_rule_costs_its_own_comparison(project: Project) -> None:
    more = RULES + '\n[[duplicates]]\nname = "prompts"\nlevel = "message"\nroles = ["user"]\n'

    made = {name for name, _ in make_all(write_project(project.settings.root, toml=more))}

    assert made == {"similar/prompts"}


def test_days_in_another_order_give_the_same_set(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "late"
    folder.mkdir()
    late = write_project(folder, toml=RULES)
    for day in sorted(logs(), reverse=True):
        write_log(folder, day, "app.jsonl", logs()[day])  # type: ignore[arg-type]
        make_all(Project(late.settings))

    assert said(late) == said(project)
    columns = ["id", "other", "similarity", "level"]
    assert (
        late.tables.read("similar_pairs")
        .select(columns)
        .sort(columns)
        .equals(project.tables.read("similar_pairs").select(columns).sort(columns))
    )


def test_an_unknown_method_or_setting_is_refused_with_what_there_is(tmp_path: Path) -> None:
    unknown = write_project(tmp_path, toml='[[duplicates]]\nname = "a"\nmethod = "mihash"\n')
    with pytest.raises(PluginError, match=r"no similarity is called 'mihash'\. Did you mean 'minhash'"):
        check_plugins(unknown.settings)
    wrong = write_project(tmp_path, toml='[[duplicates]]\nname = "a"\nmethod = "minhash"\nsettings = { grams = 3 }\n')
    with pytest.raises(PluginError, match=r"has no setting 'grams'"):
        check_plugins(wrong.settings)
