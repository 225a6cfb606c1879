"""Choices that look random, are always the same for the same question, and cannot be foreseen without the key."""

import hmac
import string
from collections.abc import Sequence


class Dice:
    """Choices of one conversation: HMAC-SHA256 under a key of the project's key and the conversation's id."""

    def __init__(self, key: bytes, conversation: str) -> None:
        self._key = hmac.digest(key, b"surrogate\x00" + conversation.encode("utf-8", "replace"), "sha256")

    def number(self, below: int, *about: object) -> int:
        """0 to `below` - 1, the same for the same `about`."""
        question = "\x1f".join(map(str, about)).encode("utf-8", "replace")
        return int.from_bytes(hmac.digest(self._key, question, "sha256")[:16]) % below

    def pick(self, items: Sequence[str], *about: object) -> str:
        """One of the items, which must be some."""
        return items[self.number(len(items), *about)]

    def digits(self, count: int, *about: object) -> str:
        """Decimal digits, the first of several never 0."""
        low = 10 ** (count - 1) if count > 1 else 0
        return str(low + self.number(10**count - low, *about)) if count else ""

    def scrambled(self, text: str, *about: object) -> str:
        """The text with other digits for digits and other Latin letters for letters, in their case; the rest stays."""
        made = []
        for at, character in enumerate(text):
            alphabet = _ALPHABETS.get(_kind(character), character)
            if character.isdigit() and at == 0 and len(text) > 1:
                alphabet = string.digits[1:]
            made.append(self.pick(alphabet, "scrambled", text.lower(), at, *about))
        return "".join(made)


_ALPHABETS = {"digit": string.digits, "upper": string.ascii_uppercase, "lower": string.ascii_lowercase}


def _kind(character: str) -> str:
    if character.isdigit():
        return "digit"
    return "upper" if character.isupper() else "lower" if character.isalpha() else ""
