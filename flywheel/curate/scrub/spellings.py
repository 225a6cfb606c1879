"""The other ways in which a conversation writes a value that it has named once: parts, initials, handles, date formats."""

import calendar
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from flywheel.curate.scrub.gazetteer import gazetteer

WORD = re.compile(r"[^\W_]+")
HUMP = re.compile(r"[A-Z]?[a-zß-ÿ]+|[A-Z]+(?![a-z])|\d+")
"""A part of a camel-case word."""
DIGITS = frozenset({"PHONE_NUMBER", "CREDIT_CARD", "US_SSN", "IBAN_CODE", "US_ITIN"})
"""Entities of which two spellings are the same when their letters and digits are."""
MONTHS = [name.lower() for name in calendar.month_name[1:]]
SHORT_MONTHS = [name[:3] for name in MONTHS]
SHARED_MAILBOXES = frozenset(
    ("info", "support", "admin", "contact", "sales", "help", "hello", "office", "noreply", "service", "team", "mail")
)

_NEVER_REPEATED = {"AGE", "DATE_TIME", "TITLE"}
_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})\Z")
_DIGRAPHS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "æ": "ae", "ß": "ss"})
_UNDECOMPOSED = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ß": "ss", "æ": "ae", "ı": "i", "ð": "d", "þ": "th"})
_ENDINGS = ("s", "es", "ovi", "owi", "em", "om", "a", "u", "ie", "e", "y", "ą", "ę")
_LONGEST_PERSON = 5
_ABBREVIATIONS = {
    **{"street": "st", "avenue": "ave", "road": "rd", "drive": "dr", "lane": "ln", "boulevard": "blvd", "court": "ct"},
    **{"place": "pl", "square": "sq", "highway": "hwy", "parkway": "pkwy", "terrace": "ter", "circle": "cir"},
    **{"apartment": "apt", "suite": "ste", "north": "n", "south": "s", "east": "e", "west": "w", "str": "straße"},
}


class Known(NamedTuple):
    """A value as its words; `capital` asks for capitals as in a name, because the words are ordinary ones too."""

    words: tuple[str, ...]
    value: str
    capital: bool


def canonical(text: str, entity: str) -> str:
    """What two spellings of a value share: its words in lower case, or its digits and letters alone for numbers."""
    words = [match[0].lower() for match in WORD.finditer(text)]
    if entity == "DATE_OF_BIRTH":
        words = _year_first(words)
    elif entity == "STREET_ADDRESS":
        words = [_ABBREVIATIONS.get(word, word) for word in words]
    return "".join(words) if entity in DIGITS else " ".join(words)


@lru_cache(maxsize=4096)
def plain(word: str) -> tuple[str, ...]:
    """The lower-case word without diacritics in the ways people type it: `müller` as `mueller`, `muller`; itself first."""
    if word.isascii():
        return (word,)
    stripped = unicodedata.normalize("NFD", word.translate(_UNDECOMPOSED))
    bare = unicodedata.normalize("NFC", "".join(c for c in stripped if not unicodedata.combining(c)))
    digraphs = unicodedata.normalize("NFD", word.translate(_DIGRAPHS))
    return tuple(dict.fromkeys((word, bare, "".join(c for c in digraphs if not unicodedata.combining(c)))))


def is_part_of_name(short: str, full: str) -> bool:
    """Whether one person's canonical name holds the other: every word, if only its initial, and one word entirely."""
    words = full.split(" ")
    parts = short.split(" ")
    return all(any(_same_word(part, word) for word in words) for part in parts) and any(len(part) > 1 for part in parts)


def _same_word(part: str, word: str) -> bool:
    if len(part) == 1:
        return plain(word)[-1].startswith(plain(part)[-1])
    same = not set(plain(part)).isdisjoint(plain(word))
    return same or any(base == word for base in stem(part))


def stem(word: str) -> Iterator[str]:
    """What the lower-case word may be an inflection or a numbered handle of: `beckers`, `novotnému`, `jdoe42`."""
    base = word.rstrip("0123456789")
    if base != word and len(base) >= 4:
        yield base
    lists = gazetteer()
    if base != word or word in lists.common or not word.isalpha():
        return
    listed = word in lists.first or word in lists.last
    for ending in _ENDINGS:
        base = word.removesuffix(ending)
        if base != word and len(base) >= (3 if ending == "s" else 5) and (ending == "s" or not listed):
            yield base


def spellings(value: str, entity: str) -> Iterator[Known]:
    """How a canonical value may stand elsewhere in the conversation."""
    if entity in _NEVER_REPEATED or not value:
        return
    words = tuple(value.split(" "))
    if sum(map(len, words)) >= 4 and not (entity == "CARD_LAST4" and value[:2] in ("19", "20")):
        yield Known(words, value, is_ordinary(words) and not any(c.isdigit() for c in value))
    if entity == "PERSON":
        yield from _person(words, value)
    elif entity == "DATE_OF_BIRTH" and (date := _ISO.match(value.replace(" ", "-"))):
        yield from (Known(tuple(v.split(" ")), value, False) for v in _dates(*map(int, date.groups())))
    elif entity == "EMAIL_ADDRESS":
        local = words[: max(1, len(words) - 2)]
        if len("".join(local)) >= 5 and len(words) > 2 and local[0] not in SHARED_MAILBOXES and not is_ordinary(local):
            yield Known(local, value, False)
    elif entity == "STREET_ADDRESS" and len(words) > 3:
        if words[0].isdigit():
            yield Known(words[:3], value, False)
        if len(words[-1]) >= 5 and words[-1].isdigit():
            yield Known(words[-1:], value, False)


def is_ordinary(words: tuple[str, ...]) -> bool:
    """Whether every word is one that texts use without naming anybody."""
    lists = gazetteer()
    return all(word in lists.common or word in lists.never for word in words)


def _person(words: tuple[str, ...], value: str) -> Iterator[Known]:
    for word in words:
        if len(word) > 1 and not word.isdigit():
            for written in plain(word):
                yield Known((written,), value, len(written) < 3 or is_ordinary((written,)))
    full = tuple(word for word in words if len(word) > 1)
    if not 2 <= len(full) <= _LONGEST_PERSON:
        return
    firsts, lasts = plain(full[0]), plain(full[-1])
    joined = ["".join(words), *(one + other for one, other in pairwise(words))]
    for first in firsts:
        for last in lasts:
            joined += [first + last, last + first, first[0] + last, first + last[0], last + first[0]]
            ordinary = is_ordinary((last,))
            yield Known((first[0], last), value, ordinary)
            yield Known((last, first[0]), value, ordinary)
            yield Known((first, last[0]), value, True)
    for handle in dict.fromkeys(joined):
        if len(handle) >= 4 and not is_ordinary((handle,)):
            yield Known((handle,), value, False)
    yield Known((full[0][0], full[-1][0]), value, True)


def _year_first(words: list[str]) -> list[str]:
    """`april 5 1990` as `1990 04 05`; a date in digits alone stays, because its order is unknown."""
    words = [word for word in words if word != "of"]
    months = [i for i, word in enumerate(words) if word[:3] in SHORT_MONTHS and word.isalpha()]
    numbers = [int(digits) for word in words if (digits := word.rstrip("stndrh")).isdecimal()]
    if len(months) == 1 and len(numbers) == 2 and max(numbers) > 31:
        return [str(max(numbers)), f"{SHORT_MONTHS.index(words[months[0]][:3]) + 1:02}", f"{min(numbers):02}"]
    return words


def _dates(year: int, month: int, day: int) -> Iterator[str]:
    if not 1 <= month <= 12:
        return
    name = MONTHS[month - 1]
    for word in (name, name[:3]):
        for ordinal in (str(day), f"{day:02}", f"{day}th", f"{day}st", f"{day}nd", f"{day}rd"):
            yield f"{word} {ordinal} {year}"
            yield f"{ordinal} {word} {year}"
            yield f"{ordinal} of {word} {year}"
    for written in (str(year), f"{year % 100:02}"):
        yield from (f"{month:02} {day:02} {written}", f"{day:02} {month:02} {written}")
        yield from (f"{month} {day} {written}", f"{day} {month} {written}")
