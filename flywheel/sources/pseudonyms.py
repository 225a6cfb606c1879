"""Who a record is about and what it is called, in a form that can be stored: pseudonyms, ids, and text that a file can hold."""

import hmac
import re
from typing import Any

import msgspec

from flywheel.records import Record, digest

__all__ = ["Pseudonyms", "storable"]

_ENCODER = msgspec.json.Encoder()
_UNIQUE = 16  # characters from which on an id is taken to be unique in the world: a span's id has as many
_ADDRESS = re.compile(r"[^\s@]@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}")
_USERS = 100_000
_NOBODY = {"annotation", "api", "app", "auto", "code", "eval", "evaluator", "human", "llm", "model", "sdk", "user", "web"}


class Pseudonyms:
    """Keyed pseudonyms of users, and the ids of records; the same key gives the same ones, in every run."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[str, str] = {}

    def id(self, record: Record) -> str:
        """The log's own id. A short one, such as a data set's row number, is unique in its file at best: with the digest of
        its messages it is unique everywhere, and the same wherever the row is delivered again."""
        given: str = _clean(record.id)
        if _ADDRESS.search(given):  # ids are named in every table, log and error
            given = self.user(given)
        if not given or len(given) >= _UNIQUE:
            return given
        body = _encode(record.messages) or _ENCODER.encode(_clean(msgspec.to_builtins(record.messages)))
        return f"{given}-{digest(body)[:12]}"

    def judge(self, by: str | None) -> str | None:
        """Whoever gave feedback: a kind of source as logged (`EVAL`, `HUMAN`), anybody else as a pseudonym."""
        return by if by is None or by.lower() in _NOBODY else self.user(by)

    def user(self, user: str) -> str:
        """Keyed HMAC-SHA256 of the raw id, its first 32 hexadecimal characters."""
        known = self._known.get(user)
        if known is None:
            if len(self._known) >= _USERS:
                self._known.clear()
            known = hmac.digest(self._key, user.encode(errors="surrogatepass"), "sha256").hex()[:32]
            self._known[user] = known
        return known


def storable(record: Record) -> tuple[Record, bytes]:
    """The record and its JSON, with every unpaired surrogate replaced."""
    body = _encode(record)
    if body is None:
        record = msgspec.convert(_clean(msgspec.to_builtins(record)), Record)
        body = _ENCODER.encode(record)
    return record, body


def _encode(value: Any) -> bytes | None:
    """A record, or a part of one, as JSON; None when it holds an unpaired surrogate, which no file can."""
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:
        return None


def _clean(value: Any) -> Any:
    """Replace unpaired surrogates, which no file can hold, by U+FFFD; halves that belong together become one character."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {key: _clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(inner) for inner in value]
    return value
