"""Long texts in overlapping windows, so that a regular expression's worst case is bounded by the window, not by the text."""

import re
from collections.abc import Iterator
from typing import NamedTuple

SIZE, OVERLAP = 2000, 200
_TOKEN_BREAK = re.compile(r"\s")


class Window(NamedTuple):
    """`text` is the slice that begins at `start` of the whole text."""

    start: int
    text: str


def windows(text: str, size: int = SIZE, overlap: int = OVERLAP) -> Iterator[Window]:
    """Slices of at most `size` characters, each repeating the last `overlap` of the one before (fewer when a cut is moved
    to the next white space, so that a window does not begin within a word)."""
    if len(text) <= size:
        yield Window(0, text)
        return
    start = 0
    while True:
        yield Window(start, text[start : start + size])
        if start + size >= len(text):
            return
        following = start + size - overlap
        gap = _TOKEN_BREAK.search(text, following, following + overlap // 2)
        start = gap.end() if gap else following
