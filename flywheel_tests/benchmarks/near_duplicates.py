"""Near-duplicates: flywheel against datasketch, rensa, Daft and text-dedup, on one corpus in one run.

The corpus is made here: chats of words drawn by Zipf's law, and families that repeat a chat with a few words changed. Every
engine runs in a process of its own (`_near_duplicate_engines` says what each does). "Step" is the search itself, from texts in
memory or in a file to the rows that go; "whole" is all that the process costs, importing and reading too. A true pair is
missed when both of its rows stay; a family is lost when none of its rows stays. The yardstick is a pass that hashes every byte
of the texts once with XXH3, the least that a search can do that looks at them.

An engine that is not installed is named with the command that installs it. `--chats 50000` makes it a matter of seconds.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import xxhash
from rich.console import Console
from rich.table import Table

from flywheel.records import Record, text_message, to_batch
from flywheel_tests.benchmarks import _near_duplicate_engines as engines
from flywheel_tests.benchmarks._near_duplicate_engines import BATCH, SIMILARITY

_VOCABULARY = 40_000
Pair = tuple[int, int]
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
    drawn = vocabulary[generator.choice(_VOCABULARY, size=chats * 180, p=weights / weights.sum())]
    texts: list[list[str]] = []
    family: list[int] = []
    used = 0
    while len(texts) < chats:
        length = int(np.clip(generator.lognormal(4.6, 0.7), 12, 900))
        base = drawn[used % (len(drawn) - 900) :][:length].tolist()
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


def true_pairs(texts: list[str], family: list[int]) -> set[Pair]:
    """The pairs (later, earlier) within families that are at least 0.8 similar, by Python's sets."""
    members = defaultdict(list)
    for row, number in enumerate(family):
        if number >= 0:
            members[number].append(row)
    pairs = ((b, a) for rows in members.values() for i, b in enumerate(rows) for a in rows[:i])
    return {pair for pair in pairs if _alike(texts, pair)}


def _alike(texts: list[str], pair: Pair) -> bool:
    one, other = (_grams(texts[row]) for row in pair)
    return len(one & other) >= SIMILARITY * len(one | other)


def _grams(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}


class Truth(NamedTuple):
    """What there is to find."""

    texts: list[str]
    family: list[int]
    pairs: set[Pair]


def _figures(folder: Path, name: str, truth: Truth, hashing: float) -> Figures:
    links = pl.read_parquet(folder / f"{name}.parquet")
    cost: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    gone = set(links["row"].to_list())
    false = sum(not _alike(truth.texts, pair) for pair in links.rows())
    missed = sum(not gone & {a, b} for a, b in truth.pairs)
    staying = {number for row, number in enumerate(truth.family) if row not in gone}
    step, chats = sum(cost["steps"].values()), len(truth.texts)
    return {
        "step, CPU s": f"{step:.2f} ({', '.join(f'{part} {spent:.2f}' for part, spent in cost['steps'].items())})",
        "step, chats per CPU s": f"{chats / step:,.0f}",
        "step, times a pass that hashes every byte": f"{step / hashing:.0f}",
        "whole process, CPU s": f"{cost['whole']:.2f}",
        "whole process, chats per CPU s": f"{chats / cost['whole']:,.0f}",
        "peak memory, MB": f"{cost['peak'] / 1e6:,.0f}",
        "rows that go": f"{len(gone):,}",
        "precision of (row, kept)": f"{1 - false / max(len(links), 1):.4f}",
        "recall of true pairs": f"{1 - missed / max(len(truth.pairs), 1):.4f}",
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
    parser.add_argument("--chats", type=int, default=500_000)
    parser.add_argument("--only", nargs="+", choices=list(engines.ENGINES), default=list(engines.ENGINES), help="these engines")
    options = parser.parse_args(arguments)
    records, family = corpus(options.chats)
    texts = ["\n".join(message.text for message in record.messages) for record in records]
    columns: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        parts = [to_batch(records[start : start + BATCH]) for start in range(0, len(records), BATCH)]
        del records
        pl.concat(parts).write_parquet(folder / "records.parquet")
        pl.DataFrame({"text": texts}).write_parquet(folder / "texts.parquet")
        del parts
        truth, hashing = Truth(texts, family, true_pairs(texts, family)), _hashing_seconds(texts)
        for name in options.only:
            if command := engines.missing(name):
                print(f"{name} is not installed: {command}")
                continue
            subprocess.run([sys.executable, "-m", engines.__name__, name, str(folder)], check=True)
            columns[name] = _figures(folder, name, truth, hashing)
    _print(columns, f"{options.chats:,} chats, {sum(map(len, texts)) / 1e6:.0f} MB; hashing every byte: {hashing:.3f} CPU s")


def _print(columns: dict[str, Figures], title: str) -> None:
    table = Table("", *columns, title=title)
    for name in next(iter(columns.values()), {}):
        table.add_row(name, *(figures[name] for figures in columns.values()))
    Console(width=max(120, 40 * len(columns))).print(table)
    for figure in ("step, chats per CPU s", "whole process, chats per CPU s"):
        rates = {name: float(figures[figure].replace(",", "")) for name, figures in columns.items()}
        ours = rates.pop("flywheel", None)
        for name, rate in rates.items() if ours else ():
            print(f"{figure}: {(ours or 0) / rate:.1f} times {name}")


if __name__ == "__main__":
    main()
