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

from flywheel.curate.dedup.kernels import SPACE, WORD

Float64s: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"
Int32s: TypeAlias = "np.ndarray[Any, np.dtype[np.int32]]"
Int64s: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
UInt32s: TypeAlias = "np.ndarray[Any, np.dtype[np.uint32]]"
UInt64s: TypeAlias = "np.ndarray[Any, np.dtype[np.uint64]]"
Bools: TypeAlias = "np.ndarray[Any, np.dtype[np.bool_]]"
UInt8s: TypeAlias = "np.ndarray[Any, np.dtype[np.uint8]]"

_CONTEXTUAL = "\u03a3\u0130"


class Segments(NamedTuple):
    """Pieces of UTF-8 text in one buffer: piece i is `data[starts[i]:stops[i]]`."""

    data: UInt8s
    starts: Int64s
    stops: Int64s


def segments(texts: pl.Series, *, normal: bool = False) -> Segments:
    """One segment a string, null being empty; strings whose lower case depends on context are lowered already.

    Args:
        normal: bring texts into Unicode's form NFKC first.
    """
    other = (texts.str.len_bytes() != texts.str.len_chars()).arg_true()
    if normal and len(other):
        texts = texts.clone().scatter(other, texts.gather(other).str.normalize("NFKC"))
    special = other.filter(texts.gather(other).str.contains(f"[{_CONTEXTUAL}]"))
    if len(special):
        texts = texts.clone().scatter(special, texts.gather(special).map_elements(str.lower, return_dtype=pl.String))
    array: Any = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    ends = np.array(np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1])
    return Segments(np.frombuffer(data or b"", np.uint8), ends[:-1], ends[1:])


@cache
def characters() -> UInt32s:
    """Lower case, word flag and white-space flag of every code point, from this Python's own Unicode tables."""
    every = np.arange(sys.maxunicode + 1, dtype=np.uint32).tobytes().decode("utf-32-le", "surrogatepass")
    simple = every
    for character in _CONTEXTUAL:
        simple = simple.replace(character, character.lower()[0])
    lowered = simple.lower()
    codes = np.frombuffer(lowered.encode("utf-32-le", "surrogatepass"), np.uint32).copy()
    for pattern, text, flag in ((r"\w+", lowered, WORD), (r"\s+", every, SPACE)):
        for run in re.finditer(pattern, text):
            codes[run.start() : run.end()] |= flag
    return codes
