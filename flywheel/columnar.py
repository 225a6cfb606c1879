"""Structs to Arrow columns: level by level, so that Python touches each value once and Arrow does the rest."""

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa


def table_of(structs: Sequence[Any], schema: pa.Schema) -> pa.Table:
    """One row a struct, in order; its attributes are the columns by name.

    An attribute that holds a struct or a sequence of structs becomes an Arrow struct or list. None becomes null.

    Raises:
        AttributeError, TypeError, ValueError, OverflowError, pyarrow.ArrowException: a struct lacks a column, or holds what
            the column's type does not take, a text with an unpaired surrogate for one (UnicodeEncodeError).
    """
    return pa.table([_array(_values(structs, field.name), field.type) for field in schema], schema=schema)


def _values(structs: Sequence[Any], name: str) -> list[Any]:
    return list(map(attrgetter(name), structs))


def _array(values: Sequence[Any], kind: pa.DataType) -> "pa.Array[Any]":
    if isinstance(kind, pa.ListType):
        if str in set(map(type, values)):
            raise TypeError("a text stands where a sequence belongs")
        ends = np.cumsum(np.fromiter(map(len, values), np.int64, len(values)))
        offsets: Any = pa.array(np.append(0, ends)).cast(pa.int32())
        return pa.ListArray.from_arrays(offsets, _array(list(chain.from_iterable(values)), kind.value_type))
    if not isinstance(kind, pa.StructType):
        return pa.array(values, kind)
    present = [value for value in values if value is not None]
    arrays = [_array(_values(present, field.name), field.type) for field in kind]
    dense = pa.StructArray.from_arrays(arrays, fields=list(kind))
    if len(present) == len(values):
        return dense
    places = iter(range(len(present)))
    return dense.take(pa.array([None if value is None else next(places) for value in values], pa.int64()))
