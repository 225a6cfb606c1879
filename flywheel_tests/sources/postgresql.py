"""A PostgreSQL server of the tests' own, on a free port of this machine's loopback, in a folder that goes with it."""

import glob
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

PASSWORD = "only-in-the-environment"


def programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`; None where PostgreSQL is not installed."""
    found = shutil.which("initdb")
    candidates = [found, *sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), reverse=True)]
    return next((Path(each).parent for each in candidates if each), None)


@contextmanager
def server() -> Iterator[str]:
    """The URL, without password, of a running server that takes `PASSWORD` alone."""
    found = programs()
    assert found is not None
    folder = Path(tempfile.mkdtemp(prefix="flywheel-postgres-"))
    (folder / "password").write_text(PASSWORD)
    prefix = _as_another(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    data = str(folder / "data")

    def call(program: str, *arguments: str) -> None:
        command = [*prefix, str(found / program), "-D", data, *arguments]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120)

    try:
        call("initdb", "--no-sync", "--encoding=UTF8", "-A", "scram-sha-256", "-U", "reader", f"--pwfile={folder}/password")
        call("pg_ctl", "start", "-w", "-l", str(folder / "log"), "-o", options)
        try:
            yield f"postgresql://reader@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "stop", "-m", "immediate")
    finally:
        shutil.rmtree(folder)


def connect(url: str) -> psycopg.Connection:
    """A connection that commits at once, in a zone that is not UTC."""
    return psycopg.connect(url, password=PASSWORD, autocommit=True, options="-c timezone=America/New_York")


def _as_another(folder: Path) -> list[str]:
    """PostgreSQL does not run as root: the start of a command that runs as somebody else, to whom the folder is given."""
    if os.getuid() != 0:
        return []
    names = {user.pw_name for user in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    for path in (folder, folder / "password"):
        os.chown(path, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
