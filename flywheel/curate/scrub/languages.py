"""Conversations in languages for which nothing was measured, so that a strict project can hold them back.

What is found was measured on English text only: presidio-research's set, WNUT17, Broad Twitter and tau-bench (`make bench-pii`).
The lists hold names of other languages in Latin script, but how many are found in running text of those languages is not
known; in other scripts only formats (e-mail, IBAN, cards, phones) and fields are found at all.
"""

from collections.abc import Iterable, Iterator
from functools import partial

import polars as pl

from flywheel.curate.scrub.json_text import is_json
from flywheel.curate.scrub.replace import Row, walk
from flywheel.curate.scrub.scripts import foreign_scripts, letters
from flywheel.errors import ConfigError

_LONG_MESSAGE = 200
_MINIMUM = 0.5


def unmeasured(rows: Iterable[Row], languages: tuple[str, ...]) -> list[str | None]:
    """Why each conversation is outside the languages: `scrub_script`, `scrub_language`, or None.

    Scripts are counted over every text of the conversation. The language is guessed by py3langid, which needs no download, over
    what the messages say together and over each message of 200 characters or more, the first 1,000 characters without code
    and links; texts with fewer than 40 letters, tool results and JSON pass, because the guess would be poor.

    Raises:
        ConfigError: a language is none of those that can be told apart.
    """
    reasons: list[str | None] = []
    prose: list[tuple[int, str]] = []
    for at, row in enumerate(rows):
        texts: list[str] = []
        walk(row, partial(_note, texts))
        reasons.append("scrub_script" if foreign_scripts(letters("\n".join(texts)), languages) else None)
        spoken = list(_spoken(row))
        prose += [(at, "\n".join(spoken)), *((at, text) for text in spoken if len(text) >= _LONG_MESSAGE)]
    for (at, _), share in zip(prose, _shares([text for _, text in prose], languages), strict=True):
        if share is not None and share < _MINIMUM and reasons[at] is None:
            reasons[at] = "scrub_language"
    return reasons


def _note(into: list[str], text: str, _: str | None) -> str:
    into.append(text)
    return text


def check_languages(languages: tuple[str, ...]) -> None:
    """Raises ConfigError unless every language is one that can be told apart."""
    from flywheel.filters.language import Language

    try:
        Language(languages=languages)
    except ValueError as error:
        raise ConfigError(f"[scrub] languages: {error}.") from None


def _spoken(row: Row) -> Iterator[str]:
    for message in row["messages"] or ():
        for part in message["content"] or () if message["role"] != "tool" else ():
            if part["text"] and not is_json(part["text"]):
                yield part["text"]


def _shares(texts: list[str], languages: tuple[str, ...]) -> pl.Series:
    from flywheel.filters.language import Language

    frame = pl.DataFrame({"prompt": [""] * len(texts), "reply": texts}, schema={"prompt": pl.String, "reply": pl.String})
    return Language(languages=languages, minimum=_MINIMUM).score(frame)
