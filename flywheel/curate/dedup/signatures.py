"""What a conversation is compared by: hashes of it, of its beginnings and of its words. No text is kept."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import xxhash

from flywheel.curate.dedup.kernels import hash_lists, hash_messages
from flywheel.curate.dedup.minhash import band_hashes, lsh_bands
from flywheel.curate.dedup.shingles import Sets, shingle_segments
from flywheel.curate.dedup.words import Bools, Int64s, Segments, UInt64s, segments
from flywheel.schema import column

if TYPE_CHECKING:
    from flywheel.sections import Dedup

SIGNATURES = pa.schema(
    [
        column("id", pa.string(), "the record"),
        column("created_at", pa.timestamp("us", "UTC"), "its age decides which of two duplicates stays"),
        column("exact", pa.int64(), "hash of the normalised conversation: roles, text, references, tool calls"),
        column("beginnings", pa.list_(pa.int64()), "hash up to each message that is not a system prompt, the last one of all"),
        column("words", pa.int64(), "hash of the word n-grams in order; null without words"),
        column("shingles", pa.list_(pa.int32()), "word n-grams in order: 32-bit hashes (bit patterns); a repeated one repeats"),
        column("bands", pa.list_(pa.int64()), "hash of each MinHash band; empty without words"),
    ]
)
_WITH_CANDIDATES = np.uint64(0x9E3779B97F4A7C15)
_KINDS = ("text", "url", "call", "arguments")


def sign(records: pl.DataFrame, *, settings: "Dedup") -> pl.DataFrame:
    """Signatures of a batch: one row a record, in its order, with the columns of `SIGNATURES`.

    Text is compared in NFKC, lower case. `exact` and `beginnings` see runs of white space as one blank; a reference (the
    URL of an image, say) counts, ids of tool calls, names, reasoning and weights do not. Near-duplicates are compared by
    word n-grams (`shingle`) of all messages in order except system and developer prompts: what was said, names and
    arguments of tool calls, and their results. So a common system prompt makes no two chats similar, and a prompt that
    holds a clock makes no two chats different. The unsigned hashes are stored as the signed numbers of the same bits,
    because Delta tables have no unsigned types.

    The last of the `beginnings` of a record with candidates is unlike any other's: it is nobody's beginning.

    A row depends on nothing but its record and the settings. Memory: about three times the batch's text.
    """
    flat = _flatten(records["messages"])
    rows = flat.message_segments[flat.row_messages]
    sets, hashes = shingle_segments(flat.source, rows, flat.counted, ngram=settings.ngram, distinct=False)
    exact = np.empty(records.height, np.uint64)
    beginnings = np.empty(len(flat.roles), np.uint64)
    hash_messages(flat.row_messages, flat.message_segments, hashes, flat.kinds, flat.roles, flat.system, exact, beginnings)
    answered = (records["candidates"].list.len().fill_null(0) > 0).to_numpy() & (np.diff(flat.row_messages) > 0)
    beginnings[flat.row_messages[1:][answered] - 1] ^= _WITH_CANDIDATES
    spoken = np.concatenate([[0], np.cumsum(~flat.system)])
    sizes = np.diff(sets.offsets)
    layout = lsh_bands(settings.similarity, settings.permutations)
    worded = Sets(np.concatenate([[0], sets.offsets[1:][sizes > 0]]), sets.values)
    bands = band_hashes(worded, layout)
    return pl.DataFrame(
        {
            "id": records["id"],
            "created_at": records["created_at"],
            "exact": exact.view(np.int64),
            "beginnings": _lists(spoken[flat.row_messages], beginnings[~flat.system].view(np.int64)),
            "words": pl.Series(hash_lists(sets.offsets, sets.values).view(np.int64)).set(pl.Series(sizes == 0), None),
            "shingles": _lists(sets.offsets, sets.values.view(np.int32)),
            "bands": _lists(np.concatenate([[0], np.cumsum((sizes > 0) * layout.bands)]), bands.view(np.int64).ravel()),
        }
    )


class _Flat(NamedTuple):
    """A batch's conversations as segments: row i has messages `row_messages[i]` to `[i + 1]`, those have segments."""

    source: Segments
    kinds: UInt64s
    counted: Bools
    message_segments: Int64s
    roles: UInt64s
    system: Bools
    row_messages: Int64s


def _flatten(conversations: pl.Series) -> _Flat:
    messages = _explode(conversations)
    names = messages.struct.field("role").fill_null("")
    known = names.unique()
    hashes = pl.Series([_role(name) for name in known], dtype=pl.UInt64)
    roles = names.replace_strict(known, hashes).cast(pl.UInt64).to_numpy(writable=True)
    system = roles == _role("system")
    parts = messages.struct.field("content")
    calls = messages.struct.field("tool_calls")
    part, call = _explode(parts), _explode(calls)
    part_message, call_message = (np.repeat(np.arange(len(messages)), _lengths(lists)) for lists in (parts, calls))
    url = part.struct.field("url")
    pieces = [part.struct.field("text"), url.drop_nulls(), call.struct.field("name"), call.struct.field("arguments")]
    owner = np.concatenate([part_message, part_message[url.is_not_null().to_numpy()], call_message, call_message])
    kinds = np.repeat(np.arange(len(_KINDS), dtype=np.uint64), [len(piece) for piece in pieces])
    order = np.argsort(owner, kind="stable")
    source = segments(pl.concat(pieces), normal=True)
    return _Flat(
        source=Segments(source.data, source.starts[order], source.stops[order]),
        kinds=kinds[order],
        counted=(kinds[order] != _KINDS.index("url")) & ~system[owner[order]],
        message_segments=np.searchsorted(owner[order], np.arange(len(messages) + 1)),
        roles=roles,
        system=system,
        row_messages=np.concatenate([[0], np.cumsum(_lengths(conversations))]),
    )


def _role(name: str) -> int:
    return xxhash.xxh3_64_intdigest(b"system" if name == "developer" else name.encode())


def _explode(lists: pl.Series) -> pl.Series:
    return lists.explode(empty_as_null=False, keep_nulls=False)


def _lengths(lists: pl.Series) -> Int64s:
    lengths: Int64s = lists.list.len().fill_null(0).cast(pl.Int64).to_numpy()
    return lengths


def _lists(offsets: Int64s, values: Any) -> pl.Series:
    series = pl.from_arrow(pa.LargeListArray.from_arrays(_array(offsets), _array(values)))
    assert isinstance(series, pl.Series)
    return series


def _array(values: Any) -> Any:
    """The array's own memory as Arrow; `pa.array` would import pandas to find out that it is none of pandas'."""
    whole: Any = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(whole.dtype), len(whole), [None, pa.py_buffer(whole)])
