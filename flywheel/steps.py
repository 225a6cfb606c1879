"""The work behind each node of the graph: read its inputs, call one stage, write its table and who left.

`make` is all that a scheduler needs. Steps never decide whether they are due (`flywheel.plan`) and never look at the clock.
"""

from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pyarrow as pa

from flywheel import plugins
from flywheel.engine import Made, map_table, write_stage
from flywheel.errors import PluginError
from flywheel.ledger import Outcome, no_exits
from flywheel.plan import MARKER, Plan, content_fingerprints
from flywheel.project import Project
from flywheel.schema import column

TRAINING_SETS = pa.schema(
    [
        column("version", pa.string(), "digest of the exported files: the name of their folder"),
        column("split", pa.string(), "`train`, `validation` or `test`"),
        column("file", pa.string(), "relative to the sets folder"),
        column("rows", pa.int64(), "lines of the file"),
        column("tokens", pa.int64(), "counted by the set's tokenizer, or estimated"),
        column("bytes", pa.int64(), "size of the file"),
        column("sha256", pa.string(), "of the file"),
    ]
)


def make(project: Project, name: str, day: str | None = None) -> Made:
    """Make one node, for one day when it is daily, from its inputs as they are now.

    Raises:
        FlywheelError: the configuration or a plugin is at fault.
        FileNotFoundError: an input was never made.
    """
    plan = Plan(project)
    kind, _, rest = name.partition("/")
    fingerprint = plan.expected(name, day)
    if day is None:
        return _OF_ALL_DAYS[kind](project, rest, fingerprint)
    return _OF_ONE_DAY[kind](project, rest, day, fingerprint)


def _log_files(project: Project, _: str, fingerprint: int) -> Made:
    from flywheel.sources.files import LOG_FILES, find_files

    files = find_files(project.settings.logs, root=project.settings.root, start=project.settings.project.start)
    days = files["day"].unique().sort().to_list()
    known = [*project.tables.partitions("log_files"), *days]
    fingerprints = content_fingerprints(files.drop("modified_at"), known) | {MARKER: fingerprint}
    frames = {day: files.filter(pl.col("day") == day) for day in days}
    written = project.tables.write_partitions("log_files", frames, schema=_without_day(LOG_FILES), fingerprints=fingerprints)
    return Made(
        "log_files", files.height, written.rows, written.version, extra={"days": len(days), "bytes": int(files["size"].sum())}
    )


def _without_day(schema: pa.Schema) -> pa.Schema:
    return schema.remove(schema.get_field_index("day"))


def sources(project: Project) -> tuple[dict[str, Any], list[str]]:
    """The source plugins that the configuration needs, by name, and what is wrong with those that cannot be loaded.

    `dialect = "auto"` tries every installed source; a broken one is reported and the others go on.

    Raises:
        PluginError: the one dialect that the configuration names is unknown or broken.
    """
    dialect = project.settings.logs.dialect
    if dialect != "auto":
        return {dialect: plugins.build("source", dialect)}, []
    loaded, problems = {}, []
    for name in sorted({plugin.name for plugin in plugins.installed("source")}):
        try:
            loaded[name] = plugins.build("source", name)
        except PluginError as error:
            problems.append(str(error))
    return loaded, problems


def _conversations(project: Project, _: str, day: str, fingerprint: int) -> Made:
    from flywheel.sources.threads import stitch

    records = project.tables.read("records", day=day).drop("day")
    return write_stage(project.tables, "conversations", [(records.height, stitch(records))], fingerprint=fingerprint, day=day)


def _cleaned(project: Project, _: str, day: str, fingerprint: int) -> Made:
    from flywheel.curate.clean import clean

    def stage(batch: pl.DataFrame) -> Outcome:
        return clean(batch, settings=project.settings.clean)

    return map_table(project.tables, "conversations", "cleaned", stage, fingerprint=fingerprint, day=day)


def _scrubbed(project: Project, _: str, day: str, fingerprint: int) -> Made:
    from flywheel.curate.scrub import scrub

    found: dict[str, int] = {}

    def stage(batch: pl.DataFrame) -> Outcome:
        scrubbed = scrub(batch, settings=project.settings.scrub, key=project.key)
        for entity, count in scrubbed.findings.group_by("entity").agg(pl.col("count").sum()).iter_rows():
            found[entity] = found.get(entity, 0) + count
        return Outcome(scrubbed.kept, scrubbed.exits)

    made = map_table(project.tables, "cleaned", "scrubbed", stage, fingerprint=fingerprint, day=day)
    made.extra["replaced"] = dict(sorted(found.items()))
    return made


def _signatures(project: Project, _: str, day: str, fingerprint: int) -> Made:
    from flywheel.curate.dedup import SIGNATURES, sign

    def stage(batch: pl.DataFrame) -> Outcome:
        return Outcome(sign(batch, settings=project.settings.dedup), no_exits())

    return map_table(project.tables, "scrubbed", "signatures", stage, fingerprint=fingerprint, day=day, schema=SIGNATURES)


def _verdicts(project: Project, name: str, day: str, fingerprint: int) -> Made:
    from flywheel.curate.judge import VERDICTS, judge

    plugged = next(plugged for plugged in project.settings.filters if plugged.name == name)
    chosen = plugins.build("filter", plugged.use, plugged.settings)
    rows = kept = 0

    def verdicts() -> Iterator[pl.DataFrame]:
        nonlocal rows, kept
        for batch in project.tables.batches("scrubbed", day=day):
            judged = judge(batch.drop("day"), chosen)
            rows += judged.height
            kept += int(judged["keep"].sum())
            yield judged

    written = project.tables.write("verdicts", verdicts(), schema=VERDICTS, fingerprint=fingerprint, filter=name, day=day)
    return Made(
        f"verdicts/{name}", rows, rows, written.version, extra={"keeps": kept, "would_drop": rows - kept, "plugin": repr(chosen)}
    )


def _duplicates(project: Project, _: str, fingerprint: int) -> Made:
    from flywheel.curate.dedup import DUPLICATES, find_duplicates

    days = project.tables.partitions("log_files")
    signatures = project.tables.read("signatures")
    duplicates = find_duplicates(signatures, similarity=project.settings.dedup.similarity)
    frames = {day: duplicates.filter(pl.col("day") == day).sort("id", "kept") for day in duplicates["day"].unique().sort()}
    fingerprints = content_fingerprints(duplicates, days) | {MARKER: fingerprint}
    written = project.tables.write_partitions("duplicates", frames, schema=_without_day(DUPLICATES), fingerprints=fingerprints)
    reasons = dict(duplicates.group_by("reason").len().sort("reason").iter_rows())
    return Made("duplicates", signatures.height, written.rows, written.version, extra=reasons)


def _curated(project: Project, _: str, day: str, fingerprint: int) -> Made:
    from flywheel.curate.judge import combine

    tables = project.tables
    verdicts = {plugged.name: tables.read("verdicts", filter=plugged.name, day=day) for plugged in project.settings.filters}
    duplicates = tables.read("duplicates", day=day)

    def stage(batch: pl.DataFrame) -> Outcome:
        return combine(batch, verdicts, duplicates)

    return map_table(tables, "scrubbed", "curated", stage, fingerprint=fingerprint, day=day)


def _splits(project: Project, _: str, fingerprint: int) -> Made:
    from flywheel.mix.splits import SPLITS, assign_splits

    curated = project.tables.scan("curated").select("id", "day", "parents", "session").collect()
    links = project.tables.read("duplicates").select("id", "kept")
    splits = assign_splits(curated, links, settings=project.settings.splits)
    written = project.tables.write("splits", splits, schema=SPLITS, fingerprint=fingerprint)
    shares = dict(splits.group_by("split").len().sort("split").iter_rows())
    families = {"families": splits["family"].n_unique()}
    return Made("splits", curated.height, written.rows, written.version, extra=shares | families)


def with_splits(project: Project) -> Iterator[pl.DataFrame]:
    """All curated records that are no duplicate of another as duplicates are known now, with their split, day by day.

    `curated` used the duplicates of its time; a later day may have brought an older copy since.
    """
    splits = project.tables.read("splits").select("id", "day", assigned="split")
    duplicates = project.tables.read("duplicates").select("id", "day")
    for batch in project.tables.batches("curated"):
        current = batch.join(duplicates, on=["id", "day"], how="anti", maintain_order="left")
        joined = current.join(splits, on=["id", "day"], how="left", maintain_order="left")
        yield joined.with_columns(split=pl.col("assigned")).drop("assigned", "day")


_OF_ONE_DAY: dict[str, Callable[[Project, str, str, int], Made]] = {
    "conversations": _conversations,
    "cleaned": _cleaned,
    "scrubbed": _scrubbed,
    "signatures": _signatures,
    "verdicts": _verdicts,
    "curated": _curated,
}
_OF_ALL_DAYS: dict[str, Callable[[Project, str, int], Made]] = {
    "log_files": _log_files,
    "duplicates": _duplicates,
    "splits": _splits,
}
