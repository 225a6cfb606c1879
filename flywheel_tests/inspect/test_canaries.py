"""A scrubber that finds less than `[canaries]` asks for builds no set, whichever way it is started."""

import sys
from pathlib import Path

import pytest

from flywheel.curate.scrub import numbers
from flywheel.errors import FlywheelError
from flywheel.inspect import canaries
from flywheel.plan import Plan
from flywheel.project import Project
from flywheel.steps import make
from flywheel_tests.commands import flywheel
from flywheel_tests.projects import call, make_all, write_project

DAY = "2026-03-02"
LOGS = {DAY: [call(1), call(2)]}
WEAKENED = """
import flywheel.curate.scrub.canary_values  # first: the planted cards stay real ones
import flywheel.curate.scrub.numbers
flywheel.curate.scrub.numbers.luhn = lambda digits: False
from flywheel.cli import main
main()
"""


@pytest.mark.slow
def test_a_run_with_a_weakened_detector_says_so_and_builds_no_set(tmp_path: Path) -> None:
    project = write_project(tmp_path, LOGS)
    script = tmp_path / "weakened.py"
    script.write_text(WEAKENED)

    done = flywheel("run", cwd=tmp_path, command=(sys.executable, str(script)))

    assert done.returncode == 1, done.stdout + done.stderr
    assert "check canaries_gone of scrubbed" in done.stdout
    assert not project.sets.exists()
    assert not project.tables.exists("curated")


def test_a_set_is_refused_when_the_scrubber_got_worse_after_its_rows_were_scrubbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write_project(tmp_path, LOGS)
    make_all(project)
    version = (project.sets / "chat" / "latest").resolve().name
    monkeypatch.setattr(numbers, "luhn", lambda _: False)
    canaries._measured.cache_clear()

    try:
        with pytest.raises(FlywheelError, match=r"recall of CREDIT_CARD is 0.000, below 1.00"):
            make(project, "training_set/chat")
    finally:
        canaries._measured.cache_clear()
    assert (project.sets / "chat" / "latest").resolve().name == version


def test_a_changed_floor_is_tried_on_the_sets_and_makes_nothing_else_again(tmp_path: Path) -> None:
    project = write_project(tmp_path, LOGS)
    make_all(project)

    stricter = write_project(tmp_path, toml="[canaries]\nrecall = { PERSON = 1.0 }\n")

    assert [found for phase in range(5) for found in Plan(stricter).stale(phase).items()] == [
        (None, ["training_set/chat", "ledger"])
    ]
    with pytest.raises(FlywheelError, match=r"recall of PERSON is 0.9\d\d, below 1.00"):
        make(stricter, "training_set/chat")


def test_the_scrubbed_node_and_the_card_publish_every_entity(tmp_path: Path) -> None:
    project = write_project(tmp_path, LOGS)
    make_all(project)

    table = make(Project(project.settings), "scrubbed", DAY).extra["canaries"]
    card = (project.sets / "chat" / "latest" / "README.md").read_text("utf-8")

    assert {"planted", "recall", "precision", "over_masking", "floor"} <= set(table.columns)
    assert {"SECRET", "CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "US_SSN", "PERSON", "STREET_ADDRESS", "ALL"} <= set(
        table["entity"]
    )
    for entity in table["entity"]:
        assert f"| {entity} | " in card
