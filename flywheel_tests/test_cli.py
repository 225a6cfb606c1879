"""The command, run as its users run it: what it prints, what it makes, and what it says of their mistakes."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from flywheel.project import Project
from flywheel_tests.commands import flywheel, flywheel_here, refused, succeeded
from flywheel_tests.projects import call, call_id, write_log, write_project

REPOSITORY = Path(__file__).parent.parent
TOML = """end = "2026-03-05"

[[filters]]
use = "empty_reply"

[[filters]]
use = "length"
minimum = 2
"""
UP_TO_DATE = "Everything is up to date: nothing to make."


def versions(root: Path) -> dict[str, int | None]:
    tables = Project.open(root / "flywheel.toml").tables
    return {name: tables.version(name) for name in tables.names()}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project of two days that has been run once, and what the run printed. Tests that change it take a copy."""
    root = tmp_path_factory.mktemp("project")
    first: list[dict[str, Any] | str] = [*(call(n) for n in range(12)), "no json", call(3), call(40, reply=" ")]
    write_project(root, {"2026-03-02": first, "2026-03-03": [call(n) for n in range(12, 20)]}, toml=TOML)
    return root, succeeded(flywheel("run", cwd=root))


@pytest.fixture
def copy(ran: tuple[Path, str], tmp_path: Path) -> Path:
    return Path(shutil.copytree(ran[0], tmp_path / "copy", symlinks=True))


def row_of(printed: str, stage: str) -> list[str]:
    """The numbers of one line of the funnel, and the reasons."""
    line = next(line for line in printed.splitlines() if line.startswith(f"│ {stage} "))
    return [cell.strip() for cell in line.strip("│").split("│")[1:]]


@pytest.mark.slow
def test_a_run_prints_where_every_row_went_and_where_the_set_is(ran: tuple[Path, str]) -> None:
    root, printed = ran

    assert row_of(printed, "records") == ["23", "21", "91.3%", "1", "1", "not_json 1, same_id 1"]
    assert row_of(printed, "curated") == ["21", "20", "95.2%", "1", "·", "empty_reply 1"]
    assert row_of(printed, "training_set/chat")[:2] == ["20", "20"]
    assert f"{root}/data/sets/chat/" in printed
    assert (root / "data/sets/chat/latest/train.jsonl").exists()


@pytest.mark.slow
def test_a_second_run_says_that_all_is_up_to_date_and_makes_nothing(ran: tuple[Path, str]) -> None:
    before = versions(ran[0])

    printed = succeeded(flywheel("run", cwd=ran[0]))

    assert UP_TO_DATE in printed
    assert "made" not in printed
    assert versions(ran[0]) == before


@pytest.mark.slow
def test_a_day_and_a_selection_limit_what_is_made(copy: Path) -> None:
    for day, numbers in (("2026-03-04", range(20, 24)), ("2026-03-05", range(24, 30))):
        write_log(copy, day, "app.jsonl", [call(n) for n in numbers])

    succeeded(flywheel_here("run", "--day", "2026-03-04", "--select", "*cleaned", cwd=copy))
    tables = Project.open(copy / "flywheel.toml").tables
    made = {name: tables.partitions(name) for name in ("records", "cleaned", "scrubbed", "curated")}
    succeeded(flywheel_here("run", "--day", "2026-03-04", cwd=copy))

    assert made["records"] == made["cleaned"] == ["2026-03-02", "2026-03-03", "2026-03-04"]
    assert made["scrubbed"] == made["curated"] == ["2026-03-02", "2026-03-03"]
    assert tables.partitions("curated") == ["2026-03-02", "2026-03-03", "2026-03-04"]
    assert tables.rows("mixture/chat") == 24


@pytest.mark.slow
def test_a_sample_from_another_folder_has_tables_of_its_own_and_about_so_many_entries(
    ran: tuple[Path, str], tmp_path: Path
) -> None:
    before = versions(ran[0])

    printed = succeeded(flywheel_here("run", "--sample", "6", "--config", str(ran[0] / "flywheel.toml"), cwd=tmp_path))

    assert row_of(printed, "records")[:2] == ["6", "6"]
    assert versions(ran[0]) == before
    assert Project.open(ran[0] / "flywheel.toml", sample=6).tables.rows("mixture/chat") == 6
    assert list(tmp_path.iterdir()) == []


MISTAKES = {
    "an unknown key": ("[logs]\nurls = 1", "urls"),
    "no TOML": ("[project", "not valid TOML"),
    "an unknown filter": ('[[filters]]\nuse = "lenght"', "Did you mean 'length'?"),
    "an unknown setting of a filter": ('[[filters]]\nuse = "length"\nmaximal = 3', "no setting 'maximal'"),
    "an unknown format": ('[[sets]]\nname = "a"\nformat = "openai"', "Did you mean 'openai_chat'?"),
    "an unknown dialect": ('[logs]\ndialect = "openai"', "no source is called 'openai'"),
    "no log file": ('[logs]\nurl = "nowhere/{date}/*"', "no log file matches"),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", sorted(MISTAKES))
def test_a_mistake_is_one_message_with_exit_code_2(mistake: str, tmp_path: Path) -> None:
    toml, said = MISTAKES[mistake]
    write_log(tmp_path, "2026-03-02", "app.jsonl", [call(1)])
    base = "" if "project" in toml else '[project]\nstart = "2026-03-01"\n'
    (tmp_path / "flywheel.toml").write_text(base + toml, "utf-8")

    message = refused(flywheel_here("run", cwd=tmp_path))

    assert said in message
    assert len(message) < 1200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--day 2026-04-01", "There are 2026-03-02, 2026-03-03"),
        ("--day yesterday", "There are 2026-03-02, 2026-03-03"),
        ("--select cleand", "There are agreement, anonymity, cleaned, conversations"),
        ("--select (((", "no asset selection"),
        ("--sample 0", "not in the range"),
    ],
)
def test_an_option_that_means_nothing_is_refused_with_what_there_is(ran: tuple[Path, str], options: str, said: str) -> None:
    assert said in refused(flywheel_here("run", *options.split(), cwd=ran[0]))


@pytest.mark.parametrize("command", [["run"], ["sql", "select 1"], ["trace", "x"]])
def test_a_folder_without_a_project_is_told_how_to_make_one(command: list[str], tmp_path: Path) -> None:
    assert "flywheel init" in refused(flywheel(*command, cwd=tmp_path))


def test_a_slow_query_draws_no_progress_into_its_answer(ran: tuple[Path, str]) -> None:
    setting = "select current_setting('enable_progress_bar') as drawn"

    assert succeeded(flywheel_here("sql", setting, cwd=ran[0])).split() == ["drawn", "False"]


def test_sql_answers_an_argument_and_standard_input(ran: tuple[Path, str]) -> None:
    answer = succeeded(flywheel("sql", "select count(*) as n from mixture_chat", cwd=ran[0]))
    several = "select fate, count(*) as n\nfrom ledger group by all order by n desc, fate;\nselect 7 as seven;\nselect 8 as eight"
    answers = succeeded(flywheel("sql", cwd=ran[0], stdin=several))

    assert answer.split() == ["n", "20"]
    assert [line.split() for line in answers.splitlines()] == [
        ["fate", "n"],
        ["kept", "20"],
        ["dropped", "1"],
        ["merged", "1"],
        ["rejected", "1"],
        ["seven"],
        ["7"],
        ["eight"],
        ["8"],
    ]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("selec 1", "syntax error"),
        ("select * from nobody", "nobody"),
        ("select * from read_csv('{file}')", "disabled"),
        ("copy (select 1) to '{file}'", "disabled"),
        ("attach '{file}'", "disabled"),
        ("set enable_external_access = true", "locked"),
        ("install httpfs", "disabled"),
    ],
)
def test_sql_refuses_what_is_wrong_and_reaches_no_file(ran: tuple[Path, str], tmp_path: Path, query: str, said: str) -> None:
    file = tmp_path / "private.csv"
    file.write_text("secret\n1\n", "utf-8")

    message = refused(flywheel_here("sql", query.format(file=file), cwd=ran[0]))

    assert said in message
    assert file.read_text("utf-8") == "secret\n1\n"


def test_trace_follows_an_id_and_a_line_of_a_set_from_the_log_to_the_export(ran: tuple[Path, str]) -> None:
    root, _ = ran
    by_line = succeeded(flywheel("trace", "data/sets/chat/latest/train.jsonl:1", cwd=root))
    found = by_line.splitlines()[0].removeprefix("record ")
    by_id = succeeded(flywheel("trace", found, cwd=root))
    first = json.loads((root / "data/sets/chat/latest/train.jsonl").read_text("utf-8").splitlines()[0])

    assert by_id == by_line
    assert "logs/2026-03-0" in by_id.splitlines()[1]
    assert by_id.splitlines()[-1].split()[:2] == ["sets/chat", "exported"]
    number = int(found.removeprefix("chatcmpl-"))
    assert first["messages"][-1]["content"] == call(number)["response"]["choices"][0]["message"]["content"]


def test_trace_says_why_a_row_left_and_knows_no_strangers(ran: tuple[Path, str]) -> None:
    assert "dropped      reason empty_reply" in succeeded(flywheel_here("trace", call_id(40), cwd=ran[0]))
    assert "no table knows 'nobody'" in refused(flywheel_here("trace", "nobody", cwd=ran[0]))
    assert "no line 99" in refused(flywheel_here("trace", "data/sets/chat/latest/train.jsonl:99", cwd=ran[0]))


def install(folder: Path, name: str, entry_points: str, module: str = "") -> None:
    """What a package leaves in a folder of the path: its metadata, and a module when it has one."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(entry_points, "utf-8")
    if module:
        (folder / f"{name}.py").write_text(module, "utf-8")


def test_the_list_of_plugins_has_every_built_in_and_says_where_it_comes_from(tmp_path: Path) -> None:
    listed = [json.loads(line) for line in succeeded(flywheel("plugins", "list", "--json", cwd=tmp_path)).splitlines()]
    table = succeeded(flywheel("plugins", "list", cwd=tmp_path))

    own = {(row["kind"], row["name"]) for row in listed if row["origin"].startswith("flywheel ")}
    assert own >= {
        ("source", "openai_chat"),
        ("source", "otel_genai"),
        ("source", "langfuse"),
        ("source", "messages"),
        ("filter", "length"),
        ("filter", "refusal"),
        ("synthesizer", "typos"),
        ("format", "openai_chat"),
        ("format", "trl_messages"),
    }
    assert all(row["about"] and not row["problem"] for row in listed)
    assert all(row["name"] in table for row in listed)


def test_a_broken_plugin_is_listed_with_its_reason_beside_the_sound_ones(tmp_path: Path) -> None:
    install(tmp_path / "site", "flywheel_broken", "[flywheel.filters]\nbroken = flywheel_broken:Gone\n", "import not_there\n")

    done = flywheel("plugins", "list", "--json", cwd=tmp_path, **path_with(tmp_path / "site"))
    rows = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "No module named 'not_there'" in rows["broken"]["problem"]
    assert rows["length"]["problem"] is None


def path_with(folder: Path) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))}


def test_init_makes_a_project_once(tmp_path: Path) -> None:
    succeeded(flywheel("init", "mine", "--no-demo-logs", cwd=tmp_path))
    made = {path.name for path in (tmp_path / "mine").iterdir()}

    assert made == {"assets", "flywheel.toml", "workspace.yaml", "dagster.yaml", ".gitignore"}
    assert "already holds a project" in refused(flywheel("init", "mine", cwd=tmp_path))


@pytest.mark.slow
def test_the_wheel_holds_only_flywheel_and_runs_a_project_that_it_made(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    offline = ["--no-index", "--no-deps"]
    subprocess.run(
        [*pip, "wheel", *offline, "--no-build-isolation", "-w", str(tmp_path), str(REPOSITORY)], check=True, timeout=200
    )
    (wheel,) = tmp_path.glob("*.whl")
    target = tmp_path / "site"
    subprocess.run([*pip, "install", *offline, "--target", str(target), str(wheel)], check=True, timeout=200)

    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {"flywheel", wheel.name.partition("-py3")[0] + ".dist-info"}
    assert {"flywheel/template/assets/run.py", "flywheel/template/workspace.yaml", "flywheel/py.typed"} <= set(names)
    assert not [name for name in names if "__pycache__" in name]

    path = {"PYTHONPATH": str(target)}
    shell = [sys.executable, str(target / "bin" / "flywheel")]
    where = flywheel("-c", "import flywheel; print(flywheel.__file__)", cwd=tmp_path, command=[sys.executable], **path)
    assert where.stdout.startswith(str(target))
    succeeded(flywheel("init", "mine", cwd=tmp_path, command=shell, **path))
    config = tmp_path / "mine" / "flywheel.toml"
    config.write_text(config.read_text("utf-8").partition("[[filters]]")[0], "utf-8")
    for extra in ("2026-03-03", "2026-03-04", "2026-03-05"):
        shutil.rmtree(tmp_path / "mine" / "logs" / extra)

    printed = succeeded(flywheel("run", "--sample", "30", cwd=tmp_path / "mine", command=shell, **path))

    assert row_of(printed, "training_set/chat")[0] != "0"
    assert "dagster dev" in printed
