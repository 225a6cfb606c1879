"""Where the real inputs of other projects are, and how a test that needs them says that they are absent."""

from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_data(name: str) -> Path:
    """A folder of real inputs beside the repository; skips the test where it is absent."""
    folder = DATA / name
    if not folder.exists():
        pytest.skip(f"needs ../shared/data/{name}, which is not here")
    return folder
