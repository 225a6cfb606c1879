"""Which log files there are: the configured globs expanded, each file with its day, size and SHA-256. Nothing is changed."""

import datetime as dt
import glob
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, cast

import polars as pl
import pyarrow as pa

from flywheel.errors import ConfigError
from flywheel.schema import column
from flywheel.sections import Logs

LOG_FILES = pa.schema(
    [
        column("uri", pa.string(), "path relative to the project (`/` between names), absolute path elsewhere, or URL"),
        column("day", pa.string(), "YYYY-MM-DD from the path, else the project's first day; null when it is no date"),
        column("size", pa.int64(), "bytes as stored, before unpacking"),
        column("sha256", pa.string(), "of the stored bytes; null when they could not be read"),
        column("modified_at", pa.timestamp("us", "UTC"), "as the file system or the store says; null when it does not"),
        column("etag", pa.string(), "the store's own mark of this version of the file; null where it has none"),
        column("problem", pa.string(), "`unreadable`, `not_a_file`, `no_such_date`, `two_dates`; null for a sound file"),
    ]
)
VOLATILE = ("modified_at", "etag")  # may change while the file stays the same
_EXTRAS = {"s3": "flywheel[s3]", "s3a": "flywheel[s3]", "gs": "flywheel[gcs]", "gcs": "flywheel[gcs]"}
_EXTRAS |= {"abfs": "adlfs", "abfss": "adlfs", "az": "adlfs", "http": "aiohttp", "https": "aiohttp"}
_COLUMNS = pl.Schema(LOG_FILES)
_DATE_GLOB = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_DATE = r"(\d{4}-\d{2}-\d{2})"
_TOKENS = re.compile(r"\{date\}|/\*\*(?=/)|^\*\*/|\*+|\?|\[!?\]?[^\]]*\]")
_BLOCK = 1 << 20
_TIMES = ("mtime", "LastModified", "updated", "last_modified", "created")  # s3fs, gcsfs, adlfs and fsspec's own
_ETAGS = ("ETag", "etag", "generation", "md5Hash", "content_md5")


class _Row(NamedTuple):
    uri: str
    day: str | None
    size: int | None
    sha256: str | None
    modified_at: dt.datetime | None
    etag: str | None
    problem: str | None


_Version = tuple[str, int, dt.datetime | None, str | None]


def find_files(logs: Logs, *, root: Path, start: str, known: pl.DataFrame | None = None) -> pl.DataFrame:
    """Every file that `[logs] url` matches, hashed.

    Globs as a shell has them: `*` and `?` do not match a leading dot, `**` matches folders at any depth, folders themselves are
    no files. `{date}` stands for YYYY-MM-DD; a path with it twice must say the same date twice. A file that several globs
    match counts once, under the first that dates it. Paths are relative to `root`; anything with `://` goes through fsspec.
    Memory: one row a file. Hashing reads every file once, unless `known` has it.

    Args:
        root: the project's folder.
        start: the day of files whose glob has no `{date}`.
        known: an earlier result; a file whose uri, size, time of change and etag are the same keeps its hash unread.

    Returns:
        One row a file with the columns of `LOG_FILES`, sorted by day (null last), then uri. A file that cannot be read or dated
        has a row with its `problem`, and the others go on.

    Raises:
        ConfigError: fsspec does not know a URL's protocol, or needs a package for it. An unreachable store raises its own
            error: no row could say what is missing.
    """
    hashes = _hashes(known)
    dated_first = sorted(logs.urls, key=lambda pattern: "{date}" not in pattern)
    rows: dict[str, _Row] = {}
    for pattern in dated_first:
        for uri, path in _matches(pattern, root):
            if uri not in rows:
                rows[uri] = _row(uri, *_day(pattern, path, start), root, hashes)
    frame = pl.DataFrame(list(rows.values()), schema=_COLUMNS, orient="row")
    return frame.sort("day", "uri", nulls_last=True)


def open_file(uri: str, root: Path) -> BinaryIO:
    """The stored bytes of a `uri` of `LOG_FILES`, for reading.

    Raises:
        OSError: it is gone, unreadable or no regular file (a pipe would block); stores raise their own errors.
    """
    if "://" in uri:
        import fsspec

        return cast(BinaryIO, fsspec.open(uri, "rb").open())
    path = root / uri
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(f"{uri} is no regular file")
    return path.open("rb")


def _hashes(known: pl.DataFrame | None) -> dict[_Version, str]:
    """Hashes of the files that can be told apart from their next version. An earlier table may lack the etag."""
    if known is None:
        return {}
    known = known if "etag" in known.columns else known.with_columns(etag=pl.lit(None, pl.String))
    told = pl.col("modified_at").is_not_null() | pl.col("etag").is_not_null()
    sound = known.filter(pl.col("sha256").is_not_null() & told)
    columns = sound.select("uri", "size", "modified_at", "etag", "sha256")
    return {(uri, size, at, etag): sha for uri, size, at, etag, sha in columns.iter_rows()}


def _store(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it."""
    import fsspec

    protocol = url.partition("://")[0]
    try:
        fs, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError):
        if protocol in fsspec.available_protocols():
            package = _EXTRAS.get(protocol, f"what fsspec needs for {protocol}")
            raise ConfigError(f"[logs] url: {protocol}:// needs a package that is missing: pip install '{package}'.") from None
        raise ConfigError(f"[logs] url: no file system is called {protocol!r}. There are s3, gs, az, https and more.") from None
    return fs, path


def _matches(pattern: str, root: Path) -> Iterator[tuple[str, str]]:
    """Each path that the glob matches, as stored (`uri`) and as the glob sees it; folders left out."""
    wildcard = pattern.replace("{date}", _DATE_GLOB)
    if "://" in pattern:
        fs, path = _store(wildcard)
        for found in sorted(cast(list[str], fs.glob(path))):
            if not fs.isdir(found):
                uri = str(fs.unstrip_protocol(found))
                yield uri, uri
        return
    for found in sorted(glob.glob(wildcard, root_dir=root, recursive=True)):
        if not (root / found).is_dir():
            yield _uri(found, root), PurePosixPath(Path(found)).as_posix()


def _uri(path: str, root: Path) -> str:
    if os.path.isabs(path):
        absolute = Path(os.path.normpath(path))
        return (absolute.relative_to(root) if absolute.is_relative_to(root) else absolute).as_posix()
    return Path(os.path.normpath(path)).as_posix()


def _day(pattern: str, path: str, start: str) -> tuple[str | None, str | None]:
    """The file's day, and the problem with it."""
    if "{date}" not in pattern:
        return start, None
    if "://" in pattern:
        pattern, path = pattern.split("://", 1)[1], path.split("://", 1)[1]
    match = re.search(_expression(pattern.lstrip("/")) + r"\Z", path, re.DOTALL)
    dates = set(match.groups()) if match else set()
    if len(dates) != 1:
        return None, "two_dates" if dates else "no_such_date"
    date = str(dates.pop())
    try:
        dt.date.fromisoformat(date)
    except ValueError:
        return None, "no_such_date"
    return date, None


def _expression(pattern: str) -> str:
    """A glob as a regular expression with a group for each `{date}`."""
    parts, last = [], 0
    for token in _TOKENS.finditer(pattern):
        parts.append(re.escape(pattern[last : token.start()]))
        parts.append(_token(token.group()))
        last = token.end()
    parts.append(re.escape(pattern[last:]))
    return "".join(parts)


def _token(token: str) -> str:
    if token.startswith("["):
        body = token[1:-1].replace("\\", "\\\\")
        return f"[^{body[1:]}]" if body.startswith("!") else f"[{body}]"
    fixed = {"{date}": _DATE, "/**": "(?:/.*)?", "**/": "(?:.*/)?", "**": ".*", "?": "[^/]"}
    return fixed.get(token, "[^/]*")


def _row(uri: str, day: str | None, problem: str | None, root: Path, hashes: dict[_Version, str]) -> _Row:
    try:
        size, modified, etag = _stat(uri, root)
        if sha := hashes.get((uri, size, modified, etag)):
            return _Row(uri, day, size, sha, modified, etag, problem)
        hashed = hashlib.sha256()
        count = 0
        with open_file(uri, root) as file:
            while count < size and (block := file.read(min(_BLOCK, size - count))):
                hashed.update(block)
                count += len(block)
    except Exception as error:  # every store raises its own
        irregular = isinstance(error, OSError) and "regular" in str(error)
        return _Row(uri, day, None, None, None, None, "not_a_file" if irregular else "unreadable")
    return _Row(uri, day, count, hashed.hexdigest(), modified, etag, problem)


def _stat(uri: str, root: Path) -> tuple[int, dt.datetime | None, str | None]:
    if "://" not in uri:
        status = (root / uri).stat()
        return status.st_size, dt.datetime.fromtimestamp(status.st_mtime_ns // 1000 / 1_000_000, dt.UTC), None
    fs, path = _store(uri)
    info: dict[str, Any] = fs.info(path)
    modified = next((info[key] for key in _TIMES if key in info), None)
    etag = next((str(info[key]) for key in _ETAGS if info.get(key)), None)
    return int(info["size"]), _when(modified), etag


def _when(value: object) -> dt.datetime | None:
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, int | float):
        return dt.datetime.fromtimestamp(value, dt.UTC)
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC) if value.tzinfo else value.replace(tzinfo=dt.UTC)
    return None
