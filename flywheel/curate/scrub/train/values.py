"""Invented values for the slots of templates: names of many countries, some unlisted on purpose, places, companies, numbers."""

from __future__ import annotations

import random
import string
import tomllib
from importlib.resources import files
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

LOCALES = (
    *(
        "en_US",
        "en_GB",
        "en_AU",
        "en_CA",
        "en_IE",
        "en_IN",
        "en_NZ",
        "en_NG",
        "en_KE",
        "de_DE",
        "de_AT",
        "de_CH",
        "fr_FR",
        "fr_CA",
    ),
    *(
        "fr_CH",
        "es_ES",
        "es_MX",
        "es_AR",
        "es_CO",
        "es_CL",
        "it_IT",
        "pt_BR",
        "pt_PT",
        "nl_NL",
        "nl_BE",
        "sv_SE",
        "da_DK",
        "no_NO",
    ),
    *(
        "fi_FI",
        "pl_PL",
        "cs_CZ",
        "sk_SK",
        "hu_HU",
        "ro_RO",
        "hr_HR",
        "sl_SI",
        "lt_LT",
        "lv_LV",
        "et_EE",
        "tr_TR",
        "az_AZ",
        "id_ID",
    ),
    *(
        "fil_PH",
        "vi_VN",
        "ga_IE",
        "is_IS",
        "sq_AL",
        "zu_ZA",
        "ha_NG",
        "yo_NG",
        "ig_NG",
        "tw_GH",
        "uz_UZ",
        "en_TH",
        "fr_DZ",
        "bs_BA",
    ),
)
"""Locales of Faker that write in Latin script."""

_PHONE_LOCALES = ("en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT")

LABELS = {
    **dict.fromkeys(("person", "full", "first", "last", "initial_name", "speaker", "lower_name", "upper_name"), "PERSON"),
    **dict.fromkeys(("place", "city", "country", "address", "street", "lower_place", "upper_place"), "LOCATION"),
    **dict.fromkeys(("org", "org_building"), "ORGANIZATION"),
    "nrp": "NRP",
}
"""The label of each slot; slots without one are filled and not labelled."""

_LINES = ("particles", "buildings", "companies")


class Values:
    """Pools of invented values and a random choice among them. The same seed gives the same values.

    About one name in four is changed by a letter or two, so that a model learns names that no list has.
    """

    def __init__(self, seed: int, pool: int = 250) -> None:
        from faker import Faker

        self.random = random.Random(seed)
        text = (files("flywheel.curate.scrub.train") / "words.toml").read_text("utf-8")
        self._words: dict[str, list[str]] = {
            k: v.splitlines() if k in _LINES else v.split() for k, v in tomllib.loads(text).items()
        }
        self._names: list[tuple[str, str]] = []
        self._cities: list[str] = []
        self._countries: list[str] = []
        self._addresses: list[str] = []
        self._streets: list[str] = []
        self._phones: list[str] = []
        for locale in LOCALES:
            fake = Faker(locale)
            fake.seed_instance(seed)
            self._names += [(fake.first_name(), fake.last_name()) for _ in range(pool)]
            self._cities += [fake.city() for _ in range(pool // 3)]
            self._addresses += [fake.address() for _ in range(pool // 3)]
            self._streets += [fake.street_address() for _ in range(pool // 6)]
        self._names = [name for name in self._names if all(_is_latin(part) for part in name)]
        self._cities = [city for city in self._cities if _is_latin(city)]
        self._addresses = [address for address in self._addresses if _is_latin(address)]
        self._streets = [street for street in self._streets if _is_latin(street)]
        for locale in _PHONE_LOCALES:
            fake = Faker(locale)
            fake.seed_instance(seed)
            self._phones += [fake.phone_number() for _ in range(pool)]
        english = Faker("en_US")
        english.seed_instance(seed)
        self._countries = [english.country() for _ in range(400)] + [english.state() for _ in range(150)]
        self._fake = english
        self._makers: dict[str, Callable[[], str]] = {
            **{"person": self.person, "full": self.full, "first": self.first, "last": self.last, "place": self.place},
            **{"speaker": self.first, "lower_name": self._lower_name, "upper_name": lambda: self.full().upper()},
            **{"lower_place": lambda: self.place().lower(), "upper_place": lambda: self.place().upper()},
            **{"city": self.city, "country": self.country, "address": self.address, "street": self.street, "org": self.org},
            **{"org_building": lambda: self._fill(self._pick(self._words["buildings"])), "nrp": self._nrp},
            **{"initial": lambda: self._pick(string.ascii_uppercase) + self._pick((".", ".", ""))},
            **{
                "date": self._date,
                "time": lambda: f"{self._number(23)}:{self._number(59):02d}",
                "phone": lambda: self._pick(self._phones),
            },
            **{
                "email": english.email,
                "iban": english.iban,
                "card": english.credit_card_number,
                "exp": english.credit_card_expire,
            },
            **{"id": lambda: english.bothify("??######").upper(), "money": lambda: f"{self._pick('$€£')}{self._number(5000)}"},
            **{
                "n": lambda: str(self._number(self._pick((9, 99, 2030)))),
                "job": lambda: self._pick(self._words["jobs"]),
                "handle": english.user_name,
            },
            **{"thing": lambda: self._pick(self._words["things"]), "hashtag": lambda: self._pick(self._words["nouns"]).lower()},
            **{
                "kind": lambda: self._pick(self._words["kinds"]),
                "suffix": lambda: self._pick(self._words["suffixes"]),
                "invented": self._invented,
            },
            **{"adjective": lambda: self._pick(self._words["adjectives"]), "noun": lambda: self._pick(self._words["nouns"])},
            **{"upper": lambda: "".join(self.random.choices(string.ascii_uppercase, k=self._pick((2, 3, 4))))},
        }

    def make(self, slot: str) -> str:
        """A value for one slot of a template, on one line.

        Raises:
            KeyError: no such slot.
        """
        value = self._makers[slot]()
        return value if slot == "address" else value.replace("\n", ", ")

    def person(self) -> str:
        """A full name, a first name or, seldom, a last name."""
        makers: tuple[Callable[[], str], ...] = (self.full, self.full, self.first, self.first, self.first, self.last)
        return self._pick(makers)()

    def first(self) -> str:
        return self._changed(self._pick(self._names)[0])

    def last(self) -> str:
        name = self._changed(self._pick(self._names)[1])
        chance = self.random.random()
        if chance < 0.05:
            particle = self._pick(self._words["particles"])
            return particle + name if particle[-1] in "'c" else f"{particle} {name}"
        return f"{name}-{self._pick(self._names)[1]}" if chance < 0.08 else name

    def full(self) -> str:
        first, last = self._pick(self._names)
        first, last = self._changed(first), self._changed(last)
        again = self._pick(self._names)
        shapes = (
            (55, f"{first} {last}"),
            (15, f"{first} {self._pick(string.ascii_uppercase)}{self._pick(('.', ''))} {last}"),
            (8, f"{first} {again[0]} {last}"),
            (6, f"{first} {self.last()}"),
            (4, f"{first} {last} {again[1]}"),
            (4, f"{last} {first}"),
            (3, f"{first[0]}. {last}"),
            (2, f"{first}-{again[0]} {last}"),
            (3, f"{first} {last.upper()}"),
        )
        return self.random.choices([shape for _, shape in shapes], [share for share, _ in shapes])[0]

    def city(self) -> str:
        return self._changed(self._pick(self._cities), 0.1)

    def country(self) -> str:
        return self._pick(self._countries)

    def place(self) -> str:
        chance = self.random.random()
        if chance < 0.5:
            return self.city()
        return self.country() if chance < 0.75 else f"{self.city()}, {self.country()}"

    def address(self) -> str:
        address = self._pick(self._addresses)
        if self.random.random() < 0.2:
            address = f"{self._number(9999)} {self.street()} {self._number(400)}, {self.city()}"
        return address if self.random.random() < 0.4 else address.replace("\n", self._pick((", ", " ", ", ")))

    def street(self) -> str:
        if self.random.random() < 0.5:
            return self._pick(self._streets)
        return f"{self._invented()} {self._pick(('Street', 'Road', 'Avenue', 'St'))}"

    def org(self) -> str:
        return self._fill(self._pick(self._words["companies"])) if self.random.random() < 0.7 else str(self._fake.company())

    def _lower_name(self) -> str:
        return self._pick((self.full(), self.first())).lower()

    def _nrp(self) -> str:
        return self._pick(self._words["nationalities"])

    def _date(self) -> str:
        return str(self._fake.date_object().strftime(self._pick(("%Y-%m-%d", "%d %B %Y", "%B %d", "%m/%d/%Y", "%A", "%d.%m.%y"))))

    def _fill(self, pattern: str) -> str:
        return string.Formatter().vformat(pattern, (), _Made(self))

    def _changed(self, word: str, share: float = 0.25) -> str:
        if len(word) < 4 or self.random.random() > share:
            return word
        at = self.random.randrange(1, len(word))
        return word[:at] + self._pick("aeiourlnstkmz") + word[at + self._pick((0, 1)) :]

    def _invented(self) -> str:
        syllables = (
            self._pick("bdfgklmnprstvz") + self._pick("aeiou") + self._pick(("", "", "n", "r", "x", "l"))
            for _ in range(self._pick((2, 3)))
        )
        return "".join(syllables).capitalize()

    def _number(self, most: int) -> int:
        return self.random.randint(1, most)

    def _pick(self, values: Sequence[T]) -> T:
        return values[self.random.randrange(len(values))]


class _Made(dict[str, str]):
    """A mapping that makes a fresh value at every look-up."""

    def __init__(self, values: Values) -> None:
        self._values = values

    def __getitem__(self, slot: str) -> str:
        return self._values.make(slot)


def _is_latin(text: str) -> bool:
    return all(character < "\u0250" or "\u1e00" <= character < "\u2070" for character in text)
