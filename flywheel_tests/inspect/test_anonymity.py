import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from flywheel.inspect.anonymity import KNOWN, anonymity, columns
from flywheel.records import empty, to_batch
from flywheel.sections import Anonymity
from flywheel.testing import awkward_records, chat
from flywheel_tests.projects import call, make_all, write_project

AT = dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC)


def rows(*kinds: tuple[int, str, str | None, str]) -> pl.DataFrame:
    """`count` rows of an app, by a user, that say a text."""
    made = [(app, user, text) for count, app, user, text in kinds for _ in range(count)]
    return to_batch(
        chat(text, "ok", id=str(n), app=app, user=user, model="m", created_at=AT) for n, (app, user, text) in enumerate(made)
    )


def measured(batch: pl.DataFrame, *names: str, k: int = 3) -> list[tuple[object, ...]]:
    return anonymity(batch, settings=Anonymity(k=k, quasi_identifiers=names)).rows()  # type: ignore[arg-type]


def test_classes_are_rows_that_agree_and_all_facts_together_single_out_more() -> None:
    batch = rows((4, "shop", "a", "hi"), (3, "bank", "b", "hi"), (1, "shop", "c", "I am <PERSON_1> of <LOCATION_2>, <PERSON_2>"))

    assert measured(batch, "app", "entities") == [
        ("app", 2, 3, 0, 1, 8),
        ("entities", 2, 1, 1, 1, 8),
        ("app + entities", 3, 1, 1, 1, 8),
    ]


def test_one_persons_rows_do_not_hide_that_person() -> None:
    crowd = rows(*((1, "shop", f"user{n}", "hi") for n in range(5)), (50, "bank", "a", "hi"))

    assert measured(crowd, "app") == [("app", 2, 5, 0, 1, 50)]


def test_rows_without_a_user_are_one_person_at_the_least() -> None:
    assert measured(rows((9, "shop", None, "hi")), "app") == [("app", 1, 9, 0, 1, 9)]


def test_batches_count_as_one_table_and_no_rows_have_no_classes() -> None:
    batch = rows((2, "shop", "a", "hi"), (2, "shop", "b", "hi"))
    halves = anonymity([batch.head(2), batch.tail(2)], settings=Anonymity(k=3, quasi_identifiers=("app",)))

    assert halves.rows() == measured(batch, "app") == [("app", 1, 4, 0, 2, 4)]
    assert measured(empty(), "app") == [("app", 0, None, 0, None, 0)]


@pytest.mark.parametrize("name", KNOWN)
def test_no_other_columns_than_those_that_are_named_are_needed(name: str) -> None:
    settings = Anonymity(quasi_identifiers=(name,))  # type: ignore[arg-type]
    batch = pl.concat([awkward_records(), rows((2, "shop", "a", "I am <PERSON_1>"))])

    assert anonymity(batch.select(columns(settings)), settings=settings).equals(anonymity(batch, settings=settings))


def test_every_fact_can_be_measured_on_awkward_records() -> None:
    found = anonymity(awkward_records(), settings=Anonymity(quasi_identifiers=KNOWN))  # type: ignore[arg-type]

    assert found["quasi_identifiers"].to_list()[:-1] == list(KNOWN)
    assert found["classes"].min() == 1


def test_the_report_is_a_node_and_a_table_of_the_card_that_proves_nothing(tmp_path: Path) -> None:
    project = write_project(tmp_path, {"2026-03-02": [call(1), call(2)]}, toml="[anonymity]\nk = 4\n")
    make_all(project)

    assert project.tables.read("anonymity").row(-1)[0] == "app + model + day + entities"
    card = (project.sets / "chat" / "latest" / "README.md").read_text("utf-8")
    assert "| app | 1 | 2 | 2 | 1 | 2 |" in card
    assert "rows in classes under 4 people" in card
    assert "What the texts themselves tell is not measured" in card
