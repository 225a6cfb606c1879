"""Projects run as their users run them: in processes of their own, which import the graph afresh."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PATIENCE = 180


def environment(*plugins: Path, **more: str) -> dict[str, str]:
    """This process's environment without what would lead to another project; folders of `plugins` are on the path."""
    led = ("DAGSTER_HOME", "FLYWHEEL_CONFIG", "FLYWHEEL_SAMPLE", "FLYWHEEL_EXECUTOR", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in led}
    return kept | {"PYTHONPATH": os.pathsep.join(map(str, plugins)), "NO_PROXY": "127.0.0.1"} | more


def flywheel(folder: Path, *arguments: str, plugins: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    """`flywheel ARGUMENTS` in a folder."""
    command = [str(BIN / "flywheel"), *arguments]
    env = environment(*plugins, COLUMNS="200")
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)


def in_graph(folder: Path, code: str, *plugins: Path) -> Any:
    """What `code` assigns to `answer`, where `assets` is the graph of the project in `folder`."""
    told = "\nimport json, sys\nsys.stdout.write('\\n' + json.dumps(answer))"
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code) + told]
    env = environment(*plugins, FLYWHEEL_CONFIG=str(folder / "flywheel.toml"))
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@dataclass(frozen=True)
class Server:
    """Dagster's web server over a project."""

    url: str
    project: Path
    plugins: Path

    def ask(self, query: str) -> dict[str, Any]:
        """The data of a GraphQL answer."""
        body = json.dumps({"query": query}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data


@contextmanager
def webserver(project: Path, plugins: Path) -> Iterator[Server]:
    """Dagster's web server on a free loopback port, started in the project's folder and interrupted at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(BIN / "dagster-webserver"), "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    log = project / "webserver.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            cwd=project,
            env=environment(plugins),
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, process, log)
        yield Server(url, project, plugins)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/server_info", timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(f"the web server did not start:\n{log.read_text()[-3000:]}")
