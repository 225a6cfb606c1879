"""Real files through the reader, as a run reads them."""

import shutil
from pathlib import Path

from flywheel import plugins
from flywheel.records import Record, from_batch
from flywheel.sections import Logs
from flywheel.sources.files import find_files
from flywheel.sources.read import Reading
from flywheel_tests.shared import shared_data


def read_records(folder: str, name: str, tmp_path: Path, *, dialect: str) -> list[Record]:
    """The records of a file of `shared_data(folder)`, in its order, and none of its lines rejected."""
    (tmp_path / "read").mkdir(exist_ok=True)
    shutil.copy(shared_data(folder) / name, tmp_path / "read" / name)
    logs = Logs(url=f"read/{name}", dialect=dialect)
    files = find_files(logs, root=tmp_path, start="2026-01-01")
    reading = Reading(files, logs=logs, root=tmp_path, sources={dialect: plugins.build("source", dialect)}, key=b"key")
    return [record for chunk in reading for record in from_batch(chunk.records)]
