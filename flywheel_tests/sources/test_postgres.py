import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import psycopg
import pytest
import zstandard

from flywheel.errors import ConfigError, FlywheelError
from flywheel.plan import Plan
from flywheel.project import Project
from flywheel.sections import Sql
from flywheel.settings import load_settings
from flywheel.sources import postgres
from flywheel.sources.landing import Landing, Part
from flywheel.sources.postgres import landing_glob, pending, pull
from flywheel_tests.projects import call, call_id, make_all, write_project
from flywheel_tests.sources.postgresql import PASSWORD, connect, programs, server

pytestmark = pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed; scripts/postgres installs it")
NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with server() as url:
        yield url


@pytest.fixture
def logs(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection]:
    """An empty table `logs` (id, created_at, entry); its password is in the environment."""
    monkeypatch.setenv("FLYWHEEL_SQL_PASSWORD", PASSWORD)
    with connect(url) as connection:
        connection.execute("drop table if exists logs cascade")
        connection.execute("create table logs (id text, created_at timestamptz, entry json)")
        yield connection


@pytest.fixture
def settings(url: str) -> Sql:
    return Sql(url=url, table="public.logs", entry="entry")


def add(connection: psycopg.Connection, number: int, at: dt.datetime | str | None, entry: Any = None) -> None:
    text = json.dumps(call(number) if entry is None else entry)
    connection.execute("insert into logs values (%s, %s, %s)", (f"row {number}", at, text))


def lines(landing: Path | str) -> list[Any]:
    """Everything that was landed, in the order of the files' names."""
    return [json.loads(line) for path in files(landing) for line in unpacked(landing, path).splitlines()]


def files(landing: Path | str) -> list[str]:
    if isinstance(landing, str):
        return sorted(fsspec.filesystem("memory").glob("/landing/sql/2*/*"))
    return sorted(path.relative_to(landing).as_posix() for path in landing.glob("sql/2*/*"))


def unpacked(landing: Path | str, path: str) -> bytes:
    packed = fsspec.filesystem("memory").cat(path) if isinstance(landing, str) else (landing / path).read_bytes()
    return zstandard.ZstdDecompressor().decompressobj().decompress(packed)


def test_rows_land_once_in_one_file_a_day_and_a_second_pull_lands_the_newer_ones_alone(
    logs: psycopg.Connection, settings: Sql, tmp_path: Path
) -> None:
    for number in range(30):
        add(logs, number, NOON + number * HOUR)

    first = pull(settings, str(tmp_path))
    again = pull(settings, str(tmp_path))
    add(logs, 30, NOON + 30 * HOUR)
    newer = pull(settings, str(tmp_path))

    assert (first.rows, first.files, again.rows, again.files, newer.rows, newer.files) == (30, 2, 0, 0, 1, 1)
    assert [path.split("/")[1] for path in files(tmp_path)] == ["2026-03-02", "2026-03-03", "2026-03-03"]
    assert lines(tmp_path) == [call(number) for number in range(31)]


def test_a_row_that_was_committed_late_is_taken_within_the_overlap_and_missed_behind_it(
    logs: psycopg.Connection, settings: Sql, tmp_path: Path
) -> None:
    add(logs, 1, NOON)
    pull(settings, str(tmp_path))
    add(logs, 2, NOON - HOUR)
    add(logs, 3, NOON)
    add(logs, 4, NOON - HOUR - dt.timedelta(microseconds=1))

    late = pull(settings, str(tmp_path))

    assert late.rows == 2
    assert lines(tmp_path) == [call(2), call(3), call(1)]
    assert pull(settings, str(tmp_path)).rows == 0


def test_a_row_that_is_updated_with_its_watermark_lands_again_as_it_is_now(
    logs: psycopg.Connection, settings: Sql, tmp_path: Path
) -> None:
    add(logs, 1, NOON)
    pull(settings, str(tmp_path))
    logs.execute("update logs set created_at = %s, entry = %s", (NOON + HOUR, json.dumps(call(1, feedback="good"))))

    assert pull(settings, str(tmp_path)).rows == 1
    assert lines(tmp_path) == [call(1), call(1, feedback="good")]


def test_times_without_zone_are_utc_and_days_are_those_of_utc(logs: psycopg.Connection, settings: Sql, tmp_path: Path) -> None:
    logs.execute("alter table logs alter created_at type timestamp using created_at at time zone 'UTC'")
    add(logs, 1, "2026-03-01 23:59:59.999999")
    add(logs, 2, "2026-03-02 00:00:00")

    pull(settings, str(tmp_path))

    assert [path.split("/")[1] for path in files(tmp_path)] == ["2026-03-01", "2026-03-02"]
    assert files(tmp_path)[0].split("/")[2].startswith("235959999999-235959999999-")


def test_rows_from_the_future_wait_and_do_not_hide_what_follows(logs: psycopg.Connection, settings: Sql, tmp_path: Path) -> None:
    add(logs, 1, NOON)
    add(logs, 2, "2199-01-01")
    add(logs, 3, "infinity")
    add(logs, 4, None)
    add(logs, 5, "-infinity")

    first = pull(settings, str(tmp_path))
    add(logs, 6, NOON + HOUR)

    assert (first.rows, first.waiting, first.undated) == (1, 2, 2)
    assert pull(settings, str(tmp_path)).rows == 1


def test_a_days_rows_are_parted_into_files_and_equal_rows_have_equal_files(
    logs: psycopg.Connection, settings: Sql, tmp_path: Path
) -> None:
    for number in range(25):
        add(logs, number, NOON)

    for name in ("one", "two"):
        assert pull(settings, str(tmp_path / name), rows_per_file=10).files == 3

    one, two = ({path: unpacked(tmp_path / name, path) for path in files(tmp_path / name)} for name in ("one", "two"))
    assert one == two
    assert pull(settings, str(tmp_path / "one")).rows == 0


def test_entries_are_made_of_columns_under_names_of_ones_own_or_of_all_columns(
    logs: psycopg.Connection, url: str, tmp_path: Path
) -> None:
    logs.execute(
        "create view asked as select id, created_at, entry->'request' as req, entry->'response' as resp, 7.5 as p from logs"
    )
    add(logs, 1, NOON)
    mapped = Sql(name="mapped", url=url, table="asked", columns={"request": "req", "response": "resp", "score": "p"})
    whole = Sql(name="whole", url=url, query="select id, created_at, 'x\ny' as said from logs;")

    pull(mapped, str(tmp_path))
    pull(whole, str(tmp_path))

    told = {name: json.loads(unpacked(tmp_path, next(tmp_path.glob(f"{name}/2*/*")).as_posix())) for name in ("mapped", "whole")}
    assert told["mapped"] == {"request": call(1)["request"], "response": call(1)["response"], "score": 7.5}
    assert told["whole"] == {"id": "row 1", "created_at": "2026-03-02T12:00:00+00:00", "said": "x\ny"}


def test_every_row_is_one_line_whatever_its_text(logs: psycopg.Connection, settings: Sql, tmp_path: Path) -> None:
    logs.execute("alter table logs alter entry type text")
    for number, text in enumerate(['{\n"a":\r\n1}', "", None, "no\njson", '"\u2028\u0085"']):
        logs.execute("insert into logs values (null, %s, %s)", (NOON + number * HOUR / 60, text))

    pull(settings, str(tmp_path))

    assert unpacked(tmp_path, files(tmp_path)[0]).decode().split("\n") == [
        *('{ "a":  1}', "null", "null", "no json", '"\u2028\u0085"', "")
    ]
    assert pull(settings, str(tmp_path)).rows == 0


PULL_AND_DIE = """
import os, signal, sys
from flywheel.sections import Sql
from flywheel.sources import postgres

calls, after = 0, int(sys.argv[3])

def counted(real):
    def call(*given, **named):
        global calls
        calls += 1
        if calls > after:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **named)
    return call

postgres.os.replace = counted(os.replace)
postgres.os.fsync = counted(os.fsync)
postgres.pull(Sql(url=sys.argv[1], table="logs", entry="entry"), sys.argv[2], rows_per_file=10)
os._exit(7)
"""


@pytest.mark.slow
def test_a_pull_that_is_killed_anywhere_leaves_whole_files_and_the_next_one_completes_them(
    logs: psycopg.Connection, settings: Sql, tmp_path: Path
) -> None:
    for number in range(40):
        add(logs, number, NOON + number * HOUR)
    endings = []
    for after in range(0, 60, 3):
        folder = tmp_path / str(after)
        process = [sys.executable, "-c", PULL_AND_DIE, settings.url, str(folder), str(after)]
        endings.append(subprocess.run(process, check=False).returncode)
        left = lines(folder)
        assert left == [call(number) for number in range(len(left))]

        rest = pull(settings, str(folder), rows_per_file=10)

        assert rest.rows == 40 - len(left)
        assert lines(folder) == [call(number) for number in range(40)]
        assert not list((folder / "sql" / "staging").iterdir())
        if endings[-1] == 7:
            break
    assert set(endings[:-1]) == {-signal.SIGKILL}
    assert endings[-1] == 7
    assert len(endings) > 8


def test_a_server_that_goes_away_half_way_leaves_whole_files(
    logs: psycopg.Connection, settings: Sql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        add(logs, number, NOON + number * HOUR)
    monkeypatch.setattr(postgres, "_FETCH_ROWS", 5)
    real, landed = Landing.land, []

    def land(home: Landing, part: Part) -> None:
        real(home, part)
        landed.append(part.day)
        if len(landed) == 2:
            logs.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'flywheel'")
            time.sleep(0.2)

    monkeypatch.setattr(Landing, "land", land)
    with pytest.raises(FlywheelError, match=r"the database failed with AdminShutdown 57P01\. What was landed stays"):
        pull(settings, str(tmp_path), rows_per_file=4)
    left = lines(tmp_path)
    monkeypatch.undo()
    os.environ["FLYWHEEL_SQL_PASSWORD"] = PASSWORD
    pull(settings, str(tmp_path))

    assert 8 <= len(left) < 40
    assert lines(tmp_path) == [call(number) for number in range(40)]


def test_two_pulls_at_once_do_not_mix(logs: psycopg.Connection, settings: Sql, tmp_path: Path) -> None:
    add(logs, 1, NOON)
    with Landing(str(tmp_path), "sql").locked(), pytest.raises(FlywheelError, match="another process is pulling"):
        pull(settings, str(tmp_path))

    assert pull(settings, str(tmp_path)).rows == 1


def test_what_is_pending_is_told_by_day_and_nothing_is_landed(logs: psycopg.Connection, settings: Sql, tmp_path: Path) -> None:
    add(logs, 1, NOON)
    add(logs, 2, NOON + 24 * HOUR)
    add(logs, 3, "2199-01-01")

    before = pending(settings, str(tmp_path))
    assert list(before) == ["2026-03-02", "2026-03-03"]
    assert not list(tmp_path.rglob("*.zst"))
    pull(settings, str(tmp_path))
    assert pending(settings, str(tmp_path)) == {}
    add(logs, 4, NOON + 24 * HOUR)
    assert list(pending(settings, str(tmp_path))) == ["2026-03-03"]


def test_rows_land_in_a_store_as_well(logs: psycopg.Connection, settings: Sql) -> None:
    memory = fsspec.filesystem("memory")
    try:
        add(logs, 1, NOON)
        pull(settings, "memory://landing")
        add(logs, 2, NOON + HOUR)
        assert pull(settings, "memory://landing").rows == 1

        assert lines("memory://landing") == [call(1), call(2)]
        assert landing_glob(settings, "memory://landing") == "memory://landing/sql/{date}/*.jsonl.zst"
    finally:
        memory.rm("/landing", recursive=True)


def test_a_wrong_table_column_password_or_server_is_told_without_the_password(
    logs: psycopg.Connection, settings: Sql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def message(**changed: Any) -> str:
        with pytest.raises(ConfigError) as raised:
            pull(Sql(**({"url": settings.url, "table": "logs"} | changed)), str(tmp_path))
        return str(raised.value)

    assert 'relation "lags" does not exist' in message(table="lags")
    assert "column log.at does not exist" in message(watermark="at")
    assert "extract(unknown, text) does not exist" in message(watermark="id")
    assert "Connection refused" in message(url="postgresql://reader@127.0.0.1:1/postgres")
    monkeypatch.setenv("FLYWHEEL_SQL_PASSWORD", "wrong-secret")
    wrong = message()
    assert "password authentication failed" in wrong
    assert "wrong-secret" not in wrong


def test_an_error_in_a_rows_value_does_not_quote_it(logs: psycopg.Connection, url: str, tmp_path: Path) -> None:
    add(logs, 1, NOON, "Kim's secret")
    broken = Sql(url=url, query="select id, created_at, (entry::text)::int from logs")

    with pytest.raises(FlywheelError, match="InvalidTextRepresentation 22P02") as raised:
        pull(broken, str(tmp_path))

    assert "Kim" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_nothing_is_ever_written_to_the_database(logs: psycopg.Connection, url: str, tmp_path: Path) -> None:
    logs.execute("create or replace function sly() returns text language sql as 'delete from logs returning id'")
    add(logs, 1, NOON)

    with pytest.raises(FlywheelError, match="ReadOnlySqlTransaction"):
        pull(Sql(url=url, query="select id, created_at, sly() from logs"), str(tmp_path))

    assert logs.execute("select count(*) from logs").fetchone() == (1,)


def test_a_table_goes_all_the_way_to_a_set_and_a_new_row_costs_its_day(
    logs: psycopg.Connection, settings: Sql, tmp_path: Path
) -> None:
    toml = f'[[sql]]\nurl = "{settings.url}"\ntable = "logs"\nentry = "entry"\n'
    for number in range(10):
        add(logs, number, NOON + number // 5 * 24 * HOUR)
    project = write_project(tmp_path, {"2026-03-02": [call(20)]}, toml=toml)

    assert [each for each in Plan(project).due_days() if each.startswith("2026")] == ["2026-03-02", "2026-03-03"]
    make_all(project)
    assert make_all(Project(project.settings)) == []
    add(logs, 10, NOON + 24 * HOUR)
    changed = Plan(Project(project.settings)).due_days()
    made = make_all(Project(project.settings))

    ids = project.tables.read("mixture/chat")["id"].to_list()
    assert sorted(ids) == sorted(call_id(number) for number in [*range(11), 20])
    assert list(changed) == ["2026-03-03"]
    assert {day for _, day in made if day} == {"2026-03-03"}
    origins = project.tables.read("records")["source"].struct.field("file")
    assert origins.filter(origins.str.starts_with("data/landing/sql/2026-03-03/")).len() == 6
    assert project.tables.read("log_files").filter(pl.col("problem").is_not_null()).is_empty()


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ('url = "postgresql://me:secret@db/logs"\ntable = "logs"', "holds a password"),
        ('url = "postgresql://db/logs?password=secret"\ntable = "logs"', "holds a password"),
        ('url = "mysql://db/logs"\ntable = "logs"', "must begin with postgresql://"),
        ('url = "postgresql://db/logs"', "either `table` or `query`"),
        ('url = "postgresql://db/logs"\ntable = "a"\nquery = "select 1"', "either `table` or `query`"),
        ('url = "postgresql://db/logs"\ntable = "a"\nentry = "e"\ncolumns = { a = "b" }', "give one of them"),
        (
            'url = "postgresql://db/logs"\ntable = "a"\n[[sql]]\nurl = "postgresql://db/b"\ntable = "b"',
            r"two \[\[sql\]\] are called",
        ),
        ('url = "postgresql://db/logs"\ntable = "a"\n[logs]\nurl = "postgresql://db/logs"', r"is a \[\[sql\]\] section"),
    ],
)
def test_a_wrong_section_is_told_when_the_configuration_is_read(tmp_path: Path, section: str, told: str) -> None:
    (tmp_path / "flywheel.toml").write_text("[[sql]]\n" + section)

    with pytest.raises(ConfigError, match=told) as raised:
        load_settings(tmp_path / "flywheel.toml")

    assert "secret" not in str(raised.value)
