"""Near-duplicates: flywheel against datasketch, rensa, Daft and text-dedup, on one corpus in one run.

The corpus is made here: chats of words drawn by Zipf's law, and families that repeat a chat with a few words changed. Every
engine runs in a process of its own (`_near_duplicate_engines` says what each does), after a trial on 1,000 chats that compiles
what is compiled once a machine. "Step" is the search itself, from texts in memory or in a file to the rows that go; "whole" is
all that the process costs, importing and reading too; memory is that of the process and of those that it starts together. A
true pair is missed when both of its rows stay; a family is lost when none of its rows stays. The yardstick is a pass that
hashes every byte of the texts once with XXH3, the least that a search can do that looks at them. Engines that take less than 20
CPU seconds run three times, and the median counts.

`make bench` installs the engines that are not there. `--chats 50000` makes it a matter of two minutes.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import psutil
import xxhash
from rich.console import Console
from rich.table import Table

from flywheel.records import Record, text_message, to_batch
from flywheel_tests.benchmarks import _near_duplicate_engines as engines
from flywheel_tests.benchmarks._near_duplicate_engines import BATCH, SIMILARITY

_VOCABULARY = 40_000
_TRIAL = 1_000
_SHORT = 20
Pair = tuple[int, int]
Gram = tuple[str, ...]
Figures = dict[str, str]


class Corpus(NamedTuple):
    """Chats, and for each the number of the family that it belongs to, or -1."""

    records: list[Record]
    family: list[int]


def corpus(chats: int, *, seed: int = 0) -> Corpus:
    """A fifth of the chats belong to families of two to six members, each a copy with 1 to 4 % of its words changed."""
    generator = np.random.default_rng(seed)
    vocabulary = np.array(_words(generator))
    weights = 1 / (np.arange(_VOCABULARY) + 2.7)
    drawn = generator.choice(_VOCABULARY, size=chats * 180, p=weights / weights.sum()).astype(np.uint16)
    texts: list[list[str]] = []
    family: list[int] = []
    used = 0
    while len(texts) < chats:
        length = int(np.clip(generator.lognormal(4.6, 0.7), 12, 900))
        base = vocabulary[drawn[used % (len(drawn) - 900) :][:length]].tolist()
        used += length
        members = int(generator.integers(2, 7)) if generator.random() < 0.06 else 1
        for member in range(min(members, chats - len(texts))):
            texts.append(_changed(base, generator, vocabulary) if member else base)
            family.append(len(texts) - member - 1 if members > 1 else -1)
    order = generator.permutation(chats).tolist()
    return Corpus([_record(place, texts[i]) for place, i in enumerate(order)], [family[i] for i in order])


def _words(generator: "np.random.Generator") -> list[str]:
    letters, lengths = "etaoinshrdlcumwfgypbvkxjqz", np.clip(generator.poisson(5, 2 * _VOCABULARY) + 1, 2, 14)
    drawn = ("".join(letters[i] for i in np.minimum(generator.geometric(0.1, n) - 1, 25)) for n in lengths)
    return list(dict.fromkeys(drawn))[:_VOCABULARY]


def _changed(base: list[str], generator: "np.random.Generator", vocabulary: Any) -> list[str]:
    words = list(base)
    count = max(1, int(len(words) * generator.uniform(0.01, 0.04)))
    for place in generator.choice(len(words), size=count, replace=False):
        words[place] = str(vocabulary[generator.integers(_VOCABULARY)])
    return words


def _record(number: int, words: list[str]) -> Record:
    cut = len(words) // 4
    question, answer = " ".join(words[:cut]).capitalize() + "?", ". ".join(" ".join(words[cut:]).split(" x ")) + "."
    return Record(id=f"{number:08}", messages=(text_message("user", question), text_message("assistant", answer)))


class Truth(NamedTuple):
    """What there is to find: `alike` has every pair (later, earlier) within a family, and whether it is 0.8 similar."""

    texts: list[str]
    family: list[int]
    alike: dict[Pair, bool]


def truth(texts: list[str], family: list[int]) -> Truth:
    """Compare what belongs together, by Python's sets."""
    members = defaultdict(list)
    for row, number in enumerate(family):
        if number >= 0:
            members[number].append(row)
    alike: dict[Pair, bool] = {}
    for rows in members.values():
        grams = [_grams(texts[row]) for row in rows]
        alike |= {(b, a): _alike(grams[i], grams[j]) for i, b in enumerate(rows) for j, a in enumerate(rows[:i])}
    return Truth(texts, family, alike)


def _is_true(truth: Truth, pair: Pair) -> bool:
    known = truth.alike.get((max(pair), min(pair)))
    return _alike(*(_grams(truth.texts[row]) for row in pair)) if known is None else known


def _alike(one: set[Gram], other: set[Gram]) -> bool:
    return len(one & other) >= SIMILARITY * len(one | other)


def _grams(text: str) -> set[Gram]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}


class Cost(NamedTuple):
    """CPU seconds of an engine's steps and of its whole process, and the most bytes that it and those it started held."""

    steps: dict[str, float]
    whole: float
    peak: int


def _typical(name: str, folder: Path) -> Cost:
    """What a run costs; of one that takes less than `_SHORT` CPU seconds the median of three, for a hiccup would weigh there."""
    cost = _run(name, folder)
    if cost.whole >= _SHORT:
        return cost
    return sorted([cost, _run(name, folder), _run(name, folder)], key=lambda one: one.whole)[1]


def _run(name: str, folder: Path) -> Cost:
    """Run an engine. What its processes hold together is looked at each second; memory that they share counts once."""
    command, peak = [sys.executable, "-m", engines.__name__, name, str(folder)], 0
    with subprocess.Popen(command, env=engines.environment(name)) as process:
        while process.poll() is None:
            peak = max(peak, _held(process.pid))
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    cost = json.loads((folder / f"{name}.json").read_text())
    return Cost(cost["steps"], cost["whole"], max(cost["peak"], peak))


def _held(number: int) -> int:
    held = 0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(number)
        started = root.children(recursive=True)
        for process in [root, *started] if started else []:  # a process alone knows its own peak, to the byte
            with suppress(psutil.NoSuchProcess):
                whole = process.memory_full_info()
                held += getattr(whole, "pss", whole.rss)
    return held


def _figures(links: pl.DataFrame, cost: Cost, truth: Truth, hashing: float) -> Figures:
    gone, pairs = set(links["row"].to_list()), [pair for pair, alike in truth.alike.items() if alike]
    false = sum(not _is_true(truth, pair) for pair in links.rows())
    missed = sum(not gone & {a, b} for a, b in pairs)
    staying = {number for row, number in enumerate(truth.family) if row not in gone}
    step, chats = sum(cost.steps.values()), len(truth.texts)
    return {
        "step, CPU s": f"{step:.2f}",
        "step, chats per CPU s": f"{chats / step:,.0f}",
        "step, passes that hash every byte": f"{step / hashing:.0f}",
        "whole process, CPU s": f"{cost.whole:.2f}",
        "whole process, chats per CPU s": f"{chats / cost.whole:,.0f}",
        "peak memory, MB": f"{cost.peak / 1e6:,.0f}",
        "rows that go": f"{len(gone):,}",
        "precision of (row, kept)": f"{1 - false / max(len(links), 1):.4f}",
        "recall of true pairs": f"{1 - missed / max(len(pairs), 1):.4f}",
        "families lost": f"{len(set(truth.family) - staying - {-1})}",
    }


def _hashing_seconds(texts: list[str]) -> float:
    whole = "".join(texts).encode()
    start = time.process_time()
    xxhash.xxh3_64_intdigest(whole)
    return time.process_time() - start


def main(arguments: list[str] | None = None) -> None:
    """Print every engine's figures and the ratios of its costs to flywheel's."""
    parser = argparse.ArgumentParser(prog="near_duplicates", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--chats", type=int, default=engines.CHATS)
    parser.add_argument("--only", nargs="+", choices=list(engines.ENGINES), default=list(engines.ENGINES), help="these engines")
    options = parser.parse_args(arguments)
    if absent := [name for name in options.only if engines.missing(name)]:
        parser.error(f"{', '.join(absent)}: not installed; `make bench` installs what peers.txt names; or choose with --only")
    print(engines.announcement(options.only, options.chats), flush=True)
    chats = corpus(options.chats)
    texts = _texts(chats.records)
    known, hashing = truth(texts, chats.family), _hashing_seconds(texts)
    columns: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as place:
        folder, trial = Path(place), Path(place) / "trial"
        trial.mkdir()
        _write(trial, corpus(_TRIAL).records)  # with whole families, so that all is compiled that the search needs
        _write(folder, chats.records)
        del chats
        for name in options.only:
            _run(name, trial)
            start = time.monotonic()
            cost = _typical(name, folder)
            columns[name] = _figures(pl.read_parquet(folder / f"{name}.parquet"), cost, known, hashing)
            parts = ", ".join(f"{step} {seconds:.2f}" for step, seconds in cost.steps.items())
            print(f"{name}: {time.monotonic() - start:.0f} s of the clock; step in CPU s: {parts}", flush=True)
    _print(columns, f"{options.chats:,} chats, {sum(map(len, texts)) / 1e6:.0f} MB; hashing every byte: {hashing:.3f} CPU s")


def _texts(records: list[Record]) -> list[str]:
    return ["\n".join(message.text for message in record.messages) for record in records]


def _write(folder: Path, records: list[Record]) -> None:
    parts = (to_batch(records[start : start + BATCH]) for start in range(0, len(records), BATCH))
    pl.concat(parts).write_parquet(folder / "records.parquet")
    pl.DataFrame({"row": range(len(records)), "text": _texts(records)}).write_parquet(folder / "texts.parquet")


def _print(columns: dict[str, Figures], title: str) -> None:
    table = Table("", title=title)
    for name in columns:
        table.add_column(name, justify="right")
    for figure in next(iter(columns.values()), {}):
        table.add_row(figure, *(figures[figure] for figures in columns.values()))
    for figure in ("step, chats per CPU s", "whole process, chats per CPU s") if "flywheel" in columns else ():
        rates = [float(figures[figure].replace(",", "")) for figures in columns.values()]
        ours = rates[list(columns).index("flywheel")]
        table.add_row(f"{figure.partition(',')[0]}, flywheel's rate to this", *(f"{ours / rate:.1f}" for rate in rates))
    Console(width=max(80, 40 + 15 * len(columns))).print(table)


if __name__ == "__main__":
    main()
