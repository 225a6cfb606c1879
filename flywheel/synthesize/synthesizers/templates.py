"""Conversations written from templates whose slots are filled with made-up values."""

import random
import re
import string
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from flywheel.plugins import Model
from flywheel.records import Record, digest, text_message

_SLOT = re.compile(r"\{([a-z_]+)(?::([^{}]*))?\}")
_FIRST = ("Ada", "Ben", "Chloe", "Dmitri", "Elif", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Keiko", "Lena", "Mateo", "Nadia")
_LAST = ("Abbott", "Berg", "Costa", "Dogan", "Eriksen", "Fischer", "Garcia", "Haddad", "Ito", "Jansen", "Kowalski", "Lopez")
_COMPANIES = ("Northwind", "Harbour", "Juniper", "Redstone", "Lakeside", "Summit", "Bluebird", "Orchard")
_TRADES = ("Energy", "Books", "Logistics", "Bakery", "Insurance", "Telecom", "Fitness", "Hardware")
_CITIES = ("Lisbon", "Oslo", "Denver", "Lyon", "Kyoto", "Leeds", "Cork", "Graz", "Porto", "Turin")
_MONTHS = "January February March April May June July August September October November December"

BANK_TRANSFER = (
    "I sent {currency}{amount:20,4000} to {company} on {day} {month}, reference {reference}, and it is still pending. "
    "Where is it?",
    "Your transfer of {currency}{amount} to {company} with the reference {reference} was made on {day} {month}. Transfers "
    "between banks take up to two working days; if it is still pending after that, please send me the reference again and I "
    "will trace it.",
)


def _account(dice: random.Random, _: str) -> str:
    """An IBAN of a country that does not exist (XX), so that it is nobody's; its check digits are right."""
    digits = "".join(dice.choices(string.digits, k=16))
    return f"XX{98 - int(digits + '333300') % 97:02d}{digits}"


def _between(dice: random.Random, limits: str) -> str:
    low, _, high = (limits or "1,100").partition(",")
    return str(dice.randint(int(low), int(high)))


def _money(dice: random.Random, limits: str) -> str:
    low, _, high = (limits or "5,500").partition(",")
    return f"{dice.randint(int(low) * 100, int(high) * 100) / 100:,.2f}"


PROVIDERS: dict[str, Callable[[random.Random, str], str]] = {
    "name": lambda dice, _: f"{dice.choice(_FIRST)} {dice.choice(_LAST)}",
    "first_name": lambda dice, _: dice.choice(_FIRST),
    "last_name": lambda dice, _: dice.choice(_LAST),
    "company": lambda dice, _: f"{dice.choice(_COMPANIES)} {dice.choice(_TRADES)}",
    "city": lambda dice, _: dice.choice(_CITIES),
    "month": lambda dice, _: dice.choice(_MONTHS.split()),
    "day": lambda dice, _: str(dice.randint(1, 28)),
    "year": lambda dice, limits: _between(dice, limits or "2015,2025"),
    "number": _between,
    "amount": _money,
    "currency": lambda dice, _: dice.choice("$€£"),
    "reference": lambda dice, _: (
        "".join(dice.choices(string.ascii_uppercase, k=3)) + "-" + "".join(dice.choices(string.digits, k=6))
    ),
    "account": _account,
}


@dataclass(frozen=True)
class Templates:
    """Fill the slots of `prompt` and `reply`, `copies` times a seed; without them, a customer's question about a bank transfer.

    A slot is `{NAME}`, filled from the list of that name in `lists`, else by a provider: `name`, `first_name`, `last_name`,
    `company`, `city`, `day`, `month`, `year`, `number`, `amount`, `currency`, `reference`, `account` (`{number:1,9}` and
    `{amount:20,4000}` take limits), else, where `faker` is set, by the Faker method of that name in the locale `faker`
    (`pip install faker`). The same slot has the same value in prompt and reply. The conversation is new: of its seed a child
    has only the lineage. Values are the same every time; none is of a real person or account.

    Source: Ribeiro et al. 2020 (CheckList), section 3, for templates with slots filled from lists.
    """

    prompt: str = BANK_TRANSFER[0]
    reply: str = BANK_TRANSFER[1]
    system: str | None = None
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    copies: int = 1
    faker: str | None = None

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise ValueError(f"`copies` is at least 1, not {self.copies}")
        if empty := sorted(name for name, values in self.lists.items() if not values):
            raise ValueError(f"the list {empty[0]!r} is empty")
        if self.faker is None:
            check_slots((self.prompt, self.reply, self.system or ""), self.lists)

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:  # noqa: ARG002
        for copy in range(self.copies):
            key = digest(b"templates", seed.id.encode(), str(copy).encode())
            filled = Filled(key, self.lists, self.faker)
            turns = (("system", self.system), ("user", self.prompt), ("assistant", self.reply))
            yield seed.child(messages=[text_message(role, filled(text)) for role, text in turns if text])


def check_slots(texts: Iterable[str], lists: Mapping[str, Sequence[str]]) -> None:
    """Raise ValueError for a slot that neither a list nor a provider fills."""
    used = {match[1] for text in texts for match in _SLOT.finditer(text)}
    if unknown := sorted(used - set(lists) - set(PROVIDERS)):
        raise ValueError(f"nothing fills the slot {unknown[0]!r}; give it a list, or one of {', '.join(PROVIDERS)}")


class Filled:
    """Fills templates with values that stay the same for the same slot."""

    def __init__(self, key: str, lists: Mapping[str, Sequence[str]], faker: str | None = None) -> None:
        self._dice, self._lists = random.Random(key), lists
        self._values: dict[str, str] = {}
        self._faker = _faker(faker, key) if faker else None

    def __call__(self, text: str) -> str:
        return _SLOT.sub(lambda slot: self._value(slot[1], slot[2] or ""), text)

    def _value(self, name: str, limits: str) -> str:
        if name not in self._values:
            self._values[name] = self._made(name, limits)
        return self._values[name]

    def _made(self, name: str, limits: str) -> str:
        if name in self._lists:
            return self._dice.choice(self._lists[name])
        if name in PROVIDERS:
            return PROVIDERS[name](self._dice, limits)
        return str(getattr(self._faker, name)())


def _faker(locale: str, key: str) -> object:
    from faker import Faker

    made = Faker(locale)
    made.seed_instance(key)
    return made
