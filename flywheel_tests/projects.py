"""Small projects for tests: logs written to a folder, and everything that is stale made without Dagster."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flywheel.plan import Plan
from flywheel.project import Project
from flywheel.steps import make

TOPICS = ("router", "invoice", "laptop", "headset", "printer", "tablet", "camera", "speaker", "monitor", "keyboard")


def call_id(number: int) -> str:
    """The id that `call` gives its response."""
    return f"chatcmpl-{number:020d}"


def call(number: int, *, prompt: str | None = None, reply: str | None = None, **extra: Any) -> dict[str, Any]:
    """One logged OpenAI chat call; different numbers give different conversations with ids of their own."""
    topic = TOPICS[number % len(TOPICS)]
    said = prompt or f"My {topic} number {number} stopped after the update of week {number * 7}; what should I try first?"
    answer = (
        reply or f"Hold the power button of device {number} for ten seconds, then install release {number}.{number % 9} of it."
    )
    return {
        "timestamp": 1772400000 + number,
        "request": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": said}]},
        "response": {
            "id": call_id(number),
            "object": "chat.completion",
            "created": 1772400000 + number,
            "model": "gpt-4o-mini",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": answer}}],
        },
        **extra,
    }


def write_log(folder: Path, day: str, name: str, entries: Iterable[dict[str, Any] | str]) -> Path:
    """A log file of one day; strings are written as they are, one a line."""
    path = folder / "logs" / day / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    path.write_text("".join(line + "\n" for line in lines), "utf-8")
    return path


def write_project(folder: Path, logs: Mapping[str, Iterable[dict[str, Any] | str]] | None = None, *, toml: str = "") -> Project:
    """A project in `folder` with one file `app.jsonl` for each day. Without a word on scrubbing, rules find the names: no process
    has to load the model. Without one on canaries, there are as few as there may be."""
    scrub = "" if "[scrub]" in toml else '\n[scrub]\nner = "rules"\n'
    scrub += "" if "[canaries]" in toml else "\n[canaries]\nrows = 20\n"
    (folder / "flywheel.toml").write_text('[project]\nname = "test"\nstart = "2026-03-01"\n' + toml + scrub, "utf-8")
    for day, entries in (logs or {}).items():
        write_log(folder, day, "app.jsonl", entries)
    return Project.open(folder / "flywheel.toml")


def make_all(project: Project) -> list[tuple[str, str | None]]:
    """Make what is stale, in order; the nodes and days that were made."""
    made: list[tuple[str, str | None]] = []
    for phase in range(5):
        for day, names in Plan(project).stale(phase).items():
            for name in names:
                if name != "rejected":
                    make(project, name, day)
                made.append((name, day))
    return made
