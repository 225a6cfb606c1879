"""Progress of long work, told to whoever listens: a bar in a terminal, the log of a run.

Steps call `advance`; listeners are added with `listening`. Counts only, never record text.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Tick(NamedTuple):
    """Rows done so far by a step, of `total` where it is known."""

    step: str
    day: str | None
    done: int
    total: int | None


Listener = Callable[[Tick], None]
_listeners: list[Listener] = []


def advance(step: str, done: int, *, total: int | None = None, day: str | None = None) -> None:
    """Tell every listener; costs nothing when nobody listens."""
    for listener in _listeners:
        listener(Tick(step, day, done, total))


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener` at every tick of this process for as long as the block runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
