"""What a plugin author tests with: conversations in a line, records made to be awkward, and a check for each contract.

Every `check_*` raises AssertionError with a sentence that says what to change, and returns nothing when all is well.
"""

import asyncio
import copy
import dataclasses
import json
import pickle
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec
import polars as pl

from flywheel.awkward import awkward_records, chat
from flywheel.curate.judge import judge
from flywheel.errors import PluginError, Rejected
from flywheel.plugins import AsksModel, Digests, Embeds, Filter, Format, Options, Similarity, Source, Synthesizer
from flywheel.records import (
    Candidate,
    Feedback,
    Message,
    Record,
    derive,
    digest,
    from_batch,
    text_message,
    to_batch,
)
from flywheel.synthesize.asking import Asking
from flywheel.synthesize.faults import ModelFailed
from flywheel.synthesize.structured import Shape, example

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "ROLES",
    "ScriptedModel",
    "awkward_records",
    "chat",
    "check_filter",
    "check_format",
    "check_similarity",
    "check_source",
    "check_synthesizer",
]

ROLES = ("system", "developer", "user", "assistant", "tool")
_JUNK_BYTES = (b"", b" ", b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"messages": ' + b"[" * 1000)
_JUNK_ENTRIES: tuple[Any, ...] = (None, True, 1, 1.5, "", "{}", [], {}, [None], {"messages": "{}"}, {"messages": [None]})


def check_filter(plugin: Filter) -> None:
    """Run a filter over `awkward_records`: one answer a row, each row on its own, the same every time, nothing changed."""
    name = _check_settings(plugin)
    batch = derive(awkward_records())
    given = batch.clone()
    try:
        verdicts = judge(batch, plugin)
    except PluginError as error:
        _show_cause(plugin, batch)
        raise AssertionError(str(error)) from None
    plugin.score(given)
    assert given.equals(batch), f"{name} changed the batch that it was given; work on a copy."
    assert judge(batch, plugin).equals(verdicts), f"{name} answers differently the second time; seed whatever is random."
    copied = cast(Filter, pickle.loads(pickle.dumps(plugin)))
    assert judge(batch, copied).equals(verdicts), f"{name} answers differently after pickling; keep all state in its fields."
    for row in range(batch.height):
        alone = judge(batch[row], plugin)
        assert _near(alone, verdicts[row]), (
            f"{name} judges record {batch['id'][row]!r} differently alone and in a batch, or gives its answers in another "
            "order. A row's score may depend on that row only: batches are cut wherever memory asks for it."
        )
    assert judge(batch.head(0), plugin).height == 0, f"{name} does not give an empty answer for an empty batch."


def check_source(plugin: Source, samples: Sequence[bytes]) -> None:
    """Give a source real entries of its dialect (JSON bytes, one each) and junk that it must survive."""
    name = _check_settings(plugin)
    assert samples, "check_source needs at least one sample: the bytes of one entry of the dialect."
    for junk in _JUNK_BYTES:
        assert isinstance(plugin.sniff(junk), bool), f"{name}.sniff() must answer True or False for {junk[:20]!r}."
    found = 0
    for number, sample in enumerate(samples):
        assert plugin.sniff(sample) is True, f"{name}.sniff() does not recognise sample {number}."
        entry = msgspec.json.decode(sample)
        untouched = copy.deepcopy(entry)
        records = _parsed(name, plugin, entry, f"sample {number}")
        assert entry == untouched, f"{name}.parse() changed sample {number}; copy what you need."
        assert _parsed(name, plugin, entry, "") == records, f"{name}.parse() reads sample {number} differently the second time."
        found += len(records)
    assert found, f"{name}.parse() gave no record for any of {len(samples)} samples."
    for entry in _JUNK_ENTRIES:
        _parsed(name, plugin, entry, f"entry {entry!r}")


def check_format(plugin: Format) -> None:
    """Render `awkward_records`, and a reply that was liked, corrected and regenerated.

    Each is a row that can be written, or is Rejected with a slug; the same every time.
    """
    name = _check_settings(plugin)
    suffix = getattr(plugin, "suffix", None)
    assert suffix in ("jsonl", "parquet"), f"{name}.suffix must be 'jsonl' or 'parquet', not {suffix!r}."
    rows = {}
    for record in (*from_batch(awkward_records()), _judged()):
        try:
            row = plugin.render(record)
            assert plugin.render(record) == row, f"{name}.render() writes record {record.id!r} differently the second time."
        except Rejected as rejected:
            _check_reason(name, rejected)
            continue
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise AssertionError(
                f"{name}.render() raised {type(error).__name__} for record {record.id!r}: raise Rejected with a slug instead."
            ) from error
        assert isinstance(row, dict), f"{name}.render() must give a dict for record {record.id!r}, not {type(row).__name__}."
        assert row, f"{name}.render() gave an empty row for record {record.id!r}: raise Rejected with a slug instead."
        try:
            msgspec.json.encode(row)
        except TypeError as error:
            raise AssertionError(f"{name}.render() put something into record {record.id!r} that JSON lacks: {error}") from None
        rows[record.id] = row
    assert rows.keys() & {"plain", "judged"}, (
        f"{name}.render() rejects a plain question and answer; then no set would ever have a row."
    )
    keys = {tuple(sorted(row)) for row in rows.values()}
    assert suffix != "parquet" or len(keys) == 1, f"{name}.render() must give every row the same keys for a parquet file."


def _judged() -> Record:
    """A plain answer with every kind of feedback, for formats that write labels."""
    said = (("thumbs", "up"), ("reward", "1"), ("correction", "Open Settings, then Security, then Password."))
    other = Candidate(id="earlier", messages=(text_message("assistant", "Ask the desk."),))
    feedback = tuple(Feedback(name=name, value=value) for name, value in said)
    turns = ("How do I reset my password?", "Open Settings, then Security.")
    return chat(*turns, id="judged", candidates=(other,), feedback=feedback)


def check_synthesizer(plugin: Synthesizer, *, answers: Iterable[str] = ()) -> None:
    """Run a synthesizer on each awkward record with a model that gives `answers` in turn, then texts of its own.

    Set `answers` when the technique parses what the model says; they start anew for every seed.
    """
    name = _check_settings(plugin)
    script = tuple(answers)
    made = 0
    for seed in from_batch(awkward_records()):
        frozen = msgspec.json.encode(seed)
        children = _children(name, plugin, seed, script)
        assert msgspec.json.encode(seed) == frozen, f"{name} changed its seed {seed.id!r}; use seed.child(...)."
        again = _children(name, plugin, seed, script)
        assert again == children, (
            f"{name} makes different children of {seed.id!r} from the same answers; seed whatever is random."
        )
        ids = [child.id for child in children]
        assert len(set(ids)) == len(ids), f"{name} made the same child of {seed.id!r} twice."
        for child in children:
            wrong = f"{name} made a child of {seed.id!r}"
            assert isinstance(child, Record), f"{wrong} that is no Record but a {type(child).__name__}."
            assert seed.id in child.parents, f"{wrong} without lineage; use seed.child(...)."
            assert child.id != seed.id, f"{wrong} with the seed's own id; use seed.child(...)."
            assert child.generation > seed.generation, f"{wrong} that is not one generation further; use seed.child(...)."
            assert set(seed.licenses) <= set(child.licenses), f"{wrong} that lost a licence; use seed.child(...)."
            assert child.split == seed.split, f"{wrong} in another split; use seed.child(...)."
        to_batch(children)
        made += len(children)
    assert made, f"{name} made no child of any seed. When it parses the model's answers, give check_synthesizer some `answers`."


def check_similarity(plugin: Similarity, *, floor: float = 0.9, knows_other: bool = True) -> None:
    """Let a similarity compare texts of `awkward_records`, some of them twice.

    Every pair is a text beside an earlier one (or, with its place, beside itself), at least as similar as `floor`, in order;
    copies are found, texts of nothing but blanks never; the same every time. Of one with `digests` or `vectors`, these follow
    from each text alone.

    Args:
        plugin: one that asks a model asks `ScriptedModel`.
        knows_other: whether `other` is never null.
    """
    from flywheel.curate.dedup.methods.contract import PAIRS

    name = _check_settings(plugin)
    if isinstance(plugin, AsksModel):
        plugin = plugin.asking(ScriptedModel())
    texts = _compared_texts()
    given = texts.clone()
    pairs = _pairs(name, plugin, given, floor)
    assert given.equals(texts, null_equal=True), f"{name}.pairs() changed the texts that it was given; work on a copy."
    assert pairs.schema == PAIRS, f"{name}.pairs() gave the columns {dict(pairs.schema)}: make them with `pairs_frame`."
    assert pairs.equals(_pairs(name, plugin, texts, floor)), f"{name} finds other pairs the second time; seed whatever is random."
    copied = cast(Similarity, pickle.loads(pickle.dumps(plugin)))
    assert pairs.equals(_pairs(name, copied, texts, floor)), f"{name} finds other pairs after pickling."
    low, high = floor - 1e-6, 1 + 1e-6
    wrong = pairs.filter(~pl.col("similarity").is_between(low, high)).height
    assert not wrong, f"{name}.pairs() gave {wrong} pairs whose similarity is below the floor or above 1."
    ahead = pairs.filter((pl.col("other") > pl.col("row")) | ((pl.col("other") == pl.col("row")) & pl.col("start").is_null()))
    assert ahead.is_empty(), f"{name}.pairs() puts a text beside itself or a later one; the earlier of two is the `other`."
    assert pairs.equals(pairs.sort("row", "other", "start")), f"{name}.pairs() must be ordered by row, then other."
    assert not knows_other or not pairs["other"].null_count(), f"{name}.pairs() does not say with whom: knows_other=False?"
    rows = set(pairs["row"]) | set(pairs["other"].drop_nulls())
    blank = {row for row, text in enumerate(texts) if not (text or "").strip()}
    assert rows <= set(range(len(texts))) - blank, f"{name}.pairs() compares texts that are empty, or rows that there are not."
    last = len(texts) - 1
    assert last in set(pairs["row"]), f"{name}.pairs() does not find the copy of a plain text of 120 words."
    for few in (texts.head(0), texts.head(1), pl.Series([None, "", " "], dtype=pl.String)):
        assert _pairs(name, plugin, few, floor).is_empty(), f"{name}.pairs() must be empty for texts of which none repeats."
    if isinstance(plugin, Digests):
        _check_digests(name, plugin, texts, pairs, floor)
    if isinstance(plugin, Embeds):
        _check_vectors(name, plugin, texts.filter(texts.str.contains(r"\S")))


def _compared_texts() -> pl.Series:
    """The texts of awkward records, null and blanks among them, and at the end the copy of a plain one."""
    long = " ".join(f"word{number} {'abcdefghij'[number % 7 :]}" for number in range(60))
    replies = [text[:2000] for text in derive(awkward_records())["text"]]
    return pl.Series([None, "", " \n\t", long, *replies, long], dtype=pl.String)


def _pairs(name: str, plugin: Similarity, texts: pl.Series, floor: float) -> pl.DataFrame:
    try:
        return plugin.pairs(texts, floor=floor)
    except (ValueError, LookupError, TypeError, AttributeError, pl.exceptions.PolarsError) as error:
        raise AssertionError(
            f"{name}.pairs() raised {type(error).__name__} for {len(texts)} texts; null, empty and odd texts are in no pair."
        ) from error


def _check_digests(name: str, plugin: Digests, texts: pl.Series, pairs: pl.DataFrame, floor: float) -> None:
    whole = plugin.digests(texts)
    assert len(whole) == len(texts), f"{name}.digests() gave {len(whole)} digests of {len(texts)} texts."
    assert "String" not in str(whole.dtype), f"{name}.digests() holds text; keep hashes, so that no text waits in a file."
    for row in range(len(texts)):
        alone = plugin.digests(texts[row : row + 1])
        assert alone.dtype == whole.dtype, f"{name}.digests() are of another type for other texts; name the type."
        assert alone.to_list() == [whole[row]], f"{name}.digests() of text {row} differs alone and among others."
    batches = [whole[:4], whole[4:4], whole[4:]]
    message = f"{name}.among() finds other pairs when its digests come in batches; rows count over all batches."
    assert plugin.among(iter(batches), floor=floor).equals(pairs), message


def _check_vectors(name: str, plugin: Embeds, texts: pl.Series) -> None:
    import numpy as np

    def dense(some: pl.Series) -> Any:
        made = plugin.vectors(some, like=texts)
        return made if isinstance(made, np.ndarray) else made.toarray()

    whole = dense(texts)
    assert len(whole) == len(texts), f"{name}.vectors() gave {len(whole)} rows for {len(texts)} texts."
    assert (np.linalg.norm(whole, axis=1) < 1 + 1e-4).all(), f"{name}.vectors() must be of length 1, or 0."
    assert len(dense(texts.head(0))) == 0, f"{name}.vectors() must have no row where there is no text."
    apart = np.concatenate([dense(texts[:5]), dense(texts[5:])])
    assert np.allclose(apart, whole, atol=1e-4), f"{name}.vectors() depend on the other texts of their batch."


class ScriptedModel(Asking):
    """A model without a server, in every role: gives its answers in turn, then texts, or JSON, that follow from the prompt.

    `asked` are the conversations that it was asked, in order. Vectors follow from the texts and have 8 dimensions.
    """

    name = "scripted"

    def __init__(self, answers: Iterable[str] = ()) -> None:
        self.asked: list[tuple[Message, ...]] = []
        self._answers = list(answers)

    async def next_message(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[str],  # noqa: ARG002
        shape: Shape[Any] | None,
        options: Options,
    ) -> Message:
        assert all(isinstance(message, Message) for message in messages), "a model is asked with a text or with Messages."
        await asyncio.sleep(0)
        self.asked.append(tuple(messages))
        if self._answers:
            return text_message("assistant", self._answers.pop(0))
        said = "\x1f".join(message.text for message in messages)
        text = f"Answer {digest(said.encode('utf-8', 'replace'), repr(options).encode())[:8]}."
        return text_message("assistant", text if shape is None else json.dumps(example(shape.schema, text=text)))

    async def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        import numpy as np

        rows = [np.random.default_rng(int(digest(text.encode("utf-8", "replace")), 16)).normal(size=8) for text in texts]
        return np.array([row / np.linalg.norm(row) for row in rows], np.float32).reshape(len(texts), 8)

    async def close(self) -> None:
        """There is nothing to close."""

    def role(self, name: str) -> "ScriptedModel":  # noqa: ARG002
        return self


def _children(name: str, plugin: Synthesizer, seed: Record, answers: tuple[str, ...]) -> list[Record]:
    async def collect() -> list[Record]:
        return [child async for child in plugin.synthesize(seed, ScriptedModel(answers))]

    try:
        return asyncio.run(collect())
    except ModelFailed:
        return []
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise AssertionError(
            f"{name}.synthesize() raised {type(error).__name__} for seed {seed.id!r}: yield nothing for a seed that does not fit."
        ) from error


def _parsed(name: str, plugin: Source, entry: Any, what: str) -> list[Record]:
    try:
        records = list(plugin.parse(entry))
    except Rejected as rejected:
        _check_reason(name, rejected)
        return []
    except Exception as error:
        raise AssertionError(
            f"{name}.parse() raised {type(error).__name__} for {what}: raise Rejected with a slug for what is no conversation."
        ) from error
    for record in records:
        assert isinstance(record, Record), f"{name}.parse() gave a {type(record).__name__} for {what}, not a Record."
        assert record.messages, f"{name}.parse() gave a record without messages for {what}: raise Rejected('no_messages')."
        if wrong := [message.role for message in record.messages if message.role not in ROLES]:
            raise AssertionError(f"{name}.parse() gave the role {wrong[0]!r} for {what}; the roles are {', '.join(ROLES)}.")
    to_batch(records)
    return records


def _check_settings(plugin: Any) -> str:
    """The plugin's name, when it is a frozen dataclass that survives pickling."""
    name = type(plugin).__name__
    parameters = getattr(type(plugin), "__dataclass_params__", None)
    assert parameters is not None, f"{name} is no dataclass. Decorate the class with @dataclass(frozen=True)."
    assert parameters.frozen, f"{name} is not a frozen dataclass. Decorate the class with @dataclass(frozen=True)."
    for field in dataclasses.fields(plugin):
        value = getattr(plugin, field.name)
        assert not isinstance(value, list | dict | set), f"setting {field.name!r} of {name} can be changed: use a tuple."
    assert " at 0x" not in repr(plugin), f"repr({name}) holds an address: it is the provenance of rows and must not change."
    try:
        same = pickle.loads(pickle.dumps(plugin)) == plugin
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise AssertionError(f"{name} cannot be pickled, so it cannot run on other cores: {error}") from None
    assert same, f"{name} is another after pickling; keep all state in its fields."
    return name


def _check_reason(name: str, rejected: Rejected) -> None:
    slug = re.fullmatch(r"[a-z][a-z0-9_]*", rejected.reason)
    assert slug, f"{name} rejected with {rejected.reason!r}: a reason is a slug such as 'no_messages', never a text."


def _near(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    """Equal but for the last digits of a float: sums may be taken in another order."""
    close = one["score"].eq_missing(other["score"]) | ((one["score"] - other["score"]).abs() <= 1e-9).fill_null(False)
    return bool(close.all()) and one["keep"].equals(other["keep"])


def _show_cause(plugin: Filter, batch: pl.DataFrame) -> None:
    """Let the plugin's own error out: these records are nobody's, so its whole traceback may be shown."""
    plugin.keep(plugin.score(batch))
