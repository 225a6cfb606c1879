"""What is made from what, and what has to be made again.

Each node of the graph is a table, or a partition of one. Its *fingerprint* is a digest of its code version, its settings and
the fingerprints of its inputs, and is stored with the data in the same commit; a node is stale when the stored one is not
what it should be. Three tables of all days, `log_files`, `duplicates` and `review`, have a fingerprint a day that follows from
the rows of that day, so that a change to one day makes the others no work.
"""

import functools
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import polars as pl
import xxhash

from flywheel import __version__, plugins
from flywheel.curate.label_rules import LabelRule, with_rules
from flywheel.errors import PluginError
from flywheel.project import UNDATED, Project
from flywheel.sections import Benchmark, DuplicateRule, Plugged, Scrub
from flywheel.settings import Settings

MARKER = "*"
_BY_CONTENT = ("log_files", "duplicates", "review")


@dataclass(frozen=True)
class Node:
    """One node of the graph: its name, what it reads, whether it is made day by day, and its code version.

    `phase` orders the work of a run: nodes of one phase never wait for what a later phase decides.
    """

    name: str
    inputs: tuple[str, ...]
    daily: bool
    version: str
    phase: int

    @property
    def table(self) -> str:
        """The table that holds its rows and fingerprint."""
        kind, _, _ = self.name.partition("/")
        return {"verdicts": "verdicts", "training_set": "training_sets", "similar": "similar_pairs"}.get(kind, self.name)

    def where(self, day: str | None) -> dict[str, str]:
        """The partition of `table` that this node is, for `day` when it is daily."""
        kind, _, name = self.name.partition("/")
        if kind == "verdicts":
            return {"filter": name, "day": day or ""}
        if kind == "training_set":
            return {"set": name}
        if kind == "similar":
            return {"rule": name}
        return {"day": day} if day is not None and (self.daily or self.name in _BY_CONTENT) else {}


def nodes(settings: Settings) -> dict[str, Node]:
    """Every node of a project, in an order in which each comes after its inputs."""
    verdicts = tuple(f"verdicts/{plugged.name}" for plugged in settings.filters)
    synthetic = tuple(f"synthetic/{plugged.name}" for plugged in settings.synthesize)
    mixtures = tuple(f"mixture/{mix.name}" for mix in settings.mix)
    sets = tuple(f"training_set/{chosen.name}" for chosen in settings.sets)
    logs = msgspec.structs.asdict(settings.logs) | {
        "start": settings.project.start,
        "sample": settings.sample,
        "public": settings.public,
    }
    made: dict[str, Node] = {}

    def add(phase: int, name: str, inputs: Iterable[str], version: object, *, daily: bool = False) -> None:
        made[name] = Node(name, tuple(inputs), daily, f"flywheel=={__version__}:{version!r}", phase)

    add(0, "log_files", (), logs)
    add(1, "records", ["log_files"], logs, daily=True)
    add(1, "rejected", ["log_files"], logs, daily=True)
    add(1, "conversations", ["records"], "", daily=True)
    add(1, "cleaned", ["conversations"], settings.clean, daily=True)
    add(1, "scrubbed", ["cleaned"], _scrub_version(settings.scrub), daily=True)
    add(1, "signatures", ["scrubbed"], settings.dedup.signing, daily=True)
    for name, plugged in zip(verdicts, settings.filters, strict=True):
        add(1, name, ["scrubbed"], _plugin_version("filter", plugged, settings.labels), daily=True)
    review = ["review"] if settings.policy.held else []
    if review:
        add(2, "review", verdicts, sorted(settings.policy.held.items()))
    add(2, "duplicates", ["signatures", *verdicts, *review], (settings.dedup.similarity, settings.dedup.keep))
    add(3, "curated", ["scrubbed", *verdicts, *review, "duplicates"], "", daily=True)
    benchmarks = tuple(_benchmark_version(benchmark, settings) for benchmark in settings.benchmarks)
    overlaps = [(benchmark.name, benchmark.overlap, benchmark.semantic) for benchmark in settings.benchmarks]
    if benchmarks:
        add(3, "contamination", ["curated"], benchmarks, daily=True)
    current = ["duplicates", *(["contamination"] if benchmarks else [])]
    for rule in settings.duplicates:
        add(4, f"similar/{rule.name}", ["curated", *current], (_rule_version(rule), overlaps))
    acting = [rule for rule in settings.duplicates if rule.action != "report"]
    current += [f"similar/{rule.name}" for rule in acting]
    choices = (*overlaps, *((rule.name, rule.threshold, rule.action) for rule in acting))
    add(4, "splits", ["curated", "duplicates", "signatures"], settings.splits)
    for name, plugged in zip(synthetic, settings.synthesize, strict=True):
        version = (_plugin_version("synthesizer", plugged), plugged.limit, settings.model, settings.models, *choices)
        add(4, name, ["curated", "splits", *current], version)
    if synthetic:
        checks = tuple((plugged.name, plugged.verify, plugged.unverified) for plugged in settings.synthesize)
        add(4, "verified", [*synthetic, "curated"], (benchmarks, overlaps, checks))
    for name, mix in zip(mixtures, settings.mix, strict=True):
        verified = ["verified"] if set(mix.take) - {"curated"} else []
        add(4, name, ["curated", "splits", *current, *verified], (mix, *choices))
    for name, chosen in zip(sets, settings.sets, strict=True):
        add(
            4,
            name,
            [f"mixture/{chosen.mix}"],
            (
                chosen,
                settings.canaries,
                settings.anonymity,
                settings.policy.model_terms,
                _format_version(chosen.format, settings.labels),
            ),
        )
    add(4, "ledger", ["records", "curated", *mixtures, *sets], "")
    add(4, "profile", ["curated"], "")
    add(4, "coverage", ["curated"], "")
    add(4, "agreement", ["curated"], "")
    add(4, "anonymity", ["curated"], settings.anonymity)
    return made


def _benchmark_version(benchmark: Benchmark, settings: Settings) -> tuple[object, ...]:
    """What finding its texts depends on: not the thresholds, which choose among what was found."""
    from flywheel.curate.benchmarks import digest_of

    kept = msgspec.structs.replace(benchmark, license=None, overlap=0.0, semantic=1.0 if benchmark.semantic else None)
    method = Plugged(use=benchmark.method, name=benchmark.name, settings=benchmark.settings)
    return kept, digest_of(benchmark, settings.root), _plugin_version("similarity", method) if benchmark.semantic else None


def _rule_version(rule: DuplicateRule) -> tuple[object, ...]:
    """What finding its pairs depends on: not the threshold above the floor, nor the action, which choose among them."""
    method = Plugged(use=rule.method, name=rule.name, settings=rule.settings)
    compared = (rule.level, rule.least, rule.scope, rule.roles, rule.words, rule.window)
    return *compared, _plugin_version("similarity", method)


def _scrub_version(scrub: Scrub) -> Scrub:
    """Its own recognizers count by what their file says, not by where it lies."""
    if scrub.registry is None:
        return scrub
    try:
        content = Path(scrub.registry).read_bytes()
    except OSError:
        content = b""  # the stage says that the file is missing
    return msgspec.structs.replace(scrub, registry=hashlib.sha256(content).hexdigest())


def _plugin_version(kind: str, plugged: Plugged, labels: tuple[LabelRule, ...] = ()) -> str:
    """A broken or missing plugin must not keep the graph from loading: its own node says so when it runs.

    A plugin is imported only to ask whether it takes the project's `[[labels]]`, where there are any.
    """
    try:
        return plugins.code_version(kind, plugged.use, with_rules(kind, plugged.use, plugged.settings, labels))
    except PluginError as error:
        return f"broken: {error}"


def _format_version(name: str, labels: tuple[LabelRule, ...]) -> str:
    return _plugin_version("format", Plugged(use=name, name=name, settings={}), labels)


def digest63(*parts: object) -> int:
    """A non-negative 63-bit digest of the parts' representations, which must be the same in every process."""
    return xxhash.xxh3_64_intdigest("\x1f".join(map(repr, parts)).encode()) >> 1


def content_fingerprints(frame: pl.DataFrame, days: Iterable[str]) -> dict[str, int]:
    """A digest of each day's rows, independent of their order; 0 for a day without rows."""
    hashed = (
        frame.select("day", row=frame.drop("day").hash_rows(seed=7)) if frame.height else pl.DataFrame({"day": [], "row": []})
    )
    by_day = dict(hashed.sort("day", "row").group_by("day", maintain_order=True).agg("row").iter_rows())
    return {day: digest63(*by_day[day]) if day in by_day else 0 for day in days}


@dataclass(frozen=True)
class Plan:
    """Decides what is stale, by looking at the stored fingerprints. Make a new one after every step of work."""

    project: Project
    _lookups: dict[str, Callable[..., int | None]] = field(default_factory=dict, repr=False)

    @property
    def nodes(self) -> "dict[str, Node]":
        return self.project.nodes

    @functools.cached_property
    def days(self) -> list[str]:
        """The days that have log files, sorted. Files without a proper day are registered, and never read."""
        return [day for day in self.project.tables.partitions("log_files") if day != UNDATED]

    def stored(self, name: str, day: str | None = None) -> int | None:
        """The fingerprint of what is there, or None."""
        node = self.nodes[name]
        if node.table not in self._lookups:
            self._lookups[node.table] = self.project.tables.fingerprints(node.table)
        if day is None and name in _BY_CONTENT:
            day = MARKER
        return self._lookups[node.table](**node.where(day))

    def expected(self, name: str, day: str | None = None) -> int:
        """The fingerprint that a node has when it is made from its inputs as they are now."""
        node = self.nodes[name]
        if name == "log_files":
            pending = self.project.pending_rows()
            return digest63(self.registered, pending) if pending else self.registered
        decisions = [self.project.decisions.to_dicts()] if name == "review" else []
        return digest63(name, node.version, *decisions, *(self._input(source, day) for source in node.inputs))

    @functools.cached_property
    def registered(self) -> int:
        """The fingerprint of `log_files` when the files that there are now are registered and no table has rows to pull."""
        return digest63("log_files", self.nodes["log_files"].version, self._files.hash_rows(seed=7).sort().to_list())

    @functools.cached_property
    def _files(self) -> pl.DataFrame:
        from flywheel.sources.files import VOLATILE

        return self.project.find_files().drop(VOLATILE)

    def _input(self, source: str, day: str | None) -> object:
        if day is not None:
            return source, self.stored(source, day)
        if self.nodes[source].daily or source in _BY_CONTENT:
            return source, tuple((each, self.stored(source, each)) for each in self.days)
        return source, self.stored(source)

    def due_days(self) -> dict[str, int | None]:
        """The days whose log files are new, changed or not read yet, with a digest of the files; sorted.

        A run registers the files of every day and reads only its own, so what it registered beside is due as well. Rows of a
        table that are not pulled yet count as files that are not registered.
        """
        registered = self.project.tables.fingerprints("log_files")
        now = content_fingerprints(self._files, {*self.days, *self._files["day"].to_list()})
        first, last = self.project.settings.project.start, self.project.settings.project.end or "9999-12-31"
        for day, rows in self.project.pending_rows().items():
            if first <= day <= last:
                now[day] = digest63(now.get(day, 0), rows)
        changed = {day: digest for day, digest in now.items() if day != UNDATED and registered(day=day) != digest}
        return dict(sorted(({day: registered(day=day) for day in self._unread()} | changed).items()))

    def _unread(self) -> list[str]:
        """The days with a registered file that `records` was not made from."""
        tables = self.project.tables
        if not tables.exists("log_files"):
            return []
        files = tables.read("log_files").filter(pl.col("problem").is_null())
        if tables.exists("reads"):
            files = files.join(tables.read("reads"), left_on=["uri", "sha256"], right_on=["file", "sha256"], how="anti")
        return files["day"].unique().to_list()

    def stale(self, phase: int, chosen: Sequence[str] | None = None) -> dict[str | None, list[str]]:
        """The nodes of one phase to be made, by day (None: nodes of all days), in order; nothing when all is fresh.

        Args:
            chosen: only these nodes; all when None.
        """
        result: dict[str | None, list[str]] = {}
        wanted = [node for node in self.nodes.values() if node.phase == phase and (chosen is None or node.name in chosen)]
        for day in [*self.days, None]:
            again: list[str] = []
            for node in wanted:
                if node.daily is (day is not None) and (
                    any(source in again for source in node.inputs) or self.stored(node.name, day) != self.expected(node.name, day)
                ):
                    again.append(node.name)
            if again:
                result[day] = again
        return result
