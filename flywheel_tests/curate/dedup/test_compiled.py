import operator
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from flywheel.curate.dedup.compiled import chunks, one_ahead

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


def test_one_result_is_made_while_the_last_one_is_used() -> None:
    begun: dict[int, threading.Event] = {item: threading.Event() for item in range(4)}

    def work(item: int) -> int:
        begun[item].set()
        return 10 * item

    for result in one_ahead(work, range(4)):
        following = result // 10 + 1
        assert following == 4 or begun[following].wait(timeout=60)
        assert following >= 3 or not begun[following + 1].is_set()
    assert list(one_ahead(operator.neg, range(5))) == [0, -1, -2, -3, -4]
    assert list(one_ahead(operator.neg, [])) == []
    with pytest.raises(ZeroDivisionError):
        list(one_ahead(lambda item: 1 // item, [1, 0]))
