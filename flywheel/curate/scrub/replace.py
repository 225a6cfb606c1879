"""One conversation in, the same conversation with placeholders out: every text that it holds, wherever it holds it."""

import hashlib
import hmac
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from flywheel.curate.scrub.dates import find_dates
from flywheel.curate.scrub.detect import Detectors, detect
from flywheel.curate.scrub.fields import entity_of, find_fields, whole_value
from flywheel.curate.scrub.json_text import edit_json, is_json
from flywheel.curate.scrub.normalise import normalise
from flywheel.curate.scrub.numbers import luhn
from flywheel.curate.scrub.spans import CHECKSUM, NAME, Span, resolve
from flywheel.curate.scrub.surrogates import Surrogates
from flywheel.curate.scrub.values import Values

Row = dict[str, Any]
Visit = Callable[[str, str | None], str]
"""`visit(text, key)`: the text's replacement; `key` names the field that holds it, None for running text."""

COLUMNS = ("messages", "tools", "candidates", "feedback", "tags", "session")
"""Columns that may hold personal data and are edited. `user` is an HMAC already; `source` must lead to the original."""

_NESTED = 4
_DULL = re.compile(r"(?:[\d.:TZ+-]{1,5}|\d{4}-\d{2}-\d{2}(?:T[\d:.+Z-]+)?|\d{2}:\d{2}(?::\d{2})?|[a-z]{1,20}|[A-Z]{1,4})\Z")
_JUDGES = re.compile(
    r"(?i)(?:user|human|customer|agent|assistant|model|judge|llm|api|system|annotator|admin|hmac:.*|[\w.]*(?:judge|eval)\w*)\Z"
)


class TooMuchWork(Exception):
    """The conversation holds more characters than the budget allows."""


class Scrubbed(NamedTuple):
    """The edited columns of a conversation and how often each entity was replaced in it."""

    row: Row
    counts: Counter[str]


class Detection:
    """Detectors with a memory, because conversations of one batch share system prompts, tools and tool results."""

    def __init__(self, detectors: Detectors) -> None:
        self.detectors = detectors
        self._seen: dict[tuple[str, str | None], list[Span]] = {}

    def spans(self, text: str, key: str | None) -> list[Span]:
        """What is personal in one string: by its key, as quoted fields and by every detector."""
        found = self._seen.get((text, key))
        if found is None:
            found = self._seen[text, key] = self._find(text, key)
        return found

    def _find(self, text: str, key: str | None) -> list[Span]:
        entity = entity_of(key) if key else None
        whole = whole_value(text, entity) if entity else []
        if not whole and _DULL.match(text):
            dated = find_dates(text) if self.detectors.dates else []
            return [span for span in dated if self.detectors.keeps(span.entity, text)]
        fields = [span for span in (*whole, *find_fields(text)) if self.detectors.keeps(span.entity, text[span.start : span.end])]
        if whole and fields:
            return fields
        found = detect(text, self.detectors)
        return resolve(text, [*found, *fields]) if fields else found


class Conversation:
    """The two passes over one row: collect every value, then replace each wherever it stands."""

    def __init__(self, detection: Detection, budget: int) -> None:
        self.detection = detection
        self.budget = budget
        self.values = Values()
        self.counts: Counter[str] = Counter()
        self.surrogates: Surrogates | None = None
        self._first_name: str | None = None
        self._masked: dict[tuple[str, str | None], tuple[str, Counter[str]]] = {}

    def collect(self, text: str, key: str | None) -> str:
        """Note what the text holds; returns it unchanged."""
        self.budget -= len(text) + 1
        if self.budget < 0:
            raise TooMuchWork
        if "<" in text:
            self.values.reserve(text)
        for span in self.detection.spans(text, key):
            self.values.add(text[span.start : span.end], span.entity, span.strength)
        self._join_names(text, key)
        return text

    def _join_names(self, text: str, key: str | None) -> None:
        if key is None:
            return
        name = key.lower().replace("_", "")
        if name in ("firstname", "givenname"):
            self._first_name = text
        elif name in ("lastname", "surname", "familyname") and self._first_name:
            full = f"{self._first_name} {text}"
            if self.detection.detectors.keeps("PERSON", full) and whole_value(full, "PERSON"):
                self.values.add(full, "PERSON", CHECKSUM)
            self._first_name = None

    def mask(self, text: str, key: str | None) -> str:
        """The text with placeholders for everything known about this conversation."""
        done = self._masked.get((text, key))
        if done is None:
            done = self._masked[text, key] = self._mask(text, key)
        if done[1]:
            self.counts += done[1]
        return done[0]

    def spans(self, text: str, key: str | None) -> list[Span]:
        """What is masked in the text once `values` are linked: what was found in it and what repeats a value of another text."""
        found = self.detection.spans(text, key)
        if not self.values:
            return found
        normal = normalise(text)
        repeated = [
            Span(*normal.original(span.start, span.end), span.entity, span.strength) for span in self.values.repeats(normal.text)
        ]
        keeps = self.detection.detectors.keeps
        kept = [span for span in repeated if keeps(span.entity, text[span.start : span.end])]
        return resolve(text, [*found, *_whole_names(kept, found)]) if kept else found

    def _mask(self, text: str, key: str | None) -> tuple[str, Counter[str]]:
        spans = self.spans(text, key)
        if not spans:
            return text, Counter()
        pieces, position = [], 0
        for span in spans:
            identity = self.values.identify(normalise(text[span.start : span.end]).text, span.entity)
            made = self.surrogates.replacement(text[span.start : span.end], identity) if self.surrogates else None
            pieces += [text[position : span.start], made or self.values.placeholder(identity)]
            position = span.end
        return "".join([*pieces, text[position:]]), Counter(span.entity for span in spans)


def _whole_names(repeated: list[Span], found: list[Span]) -> Iterator[Span]:
    """The repeats, those of names stronger than the shorter names that were found inside them (`Jane` of `Jane%20Doe`)."""
    names = [(span.start, span.end) for span in found if span.entity == "PERSON"]
    for span in repeated:
        first = bisect_left(names, span.start, key=lambda name: name[1] - 1)
        last = bisect_left(names, span.end, key=lambda name: name[0])
        inside = names[first:last]
        whole = inside and span.start <= inside[0][0] and inside[-1][1] <= span.end
        yield span._replace(strength=NAME + 1) if whole and span.entity == "PERSON" else span


def scrub_row(
    row: Row, detection: Detection, *, key: bytes, budget: int, surrogates: Callable[[Values], Surrogates] | None = None
) -> Scrubbed:
    """Replace personal data in the `COLUMNS` of one row. Pure: the same row gives the same result beside any other row.

    `surrogates` makes the fake values for the values of the row; without it they become placeholders.

    Raises:
        TooMuchWork: the row's texts have more than `budget` characters.
    """
    conversation = Conversation(detection, budget)
    walk(row, conversation.collect)
    conversation.values.link()
    conversation.surrogates = surrogates(conversation.values) if surrogates and conversation.values else None
    edited = walk(row, conversation.mask)
    if row["session"] is not None and edited["session"] != row["session"]:
        edited["session"] = pseudonym(row["session"], key)
    for before, after in zip(row["feedback"] or (), edited["feedback"] or (), strict=True):
        if before["by"] and not _JUDGES.match(before["by"]):
            after["by"] = pseudonym(before["by"], key)
    return Scrubbed(edited, conversation.counts)


def pseudonym(value: str, key: bytes) -> str:
    """`hmac:` and 32 hexadecimal characters: the same for a value in every conversation, and nothing without the key."""
    if re.fullmatch(r"hmac:[0-9a-f]{32}", value):
        return value
    return "hmac:" + hmac.new(key, value.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:32]


def walk(row: Row, visit: Visit) -> Row:
    """The row's `COLUMNS` with every text visited: in reading order, JSON by its strings, tags by their values."""
    return {
        "messages": _messages(row["messages"], visit),
        "tools": row["tools"] and [_text_or_json(tool, visit, None) for tool in row["tools"]],
        "candidates": row["candidates"] and [{**c, "messages": _messages(c["messages"], visit)} for c in row["candidates"]],
        "feedback": row["feedback"] and [_feedback(entry, visit) for entry in row["feedback"]],
        "tags": row["tags"] and [_tag(tag, visit) for tag in row["tags"]],
        "session": row["session"] and visit(row["session"], None),
    }


def _messages(messages: list[Row] | None, visit: Visit) -> list[Row] | None:
    return messages and [_message(message, visit) for message in messages]


def _message(message: Row, visit: Visit) -> Row:
    is_tool = message["role"] == "tool"
    return {
        **message,
        "content": message["content"] and [_part(part, visit) for part in message["content"]],
        "reasoning": message["reasoning"] and visit(message["reasoning"], None),
        "tool_calls": message["tool_calls"]
        and [
            {**call, "arguments": call["arguments"] and _text_or_json(call["arguments"], visit, None)}
            for call in message["tool_calls"]
        ],
        "name": message["name"] and visit(message["name"], None if is_tool else "user_name"),
    }


def _part(part: Row, visit: Visit) -> Row:
    url = part["url"]
    return {
        **part,
        "text": part["text"] and _text_or_json(part["text"], visit, None),
        "url": url if not url or url.startswith("data:") else visit(url, None),
    }


def _feedback(entry: Row, visit: Visit) -> Row:
    return {
        **entry,
        "value": entry["value"] and visit(entry["value"], None),
        "comment": entry["comment"] and visit(entry["comment"], None),
    }


def _tag(tag: str, visit: Visit) -> str:
    key, equals, value = tag.partition("=")
    return key + equals + _text_or_json(value, visit, key) if equals else visit(tag, None)


def _text_or_json(text: str, visit: Visit, key: str | None, depth: int = 0) -> str:
    if depth >= _NESTED or not is_json(text):
        return visit(text, key)

    def edit(value: str, inner: str | None, is_number: bool) -> str:
        if not is_number:
            return _text_or_json(value, visit, inner, depth + 1)
        telling = inner is not None and entity_of(inner) is not None
        return visit(value, inner) if telling or (len(value) > 11 and value.isdigit() and luhn(value)) else value

    return edit_json(text, edit)
