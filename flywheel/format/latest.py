"""The newest export of a set: where it is, and what is wrong with it."""

from pathlib import Path
from typing import NamedTuple

from flywheel.format.check import check_file
from flywheel.format.publish import latest
from flywheel.project import Project


class SetProblem(NamedTuple):
    """What is wrong with a file of a set: a slug, `error` or `warning`, the first line it was found on, on how many lines."""

    file: str
    reason: str
    level: str
    line: int
    times: int

    def __str__(self) -> str:
        where = f"line {self.line}" if self.line else "the file"
        return f"{self.level}: {self.file}, {where}: {self.reason}" + (f" ({self.times} times)" if self.times > 1 else "")


def latest_export(project: Project, name: str) -> Path | None:
    """The folder of a set's newest export; None before the first."""
    return latest(project.sets / name)


def problems(project: Project, name: str) -> list[SetProblem]:
    """Every kind of problem of the newest export, errors first: files unlike the manifest, lines unlike the trainer's rules."""
    import json

    from flywheel.format.export import sha256_of

    chosen = next(chosen for chosen in project.settings.sets if chosen.name == name)
    folder = latest_export(project, name)
    if folder is None:
        return [SetProblem(name, "never_exported", "error", 0, 1)]
    found: dict[tuple[str, str, str], tuple[int, int]] = {}
    for file in json.loads((folder / "manifest.json").read_bytes())["files"]:
        path = folder / file["name"]
        if sha256_of(path) != file["sha256"]:
            found[file["name"], "not_as_in_the_manifest", "error"] = (0, 1)
        for problem in check_file(path, chosen.format):
            key = (file["name"], problem.reason, problem.level)
            first, count = found.get(key, (problem.line, 0))
            found[key] = (first, count + 1)
    listed = [SetProblem(file, reason, level, line, count) for (file, reason, level), (line, count) in found.items()]
    return sorted(listed, key=lambda problem: (problem.level != "error", problem.file, problem.line))
