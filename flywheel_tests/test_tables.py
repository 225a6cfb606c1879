import multiprocessing
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from flywheel.records import SCHEMA, Record, from_batch, text_message, to_batch
from flywheel.schema import column
from flywheel.tables import Overtaken, Tables

NUMBERS = pa.schema([("n", pa.int64())])


def numbers(*values: int) -> pl.DataFrame:
    return pl.DataFrame({"n": list(values)}, schema={"n": pl.Int64})


def test_records_come_back_equal_and_in_written_order(tmp_path: Path) -> None:
    tables = Tables(str(tmp_path))
    records = [Record(id=str(i), messages=(text_message("user", f"q{i}"),)) for i in range(25)]
    batch = to_batch(records)

    tables.write("records", [batch[:10], batch[10:]], schema=SCHEMA, fingerprint=7, day="2026-01-01")

    assert from_batch(tables.read("records", day="2026-01-01")) == records


def test_a_write_replaces_its_partition_and_no_other(tmp_path: Path) -> None:
    tables = Tables(str(tmp_path))
    tables.write("t", numbers(1, 2), schema=NUMBERS, fingerprint=1, day="a")
    tables.write("t", numbers(3), schema=NUMBERS, fingerprint=2, day="b")
    tables.write("t", numbers(4), schema=NUMBERS, fingerprint=3, day="a")

    assert tables.read("t", day="a")["n"].to_list() == [4]
    assert tables.read("t", day="b")["n"].to_list() == [3]
    assert [batch["n"].to_list() for batch in tables.batches("t")] == [[4], [3]]


@pytest.mark.parametrize("value", ["mixture/chat", "50 %", "a=b", "ümlaut", "it's", "..", "a%2Fb"])
def test_a_partition_value_may_hold_any_character(tmp_path: Path, value: str) -> None:
    tables = Tables(str(tmp_path))
    tables.write("t", numbers(1), schema=NUMBERS, fingerprint=1, stage=value)
    tables.write("t", numbers(2), schema=NUMBERS, fingerprint=2, stage=value)
    tables.write("t", numbers(3), schema=NUMBERS, fingerprint=3, stage="other")

    assert tables.read("t", stage=value)["n"].to_list() == [2]
    assert [batch["n"].to_list() for batch in tables.batches("t", stage=value)] == [[2]]
    assert tables.rows("t", stage=value) == 1


def test_an_empty_partition_is_written_and_has_a_fingerprint(tmp_path: Path) -> None:
    tables = Tables(str(tmp_path))
    tables.write("t", numbers(), schema=NUMBERS, fingerprint=5, day="a")

    assert tables.read("t").height == 0
    assert (tables.fingerprint("t", day="a"), tables.fingerprint("t", day="b")) == (5, None)


def test_the_fingerprint_of_a_partition_may_fall_as_well_as_rise(tmp_path: Path) -> None:
    tables = Tables(str(tmp_path))
    for fingerprint in (9, 3):
        tables.write("t", numbers(1), schema=NUMBERS, fingerprint=fingerprint, day="a")
        assert tables.fingerprint("t", day="a") == fingerprint


def test_old_versions_can_be_read(tmp_path: Path) -> None:
    tables = Tables(str(tmp_path))
    first = tables.write("t", numbers(1), schema=NUMBERS, fingerprint=1)
    tables.write("t", numbers(2), schema=NUMBERS, fingerprint=2)

    assert tables.read("t", version=first.version)["n"].to_list() == [1]
    assert tables.read("t")["n"].to_list() == [2]


def test_a_write_that_fails_before_its_commit_changes_nothing(tmp_path: Path) -> None:
    tables = Tables(str(tmp_path))
    tables.write("t", numbers(1), schema=NUMBERS, fingerprint=1, day="a")

    def fail() -> None:
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        tables.write("t", numbers(2), schema=NUMBERS, fingerprint=2, before_commit=fail, day="a")

    assert tables.read("t")["n"].to_list() == [1]
    assert tables.fingerprint("t", day="a") == 1


def test_many_partitions_are_replaced_in_one_commit(tmp_path: Path) -> None:
    tables = Tables(str(tmp_path))
    tables.write_partitions("t", {"a": numbers(1), "b": numbers(2)}, schema=NUMBERS, fingerprints={"a": 1, "b": 2, "*": 3})
    second = tables.write_partitions("t", {"b": numbers(4)}, schema=NUMBERS, fingerprints={"a": 5, "b": 6, "*": 7})

    assert second.version == 1
    assert tables.read("t")["n"].to_list() == [4]
    assert [tables.fingerprint("t", day=day) for day in ("a", "b", "*")] == [5, 6, 7]


def test_some_partitions_are_replaced_in_one_commit_that_goes_on_from_a_version(tmp_path: Path) -> None:
    tables = Tables(str(tmp_path))
    tables.write_partitions("t", {day: numbers(1) for day in "abc"}, schema=NUMBERS, fingerprints={"a": 1, "b": 2, "c": 3})
    since = tables.version("t")

    tables.write_partitions(
        "t", {"a": numbers(2), "b": numbers(), "d": numbers(4)}, schema=NUMBERS, fingerprints={"b": 9}, since=since
    )

    assert tables.read("t").sort("day").rows() == [(2, "a"), (1, "c"), (4, "d")]
    assert [tables.fingerprint("t", day=day) for day in "abcd"] == [1, 9, 3, None]
    assert since is not None
    assert tables.partitions("t", version=since) == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["b", "d"])
def test_partitions_are_not_replaced_when_the_table_is_no_longer_at_that_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    tables = Tables(str(tmp_path))
    tables.write_partitions("t", {day: numbers(1) for day in "abc"}, schema=NUMBERS, fingerprints={})
    since = tables.version("t")
    before = tables._open("t")
    tables.write("t", numbers(2), schema=NUMBERS, fingerprint=1, day="a")

    with pytest.raises(Overtaken, match="'t'"):
        tables.write_partitions("t", {name: numbers(3)}, schema=NUMBERS, fingerprints={}, since=since)
    monkeypatch.setattr(Tables, "_open", lambda *_: before)  # the other write comes after this one opened the table
    with pytest.raises(Overtaken, match="'t'"):
        tables.write_partitions("t", {name: numbers(3)}, schema=NUMBERS, fingerprints={}, since=since)
    monkeypatch.undo()

    assert tables.read("t").sort("day").rows() == [(2, "a"), (1, "b"), (1, "c")]


def test_rows_are_picked_by_a_column_from_the_row_groups_that_hold_them(tmp_path: Path) -> None:
    tables = Tables(str(tmp_path))
    for day in "abc":
        tables.write("t", [numbers(*range(at, at + 10)) for at in range(0, 100, 10)], schema=NUMBERS, fingerprint=1, day=day)
    version = tables.version("t")
    tables.write("t", numbers(55), schema=NUMBERS, fingerprint=2, day="b")

    def picked(*values: int, days: str = "bc", version: int | None = None) -> list[tuple[object, ...]]:
        found = tables.pick("t", "n", pl.Series(values, dtype=pl.Int64), partitions=("day", list(days)), version=version)
        return sorted(found.rows())

    assert picked(9, 55, 10, 1000) == [(9, "c"), (10, "c"), (55, "b"), (55, "c")]
    assert picked(99, days="ab", version=version) == [(99, "a"), (99, "b")]
    assert picked() == picked(5, days="") == []


def test_a_table_made_in_the_place_of_another_is_told_from_it(tmp_path: Path) -> None:
    tables = Tables(str(tmp_path))
    assert tables.identity("t") is None
    tables.write("t", numbers(1), schema=NUMBERS, fingerprint=1)
    first = tables.identity("t")
    tables.write("t", numbers(2), schema=NUMBERS, fingerprint=1)
    assert tables.identity("t") == first

    shutil.rmtree(tables.uri("t"))
    tables.write("t", numbers(1), schema=NUMBERS, fingerprint=1)

    assert tables.identity("t") != first


def test_a_table_may_change_its_columns_when_it_is_replaced_whole(tmp_path: Path) -> None:
    tables = Tables(str(tmp_path))
    tables.write("t", numbers(1), schema=NUMBERS, fingerprint=1)
    wider = pa.schema([column("n", pa.int64(), ""), column("m", pa.string(), "")])
    tables.write("t", pl.DataFrame({"n": [2], "m": ["x"]}), schema=wider, fingerprint=2)

    assert tables.read("t").to_dicts() == [{"n": 2, "m": "x"}]


def write_days(root: str, days: list[str]) -> None:
    for day in days:
        Tables(root).write("t", numbers(int(day)), schema=NUMBERS, fingerprint=int(day), day=day)


def test_processes_that_write_different_partitions_at_once_lose_nothing(tmp_path: Path) -> None:
    days = [[f"{process}{number}" for number in range(6)] for process in range(1, 5)]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_days, args=(str(tmp_path), some)) for some in days]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    tables = Tables(str(tmp_path))
    assert sorted(tables.read("t")["n"].to_list()) == sorted(int(day) for some in days for day in some)
    assert all(tables.fingerprint("t", day=day) == int(day) for some in days for day in some)


def test_of_two_writes_of_one_partition_at_once_the_last_stands_whole(tmp_path: Path) -> None:
    tables = Tables(str(tmp_path))
    tables.write("t", numbers(0), schema=NUMBERS, fingerprint=1, day="other")

    def meanwhile() -> None:
        tables.write("t", numbers(1, 1), schema=NUMBERS, fingerprint=2, day="a")

    def slow() -> Iterator[pl.DataFrame]:
        yield numbers(2)
        meanwhile()
        yield numbers(2)

    tables.write("t", slow(), schema=NUMBERS, fingerprint=3, day="a")

    assert (tables.read("t", day="a")["n"].to_list(), tables.fingerprint("t", day="a")) == ([2, 2], 3)


def test_a_table_that_another_process_creates_meanwhile_keeps_its_rows(tmp_path: Path) -> None:
    tables = Tables(str(tmp_path))
    real, opened = Tables._open, []

    def blind_once(self: Tables, name: str, version: int | None = None) -> Any:
        opened.append(name)
        if len(opened) == 1:
            Tables(str(tmp_path)).write("t", numbers(1), schema=NUMBERS, fingerprint=1, day="a")
            return None
        return real(self, name, version)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tables, "_open", blind_once)
        tables.write("t", numbers(2), schema=NUMBERS, fingerprint=2, day="b")

    assert sorted(tables.read("t")["n"].to_list()) == [1, 2]
