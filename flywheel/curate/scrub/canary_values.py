"""Invented values for canaries: valid in form, nobody's. Some surnames are made of syllables, so that no list holds them."""

import random
import string
import tomllib
from collections.abc import Callable
from importlib.resources import files

from flywheel.curate.scrub.numbers import is_iban, luhn

_FIRST = [
    "Adaeze",
    "Bartholomew",
    "Caoimhe",
    "Dimitra",
    "Eleni",
    "Farrukh",
    "Guadalupe",
    "Hendrik",
    "Ingeborg",
    "Jamal",
    "Keiko",
    "Lorenzo",
    "Marisol",
    "Nadia",
    "Oluwaseun",
    "Pernille",
    "Quentin",
    "Rosalind",
    "Svetlana",
    "Tobias",
    "Ursula",
    "Valentina",
    "Wojciech",
    "Xiomara",
    "Yasmin",
    "Zoltan",
    "Amy",
    "Brian",
    "Carla",
    "Derek",
    "Emma",
    "Fiona",
    "Greg",
    "Holly",
    "Isaac",
    "Janet",
    "Kyle",
    "Laura",
    "Martin",
    "Nora",
    "Oscar",
    "Paula",
    "Rachel",
    "Simon",
    "Tina",
    "Victor",
]
_LAST = [
    "Abernathy",
    "Bergqvist",
    "Castellanos",
    "Dahlberg",
    "Eriksen",
    "Fitzgerald",
    "Gunnarsson",
    "Haddad",
    "Iyer",
    "Jovanovic",
    "Kowalczyk",
    "Lindholm",
    "Matsumoto",
    "Novotny",
    "Okonkwo",
    "Papadakis",
    "Quintero",
    "Rasmussen",
    "Schneider",
    "Thorvaldsen",
    "Ueda",
    "Vasquez",
    "Whitcombe",
    "Yamamoto",
    "Zielinski",
    "Cooper",
    "Harris",
    "Bailey",
    "Foster",
    "Murphy",
    "Russell",
    "Coleman",
    "Jenkins",
    "Perry",
    "Hughes",
]
_SYLLABLES = [
    "bar",
    "cor",
    "dal",
    "fen",
    "gri",
    "hol",
    "jas",
    "kel",
    "lum",
    "mor",
    "nev",
    "pol",
    "rud",
    "sil",
    "tav",
    "vex",
    "wen",
    "zor",
]
_NAMES = tomllib.loads((files("flywheel.curate.scrub") / "data" / "canary_names.toml").read_text("utf-8"))
_FIRST, _LAST, _SYLLABLES = (_NAMES[kind].split() for kind in ("first", "last", "syllables"))
_ENDINGS = ("ak", "berg", "ley", "ini", "ov", "sen", "ton", "ez")
_STREETS = (
    "{n} Larkspur Lane",
    "{n} Old Mill Road",
    "{n} Wexford Street, Apt {m}",
    "{n} Juniper Ave",
    "Lindenstraße {m}",
    "{m} rue des Lilas",
    "Calle Serrano {m}",
    "{n} N Hawthorne Blvd, Suite {n}",
)
_CITIES = ("Rotterdam", "Guadalajara", "Leeds", "Nagoya", "Tucson", "Gdańsk", "Marseille", "Adelaide", "Porto", "Halifax")


def make_value(entity: str, source: random.Random) -> str:
    """A value of the entity from this source of randomness.

    Raises:
        KeyError: there is no maker for the entity.
    """
    return _MAKERS[entity](source)


def _digits(source: random.Random, pattern: str) -> str:
    """`#` is any digit, `%` a digit from 2 to 9."""
    pick = {"#": string.digits, "%": "23456789"}
    return "".join(source.choice(pick[c]) if c in pick else c for c in pattern)


def _person(source: random.Random) -> str:
    invented = "".join(source.choices(_SYLLABLES, k=2)).capitalize() + source.choice(_ENDINGS)
    return f"{source.choice(_FIRST)} {invented if source.random() < 0.3 else source.choice(_LAST)}"


def _email(source: random.Random) -> str:
    name = _person(source).lower().encode("ascii", "ignore").decode().replace(" ", source.choice("._-"))
    return f"{name}{source.randrange(100)}@{source.choice(('example.com', 'mail.example.org', 'post.example.net'))}"


def _phone(source: random.Random) -> str:
    shapes = ("(%##) 555-01##", "%##-555-01##", "+1 %## 555 01##", "+44 20 7946 0###", "+49 30 2312####", "020 7946 0###")
    return _digits(source, source.choice(shapes))


def _card(source: random.Random) -> str:
    start = source.choice(("4", "51", "2221", "6011"))
    body = start + "".join(source.choices(string.digits, k=15 - len(start)))
    number = next(body + check for check in string.digits if luhn(body + check))
    gap = source.choice(("", " ", "-"))
    return gap.join(number[i : i + 4] for i in range(0, 16, 4))


def _iban(source: random.Random) -> str:
    account = _digits(source, "#" * 18)
    return next(iban for check in range(100) if is_iban(iban := f"DE{check:02}{account}"))


def _ssn(source: random.Random) -> str:
    return f"{source.choice((*range(101, 600), *range(700, 772)))}-{source.randrange(11, 99)}-{source.randrange(1000, 9999)}"


def _secret(source: random.Random) -> str:
    letters = string.ascii_letters + string.digits
    shapes: tuple[tuple[str, str, int], ...] = (
        ("ghp_", letters, 36),
        ("AKIA", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
        ("sk_live_", letters, 24),
        ("xoxb-123456789012-", string.digits, 12),
        ("", letters, 32),
    )
    prefix, alphabet, length = source.choice(shapes)
    tail = "-" + "".join(source.choices(letters, k=24)) if prefix.startswith("xoxb") else ""
    return prefix + "".join(source.choices(alphabet, k=length)) + tail


def _address(source: random.Random) -> str:
    return source.choice(_STREETS).format(n=source.randrange(101, 9999), m=source.randrange(2, 99))


def _birth(source: random.Random) -> str:
    year, month, day = source.randrange(1940, 2005), source.randrange(1, 13), source.randrange(1, 29)
    return source.choice((f"{year}-{month:02}-{day:02}", f"{day:02}/{month:02}/{year}"))


_MAKERS: dict[str, Callable[[random.Random], str]] = {
    "PERSON": _person,
    "EMAIL_ADDRESS": _email,
    "PHONE_NUMBER": _phone,
    "CREDIT_CARD": _card,
    "IBAN_CODE": _iban,
    "US_SSN": _ssn,
    "SECRET": _secret,
    "STREET_ADDRESS": _address,
    "DATE_OF_BIRTH": _birth,
    "AGE": lambda source: str(source.randrange(19, 95)),
    "IP_ADDRESS": lambda source: ".".join(str(source.randrange(11, 250)) for _ in range(4)),
    "LOCATION": lambda source: source.choice(_CITIES),
    "ZIP_CODE": lambda source: _digits(source, "%####"),
    "USER_ID": lambda source: f"{source.choice(_FIRST).lower()}_{_digits(source, '%###')}",
    "ACCOUNT_ID": lambda source: _digits(source, source.choice(("%#######", "C-%######", "KD%#####"))),
    "US_DRIVER_LICENSE": lambda source: source.choice("BDHM") + _digits(source, "%######"),
    "PASSPORT": lambda source: source.choice("CEL") + _digits(source, "%#######"),
}
