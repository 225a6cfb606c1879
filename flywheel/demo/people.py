"""Invented people and secrets whose values cannot belong to anybody (NOTICE says which ranges), and a note of each one used."""

import random
from dataclasses import dataclass, field

_FIRST = (
    "Aurelio Birgitta Caspian Delphine Eskil Fiorella Gwendolyn Hamish Ignatius Jorunn Kasimir Leocadia Marisol Nandini "
    "Oluwaseun Priyanka Quillan Rosamund Svetlana Thandiwe Umberto Valentina Wilhelmina Xiomara Yevgenia Zbigniew Anneliese "
    "Bartholomew Clementine Dagfinn Evangeline Florentina Giuseppe Henrietta Isadora Jacinda Konstantin Lysander Magdalena "
    "Nikolai Ottoline Percival Rafaela Sebastiano Tatyana Ulrika Vasiliki Winifred Yolanda Zuleika"
).split()
_LAST = (
    "Achterberg Bellweather Czerwinski Dunmore-Pryce Eikeland Fairbrother Grzybowski Holmqvist Iyengar Jankauskas Kowalczyk "
    "Lindqvist Mbatha Nakamoto-Reyes Okonkwo Pettigrew Quarshie Rasmussen Szymborski Thistlewood Uchikawa Vandermeer "
    "Wojciechowski Ximenes Yamazaki Zielonka Abernathy Bogdanov Castellanos Dragomir Featherstone Gustafsson Hargreaves "
    "Ivankovic Jablonski Krishnamurthy Laukkanen Montgomery Nwachukwu Oyelaran Papadakis Rosenqvist Stavropoulos Tremblay "
    "Venkataraman Wadsworth Zamorano"
).split()
_STREETS = [
    "Larkspur Lane",
    "Old Quarry Road",
    "Juniper Street",
    "Harrowgate Avenue",
    "Millpond Drive",
    "Saddler's Way",
    "Cobalt Court",
]
_CITIES = [
    "Fernbrook, OR 97199",
    "Port Ellery, ME 04099",
    "Cedar Hollow, TX 78799",
    "Wrenfield, OH 43299",
    "Stonebridge, VT 05499",
]
# Examples from the IBAN registry's documentation.
_IBANS = (
    "GB82 WEST 1234 5698 7654 32|DE89 3704 0044 0532 0130 00|FR14 2004 1010 0505 0001 3M02 606|NL91 ABNA 0417 1643 00|"
    "ES91 2100 0418 4502 0005 1332|BE68 5390 0754 7034|CH93 0076 2011 6238 5295 7|AT61 1904 3002 3457 3201|"
    "PL61 1090 1014 0000 0712 1981 2874|SE45 5000 0000 0583 9825 7466|NO93 8601 1117 947|IE29 AIBK 9311 5212 3456 78"
).split("|")
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
        self.first, self.last = self.rng.choice(_FIRST), self.rng.choice(_LAST)
        self.user_id = f"cust-{self.rng.randrange(10**7, 10**8)}"

    def tell(self, kind: str, where: str) -> str:
        if not hasattr(self, f"_{kind}_value"):
            setattr(self, f"_{kind}_value", getattr(self, f"_{kind}")())
        return self.planted.note(kind, getattr(self, f"_{kind}_value"), where)

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
        iban = self.rng.choice(_IBANS)
        return iban if self.rng.random() < 0.5 else iban.replace(" ", "")

    def _ssn(self) -> str:
        return f"{self.rng.randrange(900, 1000)}-{self.rng.randrange(10, 50)}-{self.rng.randrange(1000, 10_000)}"

    def _address(self) -> str:
        return f"{self.rng.randrange(11, 9900)} {self.rng.choice(_STREETS)}, {self.rng.choice(_CITIES)}"

    def _dob(self) -> str:
        year, month, day = self.rng.randrange(1944, 2006), self.rng.randrange(1, 13), self.rng.randrange(1, 29)
        names = "January February March April May June July August September October November December".split()
        return self.rng.choice(
            [f"{year}-{month:02d}-{day:02d}", f"{month:02d}/{day:02d}/{year}", f"{day} {names[month - 1]} {year}"]
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
