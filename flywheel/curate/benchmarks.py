"""Evaluation sets as files: the texts of their rows that no training row may hold."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from flywheel.curate.words import spaced
from flywheel.errors import ConfigError, Rejected
from flywheel.sections import Benchmark, Logs
from flywheel.sources.files import find_files, open_file
from flywheel.sources.lines import Entry, decode
from flywheel.sources.tabular import is_parquet, parquet_rows, rows_or_entries
from flywheel.sources.unpack import Cut, unpack

# What the text to answer is called in published sets; the first of these that a row has is compared.
USUAL_FIELDS = ("question", "prompt", "instruction", "problem", "turns", "messages", "query", "goal", "sentence", "text", "input")
_INNER = ("content", "text", "value")


class BenchmarkText(NamedTuple):
    """One text of an evaluation set: its row, counted from 1 over all files, and what stands there."""

    row: int
    text: str


def digest_of(benchmark: Benchmark, root: Path) -> str:
    """A digest of its files' bytes; `missing` where there are none, `unreadable` where one cannot be read."""
    files = _files(benchmark, root)
    if files.is_empty():
        return "missing"
    if files["sha256"].null_count():
        return "unreadable"
    return hashlib.sha256("".join(files["sha256"]).encode()).hexdigest()[:16]


def read_benchmark(benchmark: Benchmark, root: Path) -> list[BenchmarkText]:
    """Its texts in order of file and row; a field that is a list, or messages, gives a text for each element.

    JSON Lines, JSON, CSV or Parquet, packed or not, as `[logs]`. Memory: all its texts.

    Raises:
        ConfigError: no file matches, a file cannot be read to its end, or a row has none of the fields.
    """
    where = f"[[benchmarks]] {benchmark.name}"
    files = _files(benchmark, root)
    if files.is_empty():
        raise ConfigError(f"{where}: no file matches {benchmark.url!r}. Paths are relative to flywheel.toml.")
    texts: list[BenchmarkText] = []
    row = 0
    for uri in files["uri"]:
        try:
            for value in _rows(uri, root, benchmark.fields):
                row += 1
                found = _fields(value, benchmark.fields)
                if not found:
                    raise ConfigError(_no_field(where, uri, value, row))
                texts += [BenchmarkText(row, text) for text in found if text.strip()]
        except (Rejected, Cut, OSError) as error:
            reason = getattr(error, "reason", "unreadable")
            raise ConfigError(f"{where}: {uri} cannot be read behind row {row}: {reason}.") from None
    return texts


def _files(benchmark: Benchmark, root: Path) -> pl.DataFrame:
    return find_files(Logs(url=benchmark.url), root=root, start="").sort("uri")


def _rows(uri: str, root: Path, fields: tuple[str, ...]) -> Iterator[Any]:
    with open_file(uri, root) as file:
        if is_parquet(file):
            items: Iterable[Any] = parquet_rows(file)
        else:
            columns = {field.partition(".")[0] for field in fields} or set(USUAL_FIELDS)
            items = rows_or_entries(unpack(file), columns=columns)
        for item in items:
            if isinstance(item, Entry):
                yield decode(item.data)
            elif hasattr(item, "reason"):
                raise Cut(item.reason)


def _fields(value: Any, fields: tuple[str, ...]) -> list[str]:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, dict):
        return []
    chosen = fields or next(((name,) for name in USUAL_FIELDS if value.get(name)), ())
    return [text for field in chosen for text in _texts(_at(value, field))]


def _at(value: Any, field: str) -> Any:
    for name in field.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        yield from _texts(next((value[name] for name in _INNER if value.get(name)), None))


def _no_field(where: str, uri: str, value: Any, row: int) -> str:
    names = ", ".join(value) if isinstance(value, dict) else type(value).__name__
    return f"{where}: row {row} of {uri} has no text to compare; it has {names}. Name some with `fields = [...]`."


def as_series(texts: Iterable[BenchmarkText]) -> pl.Series:
    """The texts as the kernel that hashes n-grams takes them."""
    return spaced(pl.Series([each.text for each in texts], dtype=pl.String))
