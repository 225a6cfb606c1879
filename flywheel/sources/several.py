"""Entries that hold several conversations, of which some may be no record."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from flywheel.errors import Rejected
from flywheel.records import Record

_Part = TypeVar("_Part")


def several(parts: Iterable[_Part], make: Callable[[_Part], Record], *, none: str) -> Iterator[Record]:
    """The records of an entry's parts, in order; parts that are none are passed over while another is one.

    Raises:
        Rejected: no part gave a record, with the first part's reason; `none` where there was no part; `too_deep` where
            reading them ran out of stack.
    """
    reason = None
    found = False
    try:
        for part in parts:
            try:
                record = make(part)
            except Rejected as rejected:
                reason = reason or rejected.reason
                continue
            found = True
            yield record
    except RecursionError:
        reason = "too_deep"
    if not found:
        raise Rejected(reason or none)
