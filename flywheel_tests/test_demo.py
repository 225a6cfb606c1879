"""`flywheel demo` on the bundled logs: without a network, without a planted value in what it wrote, with the planted sums."""

import json
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import polars as pl
import pytest

from flywheel.demo import DEMO
from flywheel.inspect.ledger import ledger_facts
from flywheel.project import Project
from flywheel_tests.commands import flywheel, succeeded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PLANTED: dict[str, Any] = json.loads((DEMO / "planted.json").read_text("utf-8"))
RAW_BY_DESIGN = {"records", "conversations", "cleaned"}
SETS = ("chat", "completion", "trl")


class Ran(NamedTuple):
    project: Project
    printed: str
    offline: bool


@cache
def without_network() -> tuple[str, ...]:
    """The command that takes the network away from a process, or nothing where that needs rights that we do not have."""
    tool = shutil.which("unshare")
    allowed = tool is not None and subprocess.run([tool, "-n", "true"], capture_output=True, check=False).returncode == 0
    return (tool, "-n") if tool is not None and allowed else ()


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    root = tmp_path_factory.mktemp("demo")
    printed = succeeded(flywheel("demo", "mine", cwd=root, before=without_network()))
    return Ran(Project.open(root / "mine" / "flywheel.toml"), printed, bool(without_network()))


def test_the_demo_runs_without_a_network(ran: Ran) -> None:
    if not ran.offline:
        pytest.skip("needs the right to `unshare -n`; the demo ran with the network in reach")

    assert " nodes made in " in ran.printed
    assert (ran.project.sets / "chat" / "latest" / "train.jsonl").exists()


def test_it_ends_with_the_funnel_three_rows_the_sets_and_the_way_to_the_interface(ran: Ran) -> None:
    assert "Where the rows went" in ran.printed
    assert ran.printed.count("\n  assistant: ") == 3
    assert all(str((ran.project.sets / name / "latest").resolve()) in ran.printed for name in SETS)
    assert "dagster dev" in ran.printed


def texts(ran: Ran) -> Iterator[tuple[str, str]]:
    """Everything that the run wrote, but for the raw tables: where, and its text; packed files unpacked beside their bytes."""
    root = ran.project.settings.root
    yield "printed", ran.printed
    for path in sorted(root.rglob("*")):
        where = path.relative_to(root)
        if path.is_symlink() or not path.is_file() or where.parts[0] in ("logs", "assets"):
            continue
        if where.parts[:2] == ("data", "tables") and where.parts[2] in RAW_BY_DESIGN and path.suffix == ".parquet":
            continue
        body = path.read_bytes()
        yield str(where), body.decode("utf-8", "replace")
        if path.suffix == ".parquet":
            rows = pl.read_parquet(path, hive_partitioning=False).to_dicts()
            yield str(where), "\n".join(json.dumps(row, ensure_ascii=False, default=str) for row in rows)
        elif body.startswith(b"SQLite format 3"):
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
                for (table,) in database.execute("select name from sqlite_master where type = 'table'").fetchall():
                    yield f"{where} {table}", "\n".join(map(str, database.execute(f'select * from "{table}"').fetchall()))


def found(planted: dict[str, list[str]], written: Iterator[tuple[str, str]]) -> dict[str, dict[str, set[str]]]:
    """For each type its values that are in the text, as they are or as JSON writes them, and the places that hold them."""
    owner = {form: (kind, v) for kind, values in planted.items() for v in values for form in (v, json.dumps(v)[1:-1])}
    result: dict[str, dict[str, set[str]]] = {}
    for where, text in written:
        for form in pl.Series([text]).str.extract_many(list(owner), overlapping=True).explode().drop_nulls().unique():
            kind, value = owner[form]
            result.setdefault(kind, {}).setdefault(value, set()).add("/".join(where.split("/")[:3]))
    return result


def test_no_planted_value_is_in_any_byte_behind_the_scrubber(ran: Ran) -> None:
    planted = {kind: list(values) for kind, values in PLANTED["personal"].items()}
    places = [where for where, _ in texts(ran)]

    survived = found(planted, texts(ran))

    assert any(".dagster/history" in where for where in places)
    assert any("compute_logs" in where for where in places)
    assert any("tables/scrubbed" in where for where in places)
    assert survived == {}


def test_the_search_finds_what_is_there(ran: Ran) -> None:
    planted = {kind: list(values) for kind, values in PLANTED["personal"].items() if kind != "user_id"}
    raw = pl.read_parquet(ran.project.tables.uri("records") + "/**/*.parquet", hive_partitioning=False)
    text = "\n".join(json.dumps(row, ensure_ascii=False, default=str) for row in raw.to_dicts())

    seen = found(planted, iter([("raw", text)]))

    assert {kind: len(seen[kind]) for kind in planted} == {kind: len(values) for kind, values in planted.items()}


def in_sets(ran: Ran) -> dict[str, set[str]]:
    """The planted form of the ids that each set holds, synthetic ones left out."""
    lineage = {name: pl.read_parquet(ran.project.sets / name / "latest" / "lineage.parquet") for name in SETS}
    return {
        name: {id.removeprefix("chatcmpl-") for id in rows.filter(pl.col("file").is_not_null())["id"]}
        for name, rows in lineage.items()
    }


@pytest.mark.parametrize("kind", ["error", "truncated", "refusal", "control", "empty", "repetitive"])
def test_what_nobody_wants_to_train_on_is_in_no_set(ran: Ran, kind: str) -> None:
    unwanted = set(PLANTED["kinds"][kind])

    assert len(unwanted) == PLANTED["counts"][kind] > 0
    assert {name: ids & unwanted for name, ids in in_sets(ran).items()} == {name: set() for name in SETS}


@pytest.mark.parametrize("kind", ["personal", "tool", "secret", "html", "mojibake", "surrogate", "candidates", "regenerated"])
def test_what_was_mended_or_scrubbed_stays(ran: Ran, kind: str) -> None:
    assert [id for id in PLANTED["kinds"][kind] if id not in in_sets(ran)["chat"]] == []


def families() -> list[set[str]]:
    """Planted duplicates with what they repeat, exact and near, joined where they share a member."""
    joined: list[set[str]] = []
    for row in PLANTED["exact_duplicates"] + PLANTED["near_duplicates"]:
        touched = [family for family in joined if {row["id"], row["of"]} & family]
        joined = [family for family in joined if family not in touched]
        joined.append({row["id"], row["of"]}.union(*touched))
    return joined


def test_of_every_planted_family_of_duplicates_one_is_in_the_set(ran: Ran) -> None:
    counts = Counter(len(family & in_sets(ran)["chat"]) for family in families())

    assert sum(map(len, families())) - len(families()) == 96
    assert counts == {1: len(families())}


def test_the_sums_are_the_planted_ones(ran: Ran) -> None:
    tables = ran.project.tables
    reads = {row["file"].removeprefix("logs/"): row for row in tables.read("reads").to_dicts()}
    expected = {
        # lines of nothing but NUL bytes, which a crash leaves behind, count as blank
        name: (facts["lines"], facts["blank"] + facts["broken"].get("nul", 0), facts["answered"])
        for name, facts in PLANTED["files"].items()
    }
    rejected = dict(
        tables.read("ledger").filter(fate="rejected").group_by(pl.col("file").str.strip_prefix("logs/")).len().iter_rows()
    )

    assert {name: (row["lines"], row["blank"], row["records"]) for name, row in reads.items()} == expected
    for name, row in reads.items():
        assert row["lines"] == row["accepted"] + row["rejected"] + row["blank"], name
        assert rejected.get(name, 0) == row["rejected"], name
    fresh = {name for name, facts in PLANTED["files"].items() if "redelivery_of" not in facts}
    assert sum(reads[name]["records"] for name in fresh) == PLANTED["totals"]["answered_calls"]
    facts = ledger_facts(tables, ran.project.settings)
    assert (facts["unaccounted"], facts["stages_that_do_not_add_up"]) == (0, 0)


def test_a_redelivered_file_adds_nothing(ran: Ran) -> None:
    copies = [f"logs/{name}" for name, facts in PLANTED["files"].items() if "redelivery_of" in facts]
    ledger = ran.project.tables.read("ledger").filter(pl.col("file").is_in(copies), pl.col("fate") != "rejected")

    assert len(copies) == 2
    assert ledger.filter(fate="kept").is_empty()
    assert ran.project.tables.read("mixture/chat")["id"].is_duplicated().sum() == 0
