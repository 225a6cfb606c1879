"""The machine code that reads and hashes, in one file because numba's cache on disk looks at one file's time stamp.

Arrays are flat; a list of lists is its values and the offsets where each begins and the last ends.
"""

from typing import Any

import numpy as np

from flywheel.curate.dedup.compiled import compiled

WORD = np.uint32(1 << 31)
SPACE = np.uint32(1 << 30)
_CODE = np.uint32(0x1FFFFF)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_BASIS = np.uint64(0xCBF29CE484222325)
_BLANK = np.uint64(1 << 22)


@compiled
def _finish(state: Any) -> Any:  # pragma: no cover
    """MurmurHash3's 64-bit finaliser."""
    state ^= state >> np.uint64(33)
    state *= np.uint64(0xFF51AFD7ED558CCD)
    state ^= state >> np.uint64(33)
    state *= np.uint64(0xC4CEB9FE1A85EC53)
    return state ^ (state >> np.uint64(33))


@compiled
def _scan_segment(
    data: Any, start: int, stop: int, table: Any, tokens: Any, found: Any
) -> tuple[int, np.uint64]:  # pragma: no cover
    """Append the segment's word hashes at `tokens[found]`; return the new count and the hash of the segment's text.

    A word's hash runs over its lower-case code points. The text's hash runs over all of them, each run of white space
    within counting as one blank; it is 0 for a text of nothing else.
    """
    text, word, first = _BASIS, _BASIS, found
    within, gap, blank = np.int64(0), np.uint64(0), np.uint64(0)
    position = start
    while position < stop:
        point, position = np.int64(data[position]), position + 1
        if point >= 0x80:
            point, position = _decode(data, point, position)
        entry = table[point]
        # No branches: where words end is what a processor cannot predict.
        code = np.uint64(entry & _CODE)
        is_word, is_space = np.int64(entry >> np.uint32(31)), entry & SPACE
        tokens[found] = word
        found += within & (1 - is_word)
        within = is_word
        longer = (word ^ code) * _MIX
        word = longer if is_word else _BASIS
        further = (text ^ (code | blank)) * _MIX
        text = text if is_space else further
        gap = gap if is_space else _BLANK
        blank = gap if is_space else np.uint64(0)
    if within:
        tokens[found] = word
        found += 1
    for token in range(first, found):
        tokens[token] = _finish(tokens[token])
    return found, _finish(text) | np.uint64(1) if gap else np.uint64(0)


@compiled
def _decode(data: Any, lead: int, position: int) -> tuple[int, int]:  # pragma: no cover
    """The code point whose first byte is `lead`, of valid UTF-8, and where the next one starts."""
    if lead < 0xE0:
        return ((lead & 0x1F) << 6) | (data[position] & 0x3F), position + 1
    if lead < 0xF0:
        return ((lead & 0x0F) << 12) | ((data[position] & 0x3F) << 6) | (data[position + 1] & 0x3F), position + 2
    high = ((lead & 0x07) << 18) | ((data[position] & 0x3F) << 12)
    return high | ((data[position + 1] & 0x3F) << 6) | (data[position + 2] & 0x3F), position + 3


@compiled
def shingle_rows(
    data: Any,
    starts: Any,
    stops: Any,
    rows: Any,
    counted: Any,
    table: Any,
    ngram: int,
    counts: Any,
    out: Any,
    hashes: Any,
) -> int:  # pragma: no cover
    """Sets of n-gram hashes of rows of segments, one after the other in `out`; returns how much of it is used.

    `out` needs room for half the bytes and one value a segment. Writes each set's size to `counts` and each segment's text
    hash to `hashes`; words of segments that are not `counted` are left out.
    """
    used = 0
    tokens = np.empty(1024, np.uint64)
    scratch = np.empty(1024, np.uint32)
    for row in range(len(rows) - 1):
        found = 0
        for segment in range(rows[row], rows[row + 1]):
            most = found + (stops[segment] - starts[segment]) // 2 + 1
            if most > len(tokens):
                grown = np.empty(2 * most, np.uint64)
                grown[:found] = tokens[:found]
                tokens = grown
                scratch = np.empty(2 * most, np.uint32)
            read, hashes[segment] = _scan_segment(data, starts[segment], stops[segment], table, tokens, found)
            if counted[segment]:
                found = read
        made = _ngram_hashes(tokens, found, ngram, out[used:])
        counts[row] = sort_distinct(out[used : used + made], scratch)
        used += counts[row]
    return used


@compiled
def _ngram_hashes(tokens: Any, found: int, ngram: int, out: Any) -> int:  # pragma: no cover
    """Leading 32 bits of a hash over each `ngram` tokens in a row, or over all where there are fewer."""
    width = min(ngram, found)
    if width == 0:
        return 0
    made = found - width + 1
    for first in range(made):
        state = np.uint64(width)
        for token in range(first, first + width):
            state = (state ^ tokens[token]) * _MIX
            state ^= state >> np.uint64(32)
        out[first] = np.uint32(_finish(state) >> np.uint64(32))
    return made


@compiled
def sort_distinct(values: Any, scratch: Any) -> int:  # pragma: no cover
    """Sort in place, drop repeats, return how many are left. Hashes are uniform: scatter by leading bits, then tidy up."""
    count = len(values)
    if count < 2:
        return count
    bits = 1
    while (1 << bits) < count and bits < 16:
        bits += 1
    shift = np.uint32(32 - bits)
    ends = np.zeros((1 << bits) + 1, np.int32)
    for value in values:
        ends[(value >> shift) + 1] += 1
    fullest = ends.max()
    for bucket in range(1, len(ends)):
        ends[bucket] += ends[bucket - 1]
    for value in values:
        scratch[ends[value >> shift]] = value
        ends[value >> shift] += 1
    if fullest > 24:
        scratch[:count].sort()
    for i in range(1, count):
        value = scratch[i]
        j = i - 1
        while j >= 0 and scratch[j] > value:
            scratch[j + 1] = scratch[j]
            j -= 1
        scratch[j + 1] = value
    left = 0
    for i in range(count):
        if i == 0 or scratch[i] != scratch[i - 1]:
            values[left] = scratch[i]
            left += 1
    return left


@compiled
def minhash_rows(offsets: Any, values: Any, a: Any, b: Any, signatures: Any) -> None:  # pragma: no cover
    """datasketch's `affine32`: MurmurHash3's 32-bit finaliser, then the least of a * h + b modulo 2**32."""
    for row in range(len(offsets) - 1):
        least = signatures[row]
        least[:] = np.uint32(0xFFFFFFFF)
        last = offsets[row + 1] - 1
        for position in range(offsets[row], last + 1, 4):
            # Four at a time, the last one repeated: the least is written once for four.
            one, two = _mixed(values[position]), _mixed(values[min(position + 1, last)])
            three, four = _mixed(values[min(position + 2, last)]), _mixed(values[min(position + 3, last)])
            for k in range(len(a)):
                pair = min(np.uint32(a[k] * one + b[k]), np.uint32(a[k] * two + b[k]))
                other = min(np.uint32(a[k] * three + b[k]), np.uint32(a[k] * four + b[k]))
                least[k] = min(least[k], pair, other)


@compiled
def _mixed(h: Any) -> Any:  # pragma: no cover
    """MurmurHash3's 32-bit finaliser."""
    h ^= h >> np.uint32(16)
    h = np.uint32(h * np.uint32(0x85EBCA6B))
    h ^= h >> np.uint32(13)
    h = np.uint32(h * np.uint32(0xC2B2AE35))
    return h ^ (h >> np.uint32(16))


@compiled
def band_rows(signatures: Any, rows: int, hashes: Any) -> None:  # pragma: no cover
    """A 64-bit hash of each band's number and of its `rows` values."""
    for row in range(hashes.shape[0]):
        for band in range(hashes.shape[1]):
            state = np.uint64(band + 1)
            for position in range(band * rows, (band + 1) * rows):
                state = (state ^ np.uint64(signatures[row, position])) * _MIX
                state ^= state >> np.uint64(32)
            hashes[row, band] = _finish(state)


@compiled
def hash_messages(
    row_messages: Any,
    message_segments: Any,
    hashes: Any,
    kinds: Any,
    roles: Any,
    system: Any,
    exact: Any,
    beginnings: Any,
) -> None:  # pragma: no cover
    """Hash each conversation, and its beginning up to each message.

    A message is its role and those of its segments that say something, each with its kind. Messages of the system count
    in `exact` only; theirs repeats the beginning before them.
    """
    for row in range(len(row_messages) - 1):
        whole, spoken = _MIX, _MIX
        for message in range(row_messages[row], row_messages[row + 1]):
            said = roles[message]
            for segment in range(message_segments[message], message_segments[message + 1]):
                if hashes[segment]:
                    said = _finish((said ^ hashes[segment]) * _MIX + kinds[segment])
            whole = _finish((whole ^ said) * _MIX)
            if not system[message]:
                spoken = _finish((spoken ^ said) * _MIX)
            beginnings[message] = spoken
        exact[row] = whole


@compiled
def hash_sets(offsets: Any, values: Any) -> Any:  # pragma: no cover
    """A 64-bit hash of each set's size and values."""
    hashes = np.empty(len(offsets) - 1, np.uint64)
    for row in range(len(hashes)):
        state = np.uint64(offsets[row + 1] - offsets[row])
        for position in range(offsets[row], offsets[row + 1]):
            state = (state ^ np.uint64(values[position])) * _MIX
            state ^= state >> np.uint64(32)
        hashes[row] = _finish(state)
    return hashes
