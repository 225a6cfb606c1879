import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flywheel.cli import main
from flywheel.inspect.report_duplicates import Cluster, Member, Section, duplicates_report
from flywheel.inspect.report_forms import as_html, as_markdown, as_text
from flywheel.project import Project
from flywheel_tests.projects import call, call_id, make_all, write_project

QUOTE = "The only way to do great work is to love what you do, as the founder said."
ASKED = "Which of your three plans has the longest warranty for a blue kettle?"
RIDDLE = "A farmer has seventeen goats and sells all but nine of them at the market on a rainy Tuesday in late October"
TOML = """
[splits]
validation = 0.3
test = 0.3

[[benchmarks]]
name = "exam"
url = "exam.jsonl"

[[duplicates]]
name = "quotes"
level = "sentence"
roles = ["assistant"]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("reported")
    (folder / "exam.jsonl").write_text(json.dumps({"question": RIDDLE}) + "\n", "utf-8")
    entries = [call(n, reply=f"{QUOTE} Number {n} is then reset by menu {n * 31}.") for n in range(12)]
    same = call(20)["request"]["messages"][0]["content"]
    entries += [call(20, reply="Press the red button twice."), call(21, prompt=same, reply="press the red  button twice.")]
    entries += [
        call(30, prompt=ASKED, reply="The gold plan, ten years."),
        call(31, prompt=ASKED, reply="None of them differs in that."),
    ]
    entries += [call(40, prompt=f"{RIDDLE}? Write to jane.roe@example.com")]
    made = write_project(folder, {"2026-03-02": entries}, toml=TOML)
    make_all(made)
    return made


def ran(project: Project, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["report", "duplicates", "-c", str(project.settings.path), *arguments])


def section(project: Project, title: str) -> Section:
    return next(each for each in duplicates_report(project) if title in each.title)


def test_the_terminal_shows_clusters_with_ids_similarity_method_and_text(project: Project) -> None:
    shown = ran(project)

    assert shown.exit_code == 0, shown.output
    assert re.search(rf"{call_id(21)}  2026-03-02  exact 1\.00 \(\[dedup\] word 3-grams\)  My router", shown.output)
    assert f"{call_id(20)}  2026-03-02  stays" in shown.output
    assert "1 records leave as duplicates: exact 1." in shown.output
    assert f"like {call_id(0)} 1.00 (exact)  {QUOTE}" in shown.output


def test_a_rule_s_cluster_holds_all_that_pairs_connect(project: Project) -> None:
    found = section(project, "rule quotes")

    assert [cluster.size for cluster in found.clusters] == [12]
    assert len(found.clusters[0].members) == 5
    assert "11 pairs of the level sentence by exact from 1 on" in found.summary


def test_the_same_prompt_with_different_answers_is_a_conflict_that_stays(project: Project) -> None:
    found = section(project, "Conflicts")

    assert {member.id for cluster in found.clusters for member in cluster.members} == {call_id(30), call_id(31)}
    assert {call_id(30), call_id(31)} <= set(project.tables.read("mixture/chat")["id"])


def test_benchmark_rows_and_the_records_that_hold_them_are_told(project: Project) -> None:
    found = section(project, "Evaluation sets")

    assert found.summary == "exam: 1 of its rows in 1 records."
    assert [(cluster.title, cluster.members[0].id) for cluster in found.clusters] == [("row 1 of exam", call_id(40))]


def test_pairs_within_test_and_between_splits_are_told(project: Project) -> None:
    found = section(project, "Between splits")
    splits = dict(project.tables.read("splits").select("id", "split").iter_rows())
    first = splits[call_id(0)]
    across = sum(splits[call_id(n)] != first for n in range(1, 12))
    within = sum(splits[call_id(n)] == "test" for n in range(1, 12)) if first == "test" else 0

    assert found.summary == f"{within} pairs within test, {across} between two splits, from the rules' floors on."
    assert across > 0
    assert len(found.clusters) == min(across, 10)


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_a_page_says_the_same_and_holds_no_personal_data(project: Project, tmp_path: Path, name: str) -> None:
    done = ran(project, "--output", str(tmp_path / name))

    assert done.exit_code == 0, done.output
    page = (tmp_path / name).read_text("utf-8").replace("\\", "")
    for said in (call_id(21), "rule quotes", "row 1 of exam", "11 pairs"):
        assert said in page
    assert "jane.roe" not in page


def test_a_page_of_another_form_or_of_no_tables_is_refused(project: Project, tmp_path: Path) -> None:
    other = ran(project, "-o", str(tmp_path / "report.pdf"))
    nothing = ran(write_project(tmp_path))

    assert other.exit_code == nothing.exit_code == 2
    assert "a page is written as .html or .md" in other.output
    assert "nothing to report yet; `flywheel run`" in nothing.output


def test_what_a_record_says_is_no_markup() -> None:
    said = "<script>alert(1)</script> | **bold** [x](y) `code`"
    sections = [Section("T", "S", (Cluster("C", 3, (Member("id", "day", "near", 0.5, "m", said),)),))]

    page, markdown = as_html(sections, title="T"), as_markdown(sections, title="T")

    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    row = markdown.splitlines()[-2]
    assert len(re.findall(r"(?<!\\)\|", row)) == 7
    assert not re.search(r"(?<!\\)[*`<\[]", row)
    assert said in "\n".join(as_text(sections))
    assert "C (2 not shown)" in page
