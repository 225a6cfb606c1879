"""`[[duplicates]]`: which units repeat which earlier ones at a floor, and what today's threshold makes of that."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from flywheel.curate.dedup.aging import Aging
from flywheel.curate.dedup.methods.contract import PAIRS
from flywheel.curate.dedup.units import UNITS, units, without
from flywheel.plugins import Digests
from flywheel.schema import column

if TYPE_CHECKING:
    from flywheel.plugins import Similarity
    from flywheel.sections import DuplicateRule

SIMILAR = pa.schema(
    [
        column("id", pa.string(), "the record whose unit repeats an earlier one"),
        column("day", pa.string(), "its day"),
        column("message", pa.int64(), "the unit's message, from 0; null where the unit is the conversation"),
        column("part", pa.int64(), "the part of its content, from 0; null where the unit is the message"),
        column("start", pa.int64(), "first character in the part"),
        column("stop", pa.int64(), "the one behind the last"),
        column("other", pa.string(), "the record with the earlier unit, perhaps the same; null where the method forgets it"),
        column("other_day", pa.string(), "its day"),
        column("other_message", pa.int64(), "that unit's message"),
        column("similarity", pa.float64(), "by the rule's method; at least its floor"),
        column("method", pa.string(), "of the rule"),
        column("level", pa.string(), "of the rule"),
    ]
)
_AGE = ("created_at", "id", "day")
_PLACES = pl.Schema({"created_at": pl.Datetime("us", "UTC"), **{name: kind for name, kind in UNITS.items() if name != "text"}})


def find_similar(records: Iterable[pl.DataFrame], rule: "DuplicateRule", method: "Similarity") -> pl.DataFrame:
    """Every pair at or above the rule's floor: a unit, and an earlier one that it repeats.

    Records are taken oldest first (`created_at`, those without one last; then `id`, then `day`), units in the order of the
    text. Memory: one batch and the pairs, and what the method holds: of a method with `Digests` what its `among` says, of
    any other the texts of all units. Within records nothing is held.

    Args:
        records: batches with `day`; all of a record is in one batch, otherwise they come in any order.

    Returns:
        Columns of `SIMILAR`, in that order. Which pairs are told beside the first, the method says.
    """
    if rule.scope == "within":
        made = _within(records, rule, method)
    else:
        made = _by_digest(records, rule, method) if isinstance(method, Digests) else _by_text(records, rule, method)
    told = made.with_columns(method=pl.lit(rule.method), level=pl.lit(rule.level))
    if rule.scope == "across":
        told = told.filter((pl.col("id").ne_missing(pl.col("other"))) | pl.col("day").ne_missing(pl.col("other_day")))
    return told.select(SIMILAR.names)


def _units(records: Iterable[pl.DataFrame], rule: "DuplicateRule") -> Iterator[pl.DataFrame]:
    """The units of each batch, with `created_at`."""
    for batch in records:
        made = units(batch, level=rule.level, roles=rule.roles, words=rule.words, window=rule.window)
        ages = batch.select(pl.col("created_at").cast(_PLACES["created_at"]), "id", "day")
        yield made.join(ages, on=["id", "day"], how="left", maintain_order="left")


def _by_digest(records: Iterable[pl.DataFrame], rule: "DuplicateRule", method: Digests) -> pl.DataFrame:
    """Pairs among all units; texts are forgotten batch by batch."""
    kind = method.digests(pl.Series(dtype=pl.String)).dtype
    with Aging(pl.Schema({**_PLACES, "digest": kind})) as waiting:
        for batch in _units(records, rule):
            waiting.add(batch.with_columns(digest=method.digests(batch["text"])))
        oldest_first = (batch["digest"] for batch in waiting.oldest_first("digest"))
        return _placed(method.among(oldest_first, floor=rule.least), waiting)


def _by_text(records: Iterable[pl.DataFrame], rule: "DuplicateRule", method: "Similarity") -> pl.DataFrame:
    """Pairs among all units; their texts are in memory, never in the temporary file."""
    texts, numbers = [pl.Series(dtype=pl.String)], [pl.Series(dtype=pl.Int64)]
    with Aging(_PLACES) as waiting:
        for batch in _units(records, rule):
            waiting.add(batch)
            texts.append(batch["text"])
        numbers += [batch["number"] for batch in waiting.oldest_first("number")]
        return _placed(method.pairs(pl.concat(texts).gather(pl.concat(numbers)), floor=rule.least), waiting)


def _placed(found: pl.DataFrame, waiting: Aging) -> pl.DataFrame:
    return _told(found, waiting.at(pl.concat([found["row"], found["other"].drop_nulls()]), *_PLACES))


def _within(records: Iterable[pl.DataFrame], rule: "DuplicateRule", method: "Similarity") -> pl.DataFrame:
    """Pairs within each record by itself."""
    told = [_told(pl.DataFrame(schema=PAIRS), pl.DataFrame(schema={"at": pl.Int64, **_PLACES}))]
    for batch in _units(records, rule):
        several = batch.with_row_index("at").cast({"at": pl.Int64}).filter(pl.len().over("id", "day") > 1)
        found = [pl.DataFrame(schema=PAIRS)]
        for own in several.partition_by("id", "day", maintain_order=True):
            pairs = method.pairs(own["text"], floor=rule.least)
            found.append(pairs.with_columns(row=own["at"].gather(pairs["row"]), other=own["at"].gather(pairs["other"])))
        told.append(_told(pl.concat(found), several.select("at", *_PLACES)))
    return pl.concat(told).sort(*_AGE, nulls_last=True, maintain_order=True)


def _told(found: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """The pairs with the places of both units.

    Args:
        found: of `PAIRS`.
        places: units, with `at`, by which the pairs name them.
    """
    there = places.select(other="at", other_id="id", other_day="day", other_message="message")
    inner = found.rename({"start": "from", "stop": "to"})
    both = inner.join(places.rename({"at": "row"}), on="row", how="left", maintain_order="left")
    both = both.join(there, on="other", how="left", maintain_order="left")
    return both.with_columns(
        other=pl.col("other_id"),
        stop=pl.coalesce(pl.col("start") + pl.col("to"), "stop"),
        start=pl.coalesce(pl.col("start") + pl.col("from"), "start"),
    )


def who_leaves(pairs: pl.DataFrame, rule: "DuplicateRule") -> pl.DataFrame:
    """The records that a rule with `action = "drop"` takes out at its threshold: `id`, `day`, `reason`, `into`, `score`.

    Oldest first; nobody leaves for resembling a record that itself leaves.
    """
    close = pairs.filter(pl.col("similarity") >= rule.threshold)
    close = close.filter(pl.col("id").ne_missing(pl.col("other")) | pl.col("day").ne_missing(pl.col("other_day")))
    gone: dict[tuple[str, str], tuple[str | None, float]] = {}
    for id, day, other, other_day, score in close.select("id", "day", "other", "other_day", "similarity").iter_rows():
        if (other, other_day) not in gone and score > gone.get((id, day), (None, 0.0))[1]:
            gone[id, day] = (other, score)
    rows = [(*who, f"similar:{rule.name}", into, score) for who, (into, score) in gone.items()]
    schema = {"id": pl.String, "day": pl.String, "reason": pl.String, "into": pl.String, "score": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def what_is_cut(pairs: pl.DataFrame, rule: "DuplicateRule", leaving: pl.DataFrame) -> pl.DataFrame:
    """The passages that a rule with `action = "cut"` takes out of the records that stay: a row a passage.

    A passage stays where the record that it repeats leaves, so that none is lost.
    """
    away = leaving.select(other="id", other_day="day")
    close = pairs.filter(pl.col("similarity") >= rule.threshold)
    staying = close.join(away, on=["other", "other_day"], how="anti", maintain_order="left")
    return staying.select("id", "day", "message", "part", "start", "stop", rule=pl.lit(rule.name)).unique(maintain_order=True)


def cut(records: pl.DataFrame, passages: pl.DataFrame) -> pl.DataFrame:
    """The batch with the passages taken out of their messages; each record that changed has the tag `cut:RULE`.

    A message that is nothing but repetitions stays as it is: an empty one teaches nothing, and `drop` is for whole records.

    Args:
        records: with `day`.
        passages: of `what_is_cut`, of any records.
    """
    touched = records.select("id", "day").join(passages, on=["id", "day"], how="inner")
    if touched.is_empty():
        return records
    spans: dict[tuple[str, str], dict[tuple[int, int], list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    rules: dict[tuple[str, str], set[str]] = defaultdict(set)
    for id, day, message, part, start, stop, rule in touched.iter_rows():
        spans[id, day][message, part].append((start, stop))
        rules[id, day].add(rule)
    changed = []
    days = records["day"].to_list()
    for day, record in zip(days, records.to_dicts(), strict=True):
        who = (record["id"], day)
        if who in spans and _cut_one(record, spans[who]):
            record["tags"] = [*(record["tags"] or ()), *(f"cut:{rule}" for rule in sorted(rules[who]))]
        changed.append(record)
    return pl.DataFrame(changed, schema=records.schema)


def _cut_one(record: dict[str, Any], spans: dict[tuple[int, int], list[tuple[int, int]]]) -> bool:
    changed = False
    for (message, part), own in spans.items():
        content = record["messages"][message]["content"][part]
        shorter = without(content["text"], own)
        if shorter.strip():
            content["text"], changed = shorter, True
    return changed
