"""A table of logs in PostgreSQL -> immutable log files, each row once: one JSON line a row, one file a day and pull.

The files lie in `LANDING/NAME/YYYY-MM-DD/`, packed with zstd, and are read like any others. What was landed is remembered by
an index beside each file (`LANDING/NAME/index/`: the rows' ids and watermarks), written before the file is: a file without
an index cannot be, and an index without a file counts for nothing. So a pull that is killed leaves whole files only, the next
one goes on behind them, and both together hold every row once.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from flywheel.errors import ConfigError, FlywheelError
from flywheel.records import digest
from flywheel.sections import Sql
from flywheel.sources.landing import Landing, Part, day_of, moment

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composable

__all__ = ["Pulled", "landing_glob", "pending", "pull"]

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
    home = Landing(landing, settings.name)
    with home.locked(), _connected(settings) as connection:
        known = home.known(settings.overlap)
        rows = files = 0
        part: Part | None = None
        try:
            for id, watermark, line in _rows(connection, settings, known.bound):
                if (id, watermark) in known.rows:
                    continue
                if part is not None and (part.day != day_of(watermark) or len(part.ids) >= rows_per_file):
                    home.land(part)
                    part = None
                if part is None:
                    part = Part(home.staging(), day_of(watermark))
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
    home = Landing(landing, settings.name)
    known = home.known(settings.overlap)
    days: dict[str, list[str]] = {}
    with _connected(settings) as connection:
        if known.bound is None:
            for day, count, last in _counts(connection, settings):
                days[day] = [str(count), str(last)]
        else:
            for id, watermark, _ in _rows(connection, settings, known.bound, lines=False):
                if (id, watermark) not in known.rows:
                    days.setdefault(day_of(watermark), []).append(f"{watermark}:{id}")
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
    since = SQL("{} >= {}").format(mark, Literal(moment(max(bound or 0, 0))))
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
