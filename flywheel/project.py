"""A project: its configuration, its tables and its secret, opened together."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flywheel.settings import Settings, load_settings
from flywheel.tables import Tables


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

    @property
    def sets(self) -> Path:
        """The folder of the exported training sets, one below it a set."""
        return Path(self.settings.data) / "sets"
