import json
import math
from typing import Any

import pytest

from flywheel.inspect.agreement import agreement, cohen_kappa, fleiss_kappa, krippendorff_alpha, randolph_kappa
from flywheel.records import Feedback, Record, to_batch
from flywheel_tests.shared import shared_data

MEASURES: dict[str, Any] = {
    "cohen_kappa": lambda data: cohen_kappa(*data),
    "cohen_kappa_linear": lambda data: cohen_kappa(*data, weights="linear"),
    "cohen_kappa_quadratic": lambda data: cohen_kappa(*data, weights="quadratic"),
    "fleiss_kappa": fleiss_kappa,
    "randolph_kappa": randolph_kappa,
    "krippendorff_alpha_nominal": krippendorff_alpha,
}


def test_coefficients_equal_the_published_values() -> None:
    cases = json.loads((shared_data("agreement") / "agreement.json").read_text("utf-8"))["cases"]
    checked = [case for case in cases if case["statistic"] in MEASURES]

    for case in checked:
        found = MEASURES[case["statistic"]](case["data"])
        if case["expected"] is None:
            assert math.isnan(found), case["published_source"]
        else:
            assert found == pytest.approx(case["expected"], abs=case["tolerance"]), case["published_source"]

    assert {case["statistic"] for case in checked} >= {"cohen_kappa", "fleiss_kappa", "krippendorff_alpha_nominal"}


def test_alpha_ignores_items_with_one_rating_and_weighs_the_others() -> None:
    # Krippendorff 2011, worked example with three annotators and gaps: 0.691.
    a: list[int | None] = [None, None, None, None, None, 3, 4, 1, 2, 1, 1, 3, 3, None, 3]
    b: list[int | None] = [1, None, 2, 1, 3, 3, 4, 3, None, None, None, None, None, None, None]
    c: list[int | None] = [None, None, 2, 1, 3, 4, 4, None, 2, 1, 1, 3, 3, None, 4]

    assert krippendorff_alpha([a, b, c]) == pytest.approx(0.691, abs=0.0005)


def test_one_label_everywhere_is_undefined_and_not_perfect() -> None:
    assert math.isnan(krippendorff_alpha([["a", "a"], ["a", "a"]]))
    assert math.isnan(fleiss_kappa([[2, 0], [2, 0]]))
    assert math.isnan(cohen_kappa([], []))


def test_an_unknown_weighting_is_refused() -> None:
    with pytest.raises(ValueError, match="'cubic'"):
        cohen_kappa([1], [1], weights="cubic")


def test_items_with_different_numbers_of_ratings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        fleiss_kappa([[2, 0], [2, 1]])


def rated(number: int, **given: str) -> Record:
    return Record(id=str(number), feedback=tuple(Feedback(name="helpful", value=value, by=by) for by, value in given.items()))


def test_annotators_of_records_are_compared_where_they_rated_the_same() -> None:
    records = [
        rated(0, ann="good", bob="good"),
        rated(1, ann="bad", bob="bad"),
        rated(2, ann="good", bob="bad", cy="good"),
        rated(3, ann="bad", bob="bad"),
        rated(4, ann="good"),
        Record(id="5", feedback=(Feedback(name="thumbs", value="up"),)),
    ]

    row = agreement(to_batch(records)).row(0, named=True)

    assert (row["name"], row["annotators"], row["records"]) == ("helpful", 3, 4)
    ratings: list[list[str | None]] = [["good", "bad", "good", "bad"], ["good", "bad", "bad", "bad"], [None, None, "good", None]]
    assert row["alpha"] == pytest.approx(krippendorff_alpha(ratings))
    # Ann and Bob: kappa 0.5 over four records; with Cy only one record each: Bob against Cy 0, Ann against Cy undefined.
    assert row["kappa"] == pytest.approx((4 * 0.5 + 1 * 0.0) / 5)


def test_feedback_that_only_one_person_gave_has_no_row() -> None:
    assert agreement(to_batch([rated(0, ann="good"), rated(1, bob="bad"), Record(id="x")])).is_empty()


def test_ratings_of_an_earlier_turn_are_about_that_turn() -> None:
    def rated(*given: tuple[str, str, str]) -> Record:
        return Record(id="last", feedback=tuple(Feedback(name=name, value=value, by=by) for name, value, by in given))

    both = rated(("helpful", "yes", "a"), ("helpful", "yes", "b"), ("helpful@first", "no", "a"), ("helpful@first", "no", "b"))

    found = agreement(to_batch([both])).row(0, named=True)

    assert (found["name"], found["annotators"], found["records"], found["alpha"]) == ("helpful", 2, 2, 1.0)
