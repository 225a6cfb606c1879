"""Growth of the methods of `[[duplicates]]` that compare every text with every other: CPU seconds, peak memory, exponents.

Texts are drawn word by word, 60 words on average; a fifth of them repeat an earlier one with one word in forty changed.
Vectors for `nearest` (what `embeddings` and flywheel-semantic do with theirs) have 384 random dimensions, a fifth of them
near an earlier one. Each size has a process of its own, and its data is made outside the clock; the exponent is the slope of
log CPU seconds over log texts. `--floor` is the similarity from which pairs are told.
"""

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from flywheel import plugins
from flywheel.curate.dedup.methods.nearest import nearest_pairs, unit

METHODS = ("edit_ratio", "tf_idf", "nearest")
_VOCABULARY, _DIMENSIONS = 40_000, 384
_REPEATING, _CHANGED, _NOISE = 0.2, 0.025, 0.01


def texts(count: int, *, seed: int = 0) -> pl.Series:
    """Texts of words that are as often used as in a language."""
    generator = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlcumwfgypbvkxjqz"))
    weights = 1 / (np.arange(26) + 2.0)
    drawn = [generator.choice(letters, size, p=weights / weights.sum()) for size in generator.integers(2, 12, _VOCABULARY)]
    vocabulary = np.array(["".join(word) for word in drawn])
    often = 1 / (np.arange(_VOCABULARY) + 2.7)
    chosen = generator.choice(_VOCABULARY, (count, 120), p=often / often.sum())
    lengths = np.clip(generator.lognormal(4.0, 0.5, count), 8, 120).astype(int)
    for row in np.flatnonzero(generator.random(count) < _REPEATING)[1:]:
        earlier = generator.integers(0, row)
        changed = generator.random(120) < _CHANGED
        chosen[row], lengths[row] = np.where(changed, chosen[row], chosen[earlier]), lengths[earlier]
    return pl.Series([" ".join(vocabulary[row[:length]]) for row, length in zip(chosen, lengths, strict=True)])


def vectors(count: int, *, seed: int = 0) -> Any:
    """Vectors of length 1."""
    generator = np.random.default_rng(seed)
    made = unit(generator.standard_normal((count, _DIMENSIONS), np.float32))
    for row in np.flatnonzero(generator.random(count) < _REPEATING)[1:]:
        made[row] = made[generator.integers(0, row)] + _NOISE * generator.standard_normal(_DIMENSIONS)
    return unit(made)


def compare(method: str, count: int, floor: float) -> None:
    """Compare once; prints CPU seconds, this process's peak memory before and after, and the number of pairs, as JSON."""
    run: Callable[[Any], pl.DataFrame]
    if method == "nearest":
        given: Any = vectors(count)
        run = partial(nearest_pairs, floor=floor, neighbours=10)
    else:
        given = texts(count)
        settings = {"limit": count + 1} if method == "edit_ratio" else {}
        run = partial(plugins.build("similarity", method, settings).pairs, floor=floor)
    run(given[:300])
    before, start = resource.getrusage(resource.RUSAGE_SELF), _cpu_seconds()
    pairs = run(given).height
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": _cpu_seconds() - start, "before": before.ru_maxrss, "peak": peak, "pairs": pairs}))


def _cpu_seconds() -> float:
    return sum(resource.getrusage(resource.RUSAGE_SELF)[:2])


def main() -> None:
    """Print a row a method and size, and each method's exponent."""
    parser = argparse.ArgumentParser(prog="methods", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", default="2000,8000", help="32000 takes a few CPU minutes more")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--floor", type=float, default=0.8)
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "TEXTS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        compare(options.one[0], int(options.one[1]), options.floor)
        return
    _measure(options.methods.split(","), [int(size) for size in options.sizes.split(",")], options.floor)


def _measure(methods: list[str], sizes: list[int], floor: float) -> None:
    table, exponents = Table("method", "texts", "CPU s", "pairs", "peak MB", "of it by comparing"), []
    for method in methods:
        seconds = []
        for size in sizes:
            command = [sys.executable, "-m", __spec__.name, "--one", method, str(size), "--floor", str(floor)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            measured = json.loads(done.stdout.splitlines()[-1])
            seconds.append(measured["seconds"])
            peak, more = measured["peak"] / 1e3, (measured["peak"] - measured["before"]) / 1e3
            table.add_row(method, f"{size:,}", f"{seconds[-1]:.2f}", f"{measured['pairs']:,}", f"{peak:,.0f}", f"{more:,.0f}")
        if len(sizes) > 1:
            exponents.append(f"growth exponent of {method}: {np.polyfit(np.log(sizes), np.log(seconds), 1)[0]:.2f}")
    Console(width=120).print(table)
    print("\n".join(exponents))


if __name__ == "__main__":
    main()
