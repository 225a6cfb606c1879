import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from flywheel.curate.dedup.compiled import chunks

PROGRAM = """
import numpy as np
from flywheel.curate.dedup import matching
print(matching._jaccard(np.array([1, 2], np.uint32), np.array([2, 3], np.uint32), 0.1))
"""


def run(**environment: str) -> list[str]:
    variables = {**os.environ, **environment}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=variables, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_without_a_folder_to_cache_in_the_code_is_compiled_anew() -> None:
    assert float(run(NUMBA_CACHE_LOCATOR_CLASSES="ZipCacheLocator")[-1]) == 1 / 3


def test_with_one_the_machine_code_is_kept(tmp_path: Path) -> None:
    run(NUMBA_CACHE_DIR=str(tmp_path))

    assert any("_jaccard" in path.name for path in tmp_path.rglob("*.nbc"))


def test_chunks_cover_every_row_once_and_keep_to_the_limit() -> None:
    sizes = np.array([3, 0, 9, 50, 1, 1, 0, 8])

    ranges = list(chunks(np.cumsum(sizes), 10))

    assert ranges == [(0, 2), (2, 3), (3, 4), (4, 8)]
    assert list(chunks(np.cumsum(sizes[:0]), 10)) == []
