"""Length and position bias of preference pairs."""

from typing import Any

import polars as pl
import pytest

from flywheel.curate.labels import Pair, label
from flywheel.inspect.bias import FACTS, pair_bias, wilson
from flywheel.records import Candidate, Feedback, Message, ToolCall, text_message
from flywheel.testing import chat


def facts(*rows: tuple[str, int, int, bool | None]) -> pl.DataFrame:
    return pl.DataFrame([(origin, "rule", *rest) for origin, *rest in rows], schema=FACTS, orient="row")


def row(frame: pl.DataFrame, origin: str) -> dict[str, Any]:
    return frame.row(by_predicate=pl.col("origin") == origin, named=True)


@pytest.mark.parametrize(
    ("hits", "cases", "low", "high"),
    # as statsmodels.stats.proportion.proportion_confint(hits, cases, method="wilson") gives them
    [(0, 10, 0.0, 0.2775327998628892), (10, 10, 0.7224672001371107, 1.0), (5, 10, 0.2365930905125640, 0.7634069094874361)],
)
def test_wilsons_interval_is_the_published_one(hits: int, cases: int, low: float, high: float) -> None:
    found = wilson(hits, cases)

    assert found.share == hits / cases
    assert found.low == pytest.approx(low, abs=1e-12)
    assert found.high == pytest.approx(high, abs=1e-12)


def test_a_share_of_nothing_has_no_interval_and_too_many_hits_are_refused() -> None:
    assert wilson(0, 0) == (None, None, None)
    with pytest.raises(ValueError, match="3 of 2"):
        wilson(3, 2)


def test_planted_bias_is_found_in_all_and_by_origin() -> None:
    longer = [("feedback", 200, 100, True)] * 30 + [("feedback", 100, 200, False)] * 10
    shorter = [("correction", 50, 100, False)] * 10
    equal = [("feedback", 7, 7, None)] * 5

    found = pair_bias(facts(*longer, *shorter, *equal))

    assert found["origin"].to_list() == ["all", "correction", "feedback"]
    rated, corrected, every = (row(found, origin) for origin in ("feedback", "correction", "all"))
    assert (every["pairs"], every["unequal"], every["longer"]) == (55, 50, 0.6)
    assert (rated["share"], rated["unequal"], rated["longer"]) == (45 / 55, 40, 0.75)
    assert rated["longer_low"] > 0.5
    assert every["longer_low"] < 0.5 < every["longer_high"]
    assert corrected["length_ratio"] == pytest.approx(0.5)
    assert rated["length_ratio"] == pytest.approx(2 ** (20 / 45))
    assert (rated["position_known"], rated["first"]) == (40, 0.75)
    assert (corrected["first"], corrected["first_high"] < 0.5) == (0.0, True)


def test_without_pairs_there_is_one_row_that_says_so() -> None:
    found = pair_bias([])

    assert found.select("origin", "pairs", "share", "longer", "length_ratio", "first").rows() == [
        ("all", 0, None, None, None, None)
    ]


def test_pairs_are_measured_in_characters_of_words_and_calls() -> None:
    call = Message(role="assistant", tool_calls=(ToolCall(name="find", arguments='{"q": 1}'),))
    prompt = (text_message("user", "?"),)
    pair = Pair(prompt, (call,), (text_message("assistant", "abc"),), "regenerated", "r", None)

    found = row(pair_bias([pair]), "regenerated")

    assert (found["longer"], found["length_ratio"]) == (1.0, pytest.approx(4.0))


def test_the_place_of_choices_and_of_shown_answers_is_known() -> None:
    two = (Candidate(id="r:1", messages=(text_message("assistant", "Long answer."),)),)
    shown = chat("How?", "So.", id="r", candidates=two, feedback=(Feedback(name="winner", value="true"),))
    choices = chat("Why?", "So.", id="q", candidates=(Candidate(messages=two[0].messages),), feedback=shown.feedback)

    found = pair_bias([*label(shown).pairs, *label(choices).pairs])

    assert (row(found, "all")["position_known"], row(found, "all")["first"], row(found, "all")["longer"]) == (2, 0.5, 0.0)
