"""The personal values of one conversation: who is who, which placeholder each has, and where else each is repeated."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from flywheel.curate.scrub.detect import PLACEHOLDER
from flywheel.curate.scrub.name_words import begins_sentence
from flywheel.curate.scrub.spans import LIBRARY, REPEAT, Span
from flywheel.curate.scrub.spellings import DIGITS, HUMP, WORD, Known, canonical, is_part_of_name, spellings, stem

_LONGEST_GAP = 3
_SHORTEST_PHONE = 7
_STEM = 3
_MOST_LINKED = 2000
_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}")
_CAMEL = re.compile(r"[a-z][A-Z]")
_JOINTS = ("_", "-", ".")

Words = list[tuple[int, int, str]]
"""Start, end and text of each word."""


class Identity(NamedTuple):
    """Whose or which value a place holds: its entity, and the canonical spelling that all its spellings share."""

    entity: str
    value: str


class Values:
    """The values found in one conversation. Add them all, `link` once, then ask for repeats, identities and placeholders."""

    def __init__(self) -> None:
        self._entity: dict[str, tuple[int, str]] = {}
        self._spellings: dict[str, set[tuple[str, ...]]] = {}
        self._alias: dict[str, str] = {}
        self._index: dict[str, list[Known]] = {}
        self._stems: set[str] = set()
        self._international: set[str] = set()
        self._numbers: dict[Identity, int] = {}
        self._last: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._entity)

    def __iter__(self) -> Iterator[Identity]:
        """Every value that was added, in the order of the conversation."""
        return (Identity(entity, value) for value, (_, entity) in self._entity.items())

    def owners(self, entity: str) -> Iterator[Identity]:
        """The values of an entity that are nobody's other spelling."""
        return (identity for identity in self if identity.entity == entity and identity.value not in self._alias)

    def is_international(self, value: str) -> bool:
        """Whether a phone number was written with its country's code."""
        return value in self._international

    def reserve(self, text: str) -> None:
        """Do not reuse the numbers of placeholders that are already in the text."""
        for name, number in PLACEHOLDER.findall(text):
            self._last[name] = max(self._last.get(name, 0), int(number))

    def add(self, text: str, entity: str, strength: int) -> None:
        """Note a found value; the strongest evidence decides what it is, but a login that is a person's name is the person."""
        value = canonical(text, entity)
        known = self._entity.get(value)
        if known is not None and {known[1], entity} == {"PERSON", "USER_ID"}:
            self._entity[value] = (max(known[0], strength), "PERSON")
        elif value and (known is None or strength > known[0]):
            self._entity[value] = (strength, entity)
        if entity == "PHONE_NUMBER" and text.lstrip("( ").startswith(("+", "00")):
            self._international.add(value)
        if value and (entity in DIGITS or entity in ("DATE_OF_BIRTH", "STREET_ADDRESS")):
            self._spellings.setdefault(value, set()).add(tuple(match[0].lower() for match in WORD.finditer(text)))

    def link(self) -> None:
        """Work out who is who (a part of one full name is that person) and index what to look for."""
        self._link("PERSON", is_part_of_name)
        self._link("PHONE_NUMBER", lambda short, full: len(short) >= _SHORTEST_PHONE and full.endswith(short.lstrip("0")))
        self._link("STREET_ADDRESS", lambda short, full: short.count(" ") >= 2 and full.startswith(f"{short} "))
        self._link_logins()
        for value, (_, entity) in list(self._entity.items()):
            spelled = (Known(words, value, False) for words in sorted(self._spellings.get(value, ())) if len(words) > 1)
            for known in (*spellings(value, entity), *spelled):
                self._index.setdefault(known.words[0], []).append(known)
                if entity == "PERSON" and len(known.words) == 1:
                    self._stems.add(known.words[0][:_STEM])

    def _link(self, entity: str, is_part: Callable[[str, str], bool]) -> None:
        """Each value that is a part of another becomes its alias; of the same length, the later one of the earlier one."""
        values = [value for value, (_, kind) in self._entity.items() if kind == entity]
        for at, short in enumerate(values if len(values) <= _MOST_LINKED else ()):
            longer = (v for i, v in enumerate(values) if (len(v), at) > (len(short), i))
            full = next((v for v in longer if is_part(short, v)), None)
            if full is not None:
                self._alias[short] = full

    def _link_logins(self) -> None:
        """A login that spells a known person's name (`j.doe`) is that person."""
        logins = [value for value, (_, kind) in self._entity.items() if kind == "USER_ID"]
        people = [value for value, (_, kind) in self._entity.items() if kind == "PERSON" and logins]
        spelled = {known.words: value for value in reversed(people) for known in spellings(value, "PERSON")}
        for login in logins:
            person = spelled.get(tuple(match[0].lower() for match in WORD.finditer(login)))
            if person is not None:
                self._entity[login] = (self._entity[login][0], "PERSON")
                self._alias[login] = person

    def repeats(self, text: str) -> Iterator[Span]:
        """Places where a known value, a part of a known name or another spelling of a known date or number stands."""
        if not self._index:
            return
        plain = _ESCAPED.sub("   ", text) if "%" in text else text
        words: Words = [(match.start(), match.end(), match[0]) for match in WORD.finditer(plain)]
        for at, (start, _, _) in enumerate(words):
            for end, known in self._matches(plain, words, at):
                entity = self._entity[known.value][1]
                yield Span(start, end, entity, LIBRARY if entity == "DATE_OF_BIRTH" else REPEAT)
        if _CAMEL.search(text):
            humps: Words = [(match.start(), match.end(), match[0]) for match in HUMP.finditer(plain)]
            for at, (start, _, _) in enumerate(humps):
                for end, known in self._matches(plain, humps, at):
                    if len(known.words) > 1 and self._is_person(known):
                        yield Span(start, end, "PERSON", REPEAT)

    def identify(self, text: str, entity: str) -> Identity:
        """The value that a span of this text and entity holds."""
        value = canonical(text, entity)
        if value not in self._entity and value:
            value = self._spelled(text) or value
        entity = self._entity[value][1] if value in self._entity else entity
        while value in self._alias:
            value = self._alias[value]
        return Identity(entity, value)

    def placeholder(self, identity: Identity) -> str:
        """`<PERSON_1>`: the same for every spelling of a value, numbered by first use."""
        number = self._numbers.get(identity)
        if number is None:
            number = self._last[identity.entity] = self._last.get(identity.entity, 0) + 1
            self._numbers[identity] = number
        return f"<{identity.entity}_{number}>"

    def _spelled(self, text: str) -> str | None:
        """The known value of which the whole text is another spelling."""
        plain = _ESCAPED.sub("   ", text)
        for pattern in (WORD, HUMP):
            words: Words = [(match.start(), match.end(), match[0]) for match in pattern.finditer(plain)]
            for end, known in self._matches(plain, words, 0, alone=True) if words else ():
                if end == words[-1][1]:
                    return known.value
        return None

    def _matches(self, text: str, words: Words, at: int, *, alone: bool = False) -> Iterator[tuple[int, Known]]:
        """Ends of the known values that begin at a word; `alone` says that the text is a span, which needs no evidence."""
        word = words[at][2].lower()
        for known in self._index.get(word, ()):
            end = _match_end(text, words, at, known, alone)
            if end is not None:
                yield end, known
        for base in stem(word) if word[:_STEM] in self._stems else ():
            for known in self._index.get(base, ()):
                if len(known.words) == 1 and self._is_person(known) and (alone or _is_capital_enough(text, words, at, known)):
                    yield words[at][1], known

    def _is_person(self, known: Known) -> bool:
        return self._entity[known.value][1] == "PERSON"


def _match_end(text: str, words: Words, at: int, known: Known, alone: bool) -> int | None:
    if at + len(known.words) > len(words):
        return None
    for offset, wanted in enumerate(known.words):
        start, end, word = words[at + offset]
        if word.lower() != wanted:
            return None
        if offset and start - words[at + offset - 1][1] > _LONGEST_GAP:
            return None
        if len(wanted) == 1 and not alone and len(known.words) == 2 and not _is_initial(text, start, end):
            return None
    return words[at + len(known.words) - 1][1] if alone or _is_capital_enough(text, words, at, known) else None


def _is_initial(text: str, start: int, end: int) -> bool:
    """A single letter as people abbreviate a name: `J.`, `j_doe`, `doe-j`, not the article or a variable."""
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    return after == "." or (after in _JOINTS and text[end + 1 : end + 2].isalpha()) or before in _JOINTS


def _is_capital_enough(text: str, words: Words, at: int, known: Known) -> bool:
    if not known.capital:
        return True
    if len(known.words) == 2 and text[words[at][1] : words[at + 1][0]] in _JOINTS:
        return True
    if not all(words[at + offset][2][0].isupper() for offset in range(len(known.words))):
        return False
    return len(known.words) > 1 or not begins_sentence(text, words[at][0])
