"""Log files to conversations."""

from collections.abc import Iterator
from typing import Any

import polars as pl
import pyarrow as pa

from flywheel import plugins
from flywheel.engine import Made, write_stage
from flywheel.errors import PluginError
from flywheel.ledger import Outcome
from flywheel.plan import MARKER, Plan, content_fingerprints
from flywheel.progress import advance
from flywheel.project import UNDATED, Project
from flywheel.schema import column, without_column

REPEATS = pa.schema(
    [
        column("file", pa.string(), "the log file"),
        column("offset", pa.int64(), "byte offset of the entry in the unpacked stream"),
        column("id", pa.string(), "the id that the record has, and had before"),
        column("outcome", pa.string(), "`merged` (the id was read before on this day) or `dropped`"),
        column("reason", pa.string(), "`same_id`, `no_messages`, `cannot_be_stored`"),
    ]
)

PUBLIC = column("public", pa.string(), "the `[[public]]` data set that the file belongs to; null for the project's own logs")


def log_files(project: Project, _: str, fingerprint: int) -> Made:
    """Pull the tables of `[[sql]]`, then register the files that there are, each with its day.

    A day's fingerprint follows from its files.
    """
    from flywheel.sources.files import LOG_FILES, VOLATILE

    pulled = _pull(project)
    if pulled:
        fingerprint = Plan(project).registered
    files = project.find_files()
    days = files["day"].unique().sort().to_list()
    known = [*project.tables.partitions("log_files"), *days]
    fingerprints = content_fingerprints(files.drop(VOLATILE), known) | {MARKER: fingerprint}
    frames = {day: files.filter(pl.col("day") == day) for day in days}
    schema = without_column(LOG_FILES, "day").append(PUBLIC)
    written = project.tables.write_partitions("log_files", frames, schema=schema, fingerprints=fingerprints)
    extra: dict[str, Any] = {"days": len(days), "bytes": int(files["size"].sum()), "undated": files.filter(day=UNDATED).height}
    return Made("log_files", files.height, written.rows, written.version, extra=extra | pulled)


def _pull(project: Project) -> dict[str, int]:
    """Land the new rows of every table; what was done, by `sql_WHAT`, nothing without a table."""
    if not project.settings.sql:
        return {}
    from flywheel.sources.postgres import pull

    done = [pull(entry, project.settings.landing) for entry in project.settings.sql]
    return {f"sql_{name}": sum(getattr(pulled, name) for pulled in done) for name in done[0]._fields}


def sources(project: Project) -> tuple[dict[str, Any], list[str]]:
    """The source plugins that the configuration needs, by name, and what is wrong with those that cannot be loaded.

    `dialect = "auto"` tries every installed source; a broken one is reported and the others go on.

    Raises:
        PluginError: a dialect that the configuration names is unknown or broken.
    """
    named = {project.settings.logs.dialect, *(public.dialect for public in project.settings.public)}
    loaded = {name: plugins.build("source", name) for name in sorted(named - {"auto"})}
    problems: list[str] = []
    if "auto" not in named:
        return loaded, problems
    for name in sorted({plugin.name for plugin in plugins.installed("source")} - set(loaded)):
        try:
            loaded[name] = plugins.build("source", name)
        except PluginError as error:
            problems.append(str(error))
    return loaded, problems


def records(project: Project, _: str, day: str, fingerprint: int) -> Made:
    """Read one day's files. Writes `rejected`, `repeats` and `reads` beside `records`, which is committed last."""
    from flywheel.sources.read import READS, REJECTED, Reading

    tables, settings = project.tables, project.settings
    loaded, problems = sources(project)
    reading = Reading(
        tables.read("log_files", day=day),
        logs=settings.logs,
        public=settings.public,
        root=settings.root,
        sources=loaded,
        key=project.key,
        batch_rows=project.sampled_rows or settings.engine.batch_rows,
    )
    rejected: list[pl.DataFrame] = [pl.DataFrame(schema=pl.Schema(REJECTED))]
    repeats: list[pl.DataFrame] = [pl.DataFrame(schema=pl.Schema(REPEATS))]

    def outcomes() -> Iterator[tuple[int, Outcome]]:
        done = 0
        for chunk in reading:
            rejected.append(chunk.rejected)
            repeats.append(chunk.exits.select(REPEATS.names))
            done += chunk.records.height
            advance("records", done, day=day)
            yield chunk.records.height + chunk.exits.height, Outcome(chunk.records, chunk.exits.drop("file", "offset"))
            if project.sampled_rows:
                break

    beside_fingerprint = Plan(project).expected("rejected", day)

    def beside() -> None:
        for name, frames, schema in (("rejected", rejected, REJECTED), ("repeats", repeats, REPEATS)):
            tables.write(name, pl.concat(frames), schema=schema, fingerprint=beside_fingerprint, day=day)
        tables.write("reads", reading.reads, schema=READS, fingerprint=fingerprint, day=day)

    made = write_stage(tables, "records", outcomes(), fingerprint=fingerprint, day=day, before_commit=beside)
    counts = reading.reads.select(pl.col("lines", "blank", "accepted", "rejected", "bytes").sum()).row(0, named=True)
    made.extra.update(counts)
    reasons = pl.concat(rejected).group_by("reason").len().sort("len", "reason", descending=[True, False])
    made.extra["rejected_by_reason"] = dict(reasons.iter_rows())
    if problems:
        made.extra["broken_sources"] = "; ".join(problems)
    return made


def conversations(project: Project, _: str, day: str, fingerprint: int) -> Made:
    """Stitch one day's requests into threads."""
    from flywheel.sources.threads import stitch

    found = project.tables.read("records", day=day).drop("day")
    return write_stage(project.tables, "conversations", [(found.height, stitch(found))], fingerprint=fingerprint, day=day)
