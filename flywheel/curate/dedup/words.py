r"""Read words out of UTF-8 bytes: the words that `re.findall(r"\w+", text.lower())` finds, hashed, at the speed of bytes.

One table holds, for every code point, its lower case, whether that is a word character for Python's `re`, and whether it is
white space for `str.split`; the kernel needs nothing else. Lower case depends on more than the code point in two cases
(final sigma; dotted capital I, which becomes two): texts with either are lowered by Python first.
"""

import re
import sys
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import polars as pl

from flywheel.curate.dedup.compiled import compiled

Float64s: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"
Int64s: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
UInt32s: TypeAlias = "np.ndarray[Any, np.dtype[np.uint32]]"
UInt64s: TypeAlias = "np.ndarray[Any, np.dtype[np.uint64]]"
Bools: TypeAlias = "np.ndarray[Any, np.dtype[np.bool_]]"
UInt8s: TypeAlias = "np.ndarray[Any, np.dtype[np.uint8]]"

NGRAM_LIMIT = 13
MIX = np.uint64(0x9E3779B97F4A7C15)
_BASIS = np.uint64(0xCBF29CE484222325)
_BLANK = np.uint64(32)
_WORD = np.uint32(1 << 31)
_SPACE = np.uint32(1 << 30)
_CODE = np.uint32(0x1FFFFF)
_CONTEXTUAL = "\u03a3\u0130"


class Segments(NamedTuple):
    """Pieces of UTF-8 text in one buffer: piece i is `data[starts[i]:stops[i]]`."""

    data: UInt8s
    starts: Int64s
    stops: Int64s


def segments(texts: pl.Series) -> Segments:
    """One segment a string, null being empty; strings whose lower case depends on context are lowered already."""
    special = texts.str.contains(f"[{_CONTEXTUAL}]").fill_null(value=False)
    if special.any():
        lowered = texts.filter(special).map_elements(str.lower, return_dtype=pl.String)
        texts = texts.scatter(special.arg_true(), lowered)
    array: Any = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    bytes_ = np.frombuffer(data, np.uint8) if data is not None and data.size else np.empty(0, np.uint8)
    return Segments(bytes_, ends[:-1], ends[1:])


@cache
def characters() -> UInt32s:
    """Lower case, word flag and white-space flag of every code point, from this Python's own Unicode tables."""
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    simple = every
    for character in _CONTEXTUAL:
        simple = simple.replace(character, character.lower()[0])
    lowered = simple.lower()
    codes = np.frombuffer(lowered.encode("utf-32-le", "surrogatepass"), np.uint32).copy()
    word = np.frombuffer(re.sub(r"\W", "0", re.sub(r"\w", "1", lowered)).encode("ascii"), np.uint8) == ord("1")
    space = np.fromiter(map(str.isspace, every), bool, len(every))
    return codes | np.where(word, _WORD, np.uint32(0)) | np.where(space, _SPACE, np.uint32(0))


@compiled
def finish(state: Any) -> Any:  # pragma: no cover
    """MurmurHash3's 64-bit finaliser."""
    state ^= state >> np.uint64(33)
    state *= np.uint64(0xFF51AFD7ED558CCD)
    state ^= state >> np.uint64(33)
    state *= np.uint64(0xC4CEB9FE1A85EC53)
    return state ^ (state >> np.uint64(33))


@compiled
def scan_segment(
    data: Any, start: int, stop: int, table: Any, tokens: Any, found: int
) -> tuple[int, np.uint64]:  # pragma: no cover
    """Append the segment's word hashes at `tokens[found]`; return the new count and the hash of the segment's text.

    A word's hash runs over its lower-case code points. The text's hash runs over all of them, each run of white space
    counting as one blank and none at the ends; it is 0 for a text of nothing else.
    """
    text, word = _BASIS, _BASIS
    within, blank, something = False, False, False
    position = start
    while position < stop:
        byte = data[position]
        if byte < 0x80:
            entry = table[byte]
            position += 1
        elif byte < 0xE0:
            entry = table[((byte & 0x1F) << 6) | (data[position + 1] & 0x3F)]
            position += 2
        elif byte < 0xF0:
            entry = table[((byte & 0x0F) << 12) | ((data[position + 1] & 0x3F) << 6) | (data[position + 2] & 0x3F)]
            position += 3
        else:
            high = ((byte & 0x07) << 18) | ((data[position + 1] & 0x3F) << 12)
            entry = table[high | ((data[position + 2] & 0x3F) << 6) | (data[position + 3] & 0x3F)]
            position += 4
        code = np.uint64(entry & _CODE)
        if entry & _WORD:
            word = (word ^ code) * MIX
            within = True
        elif within:
            tokens[found] = finish(word)
            found += 1
            word, within = _BASIS, False
        if entry & _SPACE:
            blank = something
        else:
            if blank:
                text = (text ^ _BLANK) * MIX
                blank = False
            text = (text ^ code) * MIX
            something = True
    if within:
        tokens[found] = finish(word)
        found += 1
    return found, finish(text) | np.uint64(1) if something else np.uint64(0)
