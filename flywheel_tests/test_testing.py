"""What plugin authors test with: each check passes what is right, and says what is wrong with what is not."""

import dataclasses
import random
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl
import pytest

from flywheel.curate.dedup.methods.contract import HASH, ByDigest, among_first, joined, pairs_frame, text_hashes
from flywheel.errors import Rejected
from flywheel.plugins import Filter, Format, Model, Similarity, Source, Synthesizer
from flywheel.records import Message, Record, derive, from_batch, text_message
from flywheel.testing import awkward_records, chat, check_filter, check_format, check_similarity, check_source, check_synthesizer

SAMPLES = [b'{"ask": "Hi?", "answer": "Hello."}', b'{"ask": "Bye?", "answer": "Bye."}']


@dataclass(frozen=True)
class Right:
    """A filter that keeps its contract."""

    maximum: int = 100

    def score(self, records: pl.DataFrame) -> pl.Series:
        return records["reply"].str.len_chars()

    def keep(self, score: pl.Series) -> pl.Series:
        return score <= self.maximum


@dataclass(frozen=True)
class Short(Right):
    def score(self, records: pl.DataFrame) -> pl.Series:
        return records["reply"].unique().str.len_chars()


@dataclass(frozen=True)
class Texts(Right):
    def score(self, records: pl.DataFrame) -> pl.Series:
        return records["reply"]


@dataclass(frozen=True)
class Shuffled(Right):
    def score(self, records: pl.DataFrame) -> pl.Series:
        return super().score(records).sort()


@dataclass(frozen=True)
class Relative(Right):
    def score(self, records: pl.DataFrame) -> pl.Series:
        return super().score(records).rank()


@dataclass(frozen=True)
class Random(Right):
    def score(self, records: pl.DataFrame) -> pl.Series:
        return pl.Series([random.random() for _ in range(records.height)])


@dataclass(frozen=True)
class Changing(Right):
    def score(self, records: pl.DataFrame) -> pl.Series:
        records.insert_column(0, pl.Series("mine", [0] * records.height))
        return super().score(records)


@dataclass(frozen=True)
class Raising(Right):
    def score(self, records: pl.DataFrame) -> pl.Series:
        return pl.Series([len(messages[-1]["content"]) for messages in records["messages"].to_list()])


@dataclass(frozen=True)
class Listed(Right):
    words: list[str] = dataclasses.field(default_factory=list)


@dataclass(frozen=True)
class Unpicklable(Right):
    how: Any = dataclasses.field(default=lambda: 1, repr=False)


def test_a_right_filter_passes() -> None:
    check_filter(Right())


@pytest.mark.parametrize(
    ("plugin", "complaint"),
    [
        (Short(), "one a record is needed"),
        (Texts(), "must give numbers"),
        (Shuffled(), "alone and in a batch, or gives its answers in another order"),
        (Relative(), "alone and in a batch"),
        (Random(), "differently the second time"),
        (Changing(), "changed the batch"),
        (Listed(), "setting 'words' of Listed can be changed"),
        (Unpicklable(), "cannot be pickled"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_wrong_filter_fails_with_what_to_change(plugin: Filter, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_filter(plugin)


def test_a_filter_that_raises_shows_its_own_error() -> None:
    with pytest.raises(IndexError):
        check_filter(Raising())


def test_a_class_that_is_no_frozen_dataclass_is_named() -> None:
    @dataclass
    class Loose:
        maximum: int = 1

    with pytest.raises(AssertionError, match="Loose is not a frozen dataclass"):
        check_filter(Loose())  # type: ignore[arg-type]


@dataclass(frozen=True)
class Log:
    """A source that keeps its contract."""

    def sniff(self, head: bytes) -> bool:
        return b'"ask"' in head

    def parse(self, entry: Any) -> Iterator[Record]:
        if not isinstance(entry, dict) or "ask" not in entry:
            raise Rejected("no_question")
        yield self._record(entry)

    def _record(self, entry: dict[str, Any]) -> Record:
        return chat(entry["ask"], entry["answer"])


@dataclass(frozen=True)
class Trusting(Log):
    def parse(self, entry: Any) -> Iterator[Record]:
        yield self._record(entry)


@dataclass(frozen=True)
class Taking(Log):
    def _record(self, entry: dict[str, Any]) -> Record:
        return chat(entry.pop("ask"), entry["answer"])


@dataclass(frozen=True)
class Roles(Log):
    def _record(self, entry: dict[str, Any]) -> Record:
        return Record(id="", messages=(text_message("human", entry["ask"]),))


@dataclass(frozen=True)
class Telling(Log):
    def parse(self, entry: Any) -> Iterator[Record]:
        if not isinstance(entry, dict) or "ask" not in entry:
            raise Rejected(f"not like this: {entry}")
        yield self._record(entry)


@dataclass(frozen=True)
class Bare(Log):
    def _record(self, entry: dict[str, Any]) -> Record:
        return Record(id="", tags=(entry["ask"],))


def test_a_right_source_passes() -> None:
    check_source(Log(), SAMPLES)


@pytest.mark.parametrize(
    ("plugin", "complaint"),
    [
        (Trusting(), "raised TypeError for entry None: raise Rejected"),
        (Taking(), "changed sample 0"),
        (Roles(), "gave the role 'human' for sample 0"),
        (Telling(), "a reason is a slug"),
        (Bare(), "without messages"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_wrong_source_fails_with_what_to_change(plugin: Source, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_source(plugin, SAMPLES)


def test_a_source_must_know_its_samples() -> None:
    with pytest.raises(AssertionError, match="does not recognise sample 1"):
        check_source(Log(), [SAMPLES[0], b'{"question": 1}'])


@dataclass(frozen=True)
class Lines:
    """A format that keeps its contract."""

    suffix = "jsonl"

    def render(self, record: Record) -> dict[str, Any]:
        if not record.reply:
            raise Rejected("no_reply")
        return self._row(record)

    def _row(self, record: Record) -> dict[str, Any]:
        return {"prompt": record.prompt, "reply": record.reply}


@dataclass(frozen=True)
class Careless(Lines):
    def render(self, record: Record) -> dict[str, Any]:
        return {"prompt": record.messages[0].text}


@dataclass(frozen=True)
class NotJson(Lines):
    def _row(self, record: Record) -> dict[str, Any]:
        return {"prompt": record.prompt, "record": 1j}


@dataclass(frozen=True)
class Refusing(Lines):
    def render(self, record: Record) -> dict[str, Any]:
        raise Rejected("never" if record.id else "")


@dataclass(frozen=True)
class Wrapped(Lines):
    suffix = "csv"


def test_a_right_format_passes() -> None:
    check_format(Lines())


@pytest.mark.parametrize(
    ("plugin", "complaint"),
    [
        (Careless(), "raised IndexError for record 'no_messages': raise Rejected"),
        (NotJson(), "something into record 'plain' that JSON lacks"),
        (Refusing(), "rejects a plain question and answer"),
        (Wrapped(), "suffix must be 'jsonl' or 'parquet', not 'csv'"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_wrong_format_fails_with_what_to_change(plugin: Format, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_format(plugin)


@dataclass(frozen=True)
class Echo:
    """A synthesizer that keeps its contract."""

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        if seed.prompt:
            yield self._child(seed, await model.ask(seed.prompt))

    def _child(self, seed: Record, answer: str) -> Record:
        return seed.child(prompt=answer)


@dataclass(frozen=True)
class Orphan(Echo):
    def _child(self, seed: Record, answer: str) -> Record:
        return chat(answer, seed.reply)


@dataclass(frozen=True)
class Unlicensed(Echo):
    def _child(self, seed: Record, answer: str) -> Record:
        return Record(id=answer, parents=(seed.id,), generation=1, messages=(text_message("user", answer),))


@dataclass(frozen=True)
class Dice(Echo):
    def _child(self, seed: Record, answer: str) -> Record:
        return seed.child(prompt=f"{answer} {random.random()}")


@dataclass(frozen=True)
class Hasty(Echo):
    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        yield seed.child(prompt=await model.ask(seed.prompt))


@dataclass(frozen=True)
class Picky(Echo):
    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        answer = await model.ask(seed.prompt)
        if seed.prompt and answer.startswith("Q: "):
            yield seed.child(prompt=answer)


def test_a_right_synthesizer_passes() -> None:
    check_synthesizer(Echo())
    check_synthesizer(Picky(), answers=["Q: why?"])


@pytest.mark.parametrize(
    ("plugin", "complaint"),
    [
        (Orphan(), "without lineage; use seed.child"),
        (Unlicensed(), "that lost a licence"),
        (Dice(), "different children of 'plain' from the same answers"),
        (Hasty(), "raised ValueError for seed 'no_messages'"),
        (Picky(), "made no child of any seed"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_wrong_synthesizer_fails_with_what_to_change(plugin: Synthesizer, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_synthesizer(plugin)


def test_a_chat_alternates_turns_and_takes_fields() -> None:
    record = chat("Q1", "A1", Message(role="tool"), "Q2", "A2", id="x", model="m")

    assert [message.role for message in record.messages] == ["user", "assistant", "tool", "user", "assistant"]
    assert (record.id, record.model, record.prompt, record.reply) == ("x", "m", "Q2", "A2")
    assert chat("a", "b").id == chat("a", "b").id != chat("a", "c").id


def test_awkward_records_hold_the_shapes_that_break_code() -> None:
    batch = awkward_records()
    records = from_batch(batch)
    derived = derive(batch)

    assert batch["id"].n_unique() == batch.height >= 30
    assert derived["text"].str.len_bytes().max() >= 90_000  # type: ignore[operator]
    assert derived["turns"].min() == 0
    assert any(not record.messages for record in records)
    assert any(record.messages and record.messages[-1].tool_calls and not record.reply for record in records)
    assert awkward_records().equals(batch)


@dataclass(frozen=True)
class Equal(ByDigest):
    """A similarity that keeps its contract."""

    ignored: int = 0

    def digests(self, texts: pl.Series) -> pl.Series:
        return text_hashes(texts)

    def among(self, digests: Iterable[pl.Series], *, floor: float) -> pl.DataFrame:  # noqa: ARG002
        return among_first(joined(digests, HASH), lambda _: pairs_frame([], [], 1.0))


@dataclass(frozen=True)
class Wrong(Equal):
    def pairs(self, texts: pl.Series, *, floor: float = 1.0) -> pl.DataFrame:
        return self.spoilt(super().pairs(texts, floor=floor))

    def spoilt(self, pairs: pl.DataFrame) -> pl.DataFrame:
        return pairs


@dataclass(frozen=True)
class Forward(Wrong):
    def spoilt(self, pairs: pl.DataFrame) -> pl.DataFrame:
        return pairs.with_columns(row="other", other="row")


@dataclass(frozen=True)
class Below(Wrong):
    def spoilt(self, pairs: pl.DataFrame) -> pl.DataFrame:
        return pairs.with_columns(similarity=0.5)


@dataclass(frozen=True)
class Partial(Wrong):
    def spoilt(self, pairs: pl.DataFrame) -> pl.DataFrame:
        return pairs.select("row", "other")


@dataclass(frozen=True)
class Upside(Wrong):
    def spoilt(self, pairs: pl.DataFrame) -> pl.DataFrame:
        return pairs.reverse()


@dataclass(frozen=True)
class Blind(Wrong):
    def spoilt(self, pairs: pl.DataFrame) -> pl.DataFrame:
        return pairs.clear()


@dataclass(frozen=True)
class Forgetful(Wrong):
    def spoilt(self, pairs: pl.DataFrame) -> pl.DataFrame:
        return pairs.with_columns(other=pl.lit(None, pl.Int64))


@dataclass(frozen=True)
class Blanks(Equal):
    def digests(self, texts: pl.Series) -> pl.Series:
        return text_hashes(texts.fill_null("").replace(["", " \n\t"], "nothing"))


@dataclass(frozen=True)
class Undecided(Wrong):
    def spoilt(self, pairs: pl.DataFrame) -> pl.DataFrame:
        return pairs.with_columns(similarity=pl.lit(random.uniform(0.95, 1.0)))


@dataclass(frozen=True)
class Editing(Equal):
    def digests(self, texts: pl.Series) -> pl.Series:
        return super().digests(texts.scatter(0, "mine"))


@dataclass(frozen=True)
class Brittle(Equal):
    def digests(self, texts: pl.Series) -> pl.Series:
        return super().digests(pl.Series([text.strip() for text in texts], dtype=pl.String))


@dataclass(frozen=True)
class Texty(Equal):
    def digests(self, texts: pl.Series) -> pl.Series:
        return pl.DataFrame({"hash": text_hashes(texts), "text": texts}).to_struct()

    def among(self, digests: Iterable[pl.Series], *, floor: float) -> pl.DataFrame:
        return super().among([batch.struct.field("hash") for batch in digests], floor=floor)


@dataclass(frozen=True)
class Numbered(Equal):
    def digests(self, texts: pl.Series) -> pl.Series:
        places = pl.Series([str(at) if text else None for at, text in enumerate(texts)], dtype=pl.String)
        return text_hashes(pl.select(pl.when(pl.lit(len(texts)) > 3).then(texts).otherwise(places)).to_series())


@dataclass(frozen=True)
class Batchwise(Equal):
    def among(self, digests: Iterable[pl.Series], *, floor: float) -> pl.DataFrame:
        return pl.concat([super(Batchwise, self).among([batch], floor=floor) for batch in digests])


def test_a_right_similarity_passes() -> None:
    check_similarity(Equal())


@pytest.mark.parametrize(
    ("plugin", "complaint"),
    [
        (Forward(), "beside itself or a later one"),
        (Below(), "below the floor or above 1"),
        (Partial(), "make them with `pairs_frame`"),
        (Upside(), "ordered by row, then other"),
        (Blind(), "does not find the copy"),
        (Forgetful(), "does not say with whom"),
        (Blanks(), "compares texts that are empty"),
        (Undecided(), "other pairs the second time"),
        (Editing(), "changed the texts"),
        (Brittle(), "raised AttributeError for"),
        (Texty(), "holds text"),
        (Numbered(), "differs alone and among others"),
        (Batchwise(), "rows count over all batches"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_wrong_similarity_fails_with_what_to_change(plugin: Similarity, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_similarity(plugin)
