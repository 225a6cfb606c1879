"""A project: its configuration, its tables and its secret, opened together."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from flywheel.settings import Settings, load_settings
from flywheel.tables import Tables

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
    def key(self) -> bytes:
        return self.settings.key()

    def find_files(self) -> pl.DataFrame:
        """The log files as they are now, with the columns of `LOG_FILES`; those without a proper day belong to `UNDATED`.

        A file whose size and time of change are those registered is not read again.
        """
        from flywheel.sources.files import find_files

        known = self.tables.read("log_files") if self.tables.exists("log_files") else None
        files = find_files(self.settings.logs, root=self.settings.root, start=self.settings.project.start, known=known)
        return files.with_columns(pl.col("day").fill_null(UNDATED))

    @property
    def sampled_rows(self) -> int | None:
        """How many entries of each day a sample reads; None when everything is read."""
        if self.settings.sample is None:
            return None
        return -(-self.settings.sample // max(1, len(self.tables.partitions("log_files"))))

    @property
    def sets(self) -> Path:
        """The folder of the exported training sets, one below it a set."""
        return Path(self.settings.data) / "sets"
