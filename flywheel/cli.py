"""`flywheel`: a thin shell over the library and the graph."""

import importlib
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from flywheel import __version__
from flywheel.errors import FlywheelError

_PACKAGE = Path(__file__).parent


class _Shell(click.Group):
    """Prints a user's mistake as one message, without a traceback, and exits with 2."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except FlywheelError as error:
            click.echo(f"{type(error).__name__}: {error}", err=True)
            context.exit(2)


config_option = click.option("--config", "-c", default="flywheel.toml", show_default=True, help="The project's configuration.")


@click.group(cls=_Shell, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Turn LLM application logs into training sets, with lineage on every row."""


@main.command()
@config_option
@click.option("--sample", type=click.IntRange(min=1), help="Read only about N log entries, into tables of their own.")
@click.option("--day", help="Make only this day (YYYY-MM-DD), and the steps of all days.")
@click.option("--select", help="Make only these nodes: a Dagster asset selection such as '*cleaned' or 'verdicts/length'.")
def run(config: str, sample: int | None, day: str | None, select: str | None) -> None:
    """Make what is not up to date: new days, changed settings, changed plugins."""
    _run(Path(config), sample=sample, day=day, select=select)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
def demo(folder: Path | None) -> None:
    """Run the main job on the bundled logs; no key, no network.

    In a project of its own (FOLDER, made when missing), or in this folder when it holds the demo's configuration.
    """
    if folder is None:
        folder = Path() if _is_demo(Path("flywheel.toml")) else Path("flywheel-demo")
    if not (folder / "flywheel.toml").exists():
        _scaffold(folder, logs=True)
    _run(folder / "flywheel.toml", examples=3)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--demo-logs/--no-demo-logs", default=True, show_default=True, help="Include the bundled example logs.")
@click.option("--synthesize", is_flag=True, help="Begin with three synthesizers, two of which ask a model: needs an API key.")
def init(folder: Path, demo_logs: bool, synthesize: bool) -> None:
    """Make a project in FOLDER: its configuration, its graph and Dagster's settings."""
    if (folder / "flywheel.toml").exists():
        raise FlywheelError(f"{folder} already holds a project. `flywheel run --config {folder}/flywheel.toml` runs it.")
    _scaffold(folder, logs=demo_logs, configuration="synthesize.toml" if synthesize else "flywheel.toml")
    click.echo(f"Made a project in {folder}. Next: cd {folder}, then `flywheel run` and `dagster dev`.")


@main.command()
@config_option
@click.argument("query", required=False)
def sql(config: str, query: str | None) -> None:
    """Query the tables with DuckDB, one view a table: `flywheel sql "select count(*) from curated"`.

    Without QUERY, statements are read from standard input, each ended by a semicolon.
    """
    from flywheel.inspect.sql import open_views, render
    from flywheel.project import Project

    connection = open_views(Project.open(config).tables)
    if query is not None:
        click.echo(render(connection, query))
        return
    if sys.stdin.isatty():
        click.echo("Tables: " + ", ".join(name for (name,) in connection.sql("show tables").fetchall()))
        click.echo("End each statement with a semicolon; Ctrl-D leaves.")
    pending = ""
    for line in sys.stdin:
        pending += line
        if pending.rstrip().endswith(";"):
            click.echo(render(connection, pending))
            pending = ""
    if pending.strip():
        click.echo(render(connection, pending))


@main.command()
@config_option
@click.argument("record_id")
def trace(config: str, record_id: str) -> None:
    """Show a row's whole way: RECORD_ID, or FILE:LINE of an exported set."""
    from flywheel.inspect.trace import id_on_line, render, trace
    from flywheel.project import Project

    project = Project.open(config)
    file, colon, line = record_id.rpartition(":")
    try:
        if colon and line.isdecimal() and Path(file).is_file():
            record_id = id_on_line(file, int(line))
    except (LookupError, FileNotFoundError) as error:
        raise FlywheelError(str(error)) from None
    steps = trace(record_id, tables=project.tables, sets=project.sets)
    if not steps:
        raise FlywheelError(f'no table knows {record_id!r}. `flywheel sql "select id from records limit 5"` shows some ids.')
    click.echo("\n".join(render(record_id, steps)))


@main.group()
def report() -> None:
    """Reports for people, from the tables as they are."""


@report.command("duplicates")
@config_option
@click.option("--clusters", type=click.IntRange(min=1), default=10, show_default=True, help="Of each section, the largest N.")
@click.option("--members", type=click.IntRange(min=1), default=5, show_default=True, help="Of each cluster, the first N.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write a page: FILE.html or FILE.md.")
def report_duplicates(config: str, clusters: int, members: int, output: Path | None) -> None:
    """What repeats what, how similar, by which method; conflicting answers, evaluation sets found, leaks between splits."""
    from flywheel.inspect.report_duplicates import duplicates_report
    from flywheel.inspect.report_forms import as_html, as_markdown, as_text
    from flywheel.project import Project

    forms = {".html": as_html, ".md": as_markdown}
    if output is not None and output.suffix not in forms:
        raise FlywheelError(f"--output {output}: a page is written as {' or '.join(forms)}.")
    project = Project.open(config)
    sections = duplicates_report(project, clusters=clusters, members=members)
    if not sections:
        raise FlywheelError("there is nothing to report yet; `flywheel run` makes the tables.")
    if output is None:
        click.echo("\n".join(as_text(sections)).rstrip())
        return
    output.write_text(forms[output.suffix](sections, title=f"Duplicates in {project.settings.project.name}"), "utf-8")
    click.echo(f"wrote {output}")


@main.group()
def plugins() -> None:
    """Plugins: what is installed, from where, with which settings."""


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines instead of a table.")
def list_plugins(as_json: bool) -> None:
    """Every installed plugin: kind, name, origin, settings, first line of its documentation; broken ones say why."""
    from flywheel.inspect.plugins import describe, plugin_table

    described = describe()
    if as_json:
        for row in described:
            click.echo(json.dumps(row))
    else:
        _console().print(plugin_table(described))
    if any(row["problem"] for row in described):
        raise SystemExit(1)


def _is_demo(config: Path) -> bool:
    from flywheel.settings import load_settings

    return config.exists() and load_settings(config).project.name == "demo"


def _run(config: Path, **options: Any) -> None:
    project_root = config.resolve().parent
    runner = _graph(project_root)
    raise SystemExit(runner.run(config, console=_console(), **options))


def _graph(root: Path) -> ModuleType:
    """The runner of the project's own graph, or of the bundled one where the project has none."""
    bundled = _PACKAGE / "template"
    homes = [root, bundled, _PACKAGE.parent]
    home = next((home for home in homes if (home / "assets" / "run.py").exists()), None)
    if home is None:
        raise FlywheelError(f"there is no graph (assets/) in {root}. `flywheel init DIR` makes a project with one.")
    sys.path.insert(0, str(home))
    return importlib.import_module("assets.run")


def _scaffold(folder: Path, *, logs: bool, configuration: str = "flywheel.toml") -> None:
    template = _PACKAGE / "template"
    base = template if template.exists() else _PACKAGE.parent
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(base / "assets", folder / "assets", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("workspace.yaml", "dagster.yaml"):
        shutil.copy(base / name, folder / name)
    shutil.copy(_PACKAGE / "demo" / configuration, folder / "flywheel.toml")
    (folder / ".gitignore").write_text(".dagster/\ndata/\nflywheel.key\n", "utf-8")
    if logs:
        shutil.copytree(_PACKAGE / "demo" / "logs", folder / "logs")


def _console() -> Any:
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)
