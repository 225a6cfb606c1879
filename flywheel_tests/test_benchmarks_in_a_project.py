"""Decontamination from the configuration to the sets, in a small project."""

import json
from pathlib import Path

import polars as pl
import pytest

from flywheel.errors import ConfigError
from flywheel.inspect.facts import split_facts
from flywheel.inspect.ledger import ledger_facts
from flywheel.plan import Plan
from flywheel.project import Project
from flywheel.steps.contamination import contamination_facts
from flywheel_tests.assets.processes import in_graph
from flywheel_tests.projects import call, call_id, make_all, write_log, write_project

RIDDLE = "A farmer has seventeen goats and sells all but nine of them at the market on a rainy Tuesday in late October"
TOML = """
[[benchmarks]]
name = "exam"
url = "exam.jsonl"

[[synthesize]]
use = "typos"

[[mix]]
name = "chat"
take = { curated = 1.0, "synthetic/typos" = 1.0 }
"""


def exam(folder: Path, *questions: str) -> None:
    (folder / "exam.jsonl").write_text("".join(json.dumps({"question": text}) + "\n" for text in questions), "utf-8")


def logs() -> dict[str, list[dict[str, object] | str]]:
    return {
        "2026-03-02": [*(call(n) for n in range(30)), call(100, prompt=f"{RIDDLE}. How many are left?")],
        "2026-03-03": [*(call(n) for n in range(40, 60)), call(101, prompt="Please tell me a riddle", reply=f"Sure: {RIDDLE}!")],
    }


@pytest.fixture
def project(tmp_path: Path) -> Project:
    exam(tmp_path, RIDDLE, "What is the capital of Peru?")
    made = write_project(tmp_path, logs(), toml=TOML)
    make_all(made)
    return made


def mixed(project: Project) -> set[str]:
    return set(project.tables.read("mixture/chat")["id"])


def test_contaminated_rows_are_in_no_set_and_the_ledger_says_why(project: Project) -> None:
    assert mixed(project).isdisjoint({call_id(100), call_id(101)})
    rows = project.tables.read("ledger").filter(pl.col("reason") == "benchmark:exam")
    assert sorted(rows["id"]) == [call_id(100), call_id(101)]
    assert rows["stage"].unique().to_list() == ["mixture/chat"]
    assert rows["score"].to_list() == [1.0, 1.0]
    assert ledger_facts(project.tables, project.settings)["stages_that_do_not_add_up"] == 0
    assert ledger_facts(project.tables, project.settings)["unaccounted"] == 0


def test_the_evidence_names_record_and_benchmark_row(project: Project) -> None:
    evidence = project.tables.read("contamination").sort("id")

    assert evidence.select("id", "benchmark", "row", "method").rows() == [
        (call_id(100), "exam", 1, "ngram"),
        (call_id(101), "exam", 1, "ngram"),
    ]


def test_a_contaminated_row_seeds_no_synthesizer(project: Project) -> None:
    parents = set(project.tables.read("synthetic/typos")["parents"].explode())

    assert parents
    assert parents.isdisjoint({call_id(100), call_id(101)})


def test_a_synthetic_row_that_holds_a_benchmark_s_text_is_not_verified(tmp_path: Path) -> None:
    planted = call(7)["request"]["messages"][0]["content"]
    exam(tmp_path, RIDDLE)
    project = write_project(tmp_path, {"2026-03-02": [call(n) for n in range(30)]}, toml=TOML)
    make_all(project)
    child = project.tables.read("synthetic/typos").row(0, named=True)
    said = next(m["content"][0]["text"] for m in reversed(child["messages"]) if m["role"] == "user")
    assert said != planted
    exam(tmp_path, said)

    make_all(Project(project.settings))

    left = project.tables.read("exits", stage="verified").filter(pl.col("reason") == "benchmark:exam")
    assert child["id"] in left["id"].to_list()
    assert child["id"] not in mixed(project)


def test_the_check_looks_at_the_rows_themselves(project: Project) -> None:
    assert contamination_facts(project, "mixture/chat") == {"contaminated": 0}
    assert contamination_facts(project, "curated") == {"contaminated": 2}


def test_another_benchmark_is_looked_for_without_making_the_days_again(project: Project) -> None:
    exam(project.settings.root, "My router number 0 stopped after the update of week 0; what should I try first?")

    made = make_all(Project(project.settings))

    assert {name for name, day in made if day} == {"contamination"}
    assert call_id(0) not in mixed(project)
    assert {call_id(100), call_id(101)} <= mixed(project)


def test_a_threshold_moves_without_looking_again(project: Project) -> None:
    looser = write_project(project.settings.root, toml=TOML.replace('url = "exam.jsonl"', 'url = "exam.jsonl"\noverlap = 1.0'))
    half = " ".join(RIDDLE.split()[:15])
    write_log(project.settings.root, "2026-03-04", "app.jsonl", [call(102, prompt=half)])
    make_all(Project(project.settings))
    assert call_id(102) not in mixed(project)

    made = {name for name, _ in make_all(looser)}

    assert "contamination" not in made
    assert call_id(102) in mixed(project)


def test_a_question_in_other_order_leaves_by_its_meaning_and_its_threshold_moves_too(project: Project) -> None:
    turned = ", ".join(reversed(RIDDLE.split()))
    write_log(project.settings.root, "2026-03-04", "app.jsonl", [call(104, prompt=turned)])
    make_all(Project(project.settings))
    assert call_id(104) in mixed(project)
    near = 'url = "exam.jsonl"\nsemantic = '

    make_all(write_project(project.settings.root, toml=TOML.replace('url = "exam.jsonl"', near + "0.9")))
    assert call_id(104) not in mixed(project)
    made = make_all(write_project(project.settings.root, toml=TOML.replace('url = "exam.jsonl"', near + "0.8")))

    assert made
    assert "contamination" not in {name for name, _ in made}
    evidence = project.tables.read("contamination", day="2026-03-04")
    assert evidence.select("id", "row", "method").rows() == [(call_id(104), 1, "semantic")]
    assert evidence["similarity"].item() > 0.99


def test_a_new_day_is_searched_alone(project: Project) -> None:
    write_log(project.settings.root, "2026-03-04", "app.jsonl", [call(103, prompt=f"{RIDDLE}?")])

    made = make_all(Project(project.settings))

    assert [day for name, day in made if name == "contamination"] == ["2026-03-04"]
    assert call_id(103) not in mixed(project)


def test_a_missing_benchmark_file_is_an_error_of_its_node_alone(tmp_path: Path) -> None:
    project = write_project(tmp_path, logs(), toml=TOML)
    assert "contamination" in Plan(project).nodes

    with pytest.raises(ConfigError, match="no file matches"):
        make_all(project)

    assert project.tables.rows("curated") > 0


def test_records_that_ask_the_same_are_in_one_split(tmp_path: Path) -> None:
    asked = "What is the warranty of the blue kettle that I bought in your shop last spring?"
    entries = [
        call(n, prompt=asked if n % 2 else None, reply=f"Answer {n}: " + " ".join(f"word{n * 50 + k}" for k in range(40)))
        for n in range(60)
    ]
    toml = "[splits]\nvalidation = 0.3\ntest = 0.3\n"
    project = write_project(tmp_path, {"2026-03-02": entries}, toml=toml)
    make_all(project)

    splits = project.tables.read("splits")
    same = splits.filter(pl.col("id").is_in([call_id(n) for n in range(1, 60, 2)]))
    assert same.height == 30
    assert same["split"].n_unique() == 1
    assert splits["split"].n_unique() == 3
    assert split_facts(project.tables) == {"straddling": 0, "leaking": 0}


def test_a_prompt_in_two_splits_is_a_leak(tmp_path: Path) -> None:
    asked = "What is the warranty of the blue kettle that I bought in your shop last spring?"
    entries = [call(n, prompt=asked, reply=" ".join(f"word{n * 50 + k}" for k in range(40))) for n in range(4)]
    project = write_project(tmp_path, {"2026-03-02": entries})
    make_all(project)
    splits = project.tables.read("splits")
    moved = splits.with_columns(split=pl.Series(["test", *["train"] * (splits.height - 1)]))
    from flywheel.mix.splits import SPLITS

    project.tables.write("splits", moved, schema=SPLITS, fingerprint=1)

    assert split_facts(project.tables)["leaking"] == 1


def test_the_graph_blocks_a_mixture_that_holds_a_benchmark(tmp_path: Path) -> None:
    exam(tmp_path, RIDDLE)
    write_project(tmp_path, toml=TOML)

    answer = in_graph(
        tmp_path,
        """
        from assets.definitions import defs
        specs = [spec for check in defs.asset_checks for spec in check.check_specs]
        deps = {spec.key.to_user_string(): [dep.asset_key.to_user_string() for dep in spec.deps]
                for spec in defs.resolve_all_asset_specs()}
        blocking = [spec.key.to_user_string() for spec in specs if spec.blocking]
        answer = {"blocking": blocking, "mixture": deps["mixture/chat"], "contamination": deps["contamination"]}
        """,
    )

    assert "mixture/chat:no_benchmark_left" in answer["blocking"]
    assert "splits:no_prompt_leaks" in answer["blocking"]
    assert "contamination" in answer["mixture"]
    assert answer["contamination"] == ["curated"]
