"""`python -m flywheel_tests.benchmarks [NAME...]`: run benchmarks one after the other; without names, all of them.

A benchmark is a module of this folder that can be run by itself and prints what it measures. Each has a process of its own,
so that one's memory and warm caches do not colour another's figures.
"""

import pkgutil
import subprocess
import sys

import flywheel_tests.benchmarks as folder
from flywheel_tests.benchmarks import _near_duplicate_engines as engines


def run(names: list[str]) -> int:
    """Run the named benchmarks; returns how many failed, or 2 when a name is unknown."""
    there = sorted(module.name for module in pkgutil.iter_modules(folder.__path__) if not module.name.startswith("_"))
    if unknown := sorted(set(names) - set(there)):
        print(f"no benchmark is called {unknown[0]!r}; there is {', '.join(there)}", file=sys.stderr)
        return 2
    print(f"Benchmarks, one after the other: {', '.join(names or there)}", flush=True)
    if "near_duplicates" in (names or there):
        print(engines.announcement(engines.ENGINES, engines.CHATS), flush=True)
    failed = []
    for name in names or there:
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"{folder.__name__}.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
