"""Requests that repeat their history, stitched: one record a conversation instead of one a turn.

A chat application sends the whole history with each request, so a conversation of ten turns is logged as ten overlapping
records. The longest is kept; what the others alone know (their feedback, an answer that was regenerated) moves to it.
"""

from collections import defaultdict
from dataclasses import dataclass

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from flywheel.ledger import Outcome, exits, no_exits
from flywheel.records import LOGGED_ID, SCHEMA, Candidate, Feedback, Message, Record, from_batch, to_batch

_SEEDS = (1, 2)
_PRIMES = (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53))
_SHIFT = np.uint64(32)
_COMPARED = ("role", "content", "tool_calls", "tool_call_id")
_STATE = ("low", "high")


def stitch(records: pl.DataFrame) -> Outcome:
    """Merge records that are the beginning of a longer one, and answers that were regenerated.

    Messages are equal when role, content, tool calls and tool call id are; reasoning, names and weights are not compared, as
    clients leave them out when they repeat a history.

    - `same_id`: records of one logged id (tag `logged_id=ID`) with the same messages. The one that has the id itself stays, with
      the feedback and candidates of all: the row was updated.
    - `regenerated`: records of one session that differ in the assistant's final reply alone. The one that the conversation
      went on from stays, else the newest; the others become its `candidates`, oldest first, each with its record's id. The
      same reply again makes no second candidate.
    - `prefix_of`: all messages of a record, its reply included, begin a longer record of the same session; without a session,
      of the same user (or both without one), and then only when an assistant has spoken. It goes into the longest such
      record, among equally long ones into the newest. A record that has candidates stays: they answer its prompt, not a
      later one.

    What was said about a merged record goes along under `NAME@ID` (ID of the merged record): it judges an earlier turn or
    another reply, and must not pass for a verdict on the reply that stays. An edited question is a branch and stays a record
    of its own. So do equal conversations: finding duplicates is another stage's work.

    The order of the input does not matter. Comparison is by 128-bit hashes. Memory: the batch and about 100 bytes a message.

    Args:
        records: a batch with unique ids, such as a whole day. Derived columns are left out of the result.

    Returns:
        The records that stay, oldest first (`created_at`, null last, then `id`), and a row of `EXITS` for each that does not,
        sorted by `id`, whose `into` is a record that stays.
    """
    ordered, again = _logged_again(records.select(SCHEMA.names).sort("created_at", "id", nulls_last=True))
    threads = _threads(ordered)
    longer = _longer(threads)
    into = _regenerated(threads, continued=longer >= 0)
    reason = np.where(into >= 0, "regenerated", "prefix_of")
    with_candidates = (ordered["candidates"].list.len() > 0).to_numpy().copy()
    with_candidates[into[into >= 0]] = True
    # the longest and newest extension of a record is itself never merged: it stays in its own group of regenerated answers
    into = np.where((into < 0) & ~with_candidates, longer, into)
    gone = np.flatnonzero(into >= 0)
    if not len(gone):
        return Outcome(ordered, again)
    ids = ordered["id"]
    left = exits(ids.gather(gone), reason[gone].tolist(), into=ids.gather(into[gone]), merged=True)
    moved = pl.col("into").replace(left["id"], left["into"])
    left = pl.concat([left, again.with_columns(moved)]).sort("id")
    return Outcome(_merge(ordered, into, reason == "regenerated", threads.newness), left)


def _logged_again(ordered: pl.DataFrame) -> Outcome:
    """Merge records of one logged id whose messages are the same: a row that was updated, with feedback say."""
    tagged = pl.col("tags").list.eval(pl.element().filter(pl.element().str.starts_with(LOGGED_ID))).list.first()
    ids = ordered.select("id", logged=tagged.str.strip_prefix(LOGGED_ID))
    if ids["logged"].null_count() == len(ids):
        return Outcome(ordered, no_exits())
    logged = ids["logged"].fill_null(ids["id"])
    several = logged.is_in(ids["logged"].drop_nulls().implode())
    known: dict[tuple[str, tuple[Message, ...]], Record] = {}
    gone: dict[str, str] = {}
    found = zip(logged.filter(several), from_batch(ordered.filter(several)), strict=True)
    for name, record in sorted(found, key=lambda each: each[0] != each[1].id):  # the one that has the logged id stays
        stays = known.setdefault((name, record.messages), record)
        if stays is not record:
            gone[record.id] = stays.id
            known[name, record.messages] = msgspec.structs.replace(
                stays,
                feedback=tuple(dict.fromkeys((*stays.feedback, *record.feedback))),
                candidates=tuple(dict.fromkeys((*stays.candidates, *record.candidates))),
            )
    if not gone:
        return Outcome(ordered, no_exits())
    kept = pl.concat([ordered.filter(~several), to_batch(known.values())])
    left = exits(list(gone), "same_id", into=list(gone.values()), merged=True)
    return Outcome(kept.sort("created_at", "id", nulls_last=True), left.sort("id"))


@dataclass(frozen=True)
class _Threads:
    """Hashes of every record's first 1, 2, ... messages, message by message in the order of the records."""

    row: NDArray[np.int64]
    number: NDArray[np.int64]  # of messages up to and with this one
    length: NDArray[np.int64]  # messages of the whole record
    state: NDArray[np.uint64]  # two columns
    role: NDArray[np.bool_]  # the assistant's
    spoken: NDArray[np.bool_]  # an assistant has spoken by now
    session: NDArray[np.bool_]  # by row: has a session
    newness: NDArray[np.int64]  # by row: rank by time, unknown first, then id

    def frame(self, chosen: NDArray[np.bool_]) -> pl.DataFrame:
        """Row, length, newness and state of the chosen messages."""
        row = self.row[chosen]
        low, high = self.state[chosen].T
        columns = {"row": row, "length": self.length[chosen], "newness": self.newness[row], "low": low, "high": high}
        return pl.DataFrame(columns)


def _threads(ordered: pl.DataFrame) -> _Threads:
    owner = pl.when(pl.col("session").is_not_null()).then("s" + pl.col("session")).otherwise("u" + pl.col("user").fill_null(""))
    first = ordered.select(owner.hash(seed).alias(name) for seed, name in zip(_SEEDS, _STATE, strict=True)).to_numpy()
    flat = (
        ordered.lazy()
        .select(pl.int_range(pl.len()).alias("row"), "messages")
        .explode("messages", empty_as_null=False, keep_nulls=False)
        .unnest("messages")
        .select("row", assistant=pl.col("role") == "assistant", said=pl.struct(_COMPARED).struct.json_encode())
        .select("row", "assistant", low=pl.col("said").hash(_SEEDS[0]), high=pl.col("said").hash(_SEEDS[1]))
        .collect()
    )
    row = flat["row"].to_numpy()
    lengths = np.bincount(row, minlength=ordered.height)
    starts = np.cumsum(lengths) - lengths
    assistant = flat["assistant"].fill_null(False).to_numpy()
    before = np.concatenate([[0], np.cumsum(assistant)])
    newness = np.empty(ordered.height, dtype=np.int64)
    by_time = ordered.select("created_at", "id", row=pl.int_range(pl.len())).sort("created_at", "id", nulls_last=False)
    newness[by_time["row"].to_numpy()] = np.arange(ordered.height)
    return _Threads(
        row=row,
        number=np.arange(len(row)) - starts[row] + 1,
        length=lengths[row],
        state=_chained(first, flat.select(_STATE).to_numpy(), lengths, starts),
        role=assistant,
        spoken=before[1:] > before[starts[row]],
        session=ordered["session"].is_not_null().to_numpy(),
        newness=newness,
    )


def _chained(
    first: NDArray[np.uint64], said: NDArray[np.uint64], lengths: NDArray[np.int64], starts: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """Running hash over each record's messages: all records at once, one message further each time."""
    states = np.empty_like(said)
    rows = np.argsort(-lengths, kind="stable")
    state = first[rows].astype(np.uint64)
    for number in range(int(lengths.max(initial=0))):
        count = int(np.searchsorted(-lengths[rows], -number))
        rows, state = rows[:count], state[:count]
        at = starts[rows] + number
        state = (state ^ said[at]) * _PRIMES[0]
        state = (state ^ (state >> _SHIFT)) * _PRIMES[1]
        states[at] = state
    return states


def _longer(threads: _Threads) -> NDArray[np.int64]:
    """For each row the longest, then newest, record that begins with all of it; -1 where there is none."""
    ends = threads.number == threads.length
    whole = threads.frame(ends & (threads.spoken | threads.session[threads.row]))
    best = (
        threads.frame(~ends)
        .join(whole, on=_STATE, how="semi")
        .sort("length", "newness")
        .group_by(_STATE)
        .agg(pl.col("row").last().alias("longer"))
    )
    found = whole.join(best, on=_STATE)
    longer = np.full(len(threads.session), -1, dtype=np.int64)
    longer[found["row"].to_numpy()] = found["longer"].to_numpy()
    return longer


def _regenerated(threads: _Threads, *, continued: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each row the record of its session whose final reply replaced its own; -1 where there is none."""
    ends = np.flatnonzero((threads.number == threads.length) & (threads.length > 1) & threads.role)
    ends = ends[threads.session[threads.row[ends]]]
    chosen = np.zeros(len(threads.row), dtype=np.bool_)
    chosen[ends - 1] = True
    answers = threads.frame(chosen).with_columns(reply=threads.state[ends, 0], continued=continued[threads.row[ends]])
    stays = answers.sort("continued", "newness").group_by(_STATE).agg(pl.col("row", "reply").last().name.suffix("_stays"))
    moved = answers.join(stays, on=_STATE).filter(pl.col("reply") != pl.col("reply_stays"))
    into = np.full(len(threads.session), -1, dtype=np.int64)
    into[moved["row"].to_numpy()] = moved["row_stays"].to_numpy()
    return into


def _merge(
    ordered: pl.DataFrame, into: NDArray[np.int64], regenerated: NDArray[np.bool_], newness: NDArray[np.int64]
) -> pl.DataFrame:
    """The rows that stay, with what they take over."""
    said = (ordered["feedback"].list.len() > 0).to_numpy()
    given = np.flatnonzero((into >= 0) & (regenerated | said))
    given = given[np.argsort(newness[given])]
    takers = np.unique(into[given])
    numbers = np.concatenate([given, takers])
    known = dict(zip(numbers.tolist(), from_batch(ordered[numbers]), strict=True))
    taken: dict[int, list[int]] = defaultdict(list)
    for row in given.tolist():
        taken[int(into[row])].append(row)
    changed = [_take_over(known[taker], [(known[row], bool(regenerated[row])) for row in rows]) for taker, rows in taken.items()]
    untouched = into < 0
    untouched[takers] = False
    kept = pl.concat([ordered.filter(pl.Series(untouched)), to_batch(changed)])
    return kept.sort("created_at", "id", nulls_last=True)


def _take_over(record: Record, others: list[tuple[Record, bool]]) -> Record:
    candidates = list(record.candidates)
    feedback = list(record.feedback)
    replies = set()
    for other, was_regenerated in others:
        feedback += [_about(other.id, said) for said in other.feedback]
        if was_regenerated:
            reply = other.messages[-1]
            if reply not in replies:
                candidates.append(Candidate(id=other.id, messages=(reply,), finish_reason=other.finish_reason))
            replies.add(reply)
            candidates += other.candidates
    return msgspec.structs.replace(record, candidates=tuple(candidates), feedback=tuple(feedback))


def _about(id: str, said: Feedback) -> Feedback:
    return said if "@" in said.name else msgspec.structs.replace(said, name=f"{said.name}@{id}")
