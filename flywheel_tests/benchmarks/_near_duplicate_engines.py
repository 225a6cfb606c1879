"""Engines that search one corpus for near-duplicates, each run in a process of its own.

`python -m flywheel_tests.benchmarks._near_duplicate_engines NAME FOLDER` reads `records.parquet` or `texts.parquet` of the
folder and writes `NAME.parquet`, the rows that go (`row`) and the row that stays for each (`kept`), and `NAME.json`, its
figures. CPU seconds are those of all threads and child processes. All use word 3-grams; flywheel its own 20 bands of 6, the
others 18 of 7, datasketch's choice for a similarity of 0.8 with recall weighed 0.99, which costs those that verify nothing less
precision. What is compiled is compiled before the clock starts.
"""

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl
import pyarrow.parquet as pq

SIMILARITY = 0.8
BATCH = 10_000
BANDS, ROWS = 18, 7
Links = pl.DataFrame
_Result = TypeVar("_Result")


class Clock:
    """CPU seconds of named steps, summed over calls, child processes included."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, step: str, work: Callable[[], _Result]) -> _Result:
        start = cpu_seconds()
        result = work()
        self.seconds[step] = self.seconds.get(step, 0.0) + cpu_seconds() - start
        return result


def cpu_seconds() -> float:
    """User and system time of this process and of its children that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def flywheel(folder: Path, clock: Clock) -> Links:
    """`sign` in batches of 10,000 and `find_duplicates`, verified."""
    from flywheel.curate.dedup.duplicates import find_duplicates
    from flywheel.curate.dedup.signatures import sign
    from flywheel.sections import Dedup

    def read() -> Iterator[pl.DataFrame]:
        columns = ["id", "created_at", "messages", "candidates"]
        for batch in pq.ParquetFile(folder / "records.parquet").iter_batches(BATCH, columns=columns, use_threads=False):
            yield pl.DataFrame(pl.from_arrow(batch))

    settings, day = Dedup(similarity=SIMILARITY), pl.lit("2026-01-01").alias("day")
    find_duplicates(sign(next(read()).head(200), settings=settings).with_columns(day))
    parts = [clock("sign", partial(sign, batch, settings=settings)) for batch in read()]
    signatures = pl.concat(parts).with_columns(day)
    found = clock("find", lambda: find_duplicates(signatures, similarity=SIMILARITY))
    return found.select(pl.col("id").cast(pl.Int64).alias("row"), pl.col("kept").cast(pl.Int64))


def datasketch(folder: Path, clock: Clock) -> Links:
    """`MinHash.bulk` with xxh32, `MinHashLSH`, and candidates verified by Python's sets."""
    import xxhash
    from datasketch import MinHash, MinHashLSH

    def match() -> Links:
        lsh, links = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS)), {}
        for row, (tokens, signature) in enumerate(zip(sets, signatures, strict=True)):
            near = (o for o in sorted(lsh.query(signature)) if len(tokens & sets[o]) >= SIMILARITY * len(tokens | sets[o]))
            if (kept := next(near, None)) is not None:
                links[row] = kept
            else:
                lsh.insert(row, signature, check_duplication=False)
        return _links(list(links), list(links.values()))

    sets = clock("tokenise", lambda: _token_sets(folder, bytes_=True))
    signatures = clock("bulk", lambda: MinHash.bulk(sets, num_perm=BANDS * ROWS, hashfunc=xxhash.xxh32_intdigest))
    return clock("match", match)


def rensa(folder: Path, clock: Clock) -> Links:
    """`RMinHash.digest_matrix_from_token_sets`; bands joined as for `daft_grouped`; not verified."""
    from rensa import RMinHash

    _grouped(np.zeros((2, BANDS * ROWS), np.uint32))
    sets = clock("tokenise", lambda: _token_sets(folder, bytes_=False))
    matrix = clock("digest", lambda: RMinHash.digest_matrix_from_token_sets(sets, BANDS * ROWS, 42))
    return clock("group", lambda: _grouped(np.array(matrix.to_rows(), np.uint32)))


def daft(folder: Path, clock: Clock) -> Links:
    """All of it by Daft's own operations, as its guide has it (`_daft_deduplication`); not verified."""
    from flywheel_tests.benchmarks import _daft_deduplication as steps

    signed = steps.signatures(folder / "texts.parquet", length=BANDS * ROWS)
    linked = clock("minhash and bands", lambda: steps.edges(signed, rows_per_band=ROWS))
    found = clock("components", lambda: steps.components(linked).to_pydict())
    return _links(found["u"], found["v"])


def daft_grouped(folder: Path, clock: Clock) -> Links:
    """Daft's signatures, and their bands joined by one sort each, faster than its own operations; not verified."""
    from flywheel_tests.benchmarks import _daft_deduplication as steps

    def sign() -> Any:
        table = steps.signatures(folder / "texts.parquet", length=BANDS * ROWS).to_arrow()
        matrix = table["signature"].combine_chunks().flatten().to_numpy().reshape(-1, BANDS * ROWS)
        rows = table["row"].to_numpy()
        return matrix if (rows[1:] > rows[:-1]).all() else matrix[np.argsort(rows)]

    _grouped(np.zeros((2, BANDS * ROWS), np.uint32))
    signatures = clock("minhash", sign)
    return clock("group", lambda: _grouped(signatures))


def text_dedup(folder: Path, clock: Clock) -> Links:
    """Its command line, `python -m text_dedup.minhash`, on two processes, its imports and reading included; not verified."""
    import pickle

    out = folder / "text_dedup"
    command = [sys.executable, "-m", "text_dedup.minhash", "--path", "parquet", "--data_files", str(folder / "texts.parquet")]
    command += ["--split", "train", "--column", "text", "--output", str(out), "--cache_dir", str(folder / "cache")]
    command += ["--ngram", "3", "--min_length", "1", "--num_perm", str(BANDS * ROWS), "--b", str(BANDS), "--r", str(ROWS)]
    command += ["--hash_func", "xxh3", "--hash_bits", "32", "--threshold", str(SIMILARITY), "--num_proc", "2", "--debug"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    clock("all", lambda: subprocess.run(command, check=True, capture_output=True, env=environment))
    with (out / "uf.pkl").open("rb") as file:
        found = pickle.load(file)
    pairs = [(row, found.find(row)) for row in list(found.parent)]
    return _links([row for row, _ in pairs], [kept for _, kept in pairs]).filter(pl.col("row") != pl.col("kept"))


ENGINES = {engine.__name__: engine for engine in (flywheel, datasketch, rensa, daft, daft_grouped, text_dedup)}
CHATS = 500_000
SECONDS = {"flywheel": 16, "datasketch": 150, "rensa": 65, "daft": 20, "daft_grouped": 22, "text_dedup": 120}
"""About what each takes of the clock for that many chats on two cores; all grow nearly in proportion to the chats."""
PEERS = Path(sys.prefix) / "peers"
"""Where `make bench` installs the engines that want other versions of what flywheel uses (`peers.txt`)."""
_MODULES = {"daft": "daft", "daft_grouped": "daft", "text_dedup": "text_dedup"}


def announcement(names: Iterable[str], chats: int) -> str:
    """About how long each engine takes, in words."""
    times = {name: max(SECONDS[name] * chats / CHATS, 5) for name in names}
    words = (f"{name} {f'{time / 60:.0f} min' if time >= 90 else f'{time:.0f} s'}" for name, time in times.items())
    return f"near-duplicates among {chats:,} chats take about: {', '.join(words)}"


def environment(name: str) -> dict[str, str]:
    """The environment of an engine's process: those of `peers.txt` see their own versions first."""
    return {**os.environ, **({"PYTHONPATH": str(PEERS)} if name in _MODULES else {})}


def missing(name: str) -> bool:
    """Whether an engine is not installed."""
    return not PathFinder.find_spec(_MODULES.get(name, name), [str(PEERS), *sys.path])


def _token_sets(folder: Path, *, bytes_: bool) -> list[Any]:
    texts = pl.read_parquet(folder / "texts.parquet")["text"]
    words = (re.findall(r"\w+", text.lower()) for text in texts)
    grams = ({" ".join(row[i : i + 3]) for i in range(max(len(row) - 2, 1))} for row in words)
    return [{gram.encode() for gram in row} if bytes_ else list(row) for row in grams]


def _grouped(signatures: Any) -> Links:
    """Each row that shares a band goes for the first row of its component: one sort a band, and scipy's components."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    from flywheel.curate.dedup.kernels import band_rows

    count = len(signatures)
    hashes, rows = np.empty((count, BANDS), np.uint64), np.arange(count, dtype=np.uint64)
    band_rows(np.ascontiguousarray(signatures), ROWS, hashes)
    shift = np.uint64(count.bit_length())  # the upper bits of a key are the hash's, the lower ones the row's number
    edges = []
    for band in hashes.T:
        keys = (band >> shift << shift) | rows
        keys.sort()
        shared = np.flatnonzero(keys[1:] >> shift == keys[:-1] >> shift)
        edges.append(np.stack([keys[shared], keys[shared + 1]]) & ((np.uint64(1) << shift) - np.uint64(1)))
    one, other = np.concatenate(edges, axis=1).astype(np.int32)
    components, labels = connected_components(coo_array((np.ones(len(one), np.int8), (one, other)), shape=(count, count)))
    first = np.empty(components, np.int64)
    first[labels[::-1]] = np.arange(count)[::-1]
    return _links(np.arange(count), first[labels]).filter(pl.col("row") != pl.col("kept"))


def _links(rows: Any, kept: Any) -> Links:
    return pl.DataFrame({"row": rows, "kept": kept}, schema={"row": pl.Int64, "kept": pl.Int64})


def _own_peak() -> int:
    """Bytes; what the kernel reports of the process by `getrusage` begins with the memory of the one that started it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))


def main(name: str, folder: Path) -> None:
    """Run one engine and write what it found and what it cost."""
    clock = Clock()
    links = ENGINES[name](folder, clock)
    whole = cpu_seconds()
    peak = max(_own_peak(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
    links.write_parquet(folder / f"{name}.parquet")
    (folder / f"{name}.json").write_text(json.dumps({"steps": clock.seconds, "whole": whole, "peak": peak}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
