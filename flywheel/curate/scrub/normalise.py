"""Text as detectors should see it (NFKC, nothing invisible, no lone surrogates), with the way back to the original."""

import re
import unicodedata
from typing import NamedTuple

_LONGEST_CLUSTER = 32
_SURROGATE = re.compile("[\ud800-\udfff]")


class Normal(NamedTuple):
    """Normalised text. Character i comes from `original[starts[i]:ends[i]]`; both lists are None when nothing changed."""

    text: str
    starts: list[int] | None
    ends: list[int] | None

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The original text's span behind a non-empty span of this one."""
        if self.starts is None or self.ends is None:
            return start, end
        return self.starts[start], self.ends[end - 1]


def normalise(text: str) -> Normal:
    """NFKC, format characters (zero-width, bidi, tags) dropped, lone surrogates replaced by U+FFFD.

    Works per base character with its combining marks (at most 32 at a time), so that offsets stay known; time is linear.
    """
    if text.isascii():
        return Normal(text, None, None)
    clean = _SURROGATE.sub("\ufffd", text)
    if unicodedata.is_normalized("NFKC", clean) and not any(unicodedata.category(c) == "Cf" for c in set(clean)):
        return Normal(clean, None, None)
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    position = 0
    while position < len(clean):
        end = position + 1
        while end < len(clean) and end - position < _LONGEST_CLUSTER and unicodedata.combining(clean[end]):
            end += 1
        cluster = clean[position:end]
        if unicodedata.category(cluster[0]) == "Cf":
            cluster = cluster[1:]
        piece = cluster if cluster.isascii() else unicodedata.normalize("NFKC", cluster)
        pieces.append(piece)
        starts.extend([position] * len(piece))
        ends.extend([end] * len(piece))
        position = end
    return Normal("".join(pieces), starts, ends)
