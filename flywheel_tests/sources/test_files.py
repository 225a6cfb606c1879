import datetime as dt
import gzip
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import polars as pl
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from flywheel.errors import ConfigError
from flywheel.plan import Plan
from flywheel.project import Project
from flywheel.sections import Logs
from flywheel.sources.files import LOG_FILES, find_files, open_file
from flywheel_tests.projects import call, call_id, make_all, write_project

START = "2020-01-01"


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def found(root: Path, *urls: str) -> list[tuple[str, str]]:
    return find_files(Logs(url=urls), root=root, start=START).select("uri", "day").rows()


def test_each_file_has_its_day_size_hash_and_time(tmp_path: Path) -> None:
    put(tmp_path, "logs/2026-01-31/a.jsonl")
    os.utime(tmp_path / "logs/2026-01-31/a.jsonl", ns=(0, 1_700_000_000_123_456_789))

    files = find_files(Logs(), root=tmp_path, start=START)

    assert files.schema == pl.Schema(LOG_FILES)
    assert files.row(0) == (
        "logs/2026-01-31/a.jsonl",
        "2026-01-31",
        23,
        hashlib.sha256(b"logs/2026-01-31/a.jsonl").hexdigest(),
        dt.datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=dt.UTC),
        None,
        None,
    )


def test_the_date_may_stand_anywhere_and_files_are_sorted_by_day_then_uri(tmp_path: Path) -> None:
    put(tmp_path, "b/app-2026-01-02.jsonl.gz", "a/app-2026-01-03.jsonl.gz", "a/app-2026-01-02.jsonl.gz", "a/app.jsonl.gz")

    assert found(tmp_path, "*/app-{date}.jsonl.gz") == [
        ("a/app-2026-01-02.jsonl.gz", "2026-01-02"),
        ("b/app-2026-01-02.jsonl.gz", "2026-01-02"),
        ("a/app-2026-01-03.jsonl.gz", "2026-01-03"),
    ]


def test_two_stars_match_folders_at_any_depth_and_the_date_is_the_one_that_the_glob_means(tmp_path: Path) -> None:
    put(tmp_path, "logs/x.json", "logs/2025-05-05/2026-01-01/x.json", "logs/a/b/2026-01-02/x.json", "logs/2026-01-03/x.json")

    assert found(tmp_path, "logs/**/{date}/*.json") == [
        ("logs/2025-05-05/2026-01-01/x.json", "2026-01-01"),
        ("logs/a/b/2026-01-02/x.json", "2026-01-02"),
        ("logs/2026-01-03/x.json", "2026-01-03"),
    ]


def test_without_a_date_the_day_is_the_first_and_a_dated_glob_goes_before(tmp_path: Path) -> None:
    put(tmp_path, "logs/2026-01-01.json", "logs/other.json")

    assert found(tmp_path, "logs/*", "logs/{date}.json") == [("logs/other.json", START), ("logs/2026-01-01.json", "2026-01-01")]


def test_a_date_that_does_not_exist_is_reported_without_a_day(tmp_path: Path) -> None:
    put(tmp_path, "logs/2026-02-30/a", "logs/2026-02-28/a", "two/2026-01-01/2026-01-02", "two/2026-01-01/2026-01-01")

    files = find_files(Logs(url=("logs/{date}/*", "two/{date}/{date}")), root=tmp_path, start=START)

    assert files.select("uri", "day", "problem").rows() == [
        ("two/2026-01-01/2026-01-01", "2026-01-01", None),
        ("logs/2026-02-28/a", "2026-02-28", None),
        ("logs/2026-02-30/a", None, "no_such_date"),
        ("two/2026-01-01/2026-01-02", None, "two_dates"),
    ]


def test_folders_and_hidden_files_are_left_out_as_a_shell_does(tmp_path: Path) -> None:
    put(tmp_path, "logs/a", "logs/.hidden", "logs/folder/b")

    assert found(tmp_path, "logs/*") == [("logs/a", START)]
    assert found(tmp_path, "logs/.*") == [("logs/.hidden", START)]


def test_links_that_lead_nowhere_and_pipes_are_reported_and_do_not_block(tmp_path: Path) -> None:
    put(tmp_path, "logs/good")
    (tmp_path / "logs/gone").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "logs/pipe")

    files = find_files(Logs(url="logs/*"), root=tmp_path, start=START)

    assert files.select("uri", "problem").rows() == [
        ("logs/gone", "unreadable"),
        ("logs/good", None),
        ("logs/pipe", "not_a_file"),
    ]


def test_a_file_that_may_not_be_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "logs/a", "logs/b")
    (tmp_path / "logs/a").chmod(0)
    if os.access(tmp_path / "logs/a", os.R_OK):  # root reads everything: let opening fail
        opened = Path.open

        def refuse(path: Path, mode: str = "r") -> object:
            if path.name == "a":
                raise PermissionError(13, "Permission denied")
            return opened(path, mode)

        monkeypatch.setattr(Path, "open", refuse)

    files = find_files(Logs(url="logs/*"), root=tmp_path, start=START)

    assert files.select("uri", "sha256", "problem").row(0) == ("logs/a", None, "unreadable")
    assert files["problem"].to_list() == ["unreadable", None]


def test_uris_are_relative_to_the_project_wherever_the_glob_starts(tmp_path: Path) -> None:
    project = tmp_path / "project"
    put(tmp_path, "project/logs/a", "beside/b")

    assert found(project, "./logs/*") == [("logs/a", START)]
    assert found(project, str(project / "logs/*")) == [("logs/a", START)]
    assert found(project, "../beside/*") == [("../beside/b", START)]
    assert found(project, str(tmp_path / "beside/*")) == [((tmp_path / "beside/b").as_posix(), START)]
    assert open_file("../beside/b", project).read() == b"beside/b"


def test_a_known_hash_is_taken_over_until_the_file_changes(tmp_path: Path) -> None:
    put(tmp_path, "logs/a", "logs/b")
    logs = Logs(url="logs/*")
    known = find_files(logs, root=tmp_path, start=START).with_columns(sha256=pl.lit("known"))
    (tmp_path / "logs/b").write_bytes(b"longer than before")

    files = find_files(logs, root=tmp_path, start=START, known=known)

    assert files["sha256"].to_list() == ["known", hashlib.sha256(b"longer than before").hexdigest()]


def test_urls_are_globbed_dated_and_read_through_fsspec() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/bucket/logs/2026-01-31/a.jsonl": b"hello", "/bucket/logs/2026-02-31/a.jsonl": b"", "/bucket/x": b""})
    try:
        files = find_files(Logs(url="memory://bucket/logs/{date}/*.jsonl"), root=Path("/"), start=START)

        assert files.select("uri", "day", "size", "problem").rows() == [
            ("memory:///bucket/logs/2026-01-31/a.jsonl", "2026-01-31", 5, None),
            ("memory:///bucket/logs/2026-02-31/a.jsonl", None, 0, "no_such_date"),
        ]
        assert files["sha256"][0] == hashlib.sha256(b"hello").hexdigest()
        assert open_file(files["uri"][0], Path("/")).read() == b"hello"
    finally:
        memory.rm("/bucket", recursive=True)


class Marked(MemoryFileSystem):  # type: ignore[misc]
    """A store as S3 is one: no time of change finer than the day, but an etag for each version; reads are counted."""

    protocol = "marked"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    opened: ClassVar[list[str]] = []

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("marked://", "memory://")))

    def info(self, path: str, **rest: Any) -> dict[str, Any]:
        found = super().info(path, **rest)
        if found["type"] == "file":
            found |= {"created": dt.datetime(2026, 1, 1), "ETag": hashlib.md5(self.cat(path)).hexdigest()}
        return dict(found)

    def open(self, path: str, mode: str = "rb", **rest: Any) -> Any:
        self.opened.append(path)
        return super().open(path, mode, **rest)


def test_a_file_in_a_store_is_hashed_again_only_when_its_etag_changes() -> None:
    fsspec.register_implementation("marked", Marked, clobber=True)
    store = fsspec.filesystem("marked")
    store.pipe({"/logs/2026-01-31/a.jsonl": b"hello", "/logs/2026-01-31/b.jsonl": b"12345"})
    logs = Logs(url="marked://logs/{date}/*")
    first = find_files(logs, root=Path("/"), start=START)
    store.pipe("/logs/2026-01-31/b.jsonl", b"54321")
    Marked.opened.clear()

    second = find_files(logs, root=Path("/"), start=START, known=first)

    assert Marked.opened == ["/logs/2026-01-31/b.jsonl"]
    assert second["sha256"].to_list() == [hashlib.sha256(text).hexdigest() for text in (b"hello", b"54321")]
    assert second["day"].to_list() == ["2026-01-31"] * 2
    older = find_files(logs, root=Path("/"), start=START, known=first.drop("etag"))
    assert older.equals(second)


def test_a_store_whose_package_is_missing_is_told_with_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("s3fs", "gcsfs", "adlfs"):
        monkeypatch.setitem(sys.modules, module, None)
    for protocol in ("s3", "gs", "abfs"):  # fsspec remembers the classes that another test loaded
        monkeypatch.delitem(_registry, protocol, raising=False)
    for url, told in (
        ("s3://bucket/{date}/*", r"s3:// needs a package that is missing: pip install 'flywheel\[s3\]'"),
        ("gs://bucket/*", r"pip install 'flywheel\[gcs\]'"),
        ("abfs://bucket/*", "pip install 'adlfs'"),
        ("s4://bucket/*", "no file system is called 's4'"),
    ):
        with pytest.raises(ConfigError, match=told):
            find_files(Logs(url=url), root=Path("/"), start=START)


def test_logs_in_a_store_go_all_the_way_and_a_second_run_makes_nothing(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    text = b"".join(json.dumps(call(number)).encode() + b"\n" for number in range(6))
    memory.pipe({"/bucket/2026-03-02/a.jsonl.gz": gzip.compress(text), "/bucket/2026-03-03/a.jsonl": text})
    try:
        project = write_project(tmp_path, toml='[logs]\nurl = ["memory://bucket/{date}/*.jsonl*", "file:///nowhere/{date}"]\n')
        make_all(project)

        assert project.tables.read("mixture/chat")["id"].to_list() == [call_id(number) for number in range(6)]
        assert make_all(Project(project.settings)) == []
        memory.rm("/bucket/2026-03-02/a.jsonl.gz")
        assert list(Plan(Project(project.settings)).due_days()) == ["2026-03-02"]
    finally:
        memory.rm("/bucket", recursive=True)


def test_no_files_give_no_rows(tmp_path: Path) -> None:
    assert find_files(Logs(), root=tmp_path, start=START).rows() == []
