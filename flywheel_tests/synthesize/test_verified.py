"""Checks in a project: what they stop reaches no mixture, and is counted by reason."""

from pathlib import Path

import pytest

from flywheel.errors import ConfigError
from flywheel.project import Project
from flywheel_tests.projects import call, make_all, write_project

DAY = "2026-03-02"


def project(folder: Path, extra: str) -> Project:
    work = "Hold the power button of device {0} for ten seconds, then install release {0} of it.\n#### {1}"
    calls = [call(number, reply=work.format(number, number + number % 2 * 7)) for number in range(10, 30)]
    entry = f'\n[[synthesize]]\nuse = "casing"\nstyles = ["upper"]\n{extra}\n'
    mix = '[[mix]]\nname = "chat"\ntake = { curated = 1.0, "synthetic/casing" = 1.0 }\n'
    made = write_project(folder, {DAY: calls}, toml=entry + mix)
    make_all(made)
    return made


def test_rows_that_fail_a_named_check_reach_no_mixture_and_are_counted(tmp_path: Path) -> None:
    made = project(tmp_path, 'verify = ["math_answer"]')

    synthetic, passed = (made.tables.read(name).height for name in ("synthetic/casing", "verified"))
    mixed = made.tables.read("mixture/chat")
    exits = made.tables.read("exits")
    left = exits.filter(exits["stage"] == "verified")

    assert 0 < passed < synthetic
    assert mixed.filter(mixed["origin"] == "synthetic:casing").height == passed
    assert set(left["reason"]) == {"unsupported_answer"}
    assert passed + left.height == synthetic


def test_unverified_rows_are_mixed_with_their_reason_when_the_configuration_says_so(tmp_path: Path) -> None:
    made = project(tmp_path, 'verify = ["math_answer"]\nunverified = true')

    mixed = made.tables.read("mixture/chat")
    mixed = mixed.filter(mixed["origin"] == "synthetic:casing")
    tagged = mixed.filter(mixed["tags"].list.contains("unverified=unsupported_answer"))

    assert mixed.height == made.tables.read("synthetic/casing").height
    assert 0 < tagged.height < mixed.height


def test_an_unknown_check_is_an_error_that_names_the_entry(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[\[synthesize\]\] casing: `verify` names no check 'maths'"):
        project(tmp_path, 'verify = ["maths"]')
