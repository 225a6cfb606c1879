"""Near-duplicates: `sign` and `find_duplicates` against datasketch's bulk API, on one corpus in one run.

The corpus is made here: chats of words drawn by Zipf's law, and families that repeat a chat with a few words changed. Both
sides use the same word 3-grams, permutations, bands and exact verification; CPU seconds are those of this process, all
threads. datasketch is given xxh32, which is faster than its default SHA-1. Compiling is left out: a small batch runs first.
"""

import argparse
import re
import resource
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from flywheel.records import Record, text_message, to_batch
from flywheel.sections import Dedup

SIMILARITY = 0.8
_VOCABULARY = 40_000
_Result = TypeVar("_Result")
Pair = tuple[int, int]
Figures = dict[str, str]
_BATCH = 10_000


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


class Outcome(NamedTuple):
    """Verified links (row, older row), and the CPU seconds of each step."""

    links: set[Pair]
    steps: dict[str, float]


def ours(batch: pl.DataFrame) -> Outcome:
    """Flywheel, in batches of 10,000 as the graph does it."""
    from flywheel.curate.dedup.duplicates import find_duplicates
    from flywheel.curate.dedup.signatures import sign

    settings = Dedup(similarity=SIMILARITY)
    clock = _Clock()
    parts = clock("sign", lambda: [sign(part, settings=settings) for part in batch.iter_slices(_BATCH)])
    table = pl.concat(parts).with_columns(day=pl.lit("2026-01-01"))
    found = clock("find", lambda: find_duplicates(table, similarity=SIMILARITY))
    pairs = found.select(pl.col("id", "kept").cast(pl.Int64)).iter_rows()
    return Outcome({(row, kept) for row, kept in pairs}, clock.seconds)


def datasketchs(texts: list[str]) -> Outcome:
    """`MinHash.bulk`, `MinHashLSH` and exact verification of its candidates, with our bands for 0.8."""
    import datasketch
    import xxhash

    from flywheel.curate.dedup.minhash import lsh_bands

    def tokenise() -> list[set[bytes]]:
        found = (re.findall(r"\w+", text.lower()) for text in texts)
        return [{" ".join(words[i : i + 3]).encode() for i in range(max(len(words) - 2, 1))} for words in found]

    def match() -> set[Pair]:
        lsh = datasketch.MinHashLSH(num_perm=128, params=lsh_bands(SIMILARITY))
        links = set()
        for row, (tokens, signature) in enumerate(zip(sets, signatures, strict=True)):
            for other in lsh.query(signature):
                if len(tokens & sets[other]) >= SIMILARITY * len(tokens | sets[other]):
                    links.add((row, other))
            lsh.insert(row, signature, check_duplication=False)
        return links

    clock = _Clock()
    sets = clock("tokenise", tokenise)
    signatures = clock("bulk", lambda: datasketch.MinHash.bulk(sets, num_perm=128, hashfunc=xxhash.xxh32_intdigest))
    return Outcome(clock("match", match), clock.seconds)


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, step: str, work: Callable[[], _Result]) -> _Result:
        start = time.process_time()
        result = work()
        self.seconds[step] = time.process_time() - start
        return result


def true_pairs(texts: list[str], family: list[int]) -> set[Pair]:
    """The pairs (later, earlier) within families that are at least 0.8 similar, by Python's sets."""
    members = defaultdict(list)
    for row, number in enumerate(family):
        if number >= 0:
            members[number].append(row)
    grams = {row: _grams(texts[row]) for rows in members.values() for row in rows}
    pairs = ((b, a) for rows in members.values() for i, b in enumerate(rows) for a in rows[:i])
    return {(b, a) for b, a in pairs if len(grams[a] & grams[b]) >= SIMILARITY * len(grams[a] | grams[b])}


def _grams(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}


def _figures(outcome: Outcome, chats: int, true: set[Pair], family: list[int]) -> Figures:
    """Against the truth. A true pair is missed when both of its rows stay; a family is lost when none of its rows goes."""
    gone = {row for row, _ in outcome.links}
    missed = sum(not gone & {a, b} for a, b in true)
    lost = {family[row] for row, _ in true} - {family[row] for row in gone}
    seconds = sum(outcome.steps.values())
    return {
        "CPU seconds": f"{seconds:.2f}",
        **{f"  {step}": f"{spent:.2f}" for step, spent in outcome.steps.items()},
        "chats per CPU second": f"{chats / seconds:,.0f}",
        "rows that go": f"{len(gone):,}",
        "links that are false": f"{len(outcome.links - true)}",
        "true pairs of which both stay": f"{missed} of {len(true):,}",
        "families lost": f"{len(lost)}",
        "peak memory so far, MB": f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f}",
    }


def main(arguments: list[str] | None = None) -> None:
    """Print both sides' figures and the ratio of their speeds."""
    parser = argparse.ArgumentParser(prog="near_duplicates", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--chats", type=int, default=50_000)
    parser.add_argument("--without-peer", action="store_true", help="measure flywheel alone")
    options = parser.parse_args(arguments)
    records, family = corpus(options.chats)
    texts = ["\n".join(message.text for message in record.messages) for record in records]
    batch = pl.concat([to_batch(records[start : start + _BATCH]) for start in range(0, len(records), _BATCH)])
    del records
    true = true_pairs(texts, family)
    ours(batch.head(200))
    mine = ours(batch)
    columns = {"flywheel": _figures(mine, options.chats, true, family)}
    if not options.without_peer:
        peer = datasketchs(texts)
        columns["datasketch bulk, xxh32"] = _figures(peer, options.chats, true, family)
        print(f"ratio of speeds: {sum(peer.steps.values()) / sum(mine.steps.values()):.1f}")
    table = Table(f"{options.chats:,} chats, {sum(map(len, texts)) / 1e6:.0f} MB; compiling left out", *columns)
    for name in dict.fromkeys(name for figures in columns.values() for name in figures):
        table.add_row(name, *(figures.get(name, "") for figures in columns.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
