"""What of a conversation is compared: all of it, a message, a paragraph, a sentence; each with its place."""

import re
from collections.abc import Collection, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import polars as pl

from flywheel.curate.words import plain

UNITS = pl.Schema(
    {
        "id": pl.String,
        "day": pl.String,
        "message": pl.Int64,
        "part": pl.Int64,
        "start": pl.Int64,
        "stop": pl.Int64,
        "text": pl.String,
    }
)
_PARAGRAPH_END = re.compile(r"\n[^\S\n]*\n\s*")
_SENTENCE_END = re.compile(r"(?:[.!?…]+[\"'”’»)\]]*(?=\s|$)|[。！？]+[\"'”’»」』）]*|\n+)")
_CODE = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1|\Z)", re.DOTALL | re.MULTILINE)


class Piece(NamedTuple):
    """A part of a text: from the end of the piece before, blanks included, so that removing it leaves no gap."""

    start: int
    stop: int
    text: str


def paragraphs(text: str) -> list[Piece]:
    """What blank lines part."""
    return _pieces(text, [found.start() for found in _PARAGRAPH_END.finditer(text)])


def sentences(text: str) -> list[Piece]:
    """What ends with a full stop, a question or exclamation mark, or a line. Abbreviations and lists end early."""
    return _pieces(text, [found.end() for found in _SENTENCE_END.finditer(text)])


def _pieces(text: str, cuts: list[int]) -> list[Piece]:
    pieces: list[Piece] = []
    start = 0
    for low, high in pairwise(sorted({0, *cuts, len(text)})):
        if text[low:high].strip():
            stop = low + len(text[low:high].rstrip())
            pieces.append(Piece(start, stop, text[start:stop].strip()))
            start = stop
    return pieces


def units(records: pl.DataFrame, *, level: str, roles: Collection[str], words: int = 1, window: int = 1) -> pl.DataFrame:
    """The units of a batch, in the order of its records and of their text, with the columns of `UNITS`.

    A conversation is the text of its messages, system prompts and tool results among them only where `roles` has them; so a
    shared system prompt makes no two chats similar. Paragraphs and sentences that touch a fenced block of code are left out,
    and so are units of fewer than `words` words.

    Args:
        records: with `day`.
        level: `conversation`, `message`, `paragraph`, `sentence` or `span` (texts of messages, for passages within them).
        window: sentences a unit; windows overlap.
    """
    rows: list[tuple[Any, ...]] = []
    for id, day, messages in records.select("id", "day", "messages").iter_rows():
        chosen = [(at, message) for at, message in enumerate(messages or ()) if message["role"] in roles]
        rows += [(id, day, *unit) for unit in _of_one(chosen, level, window)]
    made = pl.DataFrame(rows, schema=UNITS, orient="row")
    return made.filter(plain(made["text"]).str.count_matches(r"\S+") >= words) if made.height else made


def _of_one(messages: list[tuple[int, dict[str, Any]]], level: str, window: int) -> Iterator[tuple[Any, ...]]:
    said = [(at, [part["text"] or "" for part in message["content"] or ()]) for at, message in messages]
    if level == "conversation":
        yield None, None, None, None, "\n\n".join("\n".join(parts) for _, parts in said)
    elif level == "message":
        yield from ((at, None, None, None, "\n".join(parts)) for at, parts in said)
    else:
        for at, parts in said:
            for number, text in enumerate(parts):
                yield from ((at, number, *piece) for piece in _split(text, level, window))


def _split(text: str, level: str, window: int) -> Iterator[Piece]:
    if level == "span":
        yield Piece(0, len(text), text)
        return
    code = [found.span() for found in _CODE.finditer(text)]
    pieces = paragraphs(text) if level == "paragraph" else sentences(text)
    for at in range(len(pieces) - window + 1):
        first, last = pieces[at], pieces[at + window - 1]
        if not any(start < last.stop and first.start < stop for start, stop in code):
            yield Piece(first.start, last.stop, " ".join(piece.text for piece in pieces[at : at + window]))


def without(text: str, spans: Collection[tuple[int, int]]) -> str:
    """The text less these characters, without blanks at a new beginning."""
    kept, at = [], 0
    for start, stop in sorted(spans):
        kept.append(text[at : max(at, start)])
        at = max(at, stop)
    rest = "".join([*kept, text[at:]])
    return rest.lstrip() if any(start == 0 for start, _ in spans) else rest
