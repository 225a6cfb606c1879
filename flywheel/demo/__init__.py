"""The demo project: bundled logs in which everything that goes wrong in practice was planted, and what was planted where."""

from pathlib import Path

DEMO = Path(__file__).parent
