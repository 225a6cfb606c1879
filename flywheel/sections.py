"""The sections of `flywheel.toml`, one class each: its keys, what they mean, and what they are without a word."""

import datetime as dt
import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from flywheel.curate.entities import check_entities

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*$")]
Day = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
Share = Annotated[float, Meta(ge=0, le=1)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration; a key that it does not have is an error."""


class ProjectSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
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


class Columns(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
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


class Logs(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
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


class Public(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
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


class Policy(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[policy]`. `licenses` are the SPDX ids that public data may have; the permissive ones without it.

    Share-alike, non-commercial and model-made licences need somebody's decision: list them to accept them. So do the terms of
    models: `model_terms` are those, beside terms that allow it, under which sets may be made of their answers.

    `[policy.actions]` says what becomes of the records that a filter, by its name, flags: `drop` (as without a word), `mask`
    (the filter takes it out of the text), or `review`: the record stays out of every set until somebody decides. What waits is
    listed in `data/review/review.csv`; `decisions` is the annotated list, CSV or JSON Lines, relative to the configuration:
    `keep`, `mask` or `drop` for an `id` and `flag`. `file` is a TOML file of its own with these keys, which then stand there
    and not here.
    """

    licenses: tuple[str, ...] = PERMISSIVE
    model_terms: tuple[Literal["non-competing", "forbidden", "unstated"], ...] = ()
    actions: dict[Name, Literal["drop", "mask", "review"]] = {}
    decisions: str = "decisions.csv"
    file: str | None = None

    @property
    def held(self) -> dict[str, str]:
        """The actions other than `drop`, which is what happens anyway."""
        return {name: action for name, action in self.actions.items() if action != "drop"}


class Sql(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
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


class Clean(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[clean]`. `markup` strips HTML that is noise; code is always left alone."""

    markup: bool = True


class Scrub(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[scrub]`. `ner` says how names are found: `small` (rules and the model that comes with Flywheel), `rules` (word lists and
    context), `none`, stated on purpose, or rules with a model of yours: `spacy:NAME`, `gliner:NAME`, `transformers:NAME`.

    There is no default that finds nothing, and a model that is missing is an error. `entities` limits what is replaced (all
    when empty), `keep` leaves some of them in, `regions` are the phone regions. `allow` are values that are never personal,
    whatever their case, `allow_patterns` regular expressions that such a value matches as a whole. `places` and nationalities
    are replaced when they are bound to somebody (`I live in Lyon`), `all` where they stand beside somebody (`my flight to Lyon`)
    or the model finds them, or no places (`none`); addresses are in any case. `dates = "all"` replaces every date, time and
    year that is written as one, not dates of birth alone.

    `registry` is a file of your own recognizers, as Presidio's recognizer registry takes it (YAML), relative to flywheel.toml.

    `replace` puts a `placeholder` (`<PERSON_1>`) or a `surrogate`: a fake value of the same kind that is nobody's and the same
    throughout a conversation. Secrets always become placeholders.

    `unmeasured = "quarantine"` holds back conversations in other scripts or languages than `languages` (ISO 639-1), as
    `scrub_script` and `scrub_language`. English is the language for which it was measured how much is found.
    """

    ner: str = "small"
    entities: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    regions: tuple[str, ...] = ("US", "GB", "DE", "FR", "IN", "CA", "AU")
    allow: tuple[str, ...] = ()
    allow_patterns: tuple[str, ...] = ()
    places: Literal["bound", "all", "none"] = "bound"
    dates: Literal["birth", "all"] = "birth"
    registry: str | None = None
    replace: Literal["placeholder", "surrogate"] = "placeholder"
    languages: tuple[str, ...] = ("en",)
    unmeasured: Literal["pass", "quarantine"] = "pass"

    def __post_init__(self) -> None:
        if self.registry is None:  # its entities are known when it is read
            check_entities("entities", self.entities)
            check_entities("keep", self.keep)
        for pattern in self.allow_patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"allow_patterns has {pattern!r}, which is no regular expression: {error}") from None
        if not self.languages:
            raise ValueError('languages is empty; name those that may pass, such as ["en"]')


class Canaries(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[canaries]`: `rows` invented conversations with known personal data that every run scrubs beside the data.

    No set is built when less than these shares of the planted values is gone: `exact` of secrets, cards, e-mail addresses,
    IBANs and social security numbers, `direct` of names and other direct identifiers, `recall` of single entities by name;
    nor when more than `over_masking` of the other words is gone.
    """

    rows: Annotated[int, Meta(ge=20, le=10_000)] = 200
    exact: Share = 1.0
    direct: Share = 0.85
    over_masking: Share = 0.03
    recall: dict[str, Share] = {}


class Dedup(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[dedup]`. Near-duplicates are conversations whose word `ngram` sets overlap by at least `similarity` (Jaccard).

    Of equal or similar conversations the one to `keep` is the oldest, or the one that a filter scores highest
    (`score:NAME`) or lowest (`-score:NAME`); of equal scores the oldest, and one without score only where none has any.
    """

    similarity: Annotated[float, Meta(gt=0, le=1)] = 0.8
    ngram: Annotated[int, Meta(ge=1, le=13)] = 3
    permutations: Annotated[int, Meta(ge=16, le=512)] = 128
    keep: Annotated[str, Meta(pattern=r"^(oldest|-?score:[a-z][a-z0-9_]*)$")] = "oldest"

    @property
    def signing(self) -> tuple[object, ...]:
        """What a signature depends on; the first number is that of the way in which it is made."""
        return (2, self.similarity, self.ngram, self.permutations)

    @property
    def scored_by(self) -> str | None:
        """The filter whose scores decide which conversation stays."""
        return None if self.keep == "oldest" else self.keep.partition(":")[2]


class DuplicateRule(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[duplicates]]`: what else may not, or need not, stand in the sets twice, beside what `[dedup]` finds.

    `level` says what is compared, `method` names a similarity (`flywheel plugins list`), `settings` are its own. Pairs are
    kept as evidence from `floor` on (half, or the threshold where that is less), so that `threshold` moves without comparing
    again. `action` is `report`, `drop` (the record leaves; conversations and messages) or `cut` (the passage leaves its
    message; paragraphs, sentences and spans). `scope` is `within` one record, `across` records, or `any`. Only messages of
    `roles` are looked at, and units of at least `words` words; a sentence unit is `window` sentences.
    """

    name: Name
    level: Literal["conversation", "message", "paragraph", "sentence", "span"] = "conversation"
    method: str = "exact"
    threshold: Annotated[float, Meta(gt=0, le=1)] = 1.0
    floor: Annotated[float, Meta(gt=0, le=1)] = 0.5
    action: Literal["report", "drop", "cut"] = "report"
    scope: Literal["any", "within", "across"] = "any"
    roles: tuple[str, ...] = ("user", "assistant")
    words: Annotated[int, Meta(ge=1)] = 5
    window: Annotated[int, Meta(ge=1)] = 1
    settings: dict[str, Any] = {}

    @property
    def least(self) -> float:
        """The similarity from which pairs are kept."""
        return min(self.floor, self.threshold)

    def __post_init__(self) -> None:
        whole = self.level in ("conversation", "message")
        if self.action == "drop" and not whole:
            raise ValueError(f'action = "drop" is for conversations and messages, not for a {self.level}: cut it')
        if self.action == "cut" and whole:
            raise ValueError(f'action = "cut" is for paragraphs, sentences and spans, not for a {self.level}: drop it')
        if (self.method == "spans") is not (self.level == "span"):
            raise ValueError('level = "span" goes with method = "spans", and with no other')
        if self.window > 1 and self.level != "sentence":
            raise ValueError('`window` counts sentences: level = "sentence"')


class Splits(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[splits]`. Shares of whole families (records linked by ancestry, session or duplication); the rest is `train`."""

    validation: Share = 0.05
    test: Share = 0.05
    seed: int = 0


class Benchmark(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[benchmarks]]`: an evaluation set, whose rows no training set may hold.

    `url` is a glob or a list of globs, relative to the file: JSON Lines, JSON, CSV or Parquet. `fields` name the texts to look
    for (`question`, `doc.query`); without it, the first of the usual names that a row has. A text is looked for by the
    greatest of `ngrams` (in words) that it is long enough for, and by equality with a whole message or line when it is too
    short for any. `overlap` is the least share of a text's n-grams that a record must hold to go; 0 for a single one.
    N-grams that more than `template` of the set's texts share prove nothing. With `semantic`, messages also go whose cosine to
    a text is at least that, by the similarity `method` (`tf_idf`: the same words in another order; `embeddings` or a plugin's:
    the same meaning) with its own `settings`; from 0.5 on they are kept as evidence. `license` is for your own record.
    """

    name: Name
    url: str | tuple[str, ...]
    fields: tuple[str, ...] = ()
    license: str | None = None
    ngrams: tuple[Annotated[int, Meta(ge=1, le=13)], ...] = (13, 8)
    overlap: Share = 0.0
    template: Annotated[int, Meta(ge=1)] = 10
    semantic: Annotated[float, Meta(ge=0.5, le=1)] | None = None
    method: str = "tf_idf"
    settings: dict[str, Any] = {}


class Plugged(msgspec.Struct, frozen=True, kw_only=True):
    """A configured plugin: which one, under which name its node stands in the graph, with which settings."""

    use: str
    name: str
    settings: dict[str, Any]


class Synthesis(Plugged, frozen=True, kw_only=True):
    """One `[[synthesize]]`: a synthesizer over at most `limit` train seeds of `seeds`, `concurrency` of them at once.

    `verify` names the checks that its children must pass, beside the rules for all (`flywheel.synthesize.verification`): a name
    or a table `{use = NAME, ...settings}`. `unverified = true` lets those that fail pass on, tagged `unverified=REASON`.
    """

    seeds: str = "curated"
    limit: Annotated[int, Meta(ge=1)] | None = None
    concurrency: Annotated[int, Meta(ge=1, le=1000)] = 16
    verify: tuple[str | dict[str, Any], ...] = ()
    unverified: bool = False


class Mix(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[mix]]`. `take` gives, for `curated` and each `synthetic/NAME`, the share of its rows to take.

    `max_rows` bounds each split, `max_rows_per_user` what one user (keyed HMAC of the log's user id) contributes to all.
    No set is built of a mixture with more than `max_synthetic_share` of rows made by synthesizers, or with a row more than
    `max_generation` steps from a log.
    """

    name: Name
    take: dict[str, Share] = msgspec.field(default_factory=lambda: {"curated": 1.0})
    seed: int = 0
    max_rows: int | None = None
    max_rows_per_user: Annotated[int, Meta(ge=1)] | None = None
    max_synthetic_share: Share | None = None
    max_generation: Annotated[int, Meta(ge=0)] | None = None


class Anonymity(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[anonymity]`: what is reported of facts that could single somebody out together, of the sets and of `curated`.

    Classes of fewer than `k` rows, or people, that agree in all `quasi_identifiers` are counted. It is a report, no gate.
    """

    k: Annotated[int, Meta(ge=2)] = 5
    quasi_identifiers: tuple[
        Literal["app", "model", "session", "day", "hour", "weekday", "tags", "entities", "language"], ...
    ] = ("app", "model", "day", "entities")


class Set(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[sets]]`. `format` names a format plugin, `settings` are its own; `tokenizer` is a local tokenizer.json."""

    name: Name
    format: str
    mix: Name = "chat"
    settings: dict[str, Any] = {}
    tokenizer: str | None = None


class Engine(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[engine]`. `local` runs on this machine's cores; `batch_rows` bounds what is in memory at once."""

    kind: str = "local"
    batch_rows: Annotated[int, Meta(ge=1)] = 10_000
