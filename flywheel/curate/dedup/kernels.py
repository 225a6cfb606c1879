"""The machine code that reads and hashes, in one file because numba's cache on disk looks at one file's time stamp.

Arrays are flat; a list of lists is its values and the offsets where each begins and the last ends.
"""

from typing import Any

import numpy as np

from flywheel.curate.dedup.compiled import compiled
from flywheel.curate.dedup.eight_bytes import high_bits, load, lower_block, lowest_bit, store

WORD = np.uint32(1 << 31)
SPACE = np.uint32(1 << 30)
_CODE = np.uint32(0x1FFFFF)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_BASIS = np.uint64(0xCBF29CE484222325)
_BASE = np.uint64(0xD6E8FEB86659FD93)
_EACH = np.uint64(0x0101010101010101)
_HIGH = np.uint64(0x8080808080808080)
_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_APART = np.uint64(1 << 8)
_PADDING = 72


@compiled
def _finish(state: Any) -> Any:  # pragma: no cover
    """MurmurHash3's 64-bit finaliser."""
    state ^= state >> np.uint64(33)
    state *= np.uint64(0xFF51AFD7ED558CCD)
    state ^= state >> np.uint64(33)
    state *= np.uint64(0xC4CEB9FE1A85EC53)
    return state ^ (state >> np.uint64(33))


@compiled
def _between(eight: Any, first: int, last: int) -> Any:  # pragma: no cover
    """The highest bit of each of eight ASCII bytes that is in a range."""
    from_first = eight + _EACH * np.uint64(0x80 - first)
    after_last = eight + _EACH * np.uint64(0x7F - last)
    return from_first & ~after_last & _HIGH


@compiled
def _filled(flags: Any) -> Any:  # pragma: no cover
    """0xFF where the highest bit of a byte is set."""
    return flags | (flags - (flags >> np.uint64(7)))


@compiled
def _lower_segment(data: Any, start: int, stop: int, table: Any, low: Any, flags: Any) -> int:  # pragma: no cover
    """Write the text in lower case, white space as blanks, and the highest bit for each byte of a word; returns how many bytes.

    ASCII goes 64 bytes at a time, near other characters eight. Both arrays need room for twice the bytes and `_PADDING`,
    which is flagged 0.
    """
    position, used, tried = start, 0, start
    while position < stop:
        if tried <= position <= len(data) - 64:
            if lower_block(data, position, low, flags, used):
                used += min(64, stop - position)
                position += 64
                continue
            tried = position + 64
        if position + 8 <= len(data):
            eight = load(data, position)
            if position + 8 > stop:
                eight &= _ONES >> np.uint64(8 * (position + 8 - stop))
            if not eight & _HIGH:
                upper = _between(eight, 0x41, 0x5A)
                eight |= upper >> np.uint64(2)
                word = _between(eight, 0x61, 0x7A) | _between(eight, 0x30, 0x39) | _between(eight, 0x5F, 0x5F)
                space = _filled(_between(eight, 0x09, 0x0D) | _between(eight, 0x1C, 0x1F))
                store(low, used, (eight & ~space) | (_EACH * np.uint64(0x20) & space))
                store(flags, used, word)
                used += min(8, stop - position)
                position += 8
                continue
        point, position = np.int64(data[position]), position + 1
        if point >= 0x80:
            point, position = _decode(data, point, position)
        entry = table[point]
        code = np.int64(entry & _CODE) if not entry & SPACE else np.int64(0x20)
        size = _encode(code, low, used)
        store(flags, used, _HIGH if entry & WORD else np.uint64(0))
        used += size
    for after in range(used, used + _PADDING, 8):
        store(flags, after, np.uint64(0))
    return used


@compiled
def _encode(point: int, low: Any, at: int) -> int:  # pragma: no cover
    """Write a code point in UTF-8; returns its bytes."""
    if point < 0x80:
        low[at] = point
        return 1
    if point < 0x800:
        low[at], low[at + 1] = 0xC0 | (point >> 6), 0x80 | (point & 0x3F)
        return 2
    if point < 0x10000:
        low[at], low[at + 1], low[at + 2] = 0xE0 | (point >> 12), 0x80 | ((point >> 6) & 0x3F), 0x80 | (point & 0x3F)
        return 3
    low[at], low[at + 1] = 0xF0 | (point >> 18), 0x80 | ((point >> 12) & 0x3F)
    low[at + 2], low[at + 3] = 0x80 | ((point >> 6) & 0x3F), 0x80 | (point & 0x3F)
    return 4


@compiled
def _word_hash(low: Any, start: int, stop: int) -> Any:  # pragma: no cover
    """Eight bytes at a time, the last ones filled up with zeros, which are in no word."""
    state = _BASIS
    while start + 8 < stop:
        state = (state ^ load(low, start)) * _MIX
        state ^= state >> np.uint64(32)
        start += 8
    state = (state ^ (load(low, start) & (_ONES >> np.uint64(8 * (start + 8 - stop))))) * _MIX
    return state ^ (state >> np.uint64(32))


@compiled
def _apart(low: Any, start: int, stop: int, text: Any, first: bool, last: bool) -> Any:  # pragma: no cover
    """The text's hash over what stands between two words: one blank adds nothing, nor do blanks at the text's ends."""
    blank, said = False, False
    for position in range(start, stop):
        if low[position] == 0x20:
            blank = True
            continue
        if blank and (said or not first):
            text = (text ^ (_APART | np.uint64(0x20))) * _MIX
            text ^= text >> np.uint64(32)
        text = (text ^ (_APART | np.uint64(low[position]))) * _MIX
        text ^= text >> np.uint64(32)
        blank, said = False, True
    if blank and said and not last:
        text = (text ^ (_APART | np.uint64(0x20))) * _MIX
        text ^= text >> np.uint64(32)
    return text


@compiled
def _scan_segment(low: Any, flags: Any, size: int, tokens: Any, found: int) -> tuple[int, np.uint64]:  # pragma: no cover
    """Append a lower-case segment's word hashes at `tokens[found]`; return the new count and the hash of the segment's text.

    The text's hash runs over its words and over what stands between them, each run of white space within counting as one
    blank; it is 0 for a text of nothing else.
    """
    text, first = _BASIS, found
    within, start, last = np.uint64(0), np.int64(0), np.int64(0)
    for block in range(0, size + 1, 64):
        words = high_bits(flags, block)
        edges = words ^ ((words << np.uint64(1)) | within)
        while edges:
            position = block + np.int64(lowest_bit(edges))
            edges &= edges - np.uint64(1)
            within = np.uint64(1) - within
            if within:
                start = position
                continue
            token = _word_hash(low, start, position)
            if start - last != 1 or low[last] != 0x20 or found == first:
                text = _apart(low, last, start, text, found == first, False)
            text = (text ^ token) * _MIX
            text ^= text >> np.uint64(32)
            tokens[found] = token
            found += 1
            last = position
    text = _apart(low, last, size, text, found == first, True)
    return found, _finish(text) | np.uint64(1) if text != _BASIS else np.uint64(0)


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
    distinct: bool,
    counts: Any,
    out: Any,
    hashes: Any,
) -> int:  # pragma: no cover
    """N-gram hashes of rows of segments, one after the other in `out`; returns how much of it is used.

    `out` needs room for half the bytes and one value a segment. Writes each row's size to `counts` and each segment's text
    hash to `hashes`; words of segments that are not `counted` are left out. Where `distinct`, rows are sorted sets.
    """
    used = 0
    tokens = np.empty(1024, np.uint64)
    scratch = np.empty(1024, np.uint32)
    low, flags = np.empty(4096, np.uint8), np.empty(4096, np.uint8)
    for row in range(len(rows) - 1):
        found = 0
        for segment in range(rows[row], rows[row + 1]):
            size = stops[segment] - starts[segment]
            if 2 * size + _PADDING > len(low):
                low, flags = np.empty(4 * size + _PADDING, np.uint8), np.empty(4 * size + _PADDING, np.uint8)
            most = found + size // 2 + 1
            if most > len(tokens):
                grown = np.empty(2 * most, np.uint64)
                grown[:found] = tokens[:found]
                tokens = grown
                scratch = np.empty(2 * most, np.uint32)
            lowered = _lower_segment(data, starts[segment], stops[segment], table, low, flags)
            read, hashes[segment] = _scan_segment(low, flags, lowered, tokens, found)
            if counted[segment]:
                found = read
        made = _ngram_hashes(tokens, found, ngram, out[used:])
        counts[row] = sort_distinct(out[used : used + made], scratch) if distinct else made
        used += counts[row]
    return used


@compiled
def _ngram_hashes(tokens: Any, found: int, ngram: int, out: Any) -> int:  # pragma: no cover
    """Leading 32 bits of a hash over each `ngram` tokens in a row, or over all where there are fewer: a rolling polynomial."""
    width = min(ngram, found)
    if width == 0:
        return 0
    highest = np.uint64(1)
    for _ in range(width - 1):
        highest *= _BASE
    rolling = leaving = np.uint64(0)
    for token in range(width - 1):
        rolling = rolling * _BASE + tokens[token]
    for first in range(found - width + 1):
        rolling = (rolling - leaving) * _BASE + tokens[first + width - 1]
        leaving = tokens[first] * highest
        mixed = (rolling + np.uint64(width)) * _MIX
        out[first] = ((mixed ^ (mixed >> np.uint64(32))) * _MIX) >> np.uint64(32)
    return found - width + 1


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
def gather(values: Any, starts: Any, sizes: Any, gathered: Any) -> None:  # pragma: no cover
    """Write lists of values, each of which begins anywhere, one after the other."""
    used = 0
    for row in range(len(starts)):
        for position in range(starts[row], starts[row] + sizes[row]):
            gathered[used] = values[position]
            used += 1


@compiled
def sort_rows(values: Any, starts: Any, stops: Any) -> None:  # pragma: no cover
    """Make each list a sorted set in its place; what that frees lies behind its new end, in `stops`."""
    scratch = np.empty(1024, np.uint32)
    for row in range(len(starts)):
        size = stops[row] - starts[row]
        if size > len(scratch):
            scratch = np.empty(2 * size, np.uint32)
        stops[row] = starts[row] + sort_distinct(values[starts[row] : stops[row]], scratch)


@compiled
def minhash_rows(offsets: Any, values: Any, a: Any, b: Any, signatures: Any) -> None:  # pragma: no cover
    """datasketch's `affine32`: MurmurHash3's 32-bit finaliser, then the least of a * h + b modulo 2**32."""
    mixed = np.empty(8, np.uint32)
    for row in range(len(offsets) - 1):
        least = signatures[row]
        least[:] = np.uint32(0xFFFFFFFF)
        last = offsets[row + 1] - 1
        for position in range(offsets[row], last + 1, 8):
            # Eight at a time, the last one repeated: the least is written once for eight.
            for i in range(8):
                mixed[i] = _mixed(values[min(position + i, last)])
            h0, h1, h2, h3, h4, h5, h6, h7 = mixed[0], mixed[1], mixed[2], mixed[3], mixed[4], mixed[5], mixed[6], mixed[7]
            for k in range(len(a)):
                one = min(np.uint32(a[k] * h0 + b[k]), np.uint32(a[k] * h1 + b[k]))
                two = min(np.uint32(a[k] * h2 + b[k]), np.uint32(a[k] * h3 + b[k]))
                three = min(np.uint32(a[k] * h4 + b[k]), np.uint32(a[k] * h5 + b[k]))
                four = min(np.uint32(a[k] * h6 + b[k]), np.uint32(a[k] * h7 + b[k]))
                least[k] = min(least[k], one, two, three, four)


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
                state = state * _BASE + np.uint64(signatures[row, position])
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
def hash_lists(offsets: Any, values: Any) -> Any:  # pragma: no cover
    """A 64-bit hash of each list's length and values."""
    hashes = np.empty(len(offsets) - 1, np.uint64)
    for row in range(len(hashes)):
        first, size = offsets[row], offsets[row + 1] - offsets[row]
        even, odd = np.uint64(size) << np.uint64(32), _MIX
        for position in range(first, first + size - 1, 2):
            even = (even ^ np.uint64(values[position])) * _MIX
            odd = (odd ^ np.uint64(values[position + 1])) * _BASE
            even, odd = even ^ (even >> np.uint64(32)), odd ^ (odd >> np.uint64(32))
        if size % 2:
            even = (even ^ np.uint64(values[first + size - 1])) * _MIX
        hashes[row] = _finish(even * _BASE + odd)
    return hashes
