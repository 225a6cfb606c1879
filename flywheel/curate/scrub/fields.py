"""Fields that say by their key what they hold: `first_name`, `dob`, `zip`, `password`, in JSON and as `key: "value"` in text."""

import re
from collections.abc import Iterator

from flywheel.curate.scrub.secrets import looks_like_password
from flywheel.curate.scrub.spans import CHECKSUM, PATTERN, Span

_KEYS: tuple[tuple[str, str], ...] = (
    (
        r"(first|last|full|middle|given|family|sur|maiden|customer|passenger|contact|patient|employee|recipient|sender|"
        r"guest|holder|"
        r"cardholder|card_holder|display|legal|nick|author|client|buyer|payer|account_holder)_?name|surname|passenger",
        "PERSON",
    ),
    (r"(\w+_)?e?mails?(_address(es)?)?", "EMAIL_ADDRESS"),
    (r"(\w+_)?(phone|mobile|telephone|tel|fax|cell|cellphone)s?(_?(number|no|num))?", "PHONE_NUMBER"),
    (r"dob|date_?of_?birth|birth_?(date|day)", "DATE_OF_BIRTH"),
    (
        r"(street_?)?address(_?line)?_?\d?|street(_name|_address)?|addr\d?|(shipping|billing|home|delivery|mailing)_address",
        "STREET_ADDRESS",
    ),
    (r"zip(_?code)?|postal_?code|post_?code|plz", "ZIP_CODE"),
    (r"user_?(id|name)|login|screen_?name|customer_?id|member_?id|patient_?id|employee_?id", "USER_ID"),
    (r"account_?(id|number|no)|iban|routing_?number|policy_?number|loyalty_?(id|number)", "ACCOUNT_ID"),
    (r"payment_?(method_?)?id|card_?id", "PAYMENT_ID"),
    (r"(card_)?last_?(four|4)(_digits)?", "CARD_LAST4"),
    (r"card_?number|credit_?card(_?number)?|cc_?number", "CREDIT_CARD"),
    (r"ssn|social_?security(_?number)?", "US_SSN"),
    (r"passport(_?(number|no|id))?", "PASSPORT"),
    (r"(driver_?s?_?)?licen[cs]e_?(number|no|id)|drivers?_licen[cs]e", "US_DRIVER_LICENSE"),
    (r"ip(_?address)?|remote_addr", "IP_ADDRESS"),
    (r"age", "AGE"),
    (
        r"password|passwd|pwd|passphrase|(client_|api_)?secret(_?key)?|api_?key|(access|refresh|auth|id|bearer)_?token|"
        r"private_?key|cvv|cvc",
        "SECRET",
    ),
)
_ENTITY_OF = tuple((re.compile(pattern), entity) for pattern, entity in _KEYS)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_IN_TEXT = re.compile(r"(?<![\w.])[\"'`]?([A-Za-z][A-Za-z0-9_]{1,29})[\"'`]?[ ]?[:=] ?([\"'])([^\"'\n]{1,200})\2")
_NUMERIC = {
    "PHONE_NUMBER",
    "ZIP_CODE",
    "CARD_LAST4",
    "CREDIT_CARD",
    "US_SSN",
    "AGE",
    "DATE_OF_BIRTH",
    "IP_ADDRESS",
    "STREET_ADDRESS",
}
_EMPTY = {"", "none", "null", "n/a", "na", "unknown", "string", "true", "false", "user", "admin", "anonymous", "guest", "nan"}


def entity_of(key: str) -> str | None:
    """The entity that values under this key are, or None for keys that promise nothing personal."""
    if len(key) > 40:
        return None
    snake = re.sub(r"[\W_]+", "_", _CAMEL.sub("_", key)).strip("_").lower()
    return next((entity for pattern, entity in _ENTITY_OF if pattern.fullmatch(snake)), None)


def whole_value(value: str, entity: str) -> list[Span]:
    """The whole value as a span of its key's entity, unless it cannot be one (no digit in a ZIP, a placeholder as password)."""
    text = value.strip()
    if text.lower() in _EMPTY or len(text) > 300 or not any(c.isalnum() for c in text) or text.startswith(("<", "{", "$")):
        return []
    if not _is_possible(text, entity):
        return []
    return [Span(0, len(value), entity, CHECKSUM + 5 if entity == "SECRET" else PATTERN)]


def _is_possible(text: str, entity: str) -> bool:
    has_digit = any(c.isdigit() for c in text)
    if entity == "AGE":
        return text.isdecimal() and int(text) < 130
    if entity == "SECRET":
        return looks_like_password(text) or (len(text) >= 6 and text.isalnum() and not text.isalpha())
    if entity == "PERSON":
        return len(text) <= 60 and not has_digit
    if entity == "EMAIL_ADDRESS":
        return "@" in text
    return has_digit or entity not in _NUMERIC


def find_fields(text: str) -> Iterator[Span]:
    """Quoted values behind a telling key in running text or code: `"dob": "1990-04-05"`, `first_name='Mia'`."""
    if '"' not in text and "'" not in text:
        return
    for match in _IN_TEXT.finditer(text):
        entity = entity_of(match[1])
        if entity:
            for span in whole_value(match[3], entity):
                yield span._replace(start=match.start(3), end=match.end(3))
