"""Where the rows of a database table are landed: immutable log files, and an index beside each that says what it holds."""

import datetime as dt
import fcntl
import io
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import polars as pl
import zstandard

from flywheel.errors import FlywheelError
from flywheel.records import digest

__all__ = ["Known", "Landing", "Part", "day_of", "moment"]

_INDEX = pl.Schema({"id": pl.String, "watermark": pl.Int64})
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class _Landed(NamedTuple):
    """A landed file, as its name tells: watermarks of its first and last row in microseconds since 1970."""

    day: str
    stem: str
    first: int
    last: int


class Known(NamedTuple):
    """What was landed before: where to go on (None: nowhere yet), and the rows that lie behind that."""

    bound: int | None
    rows: set[tuple[str, int]]


@dataclass
class Part:
    """A file that is being written, where no glob looks."""

    path: Path
    day: str
    ids: list[str] = field(default_factory=list)
    watermarks: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.file = self.path.open("wb")
        self.packed = zstandard.ZstdCompressor(level=3).stream_writer(self.file, closefd=False)

    def add(self, id: str, watermark: int, line: str | None) -> None:
        """A row is one line: line feeds outside of JSON strings are blanks, and inside they are no JSON."""
        self.packed.write((line or "null").replace("\r", " ").replace("\n", " ").encode(errors="replace") + b"\n")
        self.ids.append(id)
        self.watermarks.append(watermark)

    def close(self) -> None:
        self.packed.close()  # type: ignore[no-untyped-call]
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()

    def discard(self) -> None:
        self.file.close()
        self.path.unlink(missing_ok=True)

    @property
    def stem(self) -> str:
        """Times of the first and last row and a digest of the rows: the same rows have the same name."""
        rows = digest(*(f"{watermark}:{id}".encode() for id, watermark in zip(self.ids, self.watermarks, strict=True)))
        first, last = (moment(self.watermarks[index]).strftime("%H%M%S%f") for index in (0, -1))
        return f"{first}-{last}-{rows[:12]}"

    def index(self) -> bytes:
        packed = io.BytesIO()
        pl.DataFrame([self.ids, self.watermarks], schema=_INDEX).write_parquet(packed, statistics=False)
        return packed.getvalue()


class Landing:
    """The folder of one table's landed files, on this machine or in a store that fsspec knows."""

    def __init__(self, landing: str, name: str) -> None:
        self.folder = f"{landing.rstrip('/')}/{name}"
        self.remote = "://" in landing
        self._temporary: Path | None = None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one process at a time land here, and clear away what a killed one left. Stores have no locks: there two pulls
        at once may land a row twice, which reading merges by its id."""
        if self.remote:
            with tempfile.TemporaryDirectory() as temporary:
                self._temporary = Path(temporary)
                yield
            return
        self._temporary = Path(self.folder, "staging")
        self._temporary.mkdir(parents=True, exist_ok=True)
        with Path(self.folder, "lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FlywheelError(f"another process is pulling into {self.folder}. Run again when it has ended.") from None
            for left in self._temporary.iterdir():
                left.unlink()
            yield

    def staging(self) -> Path:
        assert self._temporary is not None
        return self._temporary / "part.jsonl.zst"

    def known(self, overlap: int) -> Known:
        """The last landed watermark less the overlap in seconds, and the landed rows from there on."""
        landed = list(self._landed())
        if not landed:
            return Known(None, set())
        bound = max(each.last for each in landed) - overlap * 1_000_000
        rows: set[tuple[str, int]] = set()
        for each in landed:
            if each.last >= bound:
                frame = pl.read_parquet(self._read(f"index/{each.day}/{each.stem}.parquet"))
                rows.update(frame.filter(pl.col("watermark") >= bound).iter_rows())
        return Known(bound, rows)

    def land(self, part: Part) -> None:
        """Make the part a log file: its index first, then the file itself, each whole or not at all."""
        part.close()
        index = part.path.with_name("index.parquet")
        with index.open("wb") as file:
            file.write(part.index())
            file.flush()
            os.fsync(file.fileno())
        self._publish(index, f"index/{part.day}/{part.stem}.parquet")
        self._publish(part.path, f"{part.day}/{part.stem}.jsonl.zst")

    def _landed(self) -> Iterator[_Landed]:
        for path in self._list():
            day, name = PurePosixPath(path).parts[-2:]
            stem = name.removesuffix(".jsonl.zst")
            first, last = stem.split("-")[:2]
            yield _Landed(day, stem, _micros(day, first), _micros(day, last))

    def _list(self) -> Iterable[str]:
        pattern = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]/*.jsonl.zst"
        if not self.remote:
            return (path.as_posix() for path in Path(self.folder).glob(pattern))
        import fsspec

        fs, path = fsspec.core.url_to_fs(self.folder)
        found: list[str] = fs.glob(f"{path}/{pattern}")
        return found

    def _read(self, name: str) -> bytes:
        if not self.remote:
            return Path(self.folder, name).read_bytes()
        import fsspec

        with fsspec.open(f"{self.folder}/{name}", "rb") as file:
            return bytes(file.read())

    def _publish(self, path: Path, name: str) -> None:
        """Move a finished local file to its place: by renaming it, or in one upload."""
        if self.remote:
            import fsspec

            fs, target = fsspec.core.url_to_fs(f"{self.folder}/{name}")
            fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            with path.open("rb") as source, fs.open(target, "wb") as file:
                shutil.copyfileobj(source, file)
            path.unlink()
            return
        place = Path(self.folder, name)
        _make_folder(place.parent)
        os.replace(path, place)
        _sync(place.parent)


def _make_folder(folder: Path) -> None:
    """Make a folder and its parents so that they outlast a power failure."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        _sync(made.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def moment(micros: int) -> dt.datetime:
    """The time that so many microseconds since 1970 are."""
    return _EPOCH + dt.timedelta(microseconds=micros)


def day_of(micros: int) -> str:
    """The UTC day of a watermark in microseconds since 1970."""
    return moment(micros).date().isoformat()


def _micros(day: str, time: str) -> int:
    moment = dt.datetime.strptime(f"{day}{time}+0000", "%Y-%m-%d%H%M%S%f%z")
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)
