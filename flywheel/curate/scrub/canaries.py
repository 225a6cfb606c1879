"""Planted conversations that are scrubbed beside the data, so that every run measures what scrubbing finds."""

import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import polars as pl

from flywheel.curate.scrub import scrub
from flywheel.curate.scrub.canary_templates import TEMPLATES, Turn
from flywheel.curate.scrub.canary_values import make_value
from flywheel.curate.scrub.detect import PLACEHOLDER
from flywheel.errors import ConfigError
from flywheel.records import Message, Part, Record, ToolCall, from_batch, to_batch
from flywheel.sections import Canaries, Scrub

__all__ = ["EXACT", "OVERALL", "Canary", "Planted", "below_floor", "canary_records", "measure_canaries", "with_floors"]

EXACT = ("SECRET", "CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "US_SSN")
"""Entities that a format or checksum gives away: nothing of them may stay."""
DIRECT = ("PERSON", "STREET_ADDRESS", "PHONE_NUMBER", "IP_ADDRESS", "US_DRIVER_LICENSE", "PASSPORT", "USER_ID", "ACCOUNT_ID")
"""Direct identifiers, found by lists and context."""
OVERALL = "ALL"
_SLOT = re.compile(r"\{([A-Z_]+)(?::(\d))?\}")
_WORD = re.compile(r"[^\W_]+")


class Planted(NamedTuple):
    """A value in a canary. `places` is in how many places it was written."""

    entity: str
    value: str
    places: int


class Canary(NamedTuple):
    """A conversation, what was planted in it, and the words around it that must survive."""

    record: Record
    planted: tuple[Planted, ...]
    words: Counter[str]


def canary_records(count: int, *, seed: int) -> list[Canary]:
    """`count` conversations, templates in turn: the same count and seed give the same canaries, a longer run begins alike."""
    return [_canary(TEMPLATES[number % len(TEMPLATES)], f"canary-{seed}-{number}") for number in range(count)]


class _Masked(NamedTuple):
    """One placeholder that scrubbing wrote: of which entity, and the words that stood there."""

    entity: str
    words: Counter[str]


def measure_canaries(canaries: Sequence[Canary], *, settings: Scrub, key: bytes) -> pl.DataFrame:
    """Scrub the canaries as the data is scrubbed and count what is left.

    Under any `replace` with placeholders, which stand in the same places as surrogates and can be told from what was there.

    Returns:
        One row an entity, `ALL` last: `planted` values, `found` (no word of three or more characters of it is left anywhere
        in its conversation), `recall` = found / planted, `masked` places, `precision` = the share of those that held a part of
        a value planted as that entity (null when none was masked), `over_masking` = words masked as that entity that were
        not planted, in all words that were not; `ALL` counts every such word that is gone.

    Raises:
        ConfigError: as `scrub`.
        ValueError: there is no canary, or scrubbing lost one.
    """
    if not canaries:
        raise ValueError("no canaries to measure; canary_records makes them")
    settings = msgspec.structs.replace(settings, replace="placeholder", unmeasured="pass")
    outcome = scrub(to_batch(canary.record for canary in canaries), settings=settings, key=key)
    if outcome.exits.height:
        raise ValueError(f"scrubbing lost {outcome.exits.height} of {len(canaries)} canaries")
    counts = {name: Counter[str]() for name in ("planted", "found", "masked", "right", "over")}
    for canary, after in zip(canaries, from_batch(outcome.kept), strict=True):
        _count(canary, after, counts)
    for name in ("planted", "found", "masked", "right"):
        counts[name][OVERALL] = counts[name].total()
    total = sum(canary.words.total() for canary in canaries)
    entities = sorted((counts["planted"] | counts["masked"] | counts["over"]).keys() - {OVERALL})
    rows = [{"entity": entity} | {name: counted[entity] for name, counted in counts.items()} for entity in [*entities, OVERALL]]
    return pl.DataFrame(rows).select(
        "entity",
        pl.col("planted", "found").cast(pl.UInt32),
        recall=pl.when(pl.col("planted") > 0).then(pl.col("found") / pl.col("planted")),
        masked=pl.col("masked").cast(pl.UInt32),
        precision=pl.when(pl.col("masked") > 0).then(pl.col("right") / pl.col("masked")),
        over_masking=pl.col("over") / total,
    )


def _count(canary: Canary, after: Record, counts: dict[str, Counter[str]]) -> None:
    text = _all_text(after)
    words = _words(PLACEHOLDER.sub(" ", text))
    counts["over"][OVERALL] += (canary.words - words).total()
    values: dict[str, set[str]] = {}
    for value in canary.planted:
        telling = _telling(value.value)
        values.setdefault(value.entity, set()).update(_words(value.value))
        counts["planted"][value.entity] += 1
        counts["found"][value.entity] += not any(words[word] > canary.words[word] for word in telling)
    planted = set().union(*values.values())
    for masked in _masked(_all_text(canary.record), text):
        counts["masked"][masked.entity] += 1
        counts["right"][masked.entity] += not values.get(masked.entity, set()).isdisjoint(masked.words)
        counts["over"][masked.entity] += sum(count for word, count in masked.words.items() if word not in planted)


def _masked(before: str, after: str) -> list[_Masked]:
    """What each placeholder stands for: the text between it and the next is the same before and after."""
    pieces = PLACEHOLDER.split(after)  # text, entity, number, text, ...
    held = re.fullmatch("(.*?)".join(map(re.escape, pieces[::3])), before, re.DOTALL)
    entities = pieces[1::3]
    return [_Masked(entity, _words(held[n + 1] if held else "")) for n, entity in enumerate(entities)]


def with_floors(measured: pl.DataFrame, canaries: Canaries, *, ner: str) -> pl.DataFrame:
    """Adds `floor`, the least recall of each entity; null for those that have none. `ner = "none"` asks for no names.

    Raises:
        ConfigError: `[canaries] recall` names an entity that no canary holds.
    """
    known = [entity for entity in measured["entity"] if entity != OVERALL]
    if unknown := sorted(set(canaries.recall) - set(known)):
        raise ConfigError(f"[canaries] recall names {unknown[0]!r}, which is never planted; there is {', '.join(known)}.")
    floors = dict.fromkeys(EXACT, canaries.exact) | dict.fromkeys(DIRECT, canaries.direct)
    if ner == "none":
        del floors["PERSON"]
    floors |= canaries.recall
    return measured.with_columns(floor=pl.Series([floors.get(entity) for entity in measured["entity"]], dtype=pl.Float64))


def below_floor(measured: pl.DataFrame, *, over_masking: float) -> list[str]:
    """What is worse than allowed, as sentences; empty when the sets may be built. `measured` is from `with_floors`."""
    low = measured.filter(pl.col("recall") < pl.col("floor")).select("entity", "recall", "floor")
    problems = [f"recall of {entity} is {recall:.3f}, below {least:.2f}" for entity, recall, least in low.iter_rows()]
    masked = measured.filter(entity=OVERALL)["over_masking"].item()
    if masked > over_masking:
        problems.append(f"over-masking is {masked:.3f}, above {over_masking:.2f}")
    return problems


def _canary(turns: tuple[Turn, ...], identity: str) -> Canary:
    random_values = random.Random(identity)
    values: dict[str, str] = {}
    slots: Counter[str] = Counter()
    words: Counter[str] = Counter()

    def fill(match: re.Match[str]) -> str:
        slots[match[0]] += 1
        if match[0] not in values:
            values[match[0]] = make_value(match[1], random_values)
        return values[match[0]]

    messages = []
    for turn in turns:
        arguments = turn.arguments and turn.arguments.replace("{{", "{").replace("}}", "}")
        text = turn.text.replace("{{", "{").replace("}}", "}")
        for written in (text, arguments or ""):
            words += _words(_SLOT.sub(" ", written))
        calls = (ToolCall(id="call_1", name="update", arguments=_SLOT.sub(fill, arguments)),) if arguments else ()
        content = (Part(text=_SLOT.sub(fill, text)),) if text else ()
        messages.append(Message(role=turn.role, content=content, tool_calls=calls))
    planted = tuple(Planted(slot[1:-1].partition(":")[0], value, slots[slot]) for slot, value in values.items())
    return Canary(Record(id=identity, origin="canary", messages=tuple(messages)), planted, words)


def _all_text(record: Record) -> str:
    texts = [text for m in record.messages for text in (m.text, *(call.arguments for call in m.tool_calls))]
    return "\n".join(json.dumps(json.loads(t), ensure_ascii=False) if t.startswith("{") else t for t in texts)


def _words(text: str) -> Counter[str]:
    return Counter(word.lower() for word in _WORD.findall(text))


def _telling(value: str) -> list[str]:
    words = [word.lower() for word in _WORD.findall(value)]
    return [word for word in words if len(word) > 2] or words
