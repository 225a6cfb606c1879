"""Token counts: from the user's own tokenizer, or an estimate that says that it is one."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from flywheel.errors import ConfigError

_SPOKEN = ("messages", "prompt", "completion", "chosen", "rejected", "conversations", "instruction", "input", "output", "text")
_LABELS = frozenset(("role", "from", "type", "id", "tool_call_id", "url", "media_type"))


class TokenCounter(Protocol):
    """Counts the tokens of texts. `exact` is False for an estimate; `description` goes into manifest and card."""

    @property
    def exact(self) -> bool: ...

    @property
    def description(self) -> str: ...

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text: 0 or more."""
        ...


def token_counter(tokenizer: str | Path | None) -> TokenCounter:
    """The counter for a local `tokenizer.json`, or the estimate where there is none.

    Raises:
        ConfigError: the file is missing or is no tokenizer, or `tokenizers` is not installed.
    """
    if tokenizer is None:
        return Estimate()
    path = Path(tokenizer)
    if not path.is_file():
        raise ConfigError(
            f"there is no tokenizer file {path}. `tokenizer` is the path of a local tokenizer.json; nothing is downloaded."
        )
    counter = Tokenizer(path)
    counter.count(["a"])
    return counter


@dataclass(frozen=True)
class Estimate:
    """Tokens without a vocabulary, from the shapes of words.

    A run of ASCII letters is one token per ten letters begun, digits one per three, other ASCII one per two; a line break
    run is one; letters of Greek to Arabic scripts count two in five, every other character one. Ordinary spaces are free.

    Measured on the 36 distinct replies of 20 tokens or more in recorded OpenAI and Anthropic calls, against the providers'
    own counts: total 1 % high, median error 4 %, nine in ten within 13 % (characters / 4: 25 % high, 16 %, 37 %). Almost all
    of that is English; other languages were not measured.
    """

    exact = False
    description = "estimate without a vocabulary (measured on English replies: median error 4 %, nine in ten within 13 %)"

    def count(self, texts: Sequence[str]) -> list[int]:
        return [_estimated(text) for text in texts]


_PIECE = re.compile(
    r"(?P<word>[A-Za-z]+)|(?P<digits>[0-9]{1,3})|(?P<letters>[\u0370-\u06ff]+)|(?P<other>[^\x00-\x7f])"
    r"|(?P<sign>[^\sA-Za-z0-9\x80-\U0010ffff]+)|\n+| {2,}"
)


def _estimated(text: str) -> int:
    total = 0
    for piece in _PIECE.finditer(text):
        length = piece.end() - piece.start()
        if piece.lastgroup == "word":
            total += -(-length // 10)
        elif piece.lastgroup == "sign":
            total += -(-length // 2)
        elif piece.lastgroup == "letters":
            total += -(-length * 2 // 5)
        else:
            total += 1
    return total


@dataclass(frozen=True)
class Tokenizer:
    """The user's own vocabulary: a local `tokenizer.json`. Special tokens and the chat template are not counted."""

    path: Path
    exact: bool = field(default=True, init=False)

    @cached_property
    def description(self) -> str:
        """The file's name and the start of its sha256; never its folder."""
        import hashlib

        return f"{self.path.name}, sha256 {hashlib.sha256(self.path.read_bytes()).hexdigest()[:12]}"

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(encoding) for encoding in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    @cached_property
    def _tokenizer(self) -> Any:
        try:
            import tokenizers
        except ImportError:
            raise ConfigError("counting with a tokenizer.json needs `pip install 'flywheel[tokenizers]'`.") from None
        try:
            return tokenizers.Tokenizer.from_file(str(self.path))
        except Exception as error:  # the library raises bare Exception
            raise ConfigError(f"{self.path} is no tokenizer.json: {error}") from None


def spoken(row: Mapping[str, Any]) -> str:
    """All that a rendered row says, joined by newlines: message text, reasoning, names, calls, tools; no roles and no ids."""
    named = [row[key] for key in _SPOKEN if key in row]
    return "\n".join(_strings([*named, row.get("tools")] if named else list(row.values())))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            if key not in _LABELS:
                yield from _strings(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _strings(one)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield str(value)
