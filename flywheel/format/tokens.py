"""Token counts: from the user's own tokenizer, or an estimate that says that it is one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from flywheel.errors import ConfigError

_SPOKEN: tuple[str, ...] = (
    "messages",
    "prompt",
    "completion",
    "chosen",
    "rejected",
    "conversations",
    "instruction",
    "input",
    "output",
    "text",
)
_SPOKEN += ("preferred_output", "non_preferred_output", "system", "history")
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


_PIECE = r"[A-Za-z]{1,10}|[0-9]{1,3}|[\u{370}-\u{6ff}]{1,2}|[^\x00-\x7f]|[^\sA-Za-z0-9\x{80}-\x{10ffff}]{1,2}|\n+| {2,}"


@dataclass(frozen=True)
class Estimate:
    """Tokens without a vocabulary, from the shapes of words.

    A run of ASCII letters is one token per ten letters begun, digits one per three, other ASCII one per two, letters of
    Greek to Arabic scripts one per two; a run of line breaks or of spaces is one, every other character beyond ASCII one.
    Single spaces are free.

    Measured on the 36 distinct replies of 20 tokens or more in recorded OpenAI and Anthropic calls, against the providers'
    own counts: total 1 % high, median error 4 %, nine in ten within 13 % (characters / 4: 25 % high, 16 %, 37 %). Almost all
    of that is English; other languages were not measured.
    """

    exact = False
    description = "estimate without a vocabulary (measured on English replies: median error 4 %, nine in ten within 13 %)"

    def count(self, texts: Sequence[str]) -> list[int]:
        return pl.Series(texts, dtype=pl.String).str.count_matches(_PIECE).to_list()


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
