"""Fake values instead of placeholders: of the same kind, gender and country, the same throughout a conversation, and nobody's."""

import re
import unicodedata
from collections.abc import Callable

from flywheel.curate.scrub import surrogate_numbers as numbers
from flywheel.curate.scrub.dice import Dice
from flywheel.curate.scrub.gates import our_recognizers
from flywheel.curate.scrub.spellings import canonical
from flywheel.curate.scrub.surrogate_lists import lists
from flywheel.curate.scrub.surrogate_names import Names
from flywheel.curate.scrub.surrogate_places import Places
from flywheel.curate.scrub.values import Identity, Values

_AT = re.compile(r"@|%40", re.IGNORECASE)
_LABELS = re.compile(r"(?:[a-z]{4,}_)+")
_ATTEMPTS = 50
_TOP = ("com", "org", "net")
_PLACEHOLDER_ONLY = frozenset({"SECRET", "CRYPTO", "NRP", "TITLE", "DATE_TIME"})
_SHORTEST = 4
_FIXED: dict[str, Callable[[str, Dice, int], str]] = {
    "CREDIT_CARD": numbers.card,
    "US_SSN": numbers.ssn,
    "US_ITIN": numbers.itin,
    "IBAN_CODE": numbers.iban,
}


class Surrogates:
    """The fake values of one conversation.

    They depend on the project's key, the conversation's id and the values in it alone. None is one of the conversation's real
    values, and no two values share one, unless a list or range is exhausted by hundreds of values of one kind.
    """

    def __init__(self, key: bytes, conversation: str, values: Values, regions: tuple[str, ...]) -> None:
        self._dice = Dice(key, conversation)
        self._values = values
        self._regions = regions
        real = frozenset(word for _, value in values for word in value.split(" "))
        self._taken = {value for _, value in values}
        self._made: dict[Identity, str | None] = {}
        self._owners: dict[str, Identity] = {}
        self._names = Names(self._dice, real)
        self._places = Places(self._dice, real)
        self._by_text: dict[str, Callable[[str, Identity], str | None]] = {
            "PERSON": self._person,
            "EMAIL_ADDRESS": self._email,
            "USER_ID": lambda text, _: self._names.render(text, plainly=True),
            "PAYMENT_ID": self._labelled,
            "PHONE_NUMBER": self._phone,
            "DATE_OF_BIRTH": lambda text, identity: numbers.date(text, identity.value, self._dice),
            "AGE": lambda text, _: numbers.age(text, self._dice) if text.isdecimal() else None,
            "IP_ADDRESS": self._internet,
            "MAC_ADDRESS": lambda text, _: numbers.mac(text, self._dice),
            "STREET_ADDRESS": lambda text, _: self._places.address(text),
            "ZIP_CODE": lambda text, _: self._places.address(text),
            "LOCATION": lambda text, _: self._places.place(text),
            "ORGANIZATION": lambda text, _: self._places.company(text),
        }
        self._without = {identity.value for identity in values.owners("PERSON") if not self._names.add(identity.value)}

    def replacement(self, text: str, identity: Identity) -> str | None:
        """The fake value for a place that holds this value, written as it is there; None asks for a placeholder."""
        if identity.entity in _PLACEHOLDER_ONLY:
            return None
        if identity.entity in self._by_text:
            return self._by_text[identity.entity](text, identity)
        made = self._number(identity)
        return None if made is None else _cased(numbers.fill(text, made[-sum(map(str.isalnum, text)) :]), text)

    def _person(self, text: str, identity: Identity) -> str | None:
        without = identity.value in self._without or any(unicodedata.category(c).startswith("M") for c in text)
        return None if without else self._names.render(text)

    def _email(self, text: str, _: Identity) -> str | None:
        at = _AT.search(text)
        if at is None:
            return self._names.render(text, plainly=True)
        local = self._names.render(text[: at.start()], plainly=True)
        return f"{local}{at[0]}{self._domain(text[at.end() :].lower())}"

    def _domain(self, domain: str) -> str:
        identity = Identity("DOMAIN", domain)
        for attempt in range(_ATTEMPTS):
            top = self._dice.pick(_TOP, "top", domain, attempt)
            sub = self._dice.pick(lists().words["other"]["subdomains"], "sub", domain, attempt) + "." if attempt else ""
            made = f"{sub}example.{top}"
            if self._owners.setdefault(made, identity) == identity and canonical(made, "") not in self._taken:
                return made
        return "example.com"

    def _phone(self, text: str, identity: Identity) -> str | None:
        if not identity.value.isdecimal():
            return None
        international = self._values.is_international(identity.value)
        real = numbers.parse_phone(identity.value, self._regions, international=international)
        for attempt in range(_ATTEMPTS):
            fake = numbers.phone(real, self._dice, attempt)
            if self._owners.setdefault(fake.national, identity) == identity and fake.national not in self._taken:
                return numbers.phone_text(text, real, fake)
        return None

    def _labelled(self, text: str, identity: Identity) -> str | None:
        """`credit_card_1234567` with other digits behind the words that say what it is."""
        label = _LABELS.match(text)
        start = label.end() if label else 0
        made = self._number(identity)
        return made and text[:start] + _cased(numbers.fill(text[start:], made[-(len(text) - start) :]), text[start:])

    def _internet(self, text: str, identity: Identity) -> str | None:
        for attempt in range(_ATTEMPTS):
            made = numbers.address(text, self._dice, attempt)
            if self._owners.setdefault(made.lower(), identity) == identity and canonical(made, "") not in self._taken:
                return made
        return None

    def _number(self, identity: Identity) -> str | None:
        if identity not in self._made:
            self._made[identity] = self._fresh(identity)
        return self._made[identity]

    def _fresh(self, identity: Identity) -> str | None:
        entity, value = identity
        if entity == "CARD_LAST4":
            card = next((i for i in self._values.owners("CREDIT_CARD") if i.value.endswith(value)), None)
            if card is not None:
                return (self._number(card) or "")[-len(value) :] or None
        for attempt in range(_ATTEMPTS):
            made = self._attempt(entity, value, attempt)
            if made is None:
                return None
            if made.lower() not in self._taken and not _is_valid(entity, made):
                self._taken.add(made.lower())
                return made
        return None

    def _attempt(self, entity: str, value: str, attempt: int) -> str | None:
        digits = sum(map(str.isdigit, value))
        if entity in _FIXED:
            usable = len(value) > _SHORTEST and (digits == len(value) or entity == "IBAN_CODE")
            return _FIXED[entity](value, self._dice, attempt) if usable else None
        return self._dice.scrambled(value.replace(" ", ""), entity, attempt) if value.isascii() and digits else None


def _cased(made: str, like: str) -> str:
    return made.upper() if like.upper() == like else made.lower() if like.lower() == like else made


def _is_valid(entity: str, made: str) -> bool:
    """Whether a recognizer of the entity finds the checksum of a made value right."""
    recognizers = (gated.recognizer for gated in our_recognizers() if gated.entity == entity)
    return any(found.score >= 1.0 for r in recognizers for found in r.analyze(made, r.supported_entities))
