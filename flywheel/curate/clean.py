"""The stage `cleaned`: every text of every message repaired, and records that hold nothing set aside.

Texts are lifted out of the nested messages into one flat column, repaired there, and put back only into the columns in
which one changed, so that a clean record costs a few scans of its characters.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from flywheel.curate.repair import (
    ABOUT_MARKUP,
    CODE,
    MOST_ROUNDS,
    NOISE,
    change_where,
    fold_whitespace,
    repair_characters,
    strip_markup,
)
from flywheel.ledger import Outcome, exits, no_exits

if TYPE_CHECKING:
    from flywheel.sections import Clean

_TEXTS = (
    ("messages", "content", "text"),
    ("messages", "reasoning"),
    ("candidates", "messages", "content", "text"),
    ("candidates", "messages", "reasoning"),
)
_ARGUMENTS = (("messages", "tool_calls", "arguments"), ("candidates", "messages", "tool_calls", "arguments"))
_NOT_JSON = r"[\x00-\x08\x0b\x0c\x0e-\x1f]"


def clean(records: pl.DataFrame, *, settings: "Clean") -> Outcome:
    """Repair the text of messages and candidates; cleaning twice changes nothing more.

    Content and reasoning get `repair_characters` and `fold_whitespace`, and `strip_markup` when `settings.markup` is set and
    nothing in the conversation is about markup or code. Tool results keep their whitespace and tags: they are data. Tool-call
    arguments lose only raw control characters, which JSON forbids, so valid JSON stays byte for byte the same.

    Returns:
        The records in their order, and one exit (`empty`) for each without text in any message and without a tool call.

    Memory: the batch's text twice, and a copy of the columns in which something changed.
    """
    columns = {name: _arrow(records[name]) for name in ("messages", "candidates")}
    before = dict(columns)
    _clean_texts(columns, settings)
    for path in _ARGUMENTS:
        arguments = pl.Series(_leaf(columns[path[0]], path[1:]))
        if arguments.str.contains(_NOT_JSON).any():
            changed = arguments.str.replace_all(_NOT_JSON, "")
            columns[path[0]] = _with_leaf(columns[path[0]], path[1:], changed)
    changes = [
        pl.Series(name, column, dtype=records.schema[name]) for name, column in columns.items() if column is not before[name]
    ]
    cleaned = records.with_columns(changes)
    full = _holds_something(columns["messages"])
    if full.all():
        return Outcome(cleaned, no_exits())
    return Outcome(cleaned.filter(full), exits(cleaned.filter(~full)["id"], "empty"))


def _clean_texts(columns: dict[str, Any], settings: "Clean") -> None:
    leaves = [_leaf(columns[path[0]], path[1:]) for path in _TEXTS]
    texts = pl.concat([pl.Series("text", leaf, dtype=pl.String) for leaf in leaves])
    record = np.concatenate([_owners(columns[path[0]], path[1:]) for path in _TEXTS])
    result = np.concatenate([_from_tools(columns[path[0]], path[1:]) for path in _TEXTS])
    cleaned = _repair(texts, pl.Series(record), pl.Series(result), settings)
    start = 0
    for path, leaf in zip(_TEXTS, leaves, strict=True):
        new = cleaned.slice(start, len(leaf))
        if not new.equals(texts.slice(start, len(leaf))):
            columns[path[0]] = _with_leaf(columns[path[0]], path[1:], new)
        start += len(leaf)


def _repair(texts: pl.Series, record: pl.Series, result: pl.Series, settings: "Clean") -> pl.Series:
    """Repair to a fixed point: what one step reveals (`&nbsp;` after an accent, say) the next round repairs.

    Whether a conversation is about markup is asked of all its texts, so a round repeats whole records, not single texts.
    """
    places = pl.int_range(len(texts), dtype=pl.UInt32, eager=True)
    some, owner, data = texts, record, result
    for _ in range(MOST_ROUNDS):
        new = repair_characters(some)
        if settings.markup:
            new = _strip_noise(new, owner, data)
        new = change_where(new, ~data, fold_whitespace)
        different = (new != some).fill_null(False)
        if not different.any():
            break
        texts = texts.clone().scatter(places, new)
        again = owner.is_in(owner.filter(different).unique().implode())
        places, some, owner, data = places.filter(again), new.filter(again), owner.filter(again), data.filter(again)
    return texts


def _strip_noise(texts: pl.Series, owner: pl.Series, data: pl.Series) -> pl.Series:
    noisy = owner.filter(texts.str.contains(NOISE).fill_null(False) & ~data).unique()
    if noisy.is_empty():
        return texts
    asked = owner.is_in(noisy.implode()).arg_true()
    said = texts.gather(asked)
    about = (said.str.contains(ABOUT_MARKUP) | said.str.contains(CODE)).fill_null(False)
    noisy = noisy.filter(~noisy.is_in(owner.gather(asked).filter(about).unique().implode()))
    return change_where(texts, owner.is_in(noisy.implode()) & ~data, strip_markup)


def _holds_something(messages: Any) -> pl.Series:
    text = pl.Series(_leaf(messages, ("content", "text")), dtype=pl.String)
    said = _owners(messages, ("content", "text"))[(text.str.len_bytes() > 0).fill_null(False).to_numpy()]
    called = _owners(messages, ("tool_calls", "name"))
    full = np.zeros(len(messages), dtype=bool)
    full[said] = True
    full[called] = True
    return pl.Series(full)


def _arrow(column: pl.Series) -> Any:
    return column.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())


def _items(array: Any) -> tuple[Any, Any]:
    """Offsets from 0 and the values between them: a slice of a longer column costs its own rows only."""
    offsets = array.offsets.to_numpy()
    return offsets - offsets[0], array.values.slice(offsets[0], offsets[-1] - offsets[0])


def _leaf(array: Any, path: tuple[str, ...]) -> Any:
    """All values at the end of `path`, through lists and structs, as one flat array."""
    if pa.types.is_large_list(array.type):
        return _leaf(_items(array)[1], path)
    return _leaf(array.field(path[0]), path[1:]) if path else array


def _with_leaf(array: Any, path: tuple[str, ...], new: pl.Series) -> Any:
    """The array with `new` in the place of `_leaf(array, path)`."""
    if pa.types.is_large_list(array.type):
        offsets, values = _items(array)
        return pa.LargeListArray.from_arrays(
            pa.array(offsets, pa.int64()), _with_leaf(values, path, new), type=array.type, mask=array.is_null()
        )
    if not path:
        return _arrow(new)
    children = [
        _with_leaf(array.field(i), path[1:], new) if field.name == path[0] else array.field(i)
        for i, field in enumerate(array.type)
    ]
    return pa.StructArray.from_arrays(children, fields=list(array.type), mask=array.is_null())


def _owners(array: Any, path: tuple[str, ...]) -> Any:
    """For each value of `_leaf(array, path)` the row of `array` that it belongs to."""
    return _spread(array, path, np.arange(len(array), dtype=np.uint32))


def _from_tools(array: Any, path: tuple[str, ...]) -> Any:
    """For each value of `_leaf(array, path)` whether a tool's message holds it."""
    return _spread(array, path, np.zeros(len(array), dtype=bool))


def _spread(array: Any, path: tuple[str, ...], value: Any) -> Any:
    if pa.types.is_large_list(array.type):
        offsets, values = _items(array)
        return _spread(values, path, np.repeat(value, np.diff(offsets)))
    if not path:
        return value
    if value.dtype == bool and (array.type.get_field_index("role") >= 0):
        value = pl.Series(array.field("role")).eq("tool").fill_null(False).to_numpy()
    return _spread(array.field(path[0]), path[1:], value)
