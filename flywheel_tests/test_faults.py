"""What happens when a run is killed, the disk is full, or two runs meet: nothing half done, and the next run mends it."""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from flywheel.inspect.ledger import ledger_facts
from flywheel.plan import Plan
from flywheel.project import Project
from flywheel_tests.commands import FLYWHEEL, environment, flywheel, succeeded
from flywheel_tests.projects import call, write_log, write_project

pytestmark = [pytest.mark.slow, pytest.mark.hostile, pytest.mark.timeout(900)]

KEY = {"FLYWHEEL_KEY": "the same in every project"}
TOML = """end = "2026-03-04"

[[filters]]
use = "empty_reply"

[[filters]]
use = "length"
"""
DAYS = {"2026-03-02": range(14), "2026-03-03": range(10, 22)}  # some calls are delivered on both days
VOLATILE = {"log_files": ["modified_at"]}


class State(NamedTuple):
    """Every row of every table, in no order, and the version of the set, which stands for its bytes and their order."""

    tables: dict[str, list[str]]
    version: str


def made(root: Path) -> Project:
    return write_project(root, {day: [call(n) for n in numbers] for day, numbers in DAYS.items()}, toml=TOML)


def state(project: Project) -> State:
    tables = project.tables
    rows = {name: tables.read(name).drop(VOLATILE.get(name, [])) for name in tables.names()}
    version = (project.sets / "chat" / "latest").resolve().name
    return State({name: sorted(map(repr, frame.sort(frame.columns[0]).iter_rows())) for name, frame in rows.items()}, version)


def stale(project: Project) -> list[object]:
    return [found for phase in range(5) if (found := Plan(project).stale(phase))]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, State]:
    """A project that was run once, undisturbed."""
    root = tmp_path_factory.mktemp("clean")
    project = made(root)
    succeeded(flywheel("run", cwd=root, **KEY))
    return root, state(project)


def start(root: Path) -> "subprocess.Popen[str]":
    """A run in a process group of its own."""
    return subprocess.Popen(
        [*FLYWHEEL, "run"],
        cwd=root,
        env=environment(**KEY),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill_when(root: Path, appears: str) -> None:
    """Run, and kill the run with -9 as soon as something matches the pattern below the project."""
    running = start(root)
    try:
        while running.poll() is None and not any(root.glob(appears)):
            time.sleep(0.002)
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        printed, _ = running.communicate()
    assert running.returncode == -signal.SIGKILL, f"the run was over before {appears!r} was there:\n{printed}"


POINTS = (
    "data/tables/exits/_delta_log",  # who left is filed, the table they left is not yet
    "data/tables/conversations/day=*/*.parquet",  # a file that no commit names
    "data/tables/curated/day=2026-03-03",
    "data/sets/chat/.staging-*/lineage.parquet",
    "data/sets/chat/latest",  # exported, not registered
)


def test_a_run_killed_anywhere_is_finished_by_the_next_one_without_cleaning(clean: tuple[Path, State], tmp_path: Path) -> None:
    project = made(tmp_path)
    for point in POINTS:
        kill_when(tmp_path, point)
        for name in project.tables.names():
            project.tables.read(name)  # every table that is there can be read, at every moment

    succeeded(flywheel("run", cwd=tmp_path, **KEY))

    assert state(project) == clean[1]
    assert stale(project) == []
    assert sorted(path.name for path in (project.sets / "chat").iterdir()) == sorted(["latest", clean[1].version])


def test_a_run_killed_at_a_random_moment_is_finished_by_the_next_one(clean: tuple[Path, State], tmp_path: Path) -> None:
    project = made(tmp_path)
    running = start(tmp_path)
    time.sleep(random.Random(1).uniform(3, 14))
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()

    succeeded(flywheel("run", cwd=tmp_path, **KEY))

    assert state(project) == clean[1]


def test_a_killed_run_over_a_finished_one_leaves_the_old_rows_in_place(clean: tuple[Path, State], tmp_path: Path) -> None:
    root = Path(shutil.copytree(clean[0], tmp_path / "copy", symlinks=True))
    project = Project.open(root / "flywheel.toml")
    write_log(root, "2026-03-04", "app.jsonl", [call(n) for n in range(30, 36)])

    kill_when(root, "data/tables/scrubbed/day=2026-03-04/*.parquet")

    before, now = clean[1], state(project)
    assert now.version == before.version
    for table in ("scrubbed", "curated", "mixture/chat", "splits", "ledger"):
        assert now.tables[table] == before.tables[table], table


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB; skips without the right to mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("holds", ["the tables", "the whole project"])
def test_a_full_disk_is_said_and_leaves_the_old_version_readable(
    clean: tuple[Path, State], tmp_path: Path, small_disk: Path, holds: str
) -> None:
    root = small_disk / "project" if holds == "the whole project" else tmp_path / "project"
    shutil.copytree(clean[0], root, symlinks=True)
    if holds == "the tables":
        shutil.move(root / "data", small_disk / "data")
        (root / "data").symlink_to(small_disk / "data")
    project = Project.open(root / "flywheel.toml")
    write_log(root, "2026-03-04", "app.jsonl", [call(n, reply="word " * n) for n in range(30, 60)])
    filler = small_disk / "filler"
    _fill(filler)

    done = flywheel("run", cwd=root, **KEY)

    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert re.search("failed .*(No space left on device|full disk)", done.stdout)
    assert "up to date" not in done.stdout
    assert state(project) == clean[1]

    filler.unlink()
    succeeded(flywheel("run", cwd=root, **KEY))
    assert project.tables.rows("mixture/chat") == 22 + 30
    assert stale(project) == []


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return


def test_two_runs_at_once_end_with_sound_tables_and_the_same_rows(clean: tuple[Path, State], tmp_path: Path) -> None:
    project = made(tmp_path)
    both = [start(tmp_path), start(tmp_path)]
    printed = [running.communicate()[0] for running in both]
    codes = [running.returncode for running in both]

    assert set(codes) <= {0, 1}, printed
    assert "Traceback" not in "".join(printed)
    for code, text in zip(codes, printed, strict=True):
        assert (code == 0) is ("failed" not in text), text
    succeeded(flywheel("run", cwd=tmp_path, **KEY))
    assert state(project) == clean[1]
    assert stale(project) == []
    facts = ledger_facts(project.tables, project.settings)
    assert (facts["unaccounted"], facts["stages_that_do_not_add_up"]) == (0, 0)
