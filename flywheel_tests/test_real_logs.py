"""`flywheel run` over the logs and data sets of other projects: nothing crashes, and every line is accounted for."""

import gzip
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

from flywheel.format.check import check_file
from flywheel.inspect.ledger import ledger_facts
from flywheel.project import Project
from flywheel_tests.commands import flywheel, succeeded
from flywheel_tests.shared import shared_data

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FOLDERS = ("provider_logs", "tau_bench", "trace_exports/langfuse", "llamafactory_demo", "oasst_en100")
SETS = {"openai": "openai_chat", "messages": "trl_messages", "completion": "trl_prompt_completion"}


class Ran(NamedTuple):
    project: Project
    files: list[Path]
    printed: str
    """What the first run printed."""
    again: str
    """What the second one printed, over the same files."""
    versions: tuple[dict[str, int | None], dict[str, int | None]]
    """Of every table after the first run and after the second."""


def versions(project: Project) -> dict[str, int | None]:
    return {name: project.tables.version(name) for name in project.tables.names()}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    root = tmp_path_factory.mktemp("real")
    folders = [shared_data(name) for name in FOLDERS]
    urls = [*(f"{folder}/*" for folder in folders), "logs/*"]
    sets = "".join(f'\n[[sets]]\nname = "{name}"\nformat = "{format_}"\n' for name, format_ in SETS.items())
    head = '[project]\nname = "real"\nstart = "2026-01-01"\nend = "2026-01-01"\n'
    (root / "flywheel.toml").write_text(f'{head}\n[logs]\nurl = {json.dumps(urls)}\n[scrub]\nner = "rules"\n{sets}', "utf-8")
    printed = succeeded(flywheel("run", cwd=root))
    project = Project.open(root / "flywheel.toml")
    first = versions(project)
    again = succeeded(flywheel("run", cwd=root))
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()]
    return Ran(project, files, printed, again, (first, versions(project)))


def lines_of(path: Path) -> tuple[int, int]:
    """Lines and blank lines of a file as the standard library sees them; the elements of a JSON document are its lines."""
    body = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    try:
        document = json.loads(body)
    except ValueError:
        lines = body.removesuffix(b"\n").split(b"\n")
        return len(lines), sum(not line.strip() for line in lines)
    return (len(document), 0) if isinstance(document, list) else (1, 0)


def test_every_line_of_every_file_is_counted_once(ran: Ran) -> None:
    reads = {row["file"]: row for row in ran.project.tables.read("reads").to_dicts()}

    assert set(reads) == set(map(str, ran.files))
    assert {file: (row["lines"], row["blank"]) for file, row in reads.items()} == {str(p): lines_of(p) for p in ran.files}
    assert [f for f, row in reads.items() if row["lines"] != row["accepted"] + row["rejected"] + row["blank"]] == []


def test_the_ledger_says_of_every_entry_where_it_went(ran: Ran) -> None:
    tables = ran.project.tables
    ledger = tables.read("ledger")
    entries = dict(ledger.group_by("file").agg(pl.col("offset").n_unique()).iter_rows())
    rows = dict(ledger.group_by("file").len().iter_rows())

    for file, lines, blank, records, rejected in (
        tables.read("reads").select("file", "lines", "blank", "records", "rejected").iter_rows()
    ):
        assert entries.get(file, 0) == lines - blank, file
        assert rows.get(file, 0) == records + rejected, file
    assert set(ledger["fate"]) == {"kept", "dropped", "merged", "rejected"}
    left = ledger.filter(pl.col("fate") != "kept")
    assert left.filter(pl.col("stage").is_null() | pl.col("reason").is_null()).is_empty()
    assert ledger.filter(pl.col("fate") == "kept", pl.col("sets").list.len() == 0).is_empty()
    facts = ledger_facts(tables, ran.project.settings)
    assert (facts["unaccounted"], facts["stages_that_do_not_add_up"]) == (0, 0)


def test_what_the_ledger_calls_kept_is_what_the_sets_hold(ran: Ran) -> None:
    held = {name: set(pl.read_parquet(ran.project.sets / name / "latest" / "lineage.parquet")["id"]) for name in SETS}
    kept = ran.project.tables.read("ledger").filter(pl.col("fate") == "kept").select("id", pl.col("sets").list.sort())
    expected = {id: sorted(name for name in SETS if id in held[name]) for id in set().union(*held.values())}

    assert dict(kept.iter_rows()) == expected


def test_all_conversations_of_clean_data_sets_are_read(ran: Ran) -> None:
    accepted = {Path(file).name: n for file, n in ran.project.tables.read("reads").select("file", "accepted").iter_rows()}

    whole = [path for path in ran.files if path.parent.name == "llamafactory_demo" and "demo" in path.name.partition(".")[0]]
    assert len(whole) == 6
    assert {path.name: accepted[path.name] for path in whole} == {path.name: lines_of(path)[0] for path in whole}
    assert accepted["gpt-4o-airline.trajectories.jsonl.gz"] == 112
    assert accepted["en_100_tree.jsonl.gz"] == accepted["en_100_message.jsonl.gz"] == 100


def calls() -> dict[int, dict[str, Any]]:
    """The recorded provider calls by the offset of their line."""
    found, offset = {}, 0
    with gzip.open(shared_data("provider_logs") / "interactions.jsonl.gz") as file:
        for line in file:
            found[offset] = json.loads(line)
            offset += len(line)
    return found


def test_calls_that_ended_in_an_http_error_are_in_no_set(ran: Ran) -> None:
    failed = {offset for offset, call in calls().items() if call["status"] >= 400}
    ledger = ran.project.tables.read("ledger").filter(pl.col("file").str.ends_with("interactions.jsonl.gz"))
    fates = ledger.filter(pl.col("offset").is_in(failed))

    assert len(failed) == 11
    assert fates.select("fate", "reason").rows() == [("rejected", "http_error")] * 11
    for name in SETS:
        lineage = pl.read_parquet(ran.project.sets / name / "latest" / "lineage.parquet")
        own = lineage.filter(pl.col("file").str.ends_with("interactions.jsonl.gz"))
        assert own.height > 100
        assert not failed & set(own["offset"])


@pytest.mark.parametrize("name", sorted(SETS))
def test_the_exported_files_hold_their_trainers_rules_and_load_with_datasets(
    ran: Ran, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    datasets = pytest.importorskip("datasets")
    folder = ran.project.sets / name / "latest"
    manifest = json.loads((folder / "manifest.json").read_bytes())

    for file in manifest["files"]:
        assert [problem for problem in check_file(folder / file["name"], SETS[name]) if problem.level == "error"] == []
    rows = {file["split"]: file["rows"] for file in manifest["files"]}
    assert sum(rows.values()) > 3000
    assert set(rows) == {"train", "validation", "test"}
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {split: loaded[split].num_rows for split in loaded} == rows


def test_a_second_run_makes_nothing(ran: Ran) -> None:
    assert "Everything is up to date: nothing to make." in ran.again
    assert ran.versions[0] == ran.versions[1]


def test_copies_delivered_again_under_other_names_add_no_row(ran: Ran) -> None:
    root, tables = ran.project.settings.root, ran.project.tables
    before = Counter(tables.read("mixture/chat")["id"].to_list())
    sets = {name: (ran.project.sets / name / "latest").resolve().name for name in SETS}
    (root / "logs").mkdir()
    copied = [path for path in ran.files if path.name in ("interactions.jsonl.gz", "identity.json.gz")]
    for path in copied:
        shutil.copyfile(path, root / "logs" / f"again-{path.name}")

    succeeded(flywheel("run", cwd=root))

    assert Counter(tables.read("mixture/chat")["id"].to_list()) == before
    assert {name: (ran.project.sets / name / "latest").resolve().name for name in SETS} == sets
    again = tables.read("ledger").filter(pl.col("file").str.starts_with("logs/again-"), pl.col("fate") != "rejected")
    assert len(copied) == 2
    assert set(again.select("fate", "reason").rows()) == {("merged", "same_id")}
    assert again.height == 260 + 91
