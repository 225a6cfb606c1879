"""The four plugin contracts, and how plugins are found, loaded and configured.

A plugin is a frozen dataclass registered under an entry-point group; its fields are its settings. Built-ins come in through
the same groups as everybody's. Listing reads only installed metadata; a plugin's module is imported when it is named.
"""

import dataclasses
import difflib
import functools
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec

from flywheel.errors import PluginError

if TYPE_CHECKING:
    import polars as pl

    from flywheel.records import Record

GROUPS = {
    "source": "flywheel.sources",
    "filter": "flywheel.filters",
    "synthesizer": "flywheel.synthesizers",
    "format": "flywheel.formats",
}
_METHODS = {"source": ("sniff", "parse"), "filter": ("score", "keep"), "synthesizer": ("synthesize",), "format": ("render",)}


@runtime_checkable
class Source(Protocol):
    """Reads one dialect of log."""

    def sniff(self, head: bytes) -> bool:
        """Whether these bytes, the start of one entry or of a file, look like this dialect. Never raises."""
        ...

    def parse(self, entry: Any) -> "Iterator[Record]":
        """The records of one decoded entry (dict, list or scalar).

        Give an `id` where the log has one, else "": the reader then derives it from the entry's bytes. `user` is the raw
        id; the reader replaces it by its keyed HMAC, and fills `source`, `origin` and `licenses`.

        Raises:
            flywheel.errors.Rejected: the entry is no conversation; the reason is counted.
        """
        ...


@runtime_checkable
class Filter(Protocol):
    """Measures, then decides. Both must be pure: the same batch gives the same answer."""

    def score(self, records: "pl.DataFrame") -> "pl.Series":
        """One number a row, in the batch's order; null where it cannot be measured. Sees the derived columns."""
        ...

    def keep(self, score: "pl.Series") -> "pl.Series":
        """One boolean a row; null keeps the row, because missing is not negative."""
        ...


class Model(Protocol):
    """What a synthesizer asks; caching, retries, concurrency and spending limits are behind it."""

    async def ask(self, prompt: str) -> str: ...


@runtime_checkable
class Synthesizer(Protocol):
    """Makes new records from a seed."""

    def synthesize(self, seed: "Record", model: Model) -> "AsyncIterator[Record]":
        """Children of `seed`, made with `seed.child(...)`, so that lineage, licences and split come by themselves."""
        ...


@runtime_checkable
class Format(Protocol):
    """Writes records as a trainer reads them. `suffix` is the file's ending: `jsonl` or `parquet`."""

    @property
    def suffix(self) -> str: ...

    def render(self, record: "Record") -> dict[str, Any]:
        """One row of the file.

        Raises:
            flywheel.errors.Rejected: the format cannot express this record; the reason is counted.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Installed:
    """One plugin as its package's metadata states it; nothing has been imported."""

    kind: str
    name: str
    target: str
    distribution: str
    version: str
    entry_point: EntryPoint = dataclasses.field(repr=False, compare=False)

    def load(self) -> type:
        """Import the plugin's class.

        Raises:
            PluginError: it cannot be imported, is no frozen dataclass, or lacks a method of its contract.
        """
        origin = f"{self.kind} {self.name!r} ({self.target}, from {self.distribution} {self.version})"
        try:
            found = self.entry_point.load()
        except (Exception, SystemExit) as error:  # a module that exits must not take the graph with it
            raise PluginError(
                f"{origin} cannot be imported: {type(error).__name__}: {error}. "
                f"Reinstall or remove {self.distribution}: `pip install --force-reinstall {self.distribution}`."
            ) from error
        if not (isinstance(found, type) and dataclasses.is_dataclass(found) and found.__dataclass_params__.frozen):  # type: ignore[attr-defined]
            raise PluginError(f"{origin} is not a frozen dataclass. Decorate the class with @dataclass(frozen=True).")
        if missing := [method for method in _METHODS[self.kind] if not callable(getattr(found, method, None))]:
            raise PluginError(f"{origin} has no method {missing[0]!r}; see flywheel.plugins.{self.kind.title()}.")
        return found


def installed(kind: str) -> list[Installed]:
    """Every installed plugin of a kind, by name, without importing any. Names may repeat: `find` refuses those.

    A process looks once for each import path; what is installed while it runs is seen by the next process.
    """
    return list(_installed(kind, tuple(sys.path)))


@functools.lru_cache(maxsize=64)
def _installed(kind: str, _path: tuple[str, ...]) -> tuple[Installed, ...]:
    found = {
        Installed(kind, point.name, point.value, point.dist.name, point.dist.version, point)
        for point in entry_points(group=GROUPS[kind])
        if point.dist is not None
    }
    return tuple(sorted(found, key=lambda plugin: (plugin.name, plugin.distribution, plugin.target)))


def find(kind: str, name: str) -> Installed:
    """The one installed plugin of that name.

    Raises:
        PluginError: there is none, with the nearest name and all installed ones, or there are two.
    """
    available = installed(kind)
    matches = [plugin for plugin in available if plugin.name == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        owners = " and ".join(f"{plugin.distribution} {plugin.version}" for plugin in matches)
        raise PluginError(f"two {kind}s are called {name!r}, from {owners}. Uninstall one of them.")
    names = sorted({plugin.name for plugin in available})
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise PluginError(
        f"no {kind} is called {name!r}.{hint}\nInstalled {kind}s: {', '.join(names) or 'none'}. "
        "`flywheel plugins list` shows where each comes from."
    )


def build(kind: str, name: str, settings: Mapping[str, Any] | None = None) -> Any:
    """A configured plugin.

    Raises:
        PluginError: it is unknown or broken, or a setting is unknown or has a wrong type.
    """
    plugin = find(kind, name)
    cls = plugin.load()
    given = dict(settings or {})
    fields = [field.name for field in dataclasses.fields(cls) if field.init]
    if unknown := sorted(set(given) - set(fields)):
        near = difflib.get_close_matches(unknown[0], fields, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise PluginError(f"{kind} {name!r} has no setting {unknown[0]!r}.{hint} Its settings: {', '.join(fields) or 'none'}.")
    try:
        return msgspec.convert(given, cls)
    except (msgspec.ValidationError, ValueError, TypeError, NameError) as error:  # NameError: a type that is not defined
        raise PluginError(f"{kind} {name!r}: {error}") from None


def code_version(kind: str, name: str, settings: Mapping[str, Any] | None = None) -> str:
    """What a node made by this plugin depends on: distribution, version and settings, without importing the plugin."""
    plugin = find(kind, name)
    chosen = ",".join(f"{key}={value!r}" for key, value in sorted((settings or {}).items()))
    return f"{plugin.distribution}=={plugin.version}:{plugin.target}({chosen})"
