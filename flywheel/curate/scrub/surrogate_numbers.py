"""Fake numbers in the format of the real ones that nobody can have: reserved ranges, failing checksums."""

import datetime as dt
import re
from typing import NamedTuple

from flywheel.curate.scrub.dice import Dice
from flywheel.curate.scrub.numbers import is_iban, luhn
from flywheel.curate.scrub.spellings import MONTHS, SHORT_MONTHS

_PHONES: dict[int, tuple[str, ...]] = {
    1: tuple(f"{area}55501##" for area in (202, 212, 303, 312, 404, 415, 503, 512, 617, 702, 713, 804, 919)),
    44: ("2079460###", "7700900###", "1632960###", "1614960###", "1134960###", "1314960###"),
    49: ("3023125###", "6990009###", "4066969###", "2214710###", "8999998###"),
    33: ("19900####", "26191####", "35301####", "46571####", "53649####", "63998####"),
    61: ("25550####", "35550####", "75550####", "85550####", "491570006", "491570110", "491570156", "491570157"),
    46: ("8465004##", "3139006##", "4062804##", "70174061#", "70174062#", "70174063#"),
    353: ("20910####", "20911####"),
}
"""National numbers that regulators keep free for films: 555-0100 to 0199 (NANPA), Ofcom's numbers for drama, the
Bundesnetzagentur's, ARCEP's, ACMA's, PTS's and ComReg's, as published by them; by country calling code."""
_MOBILE = {44: "77", 33: "6", 61: "4", 46: "70"}
_V4 = ("192.0.2.", "198.51.100.", "203.0.113.")
_DATE = re.compile(r"[^\W\d_]+|\d+")
_ORDINAL = {1: "st", 2: "nd", 3: "rd"}
_HALF_A_YEAR = 180


def fill(shape: str, made: str) -> str:
    """The characters of `made` where `shape` has letters and digits; too many go behind the last, too few end the text."""
    rest = list(made)
    last = max((at for at, c in enumerate(shape) if c.isalnum()), default=-1)
    pieces = []
    for at, character in enumerate(shape):
        if not character.isalnum():
            pieces.append(character if rest or at > last else "")
        elif rest:
            pieces.append(rest.pop(0))
        if at == last:
            pieces += rest
            rest = []
    return "".join(pieces)


class Number(NamedTuple):
    """A phone number: its country's calling code, 0 if unknown, and the digits after that."""

    code: int
    national: str


def parse_phone(digits: str, regions: tuple[str, ...], *, international: bool) -> Number:
    """The number as phonenumbers reads it: by its own code, else by the first region where it is valid, else possible."""
    import phonenumbers

    readings = [(digits, region) for region in regions]
    possible: Number | None = None
    for text, region in [(f"+{digits.lstrip('0')}", None)] if international else readings:
        try:
            parsed = phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException:
            continue
        number = Number(parsed.country_code or 0, str(parsed.national_number))
        if phonenumbers.is_valid_number(parsed):
            return number
        if possible is None and phonenumbers.is_possible_number(parsed):
            possible = number
    return possible or Number(0, digits)


def phone(number: Number, dice: Dice, attempt: int) -> Number:
    """A number of the same country that is kept for films, mobile for mobile, or in no range where the country keeps none."""
    code, national = number
    if code in _PHONES:
        mobile = _MOBILE.get(code, "-")
        shapes = [shape for shape in _PHONES[code] if shape.startswith(mobile) is national.startswith(mobile[:1])]
        shape = dice.pick(shapes or _PHONES[code], "phone", national, attempt)
        return Number(code, _numbered(shape, dice, national, attempt))
    if not code:
        return Number(0, _numbered(("55501" + "#" * len(national))[: len(national)], dice, national, attempt))
    return Number(code, _unassigned(code, len(national), dice, national, attempt))


def phone_text(text: str, real: Number, fake: Number) -> str:
    """The fake number written as the real one is: with its country's code or without, its trunk 0, its separators."""
    written = "".join(c for c in text if c.isdigit())
    if not written.endswith(real.national):
        return fill(text, fake.national[-len(written) :])
    lead = written[: len(written) - len(real.national)]
    at = next((at for at, _ in enumerate(text) if sum(c.isdigit() for c in text[:at]) == len(lead)), 0)
    return text[:at] + fill(text[at:], fake.national)


def _numbered(shape: str, dice: Dice, *about: object) -> str:
    return "".join(dice.pick("0123456789", "#", at, *about) if c == "#" else c for at, c in enumerate(shape))


def _unassigned(code: int, length: int, dice: Dice, *about: object) -> str:
    """A national number of this length that phonenumbers knows to be in no range, for countries without numbers for films."""
    import phonenumbers

    for attempt in range(200):
        made = dice.digits(length, "unassigned", attempt, *about)
        if not phonenumbers.is_valid_number(phonenumbers.parse(f"+{code}{made}", None)):
            return made
    return "5550100000000000"[:length]


def card(value: str, dice: Dice, attempt: int) -> str:
    """Digits of the same length and first digit that fail the Luhn checksum, the last four others than the real ones."""
    made = value[0] + dice.digits(len(value) - 1, "card", value, attempt)
    return made[:-1] + str((int(made[-1]) + 1) % 10) if luhn(made) else made


def ssn(value: str, dice: Dice, attempt: int) -> str:
    """Area 666, which the Social Security Administration never gave out and will not."""
    return "666" + dice.digits(2, "ssn", value, attempt) + dice.digits(4, "serial", value, attempt)


def itin(value: str, dice: Dice, attempt: int) -> str:
    """The fourth and fifth digit from 10 to 49, which the IRS does not assign."""
    return f"9{dice.digits(2, 'itin', value, attempt)}{10 + dice.number(40, 'group', value, attempt)}" + dice.digits(
        4, value, attempt
    )


def iban(value: str, dice: Dice, attempt: int) -> str:
    """The same country and length, other letters and digits, check digits that are not those of the number."""
    account = dice.scrambled(value[4:].upper(), "iban", attempt)
    check = dice.number(97, "check", value, attempt)
    choices = (f"{value[:2].upper()}{2 + (check + step) % 97:02}{account}" for step in range(3))
    return next(made for made in choices if not is_iban(made))


def address(value: str, dice: Dice, attempt: int) -> str:
    """An address of the ranges for documentation: RFC 5737 (IPv4), RFC 3849 (IPv6)."""
    if ":" not in value:
        return dice.pick(_V4, "net", value, attempt) + str(1 + dice.number(254, "host", value, attempt))
    groups = [f"{dice.number(65535, 'group', at, value, attempt) + 1:x}" for at in range(2)]
    made = f"2001:db8::{groups[0]}:{groups[1]}"
    return made.upper() if value.isupper() else made


def mac(text: str, dice: Dice) -> str:
    """An address of 00-00-5E-00-53-00 to FF, the range for documentation (RFC 7042), with the separators of the real one."""
    made = f"00005e0053{dice.number(256, 'mac', text.lower()):02x}"
    return fill(text, made.upper() if text.isupper() else made)


def age(value: str, dice: Dice) -> str:
    """One to three years more or less; who is under 18 stays so, and who is not, too."""
    years = int(value)
    choices = [y for step in (1, 2, 3) for y in (years - step, years + step) if y > 0 and (y < 18) == (years < 18)]
    return dice.pick([str(y) for y in choices] or [str(years + 1)], "age", value)


def date(text: str, value: str, dice: Dice) -> str | None:
    """The date as many days earlier or later as every date of the conversation, in the same format; None if it is no date.

    `value` is its canonical spelling, `1990 04 05` when the order is known. Without that, the month comes first where that is
    possible, as in the US, unless full stops stand between the numbers.
    """
    tokens = _DATE.findall(text)
    roles = _roles(tokens, value, "." in text)
    if roles is None:
        return None
    parts = dict(zip(roles, tokens, strict=True))
    year = int(parts["year"]) + (0 if len(parts["year"]) > 2 else 1900 if int(parts["year"]) > 30 else 2000)
    month = int(parts["month"]) if parts["month"].isdigit() else SHORT_MONTHS.index(parts["month"][:3].lower()) + 1
    try:
        before = dt.date(year, month, int(parts["day"]))
        days = 1 + dice.number(_HALF_A_YEAR, "days")
        after = before + dt.timedelta(days=days if dice.number(2, "direction") else -days)
    except (ValueError, OverflowError):
        return None
    made = {"year": f"{after.year:04}"[-len(parts["year"]) :], "day": f"{after.day:0{_width(parts['day'])}}"}
    made["month"] = _month(after.month, parts["month"])
    made["ordinal"] = "th" if 10 < after.day < 20 else _ORDINAL.get(after.day % 10, "th")
    made["of"] = parts.get("of", "")
    replacement = iter([made[role] for role in roles])
    return _DATE.sub(lambda _: next(replacement), text)


def _width(number: str) -> int:
    return 2 if number.startswith("0") else 1


def _month(month: int, like: str) -> str:
    if like.isdigit():
        return f"{month:0{_width(like)}}"
    made = MONTHS[month - 1] if len(like) > 3 else SHORT_MONTHS[month - 1]
    return made.upper() if like.isupper() else made if like.islower() else made.capitalize()


def _roles(tokens: list[str], value: str, dotted: bool) -> list[str] | None:
    """What each token is: year, month, day, ordinal or of."""
    roles = [_role_of_word(token) if token.isalpha() else "" for token in tokens]
    numbers = [at for at, token in enumerate(tokens) if token.isdigit()]
    known = value.split(" ")
    if "?" in roles or len(numbers) + roles.count("month") != 3:
        return None
    year = next((at for at in numbers if len(tokens[at]) == 4), numbers[-1])
    roles[year] = "year"
    rest = [at for at in numbers if at != year]
    if len(rest) == 1:
        roles[rest[0]] = "day"
        return roles
    first, second = (int(tokens[at]) for at in rest)
    day_first = year != numbers[0] and (first > 12 or (dotted and second <= 12))
    if len(known) == 3 and len(known[0]) == 4 and year != numbers[0]:
        day_first = (first, second) == (int(known[2]), int(known[1])) if first != second else day_first
    roles[rest[0]], roles[rest[1]] = ("day", "month") if day_first else ("month", "day")
    return roles


def _role_of_word(token: str) -> str:
    lower = token.lower()
    if lower in MONTHS or lower in SHORT_MONTHS or lower == "sept":
        return "month"
    return "ordinal" if lower in ("st", "nd", "rd", "th") else "of" if lower in ("of", "de", "t") else "?"
