"""`flywheel.toml`: read once, validated, with errors that name the key."""

import datetime as dt
import difflib
import os
import secrets
import tomllib
import urllib.parse
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from flywheel.curate.label_rules import LabelRule
from flywheel.errors import ConfigError
from flywheel.synthesize.model_settings import ModelSettings

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*$")]
Day = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
Share = Annotated[float, Meta(ge=0, le=1)]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class ProjectSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[project]`. `data` is the URL or folder of the tables and sets, relative to the file.

    `start` is the first day that logs can have, `end` the last one, for an archive that gets no more; today without it.
    """

    name: Name = "flywheel"
    data: str = "data"
    start: Day = "2020-01-01"
    end: Day | None = None

    @property
    def after_end(self) -> str | None:
        """The day after `end`, or None."""
        return None if self.end is None else (dt.date.fromisoformat(self.end) + dt.timedelta(days=1)).isoformat()


class Columns(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`columns` of `[logs]` or `[[public]]`: what the columns of CSV and Parquet files, or a line's keys, are called.

    `prompt` is the user's text (or a list of messages), `messages` a whole conversation; one of the two is needed. `reply`
    is the assistant's, `rejected` a worse one. Each column in `feedback` is feedback under its own name, `correction` a
    better reply, `tags` become `column=value`.
    """

    prompt: str | None = None
    messages: str | None = None
    reply: str | None = None
    rejected: str | None = None
    correction: str | None = None
    system: str | None = None
    tools: str | None = None
    id: str | None = None
    session: str | None = None
    user: str | None = None
    created_at: str | None = None
    model: str | None = None
    app: str | None = None
    feedback: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("columns needs either `prompt` or `messages`")

    @property
    def names(self) -> tuple[str, ...]:
        """Every column that is named."""
        values = msgspec.structs.astuple(self)
        return tuple(name for value in values for name in ([value] if isinstance(value, str) else value or ()))


class Logs(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[logs]`. `url` is one glob or a list of globs, relative to the file; `{date}` stands for YYYY-MM-DD.

    A file whose name has no `{date}` belongs to `[project] start`. `dialect` names a source plugin; `auto` recognises it.
    `licenses` are stated for every record read. `columns` name the columns of tables that no dialect knows.
    """

    url: str | tuple[str, ...] = "logs/{date}/*"
    dialect: str = "auto"
    app: str | None = None
    licenses: tuple[str, ...] = ()
    columns: Columns | None = None
    max_line_bytes: Annotated[int, Meta(ge=1024)] = 32 * 1024 * 1024

    def __post_init__(self) -> None:
        if self.columns is not None and self.dialect != "auto":
            raise ValueError(f'`columns` are read where dialect = "auto", not {self.dialect!r}')

    @property
    def urls(self) -> tuple[str, ...]:
        return (self.url,) if isinstance(self.url, str) else self.url


class Public(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[public]]`: a public data set as a source, `url` being one glob or a list of globs as for `[logs]`.

    Its records have the origin `public:NAME` and the `license`, an SPDX id (https://spdx.org/licenses) that must be stated and
    be one of `[policy] licenses`. A file that `[logs]` matches too belongs to the data set alone.
    """

    name: Name
    url: str | tuple[str, ...]
    license: str
    dialect: str = "auto"
    columns: Columns | None = None

    def logs(self, logs: Logs) -> Logs:
        """How its files are found and read: as the project's own, with the data set's settings."""
        return Logs(
            url=self.url,
            dialect=self.dialect,
            licenses=(self.license,),
            columns=self.columns,
            max_line_bytes=logs.max_line_bytes,
        )


PERMISSIVE = (
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-3.0", "CC-BY-4.0", "CC0-1.0", "CDLA-Permissive-1.0"),
    *("CDLA-Permissive-2.0", "ISC", "MIT", "MIT-0", "ODC-By-1.0", "PDDL-1.0", "Unlicense"),
)


class Policy(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[policy]`. `licenses` are the SPDX ids that public data may have; the permissive ones without it.

    Share-alike, non-commercial and model-made licences need somebody's decision: list them to accept them.
    """

    licenses: tuple[str, ...] = PERMISSIVE


class Sql(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[sql]]`: a table of logs in PostgreSQL, pulled into immutable log files below the data folder (`landing/NAME`).

    `url` is `postgresql://user@host:port/database`, without a password: that is taken from the environment variable
    `password_env`, else from where psql looks for it (`PGPASSWORD`, `~/.pgpass`). Either `table` (`schema.table`) or `query`,
    one SELECT, says what is read. `id` names a row; `watermark` is a column of dates or times (UTC where it has no zone) that
    newer rows have later values of, with an index on it if the table is large. Each pull takes the rows from the last
    watermark on, less `overlap` seconds, for those that were committed late; one that comes later than that is not seen.

    A row's log entry is the column `entry` as it stands (JSON or text), or an object of `columns`, each given as
    `name in the entry = "column"`, or of all columns. Another `name` lands everything again, in files of its own.
    """

    name: Name = "sql"
    url: str
    table: str | None = None
    query: str | None = None
    id: str = "id"
    watermark: str = "created_at"
    entry: str | None = None
    columns: dict[str, str] = {}
    overlap: Annotated[int, Meta(ge=0)] = 3600
    password_env: str = "FLYWHEEL_SQL_PASSWORD"


class Clean(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[clean]`. `markup` strips HTML that is noise; code is always left alone."""

    markup: bool = True


class Scrub(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[scrub]`. `ner` says how names are found: `rules` (word lists and context), or `none`, stated on purpose.

    Without a choice there is no default that finds nothing: `rules` is the least. `entities` limits what is replaced
    (all when empty), `regions` are the phone regions, `allow` are values that are never personal.
    """

    ner: str = "rules"
    entities: tuple[str, ...] = ()
    regions: tuple[str, ...] = ("US", "GB", "DE", "FR", "IN", "CA", "AU")
    allow: tuple[str, ...] = ()


class Dedup(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[dedup]`. Near-duplicates are conversations whose word `ngram` sets overlap by at least `similarity` (Jaccard)."""

    similarity: Annotated[float, Meta(gt=0, le=1)] = 0.8
    ngram: Annotated[int, Meta(ge=1, le=13)] = 3
    permutations: Annotated[int, Meta(ge=16, le=512)] = 128


class Splits(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[splits]`. Shares of whole families (records linked by ancestry, session or duplication); the rest is `train`."""

    validation: Share = 0.05
    test: Share = 0.05
    seed: int = 0


class Plugged(msgspec.Struct, frozen=True, kw_only=True):
    """A configured plugin: which one, under which name its node stands in the graph, with which settings."""

    use: str
    name: str
    settings: dict[str, Any]


class Synthesis(Plugged, frozen=True, kw_only=True):
    """One `[[synthesize]]`: a synthesizer over at most `limit` train seeds of `seeds`, `concurrency` of them at once."""

    seeds: str = "curated"
    limit: Annotated[int, Meta(ge=1)] | None = None
    concurrency: Annotated[int, Meta(ge=1, le=1000)] = 16


class Mix(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[mix]]`. `take` gives, for `curated` and each `synthetic/NAME`, the share of its rows to take."""

    name: Name
    take: dict[str, Share] = msgspec.field(default_factory=lambda: {"curated": 1.0})
    seed: int = 0
    max_rows: int | None = None


class Set(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[sets]]`. `format` names a format plugin, `settings` are its own; `tokenizer` is a local tokenizer.json."""

    name: Name
    format: str
    mix: Name = "chat"
    settings: dict[str, Any] = {}
    tokenizer: str | None = None


class Engine(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[engine]`. `local` runs on this machine's cores; `batch_rows` bounds what is in memory at once."""

    kind: str = "local"
    batch_rows: Annotated[int, Meta(ge=1)] = 10_000


class _File(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: ProjectSection = ProjectSection()
    logs: Logs = Logs()
    sql: list[Sql] = []
    public: list[Public] = []
    policy: Policy = Policy()
    clean: Clean = Clean()
    scrub: Scrub = Scrub()
    dedup: Dedup = Dedup()
    splits: Splits = Splits()
    filters: list[dict[str, Any]] | None = None
    labels: list[LabelRule] = []
    synthesize: list[dict[str, Any]] = []
    mix: list[Mix] = msgspec.field(default_factory=lambda: [Mix(name="chat")])
    sets: list[Set] = msgspec.field(default_factory=lambda: [Set(name="chat", format="openai_chat")])
    engine: Engine = Engine()
    model: ModelSettings | None = None


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
    dedup: Dedup
    splits: Splits
    filters: tuple[Plugged, ...]
    labels: tuple[LabelRule, ...] = ()
    synthesize: tuple[Synthesis, ...]
    mix: tuple[Mix, ...]
    sets: tuple[Set, ...]
    engine: Engine
    model: ModelSettings | None = None
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
        raise ConfigError(f"{path}: {error}. Docstrings in flywheel/settings.py list every key.") from None
    filters = [{"use": name} for name in DEFAULT_FILTERS] if file.filters is None else file.filters
    settings = Settings(
        path=path,
        project=file.project,
        logs=file.logs,
        sql=tuple(file.sql),
        public=tuple(_licensed(path, entry, file.policy) for entry in file.public),
        policy=file.policy,
        clean=file.clean,
        scrub=file.scrub,
        dedup=file.dedup,
        splits=file.splits,
        filters=_plugged(path, "filters", filters),
        labels=tuple(file.labels),
        synthesize=tuple(_synthesis(path, entry) for entry in _plugged(path, "synthesize", file.synthesize)),
        mix=tuple(file.mix),
        sets=tuple(file.sets),
        engine=file.engine,
        model=file.model,
        sample=sample,
    )
    _check_names(settings)
    for entry in settings.sql:
        _check_sql(path, entry)
    if "postgresql" in {url.partition("://")[0] for url in settings.logs.urls}:
        raise ConfigError(f"{path}: [logs] url names files; a table in PostgreSQL is a [[sql]] section with a url of its own.")
    return settings


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
    own: dict[str, Any] = {key: entry.settings[key] for key in ("seeds", "limit", "concurrency") if key in entry.settings}
    rest = {key: value for key, value in entry.settings.items() if key not in own}
    try:
        fields: dict[str, Any] = {"use": entry.use, "name": entry.name, "settings": rest, **own}
        made = msgspec.convert(fields, Synthesis)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: [[synthesize]] {entry.name}: {error}.") from None
    if made.seeds != "curated":
        raise ConfigError(f"{path}: [[synthesize]] {entry.name}: seeds = {made.seeds!r}; there is curated.")
    return made


def _check_names(settings: Settings) -> None:
    for section in ("public", "labels", "sql", "filters", "synthesize", "mix", "sets"):
        names = [entry.name for entry in getattr(settings, section)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"{settings.path}: two [[{section}]] are called {twice[0]!r}; give one another `name`.")
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
