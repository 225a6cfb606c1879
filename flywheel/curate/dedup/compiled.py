"""Compile for this machine, keep the machine code where a folder can be written, and run on all of its cores."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, TypeVar

import numba
import numpy as np

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def compiled(function: Callable[..., Any]) -> Any:
    """`numba.njit` without the interpreter lock, cached on disk beside the module or in the user's cache folder.

    Where neither can be written (a read-only install without a home) numba raises; then each process compiles anew.
    """
    try:
        return numba.njit(function, nogil=True, cache=True)
    except RuntimeError:
        return numba.njit(function, nogil=True)


def chunks(ends: "np.ndarray[Any, np.dtype[np.int64]]", limit: int) -> Iterator[tuple[int, int]]:
    """Consecutive ranges of rows, each of one row or of at most `limit` units; `ends` are the rows' running totals."""
    cuts, total = [0], 0
    while cuts[-1] < len(ends):
        stop = int(np.searchsorted(ends, total + limit, side="right"))
        cuts.append(max(stop, cuts[-1] + 1))
        total = int(ends[cuts[-1] - 1])
    return pairwise(cuts)


def on_all_cores(work: Callable[..., _Result], ranges: Iterable[tuple[int, ...]]) -> list[_Result]:
    """Results of `work(start, stop)` in the order of the ranges, from one thread a core; `work` must free the lock."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with ThreadPoolExecutor(max_workers=cores) as pool:
        return list(pool.map(lambda span: work(*span), ranges))


def one_ahead(work: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Results of `work(item)` in their order; the next one is made while the last one is used."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = None
        for item in items:
            made, coming = coming, pool.submit(work, item)
            if made is not None:
                yield made.result()
                del made
        if coming is not None:
            yield coming.result()
