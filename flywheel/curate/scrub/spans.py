"""What a detector finds: a span of one text with its entity and how strong the evidence is, and who wins an overlap."""

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import NamedTuple

CHECKSUM, PATTERN, LIBRARY, CUE, ADDRESS, NAME, PLACE, MODEL, REPEAT = 90, 80, 70, 60, 50, 40, 30, 25, 20
"""Strength of the evidence: a checksum or a secret's format, an exact format, phonenumbers, a cue word beside the value,
a street pattern, a name by list and context, a place by list, a place or
organisation by a model, a repeat of a value found elsewhere in the conversation."""


class Span(NamedTuple):
    """Characters `start` to `end` (exclusive) of a text hold an `entity`; `strength` is one of the module's constants."""

    start: int
    end: int
    entity: str
    strength: int


def resolve(text: str, spans: Iterable[Span]) -> list[Span]:
    """Spans without overlaps, by position.

    The stronger evidence wins, then the longer span, then the earlier. What sticks out of a beaten span stays masked under
    its own entity when it holds a letter or digit, so no overlap uncovers a character that something found.
    """
    taken: list[Span] = []
    for span in sorted(set(spans), key=lambda s: (-s.strength, s.start - s.end, s.start, s.entity)):
        for piece in _uncovered(span, taken):
            trimmed = trim(text, piece)
            if trimmed is not None and (piece == span or trimmed.end - trimmed.start > 1):
                insort(taken, trimmed)
    return taken


def trim(text: str, span: Span) -> Span | None:
    """The span without white space and joining punctuation at its ends; None when no letter or digit is left in it."""
    start, end = span.start, span.end
    while start < end and (text[start].isspace() or text[start] in ",;:"):
        start += 1
    while end > start and (text[end - 1].isspace() or text[end - 1] in ",;:"):
        end -= 1
    if not any(character.isalnum() for character in text[start:end]):
        return None
    return span._replace(start=start, end=end)


def _uncovered(span: Span, taken: list[Span]) -> list[Span]:
    """What `taken` (sorted, without overlaps) leaves of the span."""
    pieces = []
    start = span.start
    at = bisect_left(taken, span.start, key=lambda other: other.end)
    while at < len(taken) and taken[at].start < span.end:
        if taken[at].start > start:
            pieces.append(span._replace(start=start, end=taken[at].start))
        start = max(start, taken[at].end)
        at += 1
    if start < span.end:
        pieces.append(span._replace(start=start))
    return pieces
