"""The lock file installs with any pip, old ones too, long after it was written."""

import re
from collections import defaultdict
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCK = (Path(__file__).parent.parent / "requirements.lock").read_text("utf-8")


def wanted_extras() -> dict[str, set[str]]:
    """The extras that installed packages ask of each other, by package."""
    wanted: dict[str, set[str]] = defaultdict(set)
    known = {canonicalize_name(each.metadata["Name"]): list(map(Requirement, each.requires or ())) for each in distributions()}
    growing = True
    while growing:
        growing = False
        for name, requirements in known.items():
            for needed in requirements:
                asked = ("", *wanted[name])
                target = canonicalize_name(needed.name)
                if (needed.marker is None or any(needed.marker.evaluate({"extra": each}) for each in asked)) and (
                    needed.extras - wanted[target]
                ):
                    wanted[target] |= needed.extras
                    growing = True
    return {name: extras for name, extras in wanted.items() if extras}


def test_packages_that_are_needed_with_extras_are_pinned_with_them() -> None:
    """Else pip before 23.3 looks at the newest version of `gql[requests]` first, which no hash here allows."""
    pinned: dict[str, set[str]] = {
        canonicalize_name(name): set(filter(None, extras.split(",")))
        for name, extras in re.findall(r"^([\w.-]+)(?:\[([\w,.-]+)\])?==", LOCK, re.MULTILINE)
    }
    missing = {name: extras - pinned[name] for name, extras in wanted_extras().items() if name in pinned}

    assert {name: extras for name, extras in missing.items() if extras} == {}
