"""MB per CPU second of reading logs, against a bare msgspec loop over the same file, as ratios from one run."""

import gzip
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pyarrow.json
import zstandard

from flywheel.records import Record, text_message
from flywheel.sections import Logs
from flywheel.sources.files import find_files
from flywheel.sources.lines import Entry, decode, entries
from flywheel.sources.read import Reading
from flywheel.sources.unpack import unpack

LINES = 40_000
ROUNDS = 7


@dataclass(frozen=True)
class Plain:
    """The least that a dialect can do."""

    def sniff(self, head: bytes) -> bool:
        return b'"messages"' in head

    def parse(self, entry: Any) -> Iterator[Record]:
        yield Record(id=entry["id"], messages=tuple(text_message(said["role"], said["content"]) for said in entry["messages"]))


def main(lines: int = LINES) -> dict[str, float]:
    """Print the speeds; returns MB per CPU second by step."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        plain, array = root / "chats.jsonl", root / "chats.json"
        rows = list(_rows(lines))
        plain.write_bytes(b"".join(row + b"\n" for row in rows))
        array.write_bytes(b"[" + b",\n".join(rows) + b"]")
        (root / "chats.gz").write_bytes(gzip.compress(plain.read_bytes(), 6))
        (root / "chats.zst").write_bytes(zstandard.compress(plain.read_bytes()))
        size = plain.stat().st_size / 1e6
        registered = find_files(Logs(url="*.jsonl"), root=root, start="2026-01-01")
        steps: dict[str, Callable[[], int]] = {
            "bare msgspec loop": lambda: _bare(plain),
            "entries, decoded": lambda: _entries(plain),
            "entries of gzip": lambda: _entries(root / "chats.gz"),
            "entries of zstd": lambda: _entries(root / "chats.zst"),
            "entries of one array": lambda: _entries(array),
            "records in batches": lambda: _records(registered, root),
            "pyarrow, no dialect": lambda: _pyarrow(plain),
        }
        speeds = {name: size / _seconds(step, lines) for name, step in steps.items()}
    print(f"{lines:,} chats, {size:.0f} MB, best of {ROUNDS}")
    for name, speed in speeds.items():
        print(f"{name:22} {speed:6.0f} MB per CPU second, {speeds['bare msgspec loop'] / speed:5.2f} times the bare loop's time")
    return speeds


def _rows(lines: int) -> Iterator[bytes]:
    chance = random.Random(0)
    words = ["".join(chance.choices("etaoinshrdlu", k=chance.randint(2, 9))) for _ in range(5000)]
    for number in range(lines):
        messages = [
            {"role": role, "content": " ".join(chance.choices(words, k=chance.randint(10, 90))) + '.\n"Sure"'}
            for role in ("system", "user", "assistant")
        ]
        yield msgspec.json.encode({"id": f"chatcmpl-{number:020}", "messages": messages, "usage": {"prompt_tokens": 90}})


def _bare(path: Path) -> int:
    parse = msgspec.json.Decoder().decode
    count = 0
    with path.open("rb") as file:
        for line in file:
            parse(line)
            count += 1
    return count


def _entries(path: Path) -> int:
    count = 0
    with path.open("rb") as file:
        for item in entries(unpack(file)):
            if isinstance(item, Entry):
                decode(item.data)
                count += 1
    return count


def _records(files: pl.DataFrame, root: Path) -> int:
    reading = Reading(files, logs=Logs(url="*.jsonl"), root=root, sources={"plain": Plain()}, key=b"k")
    return sum(chunk.records.height for chunk in reading)


def _pyarrow(path: Path) -> int:
    """A peer that knows no dialect, gives records no id, and stops at a bad line."""
    options = pyarrow.json.ReadOptions(use_threads=False, block_size=64 << 20)
    return pyarrow.json.read_json(path, read_options=options).num_rows


def _seconds(step: Callable[[], int], expected: int) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        count = step()
        times.append(time.process_time() - start)
        assert count == expected
    return min(times)


if __name__ == "__main__":
    main()
