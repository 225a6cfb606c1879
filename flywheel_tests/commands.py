"""The `flywheel` command as users run it: a process of its own, with nothing of this process's environment in its way."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from unittest import mock

from click.testing import CliRunner

FLYWHEEL = (str(Path(sys.executable).with_name("flywheel")),)


def environment(**more: str) -> dict[str, str]:
    """This process's, without what would point the command at another project; the terminal is 120 columns wide."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("FLYWHEEL_", "DAGSTER_"))}
    return own | {"COLUMNS": "120", "NO_COLOR": "1"} | more


def flywheel(
    *arguments: str,
    cwd: Path,
    stdin: str = "",
    before: Sequence[str] = (),
    command: Sequence[str] = FLYWHEEL,
    **more: str,
) -> subprocess.CompletedProcess[str]:
    """Run it to its end. `before` is put in front of it (`unshare -n`), `more` into its environment."""
    return subprocess.run(
        [*before, *command, *arguments],
        cwd=cwd,
        input=stdin,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def flywheel_here(*arguments: str, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run it to its end in this process, which has imported everything already; only the graph is imported anew, for the project
    in `cwd`. An error that would show its traceback is raised."""
    from flywheel.cli import main

    path, graph = sys.path.copy(), _forget_the_graph()
    with mock.patch.dict(os.environ, environment(), clear=True), contextlib.chdir(cwd):
        try:
            done = CliRunner().invoke(main, arguments, input=stdin)
        finally:
            _forget_the_graph()
            sys.modules.update(graph)
            sys.path[:] = path
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def _forget_the_graph() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == "assets"]
    return {name: sys.modules.pop(name) for name in names}


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    """Its output, when it ended well; else the test fails with what it said."""
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def refused(done: subprocess.CompletedProcess[str], code: int = 2) -> str:
    """Its one message, when it refused as a user's mistake deserves: that code, no traceback."""
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.strip()
    return done.stderr
