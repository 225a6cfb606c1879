"""Reading JSON whose types nobody promised: every function gives the type it names, or its empty value."""

import datetime as dt
import email.utils
import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from flywheel.errors import Rejected

__all__ = ["count", "decoded", "first", "has_any", "has_keys", "items", "json_text", "mapping", "moment", "scalar", "string"]

_KEY = re.compile(r'"(?<!\\")([^"\\]{1,100})"\s*:')
_OPENINGS = ("{", "[", '"')


def mapping(value: Any) -> dict[str, Any]:
    """The value when it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """The value when it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def string(value: Any) -> str | None:
    """The value when it is a string that is not empty."""
    return value if isinstance(value, str) and value else None


def scalar(value: Any) -> str | None:
    """A string, number or boolean as text (`true`, `0.8`, `good`); None for anything else and for empty strings."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return json_text(value)
    return string(value)


def count(value: Any) -> int | None:
    """A whole number from 0 to 2**63 - 1, also out of a decimal string or a float."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, float) and math.isfinite(value):
        value = int(value)
    return value if isinstance(value, int) and 0 <= value < 2**63 else None


def first(source: Mapping[str, Any], *keys: str) -> Any:
    """The value of the first of these keys that is present and neither null nor an empty string."""
    for key in keys:
        value = source.get(key)
        if value is not None and value != "":
            return value
    return None


def json_text(value: Any) -> str:
    """Compact JSON; a string is returned as it is.

    Raises:
        Rejected: the value is nested too deeply or holds a number too long to write (`too_deep`).
    """
    if isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode()
    except (msgspec.MsgspecError, OverflowError, RecursionError, ValueError, TypeError):
        pass
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (RecursionError, ValueError, TypeError):
        raise Rejected("too_deep") from None


def decoded(value: Any) -> Any:
    """The value inside a string of JSON (object, array or string); anything else, and invalid JSON, as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in _OPENINGS and value.strip():
        try:
            return msgspec.json.decode(value)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            return value
    return value


def moment(value: Any) -> dt.datetime | None:
    """A time in UTC, from epoch seconds, milli-, micro- or nanoseconds, ISO 8601 (UTC where it names no zone) or RFC 2822.

    The unit follows from the magnitude: seconds below 1e11 (the year 5138), then a thousand times as much each. None where
    it is no time, and for times before 1970.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if not re.fullmatch(r"\d{9,20}(\.\d+)?", value):
            return _written(value)
        value = int(value) if value.isdigit() else float(value)
    if not isinstance(value, int | float) or not 0 < value < 1e20:
        return None
    for scale in (1, 10**3, 10**6, 10**9):
        if value < 1e11 * scale:
            micros = value * 10**6 // scale if isinstance(value, int) else round(value * 1e6 / scale)
            return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=micros)
    return None


def _written(value: str) -> dt.datetime | None:
    try:
        found = dt.datetime.fromisoformat(value.strip().removesuffix(" UTC"))
    except ValueError:
        try:
            found = email.utils.parsedate_to_datetime(value)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    try:
        found = found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None
    return found if found.year >= 1970 else None


def has_keys(head: bytes, *names: str) -> bool:
    """Whether all of these occur in `head` as object keys, at any depth. Keys quoted inside a JSON string do not count.

    Names are ASCII, of at most 100 characters. The keys are found once for all the questions about one head.
    """
    return _keys(head).issuperset(names)


def has_any(head: bytes, *names: str) -> bool:
    """Whether one of these occurs in `head` as an object key; see `has_keys`."""
    return not _keys(head).isdisjoint(names)


@lru_cache(maxsize=1)
def _keys(head: bytes) -> frozenset[str]:
    return frozenset(_KEY.findall(head.decode("latin-1")))
