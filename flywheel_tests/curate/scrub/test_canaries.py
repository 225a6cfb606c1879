import polars as pl

from flywheel.curate.scrub.canaries import EXACT, CanaryFloor, below_floor, canary_records, measure_canaries
from flywheel.sections import Scrub


def measured(ner: str = "rules") -> pl.DataFrame:
    return measure_canaries(canary_records(180, seed=1), settings=Scrub(ner=ner), key=b"k")


def test_canaries_are_the_same_for_a_seed_and_others_for_another() -> None:
    assert canary_records(20, seed=3) == canary_records(40, seed=3)[:20]
    assert canary_records(20, seed=3)[0].planted != canary_records(20, seed=4)[0].planted


def test_every_canary_holds_what_it_says_was_planted() -> None:
    for canary in canary_records(36, seed=2):
        texts = "".join([m.text + "".join(call.arguments for call in m.tool_calls) for m in canary.record.messages])
        assert all(texts.count(planted.value) >= planted.places for planted in canary.planted)


def test_rules_find_every_exact_entity_and_stay_above_the_default_floor() -> None:
    table = measured()

    assert below_floor(table) == []
    exact = table.filter(pl.col("entity").is_in(EXACT))
    assert exact["entity"].to_list() == sorted(EXACT)
    assert exact["recall"].to_list() == [1.0] * len(EXACT)


def test_without_name_detection_the_floor_says_that_names_stay() -> None:
    problems = below_floor(measured(ner="none"))

    assert any("PERSON" in problem for problem in problems)


def test_a_floor_is_a_setting() -> None:
    assert below_floor(measured(), CanaryFloor(direct=1.0, over_masking=0.0)) != []
