"""The files that take longest begin first, so that no core waits for the last of them, and no module is compiled twice."""

import os
import shutil
import sys
import tempfile

import pytest

LONGEST = (
    "test_real_logs.py",
    "test_cli.py",
    "test_object_store.py",
    "test_leaks.py",
    "test_benchmarks_in_a_project.py",
    "test_demo.py",
    "test_faults.py",
    "test_driver.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file stay together, in their order; pytest-xdist keeps to it with `--no-loadscope-reorder`."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def pytest_configure(config: pytest.Config) -> None:
    """Where Python was told to keep no bytecode, and installers left none, each process of a test would compile thousands of
    modules anew: 6 of the 24 CPU seconds of a small `flywheel run`. A folder of this session keeps it."""
    if sys.dont_write_bytecode and not hasattr(config, "workerinput"):
        sys.dont_write_bytecode = False
        sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = tempfile.mkdtemp(prefix="flywheel-bytecode-")
        del os.environ["PYTHONDONTWRITEBYTECODE"]
        config.add_cleanup(lambda: shutil.rmtree(os.environ["PYTHONPYCACHEPREFIX"], ignore_errors=True))
