"""Engines that search one corpus for near-duplicates, each run in a process of its own.

`python -m flywheel_tests.benchmarks._near_duplicate_engines NAME FOLDER` reads `records.parquet` or `texts.parquet` of the
folder and writes `NAME.parquet`, the rows that go (`row`) and the row that stays for each (`kept`), and `NAME.json`, its
figures. CPU seconds are those of all threads and child processes. All use word 3-grams, 126 permutations and 18 bands of 7,
which is datasketch's own choice for a similarity of 0.8 with recall weighed 0.99. What is compiled is compiled before the
clock starts.
"""

import importlib.util
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
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
        for batch in pq.ParquetFile(folder / "records.parquet").iter_batches(BATCH, columns=columns):
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
    """`RMinHash.digest_matrix_from_token_sets`; bands joined as for Daft, not verified."""
    from rensa import RMinHash

    _grouped(np.zeros((2, BANDS * ROWS), np.uint32))
    sets = clock("tokenise", lambda: _token_sets(folder, bytes_=False))
    matrix = clock("digest", lambda: RMinHash.digest_matrix_from_token_sets(sets, BANDS * ROWS, 42))
    return clock("group", lambda: _grouped(np.array(matrix.to_rows(), np.uint32)))


def daft(folder: Path, clock: Clock) -> Links:
    """Daft's `normalize` and `minhash`; bands joined by our kernel, which is faster than its documented joins; not verified."""
    import daft as engine  # type: ignore[import-not-found, unused-ignore]
    from daft import functions

    def sign() -> Any:
        text = functions.normalize(engine.col("text"), remove_punct=True, lowercase=True, white_space=True)
        hashed = functions.minhash(text, num_hashes=BANDS * ROWS, ngram_size=3, hash_function="xxhash3_64")
        table = engine.read_parquet(str(folder / "texts.parquet")).select(hashed.alias("signature")).to_arrow()
        return table["signature"].combine_chunks().flatten().to_numpy().reshape(-1, BANDS * ROWS)

    _grouped(np.zeros((2, BANDS * ROWS), np.uint32))
    signatures = clock("minhash", sign)
    return clock("group", lambda: _grouped(signatures))


def text_dedup(folder: Path, clock: Clock) -> Links:
    """Its command line, `python -m text_dedup.minhash`, on two processes; not verified."""
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


ENGINES = {engine.__name__: engine for engine in (flywheel, datasketch, rensa, daft, text_dedup)}
INSTALL = {
    "rensa": "pip install 'flywheel[bench]'",
    "daft": "pip install 'flywheel[bench]'",
    "text_dedup": "pip install --no-deps text-dedup==0.4.0 click-option-group scipy (its pins of rich and urllib3 are not ours)",
}


def missing(name: str) -> str | None:
    """The command that installs an engine that is not there."""
    return None if importlib.util.find_spec(name) else INSTALL.get(name, f"pip install {name}")


def _token_sets(folder: Path, *, bytes_: bool) -> list[Any]:
    texts = pl.read_parquet(folder / "texts.parquet")["text"]
    words = (re.findall(r"\w+", text.lower()) for text in texts)
    grams = ({" ".join(row[i : i + 3]) for i in range(max(len(row) - 2, 1))} for row in words)
    return [{gram.encode() for gram in row} if bytes_ else list(row) for row in grams]


def _grouped(signatures: Any) -> Links:
    """Each row that shares a band goes for the first row of its component."""
    from flywheel.curate.dedup.components import connected
    from flywheel.curate.dedup.kernels import band_rows

    hashes = np.empty((len(signatures), BANDS), np.uint64)
    band_rows(np.ascontiguousarray(signatures), ROWS, hashes)
    groups = connected(np.ascontiguousarray((hashes >> np.uint64(32)).astype(np.uint32).T), limit=1)
    first = np.repeat(groups.rows[groups.starts[:-1]], np.diff(groups.starts)) if len(groups.rows) else groups.rows
    return _links(groups.rows, first).filter(pl.col("row") != pl.col("kept"))


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
