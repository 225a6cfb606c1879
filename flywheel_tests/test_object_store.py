"""A project whose logs, tables and sets lie in an object store: a real S3 server on loopback, started by the test."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import s3fs

from flywheel.inspect.sql import open_views
from flywheel.inspect.trace import trace
from flywheel_tests.projects import call, call_id, make_all, write_project

SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty store, which every client finds by the environment."""
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen([sys.executable, "-c", SERVER], stdin=pipe, stdout=pipe, stderr=null, text=True) as server:
        assert server.stdout is not None
        for name, value in (environment | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{int(server.stdout.readline())}"}).items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        found = s3fs.S3FileSystem()
        found.mkdir("bucket")
        yield found
        server.communicate("")


def put(store: Any, day: str, name: str, numbers: range) -> None:
    store.pipe(f"bucket/logs/{day}/{name}", b"".join(json.dumps(call(number)).encode() + b"\n" for number in numbers))


def test_logs_tables_and_sets_of_a_project_lie_in_an_object_store(store: Any, tmp_path: Path) -> None:
    put(store, "2026-03-01", "a.jsonl", range(6))
    put(store, "2026-03-02", "b.jsonl", range(6, 10))
    toml = '[logs]\nurl = "s3://bucket/logs/{date}/*"\n'
    project = write_project(tmp_path, toml='data = "s3://bucket/data"\n' + toml)

    assert make_all(project)
    assert make_all(project) == []

    names = project.tables.names()
    assert {"records", "curated", "mixture/chat", "ledger"} <= set(names)
    assert names == sorted(names)
    assert open_views(project.tables).sql("select count(*) from mixture_chat").fetchall() == [(10,)]
    pointer = json.loads(store.cat("bucket/data/sets/chat/latest.json"))
    uploaded = store.find(f"bucket/data/sets/chat/{pointer['version']}")
    local = (project.sets / "chat" / "latest").resolve()
    assert local.is_relative_to(tmp_path)
    assert {Path(path).name: store.cat(path) for path in uploaded} == {path.name: path.read_bytes() for path in local.iterdir()}

    traced = trace(call_id(3), tables=project.tables, sets=project.sets)
    assert next(step.stage for step in traced if step.what == "present") == "records"
    assert traced[-1].stage == "sets/chat"

    put(store, "2026-03-03", "c.jsonl", range(10, 12))
    put(store, "2026-03-03", "copy.jsonl", range(6))
    assert {day for name, day in make_all(project) if name == "records"} == {"2026-03-03"}
    assert project.tables.rows("mixture/chat") == 12
