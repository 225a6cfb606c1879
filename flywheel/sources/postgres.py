"""A table of logs in PostgreSQL -> immutable log files, each row once: one JSON line a row, one file a day and pull.

The files lie in `LANDING/NAME/YYYY-MM-DD/`, packed with zstd, and are read like any others. What was landed is remembered by
an index beside each file (`LANDING/NAME/index/`: the rows' ids and watermarks), written before the file is: a file without
an index cannot be, and an index without a file counts for nothing. So a pull that is killed leaves whole files only, the next
one goes on behind them, and both together hold every row once.
"""

import datetime as dt
import fcntl
import io
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
import zstandard

from flywheel.errors import ConfigError, FlywheelError
from flywheel.records import digest
from flywheel.sections import Sql

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composable

__all__ = ["Pulled", "landing_glob", "pending", "pull"]

_INDEX = pl.Schema({"id": pl.String, "watermark": pl.Int64})
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_FETCH_ROWS = 2_000
_CONNECT_SECONDS = 10
_FAULTS_OF_CONFIGURATION = ("08", "0A", "28", "3D", "3F", "42")  # classes of SQLSTATE whose messages quote no values


class Pulled(NamedTuple):
    """What a pull did. `waiting` rows have a watermark in the future of the database's clock, `undated` ones none, or one
    before 1970."""

    rows: int
    files: int
    waiting: int
    undated: int


class _Landed(NamedTuple):
    """A landed file, as its name tells: watermarks of its first and last row in microseconds since 1970."""

    day: str
    stem: str
    first: int
    last: int


class _Known(NamedTuple):
    """What was landed before: where to go on (None: nowhere yet), and the rows that lie behind that."""

    bound: int | None
    rows: set[tuple[str, int]]


def landing_glob(settings: Sql, landing: str) -> str:
    """The glob of a table's landed files, for `[logs] url`."""
    import glob

    folder = landing if "://" in landing else glob.escape(landing)
    return f"{folder}/{settings.name}/{{date}}/*.jsonl.zst"


def pull(settings: Sql, landing: str, *, rows_per_file: int = 200_000) -> Pulled:
    """Land the rows that are not landed yet, oldest first.

    One query in one read-only snapshot, streamed. A row belongs to the UTC day of its watermark. Rows of the last `overlap`
    seconds are looked at again, and taken when their id and watermark are new: a row that was committed late, or updated
    together with its watermark, is landed; one updated in place is not. Rows from the future wait until their time has come:
    else one wrong clock would hide all that follows. A row without an id is known by its entry.

    Memory: 2,000 rows, and about 150 bytes for each row of a file and of the overlap.

    Args:
        landing: URL or folder of all landed files.
        rows_per_file: a day with more gets several files.

    Raises:
        ConfigError: psycopg is missing, the server cannot be reached, or the table or a column does not exist.
        FlywheelError: the query failed half way (what was landed by then stays), or another pull of this table is running.
    """
    home = _Home(landing, settings.name)
    with home.locked(), _connected(settings) as connection:
        known = home.known(settings.overlap)
        rows = files = 0
        part: _Part | None = None
        try:
            for id, watermark, line in _rows(connection, settings, known.bound):
                if (id, watermark) in known.rows:
                    continue
                if part is not None and (part.day != _day(watermark) or len(part.ids) >= rows_per_file):
                    home.land(part)
                    part = None
                if part is None:
                    part = _Part(home.staging(), _day(watermark))
                    files += 1
                part.add(id, watermark, line)
                rows += 1
            if part is not None:
                home.land(part)
                part = None
        finally:
            if part is not None:
                part.discard()
        waiting, undated = _left_out(connection, settings)
    return Pulled(rows, files, waiting, undated)


def pending(settings: Sql, landing: str) -> dict[str, int]:
    """The days that have rows which are not landed yet, each with a digest of those rows. Nothing is landed.

    The first time the database counts the rows of each day; later the ids from the last watermark less the overlap are read.

    Raises:
        ConfigError, FlywheelError: as `pull`.
    """
    home = _Home(landing, settings.name)
    known = home.known(settings.overlap)
    days: dict[str, list[str]] = {}
    with _connected(settings) as connection:
        if known.bound is None:
            for day, count, last in _counts(connection, settings):
                days[day] = [str(count), str(last)]
        else:
            for id, watermark, _ in _rows(connection, settings, known.bound, lines=False):
                if (id, watermark) not in known.rows:
                    days.setdefault(_day(watermark), []).append(f"{watermark}:{id}")
    return {day: int(digest(*(each.encode() for each in rows))[:15], 16) for day, rows in days.items()}


@contextmanager
def _connected(settings: Sql) -> "Iterator[psycopg.Connection]":
    """A read-only snapshot of the database, in UTC; every error is one of ours and quotes no row."""
    where = f"[[sql]] {settings.name}"
    try:
        import psycopg
    except ImportError:
        raise ConfigError(f"{where} needs psycopg, which is not installed: pip install 'flywheel[postgres]'.") from None
    try:
        connection = psycopg.connect(
            settings.url,
            password=os.environ.get(settings.password_env) or None,
            connect_timeout=_CONNECT_SECONDS,
            application_name="flywheel",
            client_encoding="utf8",
        )
    except psycopg.Error as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"{where}: no connection: {said}. The password is taken from {settings.password_env}.") from None
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    try:
        with connection:
            connection.execute("set local time zone 'UTC'")
            yield connection
    except psycopg.Error as error:
        state = error.sqlstate or ""
        if state.startswith(_FAULTS_OF_CONFIGURATION) and error.diag.message_primary:
            raise ConfigError(f"{where}: {error.diag.message_primary}. Look at its table, query and columns.") from None
        name = f"{type(error).__name__} {state}".strip()
        raise FlywheelError(f"{where}: the database failed with {name}. What was landed stays; run again to go on.") from None


def _source(settings: Sql) -> "Composable":
    from psycopg.sql import SQL, Identifier

    if settings.table is not None:
        return SQL("{} as log").format(Identifier(*settings.table.split(".")))
    return SQL("({}) as log").format(SQL((settings.query or "").strip().rstrip(";")))


def _column(name: str) -> "Composable":
    from psycopg.sql import Identifier

    return Identifier("log", name)


def _line(settings: Sql) -> "Composable":
    from psycopg.sql import SQL, Identifier

    if settings.entry is not None:
        return SQL("{}::text").format(_column(settings.entry))
    if not settings.columns:
        return SQL("row_to_json(log)::text")
    named = (SQL("{} as {}").format(_column(column), Identifier(name)) for name, column in settings.columns.items())
    return SQL("(select row_to_json(entry)::text from (select {}) as entry)").format(SQL(", ").join(named))


def _rows(
    connection: "psycopg.Connection", settings: Sql, bound: int | None, *, lines: bool = True
) -> Iterator[tuple[str, int, str | None]]:
    """Id, watermark in microseconds and log entry of the rows from `bound` on, in the order of watermark and id."""
    from psycopg.sql import SQL, Literal

    mark, line = _column(settings.watermark), _line(settings)
    since = SQL("{} >= {}").format(mark, Literal(_moment(max(bound or 0, 0))))
    query = SQL(
        "select coalesce({id}::text, md5({line})), (extract(epoch from {mark}) * 1000000)::bigint, {wanted} from {source} "
        "where {since} and {mark} <= now() order by {mark}, {id}"
    ).format(
        id=_column(settings.id),
        line=line,
        mark=mark,
        wanted=line if lines else SQL("null"),
        source=_source(settings),
        since=since,
    )
    with connection.cursor("flywheel") as cursor:  # on the server: the client holds `itersize` rows
        cursor.itersize = _FETCH_ROWS
        cursor.execute(query)
        yield from cursor


def _counts(connection: "psycopg.Connection", settings: Sql) -> list[tuple[str, int, int]]:
    """By day: rows that can be landed, and the last watermark."""
    from psycopg.sql import SQL

    query = SQL(
        "select to_char({mark}, 'YYYY-MM-DD'), count(*), (extract(epoch from max({mark})) * 1000000)::bigint from {source} "
        "where {mark} >= '1970-01-01' and {mark} <= now() group by 1 order by 1"
    ).format(mark=_column(settings.watermark), source=_source(settings))
    return connection.execute(query).fetchall()


def _left_out(connection: "psycopg.Connection", settings: Sql) -> tuple[int, int]:
    from psycopg.sql import SQL

    mark = _column(settings.watermark)
    query = SQL(
        "select count(*) filter (where {mark} > now()), count(*) filter (where {mark} is null or {mark} < '1970-01-01') "
        "from {source} where {mark} > now() or {mark} is null or {mark} < '1970-01-01'"
    ).format(mark=mark, source=_source(settings))
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


@dataclass
class _Part:
    """A file that is being written, where no glob looks."""

    path: Path
    day: str
    ids: list[str] = field(default_factory=list)
    watermarks: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.file = self.path.open("wb")
        self.packed = zstandard.ZstdCompressor(level=3).stream_writer(self.file, closefd=False)

    def add(self, id: str, watermark: int, line: str | None) -> None:
        """A row is one line: line feeds outside of JSON strings are blanks, and inside they are no JSON."""
        self.packed.write((line or "null").replace("\r", " ").replace("\n", " ").encode(errors="replace") + b"\n")
        self.ids.append(id)
        self.watermarks.append(watermark)

    def close(self) -> None:
        self.packed.close()  # type: ignore[no-untyped-call]
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()

    def discard(self) -> None:
        self.file.close()
        self.path.unlink(missing_ok=True)

    @property
    def stem(self) -> str:
        """Times of the first and last row and a digest of the rows: the same rows have the same name."""
        rows = digest(*(f"{watermark}:{id}".encode() for id, watermark in zip(self.ids, self.watermarks, strict=True)))
        first, last = (_moment(self.watermarks[index]).strftime("%H%M%S%f") for index in (0, -1))
        return f"{first}-{last}-{rows[:12]}"

    def index(self) -> bytes:
        packed = io.BytesIO()
        pl.DataFrame([self.ids, self.watermarks], schema=_INDEX).write_parquet(packed, statistics=False)
        return packed.getvalue()


class _Home:
    """The folder of one table's landed files, on this machine or in a store that fsspec knows."""

    def __init__(self, landing: str, name: str) -> None:
        self.folder = f"{landing.rstrip('/')}/{name}"
        self.remote = "://" in landing
        self._temporary: Path | None = None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one process at a time land here, and clear away what a killed one left. Stores have no locks: there two pulls
        at once may land a row twice, which reading merges by its id."""
        if self.remote:
            with tempfile.TemporaryDirectory() as temporary:
                self._temporary = Path(temporary)
                yield
            return
        self._temporary = Path(self.folder, "staging")
        self._temporary.mkdir(parents=True, exist_ok=True)
        with Path(self.folder, "lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FlywheelError(f"another process is pulling into {self.folder}. Run again when it has ended.") from None
            for left in self._temporary.iterdir():
                left.unlink()
            yield

    def staging(self) -> Path:
        assert self._temporary is not None
        return self._temporary / "part.jsonl.zst"

    def known(self, overlap: int) -> _Known:
        """The last landed watermark less the overlap in seconds, and the landed rows from there on."""
        landed = list(self._landed())
        if not landed:
            return _Known(None, set())
        bound = max(each.last for each in landed) - overlap * 1_000_000
        rows: set[tuple[str, int]] = set()
        for each in landed:
            if each.last >= bound:
                frame = pl.read_parquet(self._read(f"index/{each.day}/{each.stem}.parquet"))
                rows.update(frame.filter(pl.col("watermark") >= bound).iter_rows())
        return _Known(bound, rows)

    def land(self, part: _Part) -> None:
        """Make the part a log file: its index first, then the file itself, each whole or not at all."""
        part.close()
        index = part.path.with_name("index.parquet")
        with index.open("wb") as file:
            file.write(part.index())
            file.flush()
            os.fsync(file.fileno())
        self._publish(index, f"index/{part.day}/{part.stem}.parquet")
        self._publish(part.path, f"{part.day}/{part.stem}.jsonl.zst")

    def _landed(self) -> Iterator[_Landed]:
        for path in self._list():
            day, name = PurePosixPath(path).parts[-2:]
            stem = name.removesuffix(".jsonl.zst")
            first, last = stem.split("-")[:2]
            yield _Landed(day, stem, _micros(day, first), _micros(day, last))

    def _list(self) -> Iterable[str]:
        pattern = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]/*.jsonl.zst"
        if not self.remote:
            return (path.as_posix() for path in Path(self.folder).glob(pattern))
        import fsspec

        fs, path = fsspec.core.url_to_fs(self.folder)
        found: list[str] = fs.glob(f"{path}/{pattern}")
        return found

    def _read(self, name: str) -> bytes:
        if not self.remote:
            return Path(self.folder, name).read_bytes()
        import fsspec

        with fsspec.open(f"{self.folder}/{name}", "rb") as file:
            return bytes(file.read())

    def _publish(self, path: Path, name: str) -> None:
        """Move a finished local file to its place: by renaming it, or in one upload."""
        if self.remote:
            import fsspec

            fs, target = fsspec.core.url_to_fs(f"{self.folder}/{name}")
            fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            with path.open("rb") as source, fs.open(target, "wb") as file:
                shutil.copyfileobj(source, file)
            path.unlink()
            return
        place = Path(self.folder, name)
        _make_folder(place.parent)
        os.replace(path, place)
        _sync(place.parent)


def _make_folder(folder: Path) -> None:
    """Make a folder and its parents so that they outlast a power failure."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        _sync(made.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _moment(micros: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=micros)


def _day(micros: int) -> str:
    return _moment(micros).date().isoformat()


def _micros(day: str, time: str) -> int:
    moment = dt.datetime.strptime(f"{day}{time}+0000", "%Y-%m-%d%H%M%S%f%z")
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)
