"""Folders that appear whole or not at all: staged beside their place, made durable, renamed."""

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from flywheel.errors import FlywheelError


@contextlib.contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A hidden, empty folder below `folder`; gone afterwards unless it was published.

    Folders that killed runs left behind are removed first. A running export holds a lock on its own, so exports beside
    each other do not clear each other away.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        for left in folder.glob(".staging-*"):
            _clear(left)
        for left in folder.glob(".latest-*"):
            left.unlink(missing_ok=True)
        own = folder / f".staging-{uuid.uuid4().hex}"
        own.mkdir()
        descriptor = os.open(own, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        os.close(descriptor)


def publish(own: Path, target: Path, whole: Callable[[Path], bool]) -> bool:
    """Move a staged folder to its place; False when a `whole` one is there, which then stays. A damaged one is replaced."""
    for path in own.iterdir():
        _sync(path)
    _sync(own)
    with _locked(target.parent):
        if target.exists():
            if whole(target):
                return False
            damaged = target.parent / f".staging-{uuid.uuid4().hex}"
            target.rename(damaged)
            shutil.rmtree(damaged)
        own.rename(target)
        _sync(target.parent)
    return True


def point_latest(folder: Path, version: str) -> None:
    """Make `latest` mean this version, at once: a symbolic link, or `latest.json` where there can be none."""
    draft = folder / f".latest-{uuid.uuid4().hex}"
    with _locked(folder):
        try:
            draft.symlink_to(version, target_is_directory=True)
            place = folder / "latest"
        except (OSError, NotImplementedError):
            draft.write_text(json.dumps({"version": version}) + "\n", "utf-8")
            _sync(draft)
            place = folder / "latest.json"
        try:
            draft.replace(place)
        except IsADirectoryError:
            draft.unlink()
            raise FlywheelError(
                f"{place} is a folder where a link belongs; copying a project and following its links makes that. "
                "Remove it, and run again."
            ) from None
        _sync(folder)


def latest(folder: Path) -> Path | None:
    """The folder of the version that `latest` means; None before the first export."""
    if (folder / "latest").is_dir():
        return (folder / "latest").resolve()
    pointer = folder / "latest.json"
    return folder / str(json.loads(pointer.read_text("utf-8"))["version"]) if pointer.is_file() else None


def upload(folder: Path, version: str, url: str) -> None:
    """Copy a published version to a store, `url/VERSION/`, and then let `url/latest.json` mean it.

    A reader that follows `latest.json` sees a whole version. Files that are there already are written again.
    """
    from pyarrow.fs import LocalFileSystem, copy_files

    from flywheel.tables import file_system

    store = file_system(url)
    copy_files(str(folder / version), version, LocalFileSystem(), store)
    with tempfile.TemporaryDirectory() as pointer:
        (Path(pointer) / "latest.json").write_text(json.dumps({"version": version}) + "\n", "utf-8")
        copy_files(pointer, "", LocalFileSystem(), store)


def _clear(left: Path) -> None:
    """Remove a staging folder that nobody holds."""
    try:
        descriptor = os.open(left, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(left, ignore_errors=True)
    except BlockingIOError:
        pass  # a running export
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
