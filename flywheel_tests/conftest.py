"""The files that take longest begin first, so that no core waits for the last of them."""

import pytest

LONGEST = ("test_real_logs.py", "test_leaks.py", "test_cli.py", "test_faults.py", "test_driver.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file stay together, in their order."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
