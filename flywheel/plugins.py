"""The plugin contracts, and how plugins are found, loaded and configured.

A plugin is a frozen dataclass registered under an entry-point group; its fields are its settings. Built-ins come in through
the same groups as everybody's. Listing reads only installed metadata; a plugin's module is imported when it is named.
"""

import dataclasses
import difflib
import functools
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar, Unpack, runtime_checkable

import msgspec

from flywheel.errors import PluginError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from flywheel.records import Message, Record

    Prompt = str | Sequence[Message]

T = TypeVar("T")

GROUPS = {
    "source": "flywheel.sources",
    "filter": "flywheel.filters",
    "synthesizer": "flywheel.synthesizers",
    "format": "flywheel.formats",
    "similarity": "flywheel.similarities",
}
_METHODS = {
    "source": ("sniff", "parse"),
    "filter": ("score", "keep"),
    "synthesizer": ("synthesize",),
    "format": ("render",),
    "similarity": ("pairs",),
}


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


class Options(TypedDict, total=False):
    """What one question may set for itself, instead of the model's section of `flywheel.toml`.

    `sample`, 0 or more, asks for another answer to the same question, which is cached apart and gets the seed `seed + sample`;
    `system` is a system prompt put first.
    """

    sample: int
    system: str
    temperature: float
    seed: int
    max_tokens: int


class Model(Protocol):
    """What a synthesizer asks. Caching, retries, concurrency, spending limits and provenance are behind it.

    A prompt is a text, which is one user message, or a conversation of `flywheel.records.Message`. The same question with the
    same options is paid for once, in all runs; ask for another `sample` to have another answer. Everything can be awaited
    side by side, `await asyncio.gather(*(model.ask(p) for p in prompts))`.

        text = await model.ask(f"Rephrase: {seed.prompt}", temperature=0.9)
        answers = await model.samples(seed.messages[:-1], 4)
        verdict = await model.role("judge").structured(prompt, Verdict)      # Verdict: a msgspec.Struct or a dataclass
        message = await model.reply([*seed.messages[:-1]], tools=seed.tools)  # may call the tools
        near = await model.embed([seed.prompt, text])                         # near[0] @ near[1]

    Every method raises `flywheel.synthesize.faults.ModelFailed`, whose `reason` is a slug, when this question got no usable
    answer; let it pass and the seed has no children, with the reason counted. A failure is never an answer: catch it only to
    leave the one thing out that depended on it.
    """

    @property
    def name(self) -> str:
        """The model's name, for provenance."""
        ...

    async def ask(self, prompt: "Prompt", **options: Unpack[Options]) -> str:
        """The answer's text; never empty."""
        ...

    async def samples(self, prompt: "Prompt", count: int, **options: Unpack[Options]) -> list[str]:
        """Up to `count` answers to one question, those from `sample` on; those that failed are left out.

        Raises:
            ModelFailed: all of them failed; the reason is the first one's.
        """
        ...

    async def reply(self, prompt: "Prompt", *, tools: Sequence[str] = (), **options: Unpack[Options]) -> "Message":
        """The assistant's next message: text, or calls of tools where some are offered.

        Args:
            tools: as in `Record.tools`: JSON of a function's `name`, `description` and `parameters`.
        """
        ...

    async def structured(self, prompt: "Prompt", answer: type[T], **options: Unpack[Options]) -> T:
        """The answer as an object of this type, by JSON schema; an invalid one is asked again twice, with what is wrong.

        Args:
            answer: a msgspec.Struct, dataclass, TypedDict or NamedTuple, with msgspec's constraints (`Annotated`, `Literal`).

        Raises:
            ModelFailed: with the reason `invalid_answer` when no answer was valid.
        """
        ...

    async def json(self, prompt: "Prompt", schema: Mapping[str, Any], **options: Unpack[Options]) -> Any:
        """The answer as JSON that is valid under a JSON schema (draft 2020-12); as `structured`."""
        ...

    async def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """Vectors of length 1 by the model of `[models.embedder]`, shape (texts, dimensions), each text paid for once.

        Raises:
            ConfigError: there is no `[models.embedder]`.
        """
        ...

    def role(self, name: str) -> "Model":
        """The model of `[models.NAME]` (`judge`, `teacher`, ...), or that of `[model]` when there is none of that name."""
        ...


@runtime_checkable
class Synthesizer(Protocol):
    """Makes new records from a seed."""

    def synthesize(self, seed: "Record", model: Model) -> "AsyncIterator[Record]":
        """Children of `seed`, made with `seed.child(...)`, so that lineage, licences and split come by themselves."""
        ...


@runtime_checkable
class AsksAtMost(Protocol):
    """A synthesizer whose questions depend on the answers, and that knows how many they can be: for the cost estimate."""

    def most_questions(self, seed: "Record") -> "Mapping[str, int]":
        """The most questions that this seed can lead to, by role, invalid answers that are asked again not counted."""
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


@runtime_checkable
class Similarity(Protocol):
    """Says which texts repeat which earlier ones."""

    def pairs(self, texts: "pl.Series", *, floor: float) -> "pl.DataFrame":
        """Pairs that are at least `floor` similar, each text beside an earlier one.

        Args:
            texts: oldest first; the earlier of two is the one that stays. Texts without words are in no pair.
            floor: above 0, at most 1.

        Returns:
            Columns of `flywheel.curate.dedup.methods.contract.PAIRS`, ordered by row, then other; `pairs_frame` makes them.
        """
        ...


@runtime_checkable
class Digests(Protocol):
    """A similarity that keeps of a text only what it compares, so that texts are forgotten as they come.

    `pairs` of texts is `among` of their digests; `flywheel.curate.dedup.methods.contract.ByDigest` makes the one of the other.
    """

    def digests(self, texts: "pl.Series") -> "pl.Series":
        """What is compared of each text, of one type always, from which no text can be read.

        A digest follows from its text alone: where a batch ends does not matter.
        """
        ...

    def among(self, digests: "Iterable[pl.Series]", *, floor: float) -> "pl.DataFrame":
        """As `Similarity.pairs`, of texts given by their digests, in batches, oldest first; rows count over all batches."""
        ...


@runtime_checkable
class Embeds(Protocol):
    """A similarity that compares vectors, and can therefore look for one set of texts in another."""

    def vectors(self, texts: "pl.Series", *, like: "pl.Series") -> Any:
        """Rows of length 1, or 0 for a text like no other: a numpy array or a sparse matrix, a row a text.

        A row follows from its text and from `like` alone, the texts that are looked for: where a batch ends does not matter.
        """
        ...


@runtime_checkable
class AsksModel(Protocol):
    """A similarity that needs the configured model."""

    def asking(self, model: Any) -> Similarity:
        """This one, with the model to ask: `flywheel.synthesize.model.OpenAIModel`."""
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
    available, kinds = installed(kind), GROUPS[kind].removeprefix("flywheel.")
    matches = [plugin for plugin in available if plugin.name == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        owners = " and ".join(f"{plugin.distribution} {plugin.version}" for plugin in matches)
        raise PluginError(f"two {kinds} are called {name!r}, from {owners}. Uninstall one of them.")
    names = sorted({plugin.name for plugin in available})
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise PluginError(
        f"no {kind} is called {name!r}.{hint}\nInstalled {kinds}: {', '.join(names) or 'none'}. "
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


def similarity(name: str, settings: Mapping[str, Any], *, model: object) -> Similarity:
    """A configured similarity, with the model to ask where it asks one; without a model it says so when it compares."""
    method: Similarity = build("similarity", name, settings)
    return method.asking(model) if isinstance(method, AsksModel) and model is not None else method


def code_version(kind: str, name: str, settings: Mapping[str, Any] | None = None) -> str:
    """What a node made by this plugin depends on: distribution, version and settings, without importing the plugin."""
    plugin = find(kind, name)
    chosen = ",".join(f"{key}={value!r}" for key, value in sorted((settings or {}).items()))
    return f"{plugin.distribution}=={plugin.version}:{plugin.target}({chosen})"
