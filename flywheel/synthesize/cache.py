"""Answers that were paid for, kept on disk under a keyed hash of the request, and forgotten on demand."""

import hashlib
import hmac
import os
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from flywheel.errors import FlywheelError

_PATIENCE = 30.0
_TABLES = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA secure_delete = ON;
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uses (seed TEXT, key TEXT, PRIMARY KEY (seed, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spent (id INTEGER PRIMARY KEY, dollars REAL NOT NULL);
CREATE TABLE IF NOT EXISTS aside (name TEXT PRIMARY KEY, dollars REAL NOT NULL) WITHOUT ROWID;
"""


class Answers:
    """A cache of answers in one SQLite file on a local disk. Safe between processes; a write survives `kill -9`.

    A key is an HMAC-SHA256 under the project's key, so the file holds no prompt and none can be guessed from it. Which seed
    records used an answer is kept, so that erasing a person's records erases what was made from them.

    Args:
        path: the file; made, readable by its owner alone, when it is missing.
        key: the project's secret.
    """

    def __init__(self, path: str | Path, key: bytes) -> None:
        self._path = Path(path)
        self._key = key
        self._open: tuple[int, sqlite3.Connection] | None = None

    def key(self, request: Mapping[str, Any]) -> str:
        """64 hexadecimal characters that stand for a request: the same for the same content in any order of its keys."""
        canonical = msgspec.json.encode(request, order="deterministic")
        return hmac.new(self._key, canonical, hashlib.sha256).hexdigest()

    def get(self, key: str, *, seed: str | None = None) -> bytes | None:
        """The stored answer, or None. `seed` is written down as a user of it."""
        found: tuple[bytes] | None = self.connection.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        if found is not None:
            self._used(key, seed)
        return None if found is None else found[0]

    def put(self, key: str, answer: bytes, *, seed: str | None = None) -> None:
        """Store an answer. The first one stays when another process was faster."""
        with self.connection as connection:
            connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?)", (key, answer))
            if seed is not None:
                connection.execute("INSERT OR IGNORE INTO uses VALUES (?, ?)", (seed, key))

    def erase(self, seeds: Iterable[str]) -> int:
        """Forget every answer that one of these seed records used, and overwrite its bytes. Returns how many there were.

        Raises:
            FlywheelError: another process holds on to the bytes; erasing again later removes them.
        """
        connection = self.connection
        with connection:
            connection.execute("CREATE TEMP TABLE IF NOT EXISTS gone (seed TEXT PRIMARY KEY)")
            connection.execute("DELETE FROM gone")
            connection.executemany("INSERT OR IGNORE INTO gone VALUES (?)", ((seed,) for seed in seeds))
            keys = "SELECT key FROM uses WHERE seed IN (SELECT seed FROM gone)"
            erased = connection.execute(f"DELETE FROM answers WHERE key IN ({keys})").rowcount
            connection.execute(f"DELETE FROM uses WHERE key IN ({keys})")
            connection.execute("DELETE FROM gone")
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise FlywheelError(
                f"the answers are erased, but another process reads {self._path} and keeps their bytes in its write-ahead log. "
                "Wait for that run to end and erase again."
            )
        return erased

    def __len__(self) -> int:
        return int(self.connection.execute("SELECT count(*) FROM answers").fetchone()[0])

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _used(self, key: str, seed: str | None) -> None:
        """Only writes what is new, so that a run that finds everything takes no lock."""
        connection = self.connection
        if seed is None or connection.execute("SELECT 1 FROM uses WHERE seed = ? AND key = ?", (seed, key)).fetchone():
            return
        with connection:
            connection.execute("INSERT OR IGNORE INTO uses VALUES (?, ?)", (seed, key))

    @property
    def connection(self) -> sqlite3.Connection:
        """This process's connection: SQLite's must not be carried through a fork."""
        if self._open is None or self._open[0] != os.getpid():
            self._open = (os.getpid(), self._connect())
        return self._open[1]

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(0o600)
        connection = sqlite3.connect(self._path, timeout=_PATIENCE, check_same_thread=False)
        try:
            connection.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            connection.close()
            raise FlywheelError(
                f"the answer cache {self._path} cannot be read ({error}). Move it away; its answers will be asked for again."
            ) from None
        return connection
