"""Growth of the search for near-duplicates with the number of chats: CPU time's exponent, and peak memory, 50,000 to 5 million.

Each size has a table of its own: days of 10,000 chats of one kind of text, drawn word by word, of which a fifth repeat a chat of
the day before with one to four words in a hundred changed. One process signs them into a Delta table, another searches the
table, so that each one's peak memory is its own. A third searches what the last day changes, given the result for the days
before it: what one more day costs. The exponent is the slope of log CPU seconds over log chats; text is made
outside the clock.
"""

import argparse
import datetime as dt
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from flywheel.records import empty
from flywheel.sections import Dedup
from flywheel.tables import Tables

SIZES = (50_000, 150_000, 500_000, 1_500_000, 5_000_000, 10_000_000)
DAY_CHATS = 10_000
_VOCABULARY = 40_000
_START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_REPEATING, _CHANGED = 0.2, 0.025
Measured = dict[str, float]


def days(chats: int, *, seed: int = 0) -> Iterator[tuple[str, pl.DataFrame]]:
    """Day by day the chats, as records of one question and one answer."""
    generator = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlcumwfgypbvkxjqz"))
    vocabulary = pa.array(["".join(letters[generator.integers(0, 26, n)]) for n in generator.integers(2, 12, _VOCABULARY)])
    weights = 1 / (np.arange(_VOCABULARY) + 2.7)
    quantiles = np.repeat(np.arange(_VOCABULARY, dtype=np.int32), np.maximum(weights / weights.sum() * (1 << 20), 1).astype(int))
    before = _Texts(np.zeros(1, np.int64), np.empty(0, np.int32))
    for first in range(0, chats, DAY_CHATS):
        lengths = np.clip(generator.lognormal(4.6, 0.7, min(DAY_CHATS, chats - first)), 12, 900).astype(np.int64)
        today = _Texts(np.append(0, np.cumsum(lengths)), _drawn(generator, quantiles, int(lengths.sum())))
        repeating = np.flatnonzero(generator.random(len(lengths)) < _REPEATING)
        today = _repeated(today, before, repeating[repeating < len(before.offsets) - 1], generator)
        yield f"{_START + dt.timedelta(days=first // DAY_CHATS):%Y-%m-%d}", _records(today, first, vocabulary)
        before = today


class _Texts(NamedTuple):
    """Texts as numbers of words: text i is `words[offsets[i]:offsets[i + 1]]`."""

    offsets: Any
    words: Any


def _drawn(generator: "np.random.Generator", quantiles: Any, count: int) -> Any:
    return quantiles[generator.integers(0, len(quantiles), count)]


def _repeated(today: _Texts, before: _Texts, places: Any, generator: "np.random.Generator") -> _Texts:
    """Today's texts, those at some places replaced by yesterday's at the same places, with a few words changed."""
    starts, lengths = today.offsets[:-1].copy(), np.diff(today.offsets)
    starts[places] = before.offsets[places] + len(today.words)
    lengths[places] = np.diff(before.offsets)[places]
    offsets = np.append(0, np.cumsum(lengths))
    words = np.concatenate([today.words, before.words])[np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])]
    old = np.zeros(len(lengths), bool)
    old[places] = True
    changed = np.flatnonzero(np.repeat(old, lengths))
    changed = changed[generator.random(len(changed)) < _CHANGED]
    words[changed] = generator.integers(0, _VOCABULARY, len(changed))
    return _Texts(offsets, words)


def _records(texts: _Texts, first: int, vocabulary: Any) -> pl.DataFrame:
    """What `sign` reads of records; the first quarter of the words is the question."""
    count, now = len(texts.offsets) - 1, _START + dt.timedelta(seconds=first)
    cuts = texts.offsets[:-1] + np.diff(texts.offsets) // 4
    offsets = np.append(np.column_stack([texts.offsets[:-1], cuts]).ravel(), texts.offsets[-1])
    words = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), vocabulary.take(pa.array(texts.words)))
    joined: Any = pc.binary_join(words, " ")
    said = pl.DataFrame({"text": pl.from_arrow(joined)})
    schema: Any = empty().schema
    message = schema["messages"].inner
    part = message.to_schema()["content"].inner
    turns = said.select(
        _struct(
            message,
            role=pl.Series(["user", "assistant"] * count),
            content=pl.concat_list(_struct(part, type=pl.lit("text"), text=pl.col("text"))),
            tool_calls=pl.lit([], dtype=message.to_schema()["tool_calls"]),
        )
    ).to_series()
    return pl.DataFrame(
        {
            "id": [f"chat-{number:031x}" for number in range(first, first + count)],
            "created_at": pl.datetime_range(now, interval="1s", eager=True, end=now + dt.timedelta(seconds=count - 1)),
            "messages": turns.reshape((-1, 2)).arr.to_list(),
            "candidates": pl.Series([None], dtype=schema["candidates"]).new_from_index(0, count),
        }
    )


def _struct(kind: Any, **fields: Any) -> pl.Expr:
    """A struct of the given type; fields that are not named are null."""
    made: pl.Expr = pl.struct(**{name: fields.get(name, pl.lit(None, dtype)) for name, dtype in kind.to_schema().items()})
    return made


def _cpu_seconds() -> float:
    return sum(resource.getrusage(resource.RUSAGE_SELF)[:2])


def _report(seconds: float, **more: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak": peak, **more}))


def sign_all(folder: str, chats: int) -> None:
    """Sign and write day by day; prints the CPU seconds of both and this process's peak memory as JSON."""
    from flywheel.curate.dedup.increments import GROUP_ROWS
    from flywheel.curate.dedup.signatures import SIGNATURES, sign

    tables, signing, writing, text = Tables(folder), 0.0, 0.0, 0
    for day, records in days(chats):
        said: Any = records["messages"].explode().struct.field("content").explode().struct.field("text").str.len_bytes()
        text += int(said.sum())
        if not signing:
            sign(records.head(200), settings=Dedup())
        start = _cpu_seconds()
        signed = sign(records, settings=Dedup())
        middle = _cpu_seconds()
        tables.write("signatures", signed.iter_slices(GROUP_ROWS), schema=SIGNATURES, fingerprint=1, day=day)
        signing, writing = signing + middle - start, writing + _cpu_seconds() - middle
    _report(signing, writing=writing, text=text)


def search_all(folder: str) -> None:
    """Search the table; prints CPU seconds and this process's peak memory as JSON, before (all loaded) and after."""
    from flywheel.curate.dedup.duplicates import find_duplicates

    lazy = Tables(folder).scan("signatures")
    find_duplicates(lazy.head(1000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    start, clock = _cpu_seconds(), time.perf_counter()
    found = find_duplicates(lazy)
    _report(_cpu_seconds() - start, wall=time.perf_counter() - clock, before=before, gone=found.height)


def search_last_day(folder: str) -> None:
    """Search what the last day changes; prints CPU seconds, the rows searched and this process's peak memory as JSON.

    0 rows are searched where the day is so much of the table that a search from scratch is due.
    """
    from flywheel.curate.dedup.increments import KEYS, find_again

    tables = Tables(folder)
    lazy, last = tables.scan("signatures"), tables.partitions("signatures")[-1]
    some = lazy.head(1000).collect()
    nothing = some.select(KEYS).clear()

    def pick(days: list[str], exact: pl.Series) -> pl.DataFrame:
        return tables.pick("signatures", "exact", exact, partitions=("day", days))

    find_again(some.lazy(), before=nothing, changed=some["day"].unique().to_list(), pick=pick, most=1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    start, clock = _cpu_seconds(), time.perf_counter()
    again = find_again(lazy, before=nothing, changed=[last], pick=pick)
    rows = 0 if again is None else again.rows.height
    _report(_cpu_seconds() - start, wall=time.perf_counter() - clock, before=before, rows=rows)


def _child(*arguments: str) -> Measured:
    done = subprocess.run([sys.executable, "-m", __spec__.name, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    measured: Measured = json.loads(done.stdout.splitlines()[-1])
    return measured


def main() -> None:
    """Print a row a size, the exponents, and the memory that ten million chats would take."""
    parser = argparse.ArgumentParser(prog="scaling", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--up-to", type=int, default=500_000, help="largest size, at most 10,000,000; 5,000,000 takes about ten CPU minutes"
    )
    parser.add_argument("--sign", nargs=2, metavar=("FOLDER", "CHATS"), help=argparse.SUPPRESS)
    parser.add_argument("--search", metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--search-last-day", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sign:
        sign_all(options.sign[0], int(options.sign[1]))
    elif options.search:
        search_all(options.search)
    elif options.search_last_day:
        search_last_day(options.search_last_day)
    else:
        _measure([size for size in SIZES if size <= options.up_to] or [options.up_to])


def _measure(sizes: list[int]) -> None:
    columns = (
        "chats",
        "MB of text",
        "sign, CPU s",
        "search, CPU s",
        "chats per CPU s",
        "gone",
        "sign, peak MB",
        "search, peak MB",
    )
    table, steps = Table(*columns, "search, bytes a row"), []
    last_day = Table("chats", "one more day, CPU s", "of a full search, CPU s", "rows searched again", "one more day, peak MB")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            signed, searched = _child("--sign", folder, str(size)), _child("--search", folder)
            last = _child("--search-last-day", folder)
        steps.append((size, signed["seconds"], searched["seconds"], searched["peak"]))
        figures = (size, last["seconds"], searched["seconds"], int(last["rows"]), last["peak"] / 1e6)
        last_day.add_row(*map(_written, figures))
        total = signed["seconds"] + searched["seconds"]
        whole = (size, signed["text"] / 1e6, signed["seconds"], searched["seconds"], size / total, searched["gone"])
        memory = (signed["peak"] / 1e6, searched["peak"] / 1e6, (searched["peak"] - searched["before"]) / size)
        table.add_row(*map(_written, (*whole, *memory)))
    Console(width=160).print(table, last_day)
    if len(steps) > 1:
        chats, signing, searching, peaks = (np.array(column, float) for column in zip(*steps, strict=True))
        for name, seconds in (("sign", signing), ("search", searching), ("both", signing + searching)):
            print(f"growth exponent of {name}: {np.polyfit(np.log(chats), np.log(seconds), 1)[0]:.3f}")
        slope = np.diff(peaks)[-1] / np.diff(chats)[-1]
        print(f"search, bytes a further row between the two largest: {slope:.0f}")
        if chats[-1] < 1e7:
            print(f"ten million chats by that slope: {(peaks[-1] + slope * (1e7 - chats[-1])) / 1e9:.2f} GB")


def _written(figure: float) -> str:
    return f"{figure:,.1f}" if isinstance(figure, float) else f"{figure:,}"


if __name__ == "__main__":
    main()
