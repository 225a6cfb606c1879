"""Checks in a project: what they stop reaches no mixture, and is counted by reason."""

from pathlib import Path

import pytest

from flywheel.errors import ConfigError
from flywheel.project import Project
from flywheel_tests.projects import call, make_all, write_log, write_project

DAY = "2026-03-02"


TOML = """
[[synthesize]]
use = "casing"
styles = ["upper"]
{checks}

[[synthesize]]
use = "casing"
name = "again"
styles = ["upper"]

[[mix]]
name = "chat"
take = {{ curated = 1.0, "synthetic/casing" = 1.0 }}
"""


def configured(folder: Path, checks: str) -> Project:
    return write_project(folder, toml=TOML.format(checks=checks))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of twenty worked answers, every second one of them wrong, of which each test makes what depends on its checks."""
    made = tmp_path_factory.mktemp("verified")
    work = "Hold the power button of device {0} for ten seconds, then install release {0} of it.\n#### {1}"
    calls = [call(number, reply=work.format(number, number + number % 2 * 7)) for number in range(10, 30)]
    write_log(made, DAY, "app.jsonl", calls)
    return made


def test_rows_that_fail_a_named_check_reach_no_mixture_and_are_counted(folder: Path) -> None:
    made = configured(folder, 'verify = ["math_answer"]')
    make_all(made)

    synthetic, again, passed = (made.tables.read(name).height for name in ("synthetic/casing", "synthetic/again", "verified"))
    mixed = made.tables.read("mixture/chat")
    exits = made.tables.read("exits")
    left = exits.filter(exits["stage"] == "verified")

    assert 0 < passed < synthetic
    assert mixed.filter(mixed["origin"] == "synthetic:casing").height == passed
    assert dict(left.group_by("reason").len().iter_rows()) == {"unsupported_answer": synthetic - passed, "duplicate": again}
    assert passed + left.height == synthetic + again


def test_unverified_rows_are_mixed_with_their_reason_when_the_configuration_says_so(folder: Path) -> None:
    made = configured(folder, 'verify = ["math_answer"]\nunverified = true')
    make_all(made)

    mixed = made.tables.read("mixture/chat")
    mixed = mixed.filter(mixed["origin"] == "synthetic:casing")
    tagged = mixed.filter(mixed["tags"].list.contains("unverified=unsupported_answer"))

    assert mixed.height == made.tables.read("synthetic/casing").height
    assert 0 < tagged.height < mixed.height


def test_an_unknown_check_is_an_error_that_names_the_entry(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[\[synthesize\]\] casing: `verify` names no check 'maths'"):
        configured(tmp_path, 'verify = ["maths"]')
