"""The personal values of one conversation: who is who, which placeholder each has, and where else each is repeated."""

import calendar
import re
from collections.abc import Iterator
from typing import NamedTuple

from flywheel.curate.scrub.detect import PLACEHOLDER
from flywheel.curate.scrub.gazetteer import gazetteer
from flywheel.curate.scrub.name_words import begins_sentence
from flywheel.curate.scrub.spans import REPEAT, Span

_WORD = re.compile(r"[^\W_]+")
_LONGEST_GAP = 3
_DIGITS = {"PHONE_NUMBER", "CREDIT_CARD", "US_SSN", "IBAN_CODE", "US_ITIN"}
_NEVER_REPEATED = {"AGE"}
_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})\Z")
_MONTHS = [name.lower() for name in calendar.month_name[1:]]
_SHORT_MONTHS = [name[:3] for name in _MONTHS]
_SHARED_MAILBOXES = {
    "info",
    "support",
    "admin",
    "contact",
    "sales",
    "help",
    "hello",
    "office",
    "noreply",
    "service",
    "team",
    "mail",
}


class Known(NamedTuple):
    """A value as its words; `capital` asks for capitals as in a name, because the words are ordinary ones too."""

    words: tuple[str, ...]
    value: str
    capital: bool


class Values:
    """The values found in one conversation. Add them all, `link` once, then ask for repeats and placeholders."""

    def __init__(self) -> None:
        self._entity: dict[str, tuple[int, str]] = {}
        self._spellings: dict[str, set[tuple[str, ...]]] = {}
        self._alias: dict[str, str] = {}
        self._index: dict[str, list[Known]] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._last: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._entity)

    def reserve(self, text: str) -> None:
        """Do not reuse the numbers of placeholders that are already in the text."""
        for name, number in PLACEHOLDER.findall(text):
            self._last[name] = max(self._last.get(name, 0), int(number))

    def add(self, text: str, entity: str, strength: int) -> None:
        """Note a found value; the strongest evidence decides what it is."""
        value = canonical(text, entity)
        known = self._entity.get(value)
        if value and (known is None or strength > known[0]):
            self._entity[value] = (strength, entity)
        if value and (entity in _DIGITS or entity == "DATE_OF_BIRTH"):
            self._spellings.setdefault(value, set()).add(tuple(match[0].lower() for match in _WORD.finditer(text)))

    def link(self) -> None:
        """Work out who is who (a part of one full name is that person) and index what to look for."""
        people = [value for value, (_, entity) in self._entity.items() if entity == "PERSON"]
        for short in people:
            words = set(short.split(" "))
            full = next((p for p in people if len(p.split(" ")) > len(words) and words <= set(p.split(" "))), None)
            if full is not None:
                self._alias[short] = full
        for value, (_, entity) in list(self._entity.items()):
            spelled = (Known(words, value, False) for words in sorted(self._spellings.get(value, ())) if len(words) > 1)
            for known in (*_variants(value, entity), *spelled):
                self._index.setdefault(known.words[0], []).append(known)

    def repeats(self, text: str) -> Iterator[Span]:
        """Places where a known value, a part of a known name or another spelling of a known date or number stands."""
        if not self._index:
            return
        words = [(match.start(), match.end(), match[0]) for match in _WORD.finditer(text)]
        for at, (start, _, word) in enumerate(words):
            for known in self._index.get(word.lower(), ()):
                end = _match_end(text, words, at, known)
                if end is not None:
                    yield Span(start, end, self._entity_of(known.value), REPEAT)

    def placeholder(self, text: str, entity: str) -> str:
        """`<PERSON_1>`: the same for every spelling of a value, numbered by first use."""
        value = canonical(text, entity)
        if value not in self._entity and value:
            value = next((k.value for k in self._index.get(value.split(" ")[0], ()) if " ".join(k.words) == value), value)
        entity = self._entity[value][1] if value in self._entity else entity
        value = self._alias.get(value, value)
        number = self._numbers.get((entity, value))
        if number is None:
            number = self._numbers[entity, value] = self._last[entity] = self._last.get(entity, 0) + 1
        return f"<{entity}_{number}>"

    def _entity_of(self, value: str) -> str:
        return self._entity[value][1]


def canonical(text: str, entity: str) -> str:
    """What two spellings of a value share: its words in lower case, or its digits and letters alone for numbers."""
    words = [match[0].lower() for match in _WORD.finditer(text)]
    if entity == "DATE_OF_BIRTH":
        words = _year_first(words)
    return "".join(words) if entity in _DIGITS else " ".join(words)


def _year_first(words: list[str]) -> list[str]:
    """`april 5 1990` as `1990 04 05`; a date in digits alone stays, because its order is unknown."""
    words = [word for word in words if word != "of"]
    months = [i for i, word in enumerate(words) if word[:3] in _SHORT_MONTHS and word.isalpha()]
    numbers = [int(digits) for word in words if (digits := word.rstrip("stndrh")).isdecimal()]
    if len(months) == 1 and len(numbers) == 2 and max(numbers) > 31:
        return [str(max(numbers)), f"{_SHORT_MONTHS.index(words[months[0]][:3]) + 1:02}", f"{min(numbers):02}"]
    return words


def _variants(value: str, entity: str) -> Iterator[Known]:
    if entity in _NEVER_REPEATED:
        return
    words = tuple(value.split(" "))
    if sum(map(len, words)) >= 4 and not (entity == "CARD_LAST4" and value[:2] in ("19", "20")):
        yield Known(words, value, _is_ordinary(words) and not any(c.isdigit() for c in value))
    if entity == "PERSON":
        if len(words) > 1:
            yield Known(("".join(words),), value, False)
        for word in words:
            if len(word) > 1 and not word.isdigit():
                yield Known((word,), value, len(word) < 3 or _is_ordinary((word,)))
    elif entity == "DATE_OF_BIRTH" and (date := _ISO.match(value.replace(" ", "-"))):
        yield from (Known(tuple(v.split(" ")), value, False) for v in _dates(*map(int, date.groups())))
    elif entity == "EMAIL_ADDRESS":
        local = words[: max(1, len(words) - 2)]
        if len("".join(local)) >= 5 and len(words) > 2 and local[0] not in _SHARED_MAILBOXES and not _is_ordinary(local):
            yield Known(local, value, False)
    elif entity == "STREET_ADDRESS" and len(words) > 3 and words[0].isdigit():
        yield Known(words[:3], value, False)


def _dates(year: int, month: int, day: int) -> Iterator[str]:
    if not 1 <= month <= 12:
        return
    name = _MONTHS[month - 1]
    for word in (name, name[:3]):
        for ordinal in (str(day), f"{day:02}", f"{day}th", f"{day}st", f"{day}nd", f"{day}rd"):
            yield f"{word} {ordinal} {year}"
            yield f"{ordinal} {word} {year}"
            yield f"{ordinal} of {word} {year}"
    yield from (f"{month:02} {day:02} {year}", f"{day:02} {month:02} {year}", f"{month} {day} {year}", f"{day} {month} {year}")


def _is_ordinary(words: tuple[str, ...]) -> bool:
    lists = gazetteer()
    return all(word in lists.common or word in lists.never for word in words)


def _match_end(text: str, words: list[tuple[int, int, str]], at: int, known: Known) -> int | None:
    if at + len(known.words) > len(words):
        return None
    for offset, wanted in enumerate(known.words):
        start, _, word = words[at + offset]
        if word.lower() != wanted:
            return None
        if offset and start - words[at + offset - 1][1] > _LONGEST_GAP:
            return None
        if known.capital and not word[0].isupper():
            return None
    if known.capital and len(known.words) == 1 and begins_sentence(text, words[at][0]):
        return None
    return words[at + len(known.words) - 1][1]
