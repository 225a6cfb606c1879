"""Write a training set: one file a split, the lineage of every line, manifest and card, visible only when it is whole."""

import dataclasses
import hashlib
import inspect
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import msgspec
import polars as pl
import pyarrow as pa

from flywheel import __version__, ledger, plugins
from flywheel.errors import FlywheelError, PluginError, Rejected
from flywheel.format import publish
from flywheel.format.card import card
from flywheel.format.tokens import TokenCounter, spoken
from flywheel.format.writers import open_writer
from flywheel.records import Record, from_batch
from flywheel.schema import column
from flywheel.sections import Set

SPLIT_NAMES = ("train", "validation", "test")
LINEAGE = pa.schema(
    [
        column("split", pa.string(), "which file"),
        column("line", pa.int64(), "line of the file, from 1; the row of a Parquet file"),
        column("id", pa.string(), "the record"),
        column("sha256", pa.string(), "of the line's bytes without its newline; of the row as JSON for Parquet"),
        column("tokens", pa.int32(), "as the manifest says they were counted"),
        column("file", pa.string(), "the original log file; null for synthetic records"),
        column("offset", pa.int64(), "byte offset of the entry in it"),
    ]
)


@runtime_checkable
class Typed(Protocol):
    """A format that states its columns' types for the dataset card, so that `datasets` does not guess them from the start."""

    def features(self) -> list[dict[str, Any]]:
        """Features as a dataset card's YAML writes them."""
        ...


class Renders(Protocol):
    """`flywheel.plugins.Format`, with a `suffix` that need not be settable."""

    @property
    def suffix(self) -> str: ...

    def render(self, record: Record) -> dict[str, Any]: ...


class File(NamedTuple):
    """One written split."""

    split: str
    name: str
    rows: int
    tokens: int
    longest: int
    bytes: int
    sha256: str


class Exported(NamedTuple):
    """A finished set: `rows_in` = the files' rows + `exits`. `new` is False when this very content was there already."""

    path: Path
    version: str
    new: bool
    files: tuple[File, ...]
    rows_in: int
    exits: pl.DataFrame
    manifest: Mapping[str, Any]


def export(
    records: Iterable[pl.DataFrame],
    format: Renders,
    *,
    folder: Path,
    set: Set,
    token_counter: TokenCounter,
    provenance: Mapping[str, Any],
) -> Exported:
    """Write `folder/VERSION/` with `train`, `validation` and `test` files, `lineage.parquet`, `manifest.json` and `README.md`.

    The version is the start of a sha256 over every line, its lineage and the settings, and nothing in the folder tells the
    time: the same inputs give the same bytes, and content that is there already is left as it is, with its first
    provenance. Everything is written to a hidden folder beside it, made durable and renamed, then `latest` moves: a run
    killed half way leaves nothing visible, and the next one clears it away. Memory: one batch, and an id for each exit.

    Args:
        records: batches, in the order in which lines are to be written. A null `split` counts as `train`; a split without
            rows gets no file.
        format: how a record is written. `suffix` `jsonl` and `parquet` are known; for the latter it needs a `schema`.
        provenance: what the set was made from, JSON values. Shown in the card: `funnel` (list of `stage`, `rows_in`,
            `kept`, `dropped` by reason) and `scrub` (how personal data was looked for); `tables`, `plugins` and
            `fingerprint` go into the manifest, as does anything else.

    Returns:
        Exits carry the reasons that the format gave.

    Raises:
        PluginError: the format failed other than by refusing, or its suffix is unknown.
        FlywheelError: a record has another split.

    Example:
        export(batches, OpenaiChat(), folder=Path("sets/chat"), set=Set(name="chat", format="openai_chat"),
               token_counter=Estimate(), provenance={})
    """
    with publish.staging(folder) as staging, ExitStack() as stack:
        run = _Run(format, staging, token_counter, stack)
        for batch in records:
            run.add(from_batch(batch))
        files = run.close()
        contents = _contents(run, files, set, token_counter)
        version = hashlib.sha256(_canonical(contents | {"lines": run.lines.hexdigest()})).hexdigest()[:12]
        manifest: dict[str, Any] = {"version": version, **contents}
        manifest["rejected"] = dict(sorted(Counter(reason for _, reason in run.rejected).items()))
        manifest["versions"] = {"flywheel": __version__, "format": _code(format, set)}
        manifest["provenance"] = msgspec.to_builtins(dict(provenance))
        (staging / "manifest.json").write_bytes(_canonical(manifest))
        features = format.features() if isinstance(format, Typed) else None
        (staging / "README.md").write_text(card(manifest, features=features, fields=inspect.getdoc(type(format))), "utf-8")
        new = publish.publish(staging, folder / version, _whole)
        publish.point_latest(folder, version)
    path = folder / version
    if not new:
        manifest = json.loads((path / "manifest.json").read_bytes())
    left = ledger.exits([one for one, _ in run.rejected], [reason for _, reason in run.rejected])
    return Exported(path, version, new, files, run.rows_in, left, manifest)


class _Run:
    """The open files of one export, and its counts."""

    def __init__(self, format: Renders, staging: Path, token_counter: TokenCounter, stack: ExitStack) -> None:
        self.format, self.staging, self.token_counter, self.stack = format, staging, token_counter, stack
        self.lineage = self.stack.enter_context(open_writer(staging / "lineage.parquet", LINEAGE))
        self.writers: dict[str, Any] = {}
        self.rows, self.tokens, self.longest = Counter[str](), Counter[str](), Counter[str]()
        self.licenses, self.origins = Counter[str](), Counter[str]()
        self.rejected: list[tuple[str, str]] = []
        self.rows_in = 0
        self.lines = hashlib.sha256()

    def add(self, records: list[Record]) -> None:
        """Render one batch, count its tokens at once, and write it."""
        self.rows_in += len(records)
        rendered = [(record, row) for record in records if (row := self._render(record)) is not None]
        counts = self.token_counter.count([spoken(row) for _, row in rendered])
        for (record, row), tokens in zip(rendered, counts, strict=True):
            self._write(record, row, tokens)

    def _render(self, record: Record) -> dict[str, Any] | None:
        try:
            return self.format.render(record)
        except Rejected as rejected:
            self.rejected.append((record.id, rejected.slug))
            return None
        except Exception as error:
            # the message is left out: it may quote the record
            raise PluginError(f"format {self.format!r} failed on record {record.id} with {type(error).__name__}.") from None

    def _write(self, record: Record, row: dict[str, Any], tokens: int) -> None:
        split = record.split or "train"
        if split not in SPLIT_NAMES:
            raise FlywheelError(f"record {record.id} has split {split!r}; there is {', '.join(SPLIT_NAMES)}.")
        if split not in self.writers:
            path = self.staging / f"{split}.{self.format.suffix}"
            schema = getattr(self.format, "schema", None)
            self.writers[split] = self.stack.enter_context(open_writer(path, schema))
        line = msgspec.json.encode(row)
        self.writers[split].write(row, line)
        self.rows[split] += 1
        self.tokens[split] += tokens
        self.longest[split] = max(self.longest[split], tokens)
        self.licenses.update(record.licenses or ("not stated",))
        self.origins[record.origin] += 1
        source = record.source
        origin = {
            "split": split,
            "line": self.rows[split],
            "id": record.id,
            "sha256": hashlib.sha256(line).hexdigest(),
            "tokens": tokens,
            "file": source.file if source else None,
            "offset": source.offset if source else None,
        }
        encoded = msgspec.json.encode(origin)
        self.lines.update(encoded)
        self.lineage.write(origin, encoded)

    def close(self) -> tuple[File, ...]:
        """Finish the files and measure them."""
        self.stack.close()
        found = []
        for split in SPLIT_NAMES:
            if split in self.writers:
                path = self.staging / f"{split}.{self.format.suffix}"
                counts = (self.rows[split], self.tokens[split], self.longest[split])
                found.append(File(split, path.name, *counts, path.stat().st_size, sha256_of(path)))
        return tuple(found)


def _contents(run: _Run, files: Iterable[File], set: Set, counter: TokenCounter) -> dict[str, Any]:
    """The part of the manifest that follows from the content."""
    return {
        "set": set.name,
        "mix": set.mix,
        "format": {"name": set.format, "settings": _settings(run.format)},
        "files": [file._asdict() for file in files],
        "tokens": {"counted_by": counter.description, "exact": counter.exact},
        "licenses": dict(sorted(run.licenses.items())),
        "origins": dict(sorted(run.origins.items())),
    }


def _settings(format: Renders) -> dict[str, Any]:
    if not dataclasses.is_dataclass(format):
        return {}
    return {field.name: msgspec.to_builtins(getattr(format, field.name)) for field in dataclasses.fields(format) if field.init}


def _code(format: Renders, set: Set) -> str:
    """The plugin's distribution and version; its class alone where it was handed over without being installed."""
    try:
        return plugins.code_version("format", set.format, set.settings)
    except PluginError:
        return f"{type(format).__module__}:{type(format).__qualname__}"


def _canonical(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _whole(path: Path) -> bool:
    """Whether an exported version is still as its manifest says."""
    try:
        manifest = json.loads((path / "manifest.json").read_bytes())
        return all(sha256_of(path / file["name"]) == file["sha256"] for file in manifest["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def sha256_of(path: Path) -> str:
    """The file's sha256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def line_of(path: Path, split: str, line: int) -> dict[str, Any]:
    """The lineage row of one line of an exported version (`split`, `line` from 1).

    Raises:
        FlywheelError: there is no such line.
    """
    found = pl.scan_parquet(path / "lineage.parquet").filter((pl.col("split") == split) & (pl.col("line") == line)).collect()
    if not found.height:
        raise FlywheelError(f"{path} has no line {line} in {split}; `lineage.parquet` there lists every line.")
    return found.row(0, named=True)
