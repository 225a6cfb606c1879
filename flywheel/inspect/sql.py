"""DuckDB over the tables, one view a table, for people's questions."""

from typing import TYPE_CHECKING

from flywheel.errors import FlywheelError
from flywheel.tables import Tables

if TYPE_CHECKING:
    import duckdb

MAX_ROWS = 200


def open_views(tables: Tables) -> "duckdb.DuckDBPyConnection":
    """A connection in memory with a view of the current version of every table; `mixture/chat` is called `mixture_chat`.

    It can read nothing else: no file, no address, no extension.
    """
    import duckdb

    connection = duckdb.connect()
    for name in tables.names():
        connection.register(name.replace("/", "_"), tables.dataset(name))
    connection.execute("set enable_progress_bar = false")  # it would stand in the answer
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def render(connection: "duckdb.DuckDBPyConnection", query: str) -> str:
    """The answer as a text table of at most `MAX_ROWS` rows.

    Raises:
        FlywheelError: DuckDB refuses the query; its message names what was wrong.
    """
    import duckdb

    try:
        relation = connection.sql(query)
        if relation is None:
            return ""
        columns, rows = relation.columns, relation.limit(MAX_ROWS + 1).fetchall()
    except duckdb.Error as error:
        raise FlywheelError(str(error)) from None
    return _text_table(columns, rows[:MAX_ROWS]) + (
        f"\n… more than {MAX_ROWS} rows: add a limit." if len(rows) > MAX_ROWS else ""
    )


def _text_table(columns: list[str], rows: list[tuple[object, ...]]) -> str:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    console = Console(width=200, record=True, file=None, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip()
