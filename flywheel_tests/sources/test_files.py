import datetime as dt
import hashlib
import os
from pathlib import Path

import fsspec
import polars as pl
import pytest

from flywheel.settings import Logs
from flywheel.sources.files import LOG_FILES, find_files, open_file

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


def test_no_files_give_no_rows(tmp_path: Path) -> None:
    assert find_files(Logs(), root=tmp_path, start=START).rows() == []
