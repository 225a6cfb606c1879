"""`flywheel.toml`: read once, validated, with errors that name the key."""

import difflib
import os
import secrets
import tomllib
import urllib.parse
from pathlib import Path
from typing import Any

import msgspec

from flywheel.curate.label_rules import LabelRule
from flywheel.errors import ConfigError
from flywheel.sections import (
    PERMISSIVE,
    Anonymity,
    Benchmark,
    Canaries,
    Clean,
    Dedup,
    DuplicateRule,
    Engine,
    Logs,
    Mix,
    Name,
    Plugged,
    Policy,
    ProjectSection,
    Public,
    Scrub,
    Set,
    Splits,
    Sql,
    Synthesis,
)
from flywheel.synthesize.model_settings import ModelSettings
from flywheel.synthesize.verification import build_checks


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: ProjectSection = ProjectSection()
    logs: Logs = Logs()
    sql: list[Sql] = []
    public: list[Public] = []
    policy: Policy = Policy()
    clean: Clean = Clean()
    scrub: Scrub = Scrub()
    canaries: Canaries = Canaries()
    dedup: Dedup = Dedup()
    splits: Splits = Splits()
    duplicates: list[DuplicateRule] = []
    benchmarks: list[Benchmark] = []
    filters: list[dict[str, Any]] | None = None
    labels: list[LabelRule] = []
    synthesize: list[dict[str, Any]] = []
    mix: list[Mix] = msgspec.field(default_factory=lambda: [Mix(name="chat")])
    sets: list[Set] = msgspec.field(default_factory=lambda: [Set(name="chat", format="openai_chat")])
    anonymity: Anonymity = Anonymity()
    engine: Engine = Engine()
    model: ModelSettings | None = None
    models: dict[str, dict[str, Any]] = {}


DEFAULT_FILTERS = (
    "empty_reply",
    "truncated_reply",
    "length",
    "language",
    "symbol_ratio",
    "repetition",
    "refusal",
    "control_tokens",
)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A project's configuration. `path` is the file it was read from and `root` its folder.

    `sample`, given on the command line, limits what is read to about that many log entries.
    """

    path: Path
    project: ProjectSection
    logs: Logs
    sql: tuple[Sql, ...] = ()
    public: tuple[Public, ...] = ()
    policy: Policy = Policy()
    clean: Clean
    scrub: Scrub
    canaries: Canaries = Canaries()
    dedup: Dedup
    splits: Splits
    duplicates: tuple[DuplicateRule, ...] = ()
    benchmarks: tuple[Benchmark, ...] = ()
    filters: tuple[Plugged, ...]
    labels: tuple[LabelRule, ...] = ()
    synthesize: tuple[Synthesis, ...]
    mix: tuple[Mix, ...]
    sets: tuple[Set, ...]
    anonymity: Anonymity = Anonymity()
    engine: Engine
    model: ModelSettings | None = None
    models: dict[str, ModelSettings] = {}
    sample: int | None = None

    @property
    def root(self) -> Path:
        return self.path.parent

    @property
    def data(self) -> str:
        """URL or absolute folder of the tables; a sample has its own below it."""
        where = self.project.data
        where = where if "://" in where else str((self.root / where).resolve())
        return where if self.sample is None else f"{where}/sample-{self.sample}"

    @property
    def remote(self) -> bool:
        """Whether the tables lie in a store, behind a URL."""
        return "://" in self.data

    @property
    def landing(self) -> str:
        """URL or absolute folder of the files that `[[sql]]` rows land in, the same for a sample."""
        return msgspec.structs.replace(self, sample=None).data.rstrip("/") + "/landing"

    def key(self) -> bytes:
        """The secret of the keyed hashes: `FLYWHEEL_KEY`, else `flywheel.key` beside the configuration, made on first use."""
        if given := os.environ.get("FLYWHEEL_KEY"):
            return given.encode()
        path = self.root / "flywheel.key"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path.read_bytes()
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(32).encode())
        return path.read_bytes()


def load_settings(path: str | Path = "flywheel.toml", *, sample: int | None = None) -> Settings:
    """Read and validate a configuration; `sample` as in `Settings`.

    Raises:
        ConfigError: the file is missing, is no TOML, or a key is unknown or has a wrong value.
    """
    path = Path(path).resolve()
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no {path}. `flywheel init DIR` makes a project; `--config FILE` names another.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    try:
        file = msgspec.convert(raw, _File)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}. Docstrings in flywheel/sections.py list every key.") from None
    filters = [{"use": name} for name in DEFAULT_FILTERS] if file.filters is None else file.filters
    policy = _policy(path, file.policy)
    settings = Settings(
        path=path,
        project=file.project,
        logs=file.logs,
        sql=tuple(file.sql),
        public=tuple(_licensed(path, entry, policy) for entry in file.public),
        policy=policy,
        clean=file.clean,
        scrub=_located(path, file.scrub),
        canaries=file.canaries,
        dedup=file.dedup,
        splits=file.splits,
        duplicates=tuple(file.duplicates),
        benchmarks=tuple(file.benchmarks),
        filters=_plugged(path, "filters", filters),
        labels=tuple(file.labels),
        synthesize=tuple(_synthesis(path, entry) for entry in _plugged(path, "synthesize", file.synthesize)),
        mix=tuple(file.mix),
        sets=tuple(file.sets),
        anonymity=file.anonymity,
        engine=file.engine,
        model=file.model,
        models={role: _role(path, role, own, file.model) for role, own in file.models.items()},
        sample=sample,
    )
    _check_names(settings)
    for entry in settings.sql:
        _check_sql(path, entry)
    if "postgresql" in {url.partition("://")[0] for url in settings.logs.urls}:
        raise ConfigError(f"{path}: [logs] url names files; a table in PostgreSQL is a [[sql]] section with a url of its own.")
    return settings


def _located(path: Path, scrub: Scrub) -> Scrub:
    """With the absolute path of its registry, which is given relative to the file."""
    if scrub.registry is None:
        return scrub
    registry = (path.parent / scrub.registry).resolve()
    if not registry.is_file():
        raise ConfigError(f"{path}: [scrub] registry = {scrub.registry!r} is no file; it is looked for at {registry}.")
    return msgspec.structs.replace(scrub, registry=str(registry))


def _policy(path: Path, policy: Policy) -> Policy:
    """`[policy]`, or what its `file` says."""
    if policy.file is None:
        return policy
    if policy != Policy(file=policy.file):
        raise ConfigError(f"{path}: [policy] has a `file` and other keys; write them into {policy.file}.")
    where = path.parent / policy.file
    try:
        own = msgspec.convert(tomllib.loads(where.read_text("utf-8")), Policy)
    except FileNotFoundError:
        raise ConfigError(f"{path}: [policy] file = {policy.file!r} is not there.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{where}: {error}") from None
    if own.file is not None:
        raise ConfigError(f"{where}: a policy file has no `file` of its own.")
    return own


def _licensed(path: Path, entry: Public, policy: Policy) -> Public:
    """The data set with its licence as the policy spells it; the case of an SPDX id does not count."""
    where = f"{path}: [[public]] {entry.name}"
    try:
        entry.logs(Logs())
    except ValueError as error:
        raise ConfigError(f"{where}: {error}.") from None
    for known in policy.licenses:
        if known.casefold() == entry.license.strip().casefold():
            return msgspec.structs.replace(entry, license=known)
    near = difflib.get_close_matches(entry.license, [*policy.licenses, *PERMISSIVE], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigError(
        f"{where}: license = {entry.license!r} is none of [policy] licenses ({', '.join(policy.licenses)}).{hint}\n"
        "State the data set's SPDX id as https://spdx.org/licenses has it; if you may train on data under this licence, add it "
        "to `[policy] licenses`, else remove the data set."
    )


def _check_sql(path: Path, entry: Sql) -> None:
    where = f"{path}: [[sql]] {entry.name}"
    try:
        parts = urllib.parse.urlsplit(entry.url)
        secret = parts.password is not None or "password" in urllib.parse.parse_qs(parts.query)
    except ValueError:
        raise ConfigError(f"{where}: url is no URL. It has the form postgresql://user@host:5432/database.") from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise ConfigError(f"{where}: url must begin with postgresql://, not {parts.scheme!r}.")
    if secret:
        raise ConfigError(f"{where}: url holds a password. Take it out, and set it in the environment: {entry.password_env}.")
    if (entry.table is None) is (entry.query is None):
        raise ConfigError(f"{where} needs either `table` or `query`.")
    if entry.entry is not None and entry.columns:
        raise ConfigError(f"{where}: `entry` is the whole log entry, `columns` make one; give one of them.")


def _plugged(path: Path, section: str, entries: list[dict[str, Any]]) -> tuple[Plugged, ...]:
    plugged = []
    for number, entry in enumerate(entries):
        where = f"{path}: [[{section}]] number {number + 1}"
        if not isinstance(entry.get("use"), str):
            raise ConfigError(f"{where} needs `use`, the name of a plugin. `flywheel plugins list` shows them.")
        rest = {key: value for key, value in entry.items() if key not in ("use", "name")}
        name = entry.get("name", entry["use"])
        try:
            msgspec.convert(name, Name)
        except msgspec.ValidationError:
            raise ConfigError(f"{where}: `name` must be lower-case letters, digits and underscores, not {name!r}.") from None
        plugged.append(Plugged(use=entry["use"], name=name, settings=rest))
    return tuple(plugged)


def _synthesis(path: Path, entry: Plugged) -> Synthesis:
    keys = ("seeds", "limit", "concurrency", "verify", "unverified")
    own: dict[str, Any] = {key: entry.settings[key] for key in keys if key in entry.settings}
    rest = {key: value for key, value in entry.settings.items() if key not in own}
    try:
        fields: dict[str, Any] = {"use": entry.use, "name": entry.name, "settings": rest, **own}
        made = msgspec.convert(fields, Synthesis)
        build_checks(made.verify)
    except (msgspec.ValidationError, ConfigError) as error:
        raise ConfigError(f"{path}: [[synthesize]] {entry.name}: {error}") from None
    if made.seeds != "curated":
        raise ConfigError(f"{path}: [[synthesize]] {entry.name}: seeds = {made.seeds!r}; there is curated.")
    return made


def _role(path: Path, role: str, own: dict[str, Any], model: ModelSettings | None) -> ModelSettings:
    """The settings of `[models.ROLE]`. Where the endpoint is not its own, it is that of `[model]`."""
    where = f"{path}: [models.{role}]"
    if model is None:
        raise ConfigError(f"{where} needs a [model], the one that is asked where no role is named.")
    if role == "generator" or "budget_dollars" in own:
        wrong = "budget_dollars" if "budget_dollars" in own else "role"
        raise ConfigError(f"{where}: that {wrong} belongs to [model]: its budget is for all models, and it is the generator.")
    shared = {} if "base_url" in own else {"base_url": model.base_url, "key_env": model.key_env}
    try:
        settings = msgspec.convert({**shared, **own}, ModelSettings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}.") from None
    if model.budget_dollars is not None and not {"dollars_per_million_input", "dollars_per_million_output"} & own.keys():
        raise ConfigError(f"{where} needs its prices, because [model] has a budget: dollars_per_million_input = 0 if it is free.")
    return settings


def _check_names(settings: Settings) -> None:
    for section in ("public", "duplicates", "benchmarks", "labels", "sql", "filters", "synthesize", "mix", "sets"):
        names = [entry.name for entry in getattr(settings, section)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"{settings.path}: two [[{section}]] are called {twice[0]!r}; give one another `name`.")
    scored_by, judges = settings.dedup.scored_by, sorted(plugged.name for plugged in settings.filters)
    if scored_by is not None and scored_by not in judges:
        raise ConfigError(
            f"{settings.path}: [dedup] keep = {settings.dedup.keep!r} names no filter; there is {', '.join(judges)}."
        )
    there = [plugged.name for plugged in settings.filters]
    if unknown := sorted(set(settings.policy.actions) - set(there)):
        raise ConfigError(f"{settings.path}: [policy.actions] names {unknown[0]!r}; there is {', '.join(there) or 'no filter'}.")
    mixes = {mix.name for mix in settings.mix}
    sources = {"curated"} | {f"synthetic/{plugin.name}" for plugin in settings.synthesize}
    for mix in settings.mix:
        if unknown := sorted(set(mix.take) - sources):
            raise ConfigError(f"{settings.path}: [[mix]] {mix.name} takes {unknown[0]!r}; there is {', '.join(sorted(sources))}.")
    for chosen in settings.sets:
        if chosen.mix not in mixes:
            raise ConfigError(
                f"{settings.path}: [[sets]] {chosen.name} uses mix {chosen.mix!r}; there is {', '.join(sorted(mixes))}."
            )
