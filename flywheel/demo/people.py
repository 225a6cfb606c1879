"""Invented people and secrets whose values cannot belong to anybody (NOTICE says which ranges), and a note of each one used."""

import random
from dataclasses import dataclass, field

from flywheel.demo.grammar import load_grammar

_WORDS: dict[str, list[str]] = load_grammar()["people"]
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass
class Planted:
    """What was put into the logs: every personal value and secret with its type, place and file."""

    values: dict[tuple[str, str], set[str]] = field(default_factory=dict)

    def note(self, kind: str, value: str, where: str) -> str:
        self.values.setdefault((kind, value), set()).add(where)
        return value

    def merge(self, other: "Planted") -> None:
        for key, places in other.values.items():
            self.values.setdefault(key, set()).update(places)


@dataclass
class Person:
    """One invented customer. Reading a value through `tell` notes that it was used, and where."""

    rng: random.Random
    planted: Planted

    def __post_init__(self) -> None:
        self._told: dict[str, str] = {}
        self.first, self.last = self.rng.choice(_WORDS["first"]), self.rng.choice(_WORDS["last"])
        self.user_id = f"cust-{self.rng.randrange(10**7, 10**8)}"

    def tell(self, kind: str, where: str) -> str:
        if kind not in self._told:
            self._told[kind] = getattr(self, f"_{kind}")()
        return self.planted.note(kind, self._told[kind], where)

    def _name(self) -> str:
        return f"{self.first} {self.last}"

    def _email(self) -> str:
        joint, digits = self.rng.choice([".", "_", ""]), self.rng.choice(["", str(self.rng.randrange(10, 99))])
        local = f"{self.first}{joint}{self.last}{digits}".lower().replace("-", "")
        return f"{local}@example.{self.rng.choice(['com', 'org', 'net'])}"

    def _phone(self) -> str:
        rng = self.rng
        area, tail = rng.choice([202, 212, 303, 415, 512, 617, 718, 808]), f"01{rng.randrange(100):02d}"
        return rng.choice(
            [
                f"({area}) 555-{tail}",
                f"+1 {area}-555-{tail}",
                f"{area}-555-{tail}",
                f"020 7946 0{rng.randrange(1000):03d}",
                f"+44 7700 900{rng.randrange(1000):03d}",
            ]
        )

    def _card(self) -> str:
        digits = "400000" + "".join(str(self.rng.randrange(10)) for _ in range(9))
        digits += str(-luhn(digits + "0") % 10)
        return self.rng.choice([" ", "-", ""]).join(digits[i : i + 4] for i in range(0, 16, 4))

    def _iban(self) -> str:
        iban = self.rng.choice(_WORDS["ibans"])
        return iban if self.rng.random() < 0.5 else iban.replace(" ", "")

    def _ssn(self) -> str:
        return f"{self.rng.randrange(900, 1000)}-{self.rng.randrange(10, 50)}-{self.rng.randrange(1000, 10_000)}"

    def _address(self) -> str:
        return f"{self.rng.randrange(11, 9900)} {self.rng.choice(_WORDS['streets'])}, {self.rng.choice(_WORDS['cities'])}"

    def _dob(self) -> str:
        year, month, day = self.rng.randrange(1944, 2006), self.rng.randrange(1, 13), self.rng.randrange(1, 29)
        return self.rng.choice(
            [f"{year}-{month:02d}-{day:02d}", f"{month:02d}/{day:02d}/{year}", f"{day} {_WORDS['months'][month - 1]} {year}"]
        )


def luhn(digits: str) -> int:
    """The Luhn sum modulo 10 of a number, 0 for a valid one."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10


_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
# Each star becomes a random character; the second text is how somebody pasted it.
_SECRETS = {
    "aws_key": ("AKIA" + "FAKE" + "*" * 12, "aws_access_key_id = {}"),
    "github_token": ("ghp_" + "FAKE" + "*" * 32, "git clone https://{}@github.example.com/shop/tools.git"),
    "openai_key": ("sk-" + "FAKE" + "*" * 16 + "T3Blbk" + "FJ" + "*" * 20, "OPENAI_API_KEY={}"),
    "url_password": ("FAKE-" + "*" * 12, "DATABASE_URL=postgresql://reports:{}@db.internal.example:5432/shop"),
    "password": ("FAKE-" + "*" * 10 + "!", "password: {}"),
    "bearer": ("FAKE" + "*" * 36, "Authorization: Bearer {}"),
}


def secret(rng: random.Random, planted: Planted, where: str) -> str:
    """A line that somebody pasted with a secret of the right form in it."""
    kind = rng.choice(sorted(_SECRETS))
    pattern, pasted = _SECRETS[kind]
    alphabet = _BASE32 if kind == "aws_key" else _ALPHABET
    value = "".join(rng.choice(alphabet) if sign == "*" else sign for sign in pattern)
    return pasted.format(planted.note(kind, value, where))
