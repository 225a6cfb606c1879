"""A project: its configuration, its tables and its secret, opened together."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from flywheel.errors import PluginError
from flywheel.settings import Settings, load_settings
from flywheel.tables import Tables

if TYPE_CHECKING:
    from flywheel.plan import Node
    from flywheel.synthesize.model import OpenAIModel

UNDATED = "undated"


@dataclass(frozen=True)
class Project:
    """What every step is given. Holds no connection; cheap to open, and safe to open in many processes."""

    settings: Settings

    @classmethod
    def open(cls, path: str | Path = "flywheel.toml", *, sample: int | None = None) -> "Project":
        """Open the project of a configuration file; `sample` as in `Settings`.

        Raises:
            ConfigError: as `load_settings`.
        """
        return cls(load_settings(path, sample=sample))

    @cached_property
    def tables(self) -> Tables:
        return Tables(self.settings.data, batch_rows=self.settings.engine.batch_rows)

    @cached_property
    def nodes(self) -> "dict[str, Node]":
        """The nodes of its graph; which plugins are installed is looked up once."""
        from flywheel.plan import nodes

        return nodes(self.settings)

    @cached_property
    def key(self) -> bytes:
        return self.settings.key()

    @cached_property
    def model(self) -> "OpenAIModel | None":
        """The configured models with their cache of answers, shared by every node of this process; None without `[model]`."""
        if self.settings.model is None:
            return None
        from flywheel.synthesize.cache import Answers
        from flywheel.synthesize.roles import connect

        self.home.mkdir(parents=True, exist_ok=True)
        return connect(self.settings.model, self.settings.models, answers=Answers(self.home / "answers.sqlite", self.key))

    @property
    def home(self) -> Path:
        """The folder for what has to be on this machine: that of the tables, or `.flywheel` where those lie in a store."""
        return self.settings.root / ".flywheel" if self.settings.remote else Path(self.settings.data)

    def find_files(self) -> pl.DataFrame:
        """The log files as they are now, with the columns of `LOG_FILES` and `public`, the `[[public]]` data set of each.

        Those without a proper day, or with one before `[project] start` or after its `end`, have a `problem` and belong to
        `UNDATED`, which is never read. A file whose size and time of change are those registered is not hashed again.
        """
        from flywheel.sources.files import find_files
        from flywheel.sources.postgres import landing_glob

        project = self.settings.project
        known = self.tables.read("log_files") if self.tables.exists("log_files") else None
        landed = (landing_glob(entry, self.settings.landing) for entry in self.settings.sql)
        logs = msgspec.structs.replace(self.settings.logs, url=(*self.settings.logs.urls, *landed))
        root, start = self.settings.root, project.start
        found = [
            find_files(entry.logs(logs), root=root, start=start, known=known).with_columns(public=pl.lit(entry.name))
            for entry in self.settings.public
        ]
        own = find_files(logs, root=root, start=start, known=known).with_columns(public=pl.lit(None, pl.String))
        files = pl.concat([*found, own]).unique("uri", keep="first").sort("day", "uri", nulls_last=True)
        outside = pl.col("day").is_between(pl.lit(project.start), pl.lit(project.end or "9999-12-31")).not_()
        files = files.with_columns(problem=pl.when(outside).then(pl.lit("outside_of_project")).otherwise("problem"))
        undated = pl.col("day").is_null() | (pl.col("problem") == "outside_of_project")
        return files.with_columns(day=pl.when(undated.fill_null(value=False)).then(pl.lit(UNDATED)).otherwise("day"))

    def pending_rows(self) -> dict[str, list[int]]:
        """The days for which tables of `[[sql]]` have rows that are not landed yet, with a digest of those of each table."""
        from flywheel.sources.postgres import pending

        days: dict[str, list[int]] = {}
        for entry in self.settings.sql:
            for day, rows in pending(entry, self.settings.landing).items():
                days.setdefault(day, []).append(rows)
        return days

    @property
    def sampled_rows(self) -> int | None:
        """How many entries of each day a sample reads; None when everything is read."""
        if self.settings.sample is None:
            return None
        return -(-self.settings.sample // max(1, len(self.tables.partitions("log_files"))))

    @property
    def decisions(self) -> pl.DataFrame:
        """What people decided about flagged records: `id`, `flag`, `decision`.

        Raises:
            ConfigError: as `read_decisions`.
        """
        from flywheel.curate.policy import read_decisions

        return read_decisions(self.settings.root / self.settings.policy.decisions)

    @property
    def review_list(self) -> Path:
        """The file that lists what waits for a decision."""
        return self.home / "review" / "review.csv"

    @property
    def sets(self) -> Path:
        """The folder of the exported training sets, one below it a set: on this machine, wherever the tables lie."""
        return (self.settings.root if self.settings.remote else Path(self.settings.data)) / "sets"


def check_plugins(settings: Settings) -> None:
    """Refuse a configuration that names a plugin that is not installed, or a setting that it does not have.

    An installed plugin that cannot be imported passes: its own node says so, and the rest of the graph runs.

    Raises:
        PluginError: with the nearest name and what there is.
    """
    from flywheel import plugins

    named = [("filter", each.use, each.settings) for each in settings.filters]
    named += [("synthesizer", each.use, each.settings) for each in settings.synthesize]
    named += [("format", each.format, each.settings) for each in settings.sets]
    named += [("similarity", each.method, each.settings) for each in settings.duplicates]
    named += [("similarity", each.method, each.settings) for each in settings.benchmarks]
    named += [("source", settings.logs.dialect, {})] if settings.logs.dialect != "auto" else []
    for kind, name, chosen in named:
        plugin = plugins.find(kind, name)
        try:
            plugin.load()
        except PluginError:
            continue
        plugins.build(kind, name, chosen)
