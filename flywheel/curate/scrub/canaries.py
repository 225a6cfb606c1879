"""Planted conversations that are scrubbed beside the data, so that every run measures what scrubbing finds."""

import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from flywheel.curate.scrub import scrub
from flywheel.curate.scrub.canary_templates import TEMPLATES, Turn
from flywheel.curate.scrub.canary_values import make_value
from flywheel.curate.scrub.detect import PLACEHOLDER
from flywheel.records import Message, Part, Record, ToolCall, from_batch, to_batch
from flywheel.sections import Scrub

__all__ = ["EXACT", "OVERALL", "Canary", "CanaryFloor", "Planted", "below_floor", "canary_records", "measure_canaries"]

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


class CanaryFloor(NamedTuple):
    """The least recall and the most over-masking with which a set may be built; shares from 0 to 1."""

    exact: float = 1.0
    direct: float = 0.85
    over_masking: float = 0.03


def canary_records(count: int, *, seed: int) -> list[Canary]:
    """`count` conversations, templates in turn: the same count and seed give the same canaries, a longer run begins alike."""
    return [_canary(TEMPLATES[number % len(TEMPLATES)], f"canary-{seed}-{number}") for number in range(count)]


def measure_canaries(canaries: Sequence[Canary], *, settings: Scrub, key: bytes) -> pl.DataFrame:
    """Scrub the canaries as the data is scrubbed and count what is left.

    Returns:
        One row an entity, `ALL` last: `planted` values, `found` (no word of three or more characters of it is left anywhere
        in its conversation), `recall` = found / planted, `precision` = planted places / places masked as that entity (at most
        1, null when none was masked), `over_masking` = share of the words that were not planted and are gone (`ALL` only).

    Raises:
        ConfigError: as `scrub`.
        ValueError: there is no canary, or scrubbing lost one.
    """
    if not canaries:
        raise ValueError("no canaries to measure; canary_records makes them")
    outcome = scrub(to_batch(canary.record for canary in canaries), settings=settings, key=key)
    if outcome.exits.height:
        raise ValueError(f"scrubbing lost {outcome.exits.height} of {len(canaries)} canaries")
    planted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    places: Counter[str] = Counter()
    lost = 0
    for canary, after in zip(canaries, from_batch(outcome.kept), strict=True):
        words = _words(PLACEHOLDER.sub(" ", _all_text(after)))
        lost += (canary.words - words).total()
        for value in canary.planted:
            planted[value.entity] += 1
            places[value.entity] += value.places
            found[value.entity] += not any(words[word] > canary.words[word] for word in _telling(value.value))
    masked = dict(outcome.findings.group_by("entity").agg(pl.col("count").sum()).iter_rows())
    rows: list[tuple[str, int, int, float | None, float | None]] = [
        (entity, planted[entity], found[entity], _precision(places[entity], masked.get(entity, 0)), None)
        for entity in sorted(planted)
    ]
    total = sum(canary.words.total() for canary in canaries)
    overall = _precision(places.total(), sum(masked.values()))
    rows.append((OVERALL, planted.total(), found.total(), overall, lost / total))
    schema = {"entity": pl.String, "planted": pl.UInt32, "found": pl.UInt32, "precision": pl.Float64, "over_masking": pl.Float64}
    frame = pl.DataFrame(rows, schema=schema, orient="row").with_columns(recall=pl.col("found") / pl.col("planted"))
    return frame.select("entity", "planted", "found", "recall", "precision", "over_masking")


def below_floor(measured: pl.DataFrame, floor: CanaryFloor | None = None) -> list[str]:
    """What is worse than the floor allows, as sentences; empty when the sets may be built. Entities without a floor pass."""
    floor = floor or CanaryFloor()
    problems = []
    for entity, recall, over_masking in measured.select("entity", "recall", "over_masking").iter_rows():
        least = floor.exact if entity in EXACT else floor.direct if entity in DIRECT else 0.0
        if recall < least:
            problems.append(f"recall of {entity} is {recall:.3f}, below {least:.2f}")
        if over_masking is not None and over_masking > floor.over_masking:
            problems.append(f"over-masking is {over_masking:.3f}, above {floor.over_masking:.2f}")
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


def _precision(planted: int, masked: int) -> float | None:
    return min(1.0, planted / masked) if masked else None
