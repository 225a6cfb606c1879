import re
from functools import lru_cache

import polars as pl
import pytest

from flywheel.curate.scrub.canaries import EXACT, OVERALL, below_floor, canary_records, measure_canaries, with_floors
from flywheel.curate.scrub.gates import Gated
from flywheel.curate.scrub.patterns import find_patterns
from flywheel.curate.scrub.spans import PATTERN, Span
from flywheel.errors import ConfigError
from flywheel.sections import Canaries, Scrub


@lru_cache
def measured(ner: str = "rules") -> pl.DataFrame:
    return measure_canaries(canary_records(180, seed=1), settings=Scrub(ner=ner), key=b"k")


def missed(table: pl.DataFrame, canaries: Canaries | None = None, ner: str = "rules") -> list[str]:
    wanted = canaries or Canaries()
    return below_floor(with_floors(table, wanted, ner=ner), over_masking=wanted.over_masking)


def test_canaries_are_the_same_for_a_seed_and_others_for_another() -> None:
    assert canary_records(20, seed=3) == canary_records(40, seed=3)[:20]
    assert canary_records(20, seed=3)[0].planted != canary_records(20, seed=4)[0].planted


def test_every_canary_holds_what_it_says_was_planted() -> None:
    for canary in canary_records(36, seed=2):
        texts = "".join([m.text + "".join(call.arguments for call in m.tool_calls) for m in canary.record.messages])
        assert all(texts.count(planted.value) >= planted.places for planted in canary.planted)


def test_rules_find_every_exact_entity_and_stay_above_the_default_floor() -> None:
    table = measured()

    assert missed(table) == []
    exact = table.filter(pl.col("entity").is_in(EXACT))
    assert exact["entity"].to_list() == sorted(EXACT)
    assert exact["recall"].to_list() == [1.0] * len(EXACT)


def test_the_default_floors_are_those_of_the_design() -> None:
    floors = dict(with_floors(measured(), Canaries(), ner="rules").select("entity", "floor").iter_rows())

    assert {floors[entity] for entity in ("SECRET", "CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "US_SSN")} == {1.0}
    assert {floors[entity] for entity in ("PERSON", "STREET_ADDRESS", "PHONE_NUMBER", "IP_ADDRESS", "PASSPORT")} == {0.85}
    assert Canaries().over_masking == 0.03


def test_without_name_detection_names_stay_and_only_names_are_excused() -> None:
    table = measured("none")

    assert any("PERSON" in problem for problem in missed(table))
    assert missed(table, ner="none") == []
    assert missed(table, Canaries(recall={"PERSON": 0.5}), ner="none") == ["recall of PERSON is 0.200, below 0.50"]


def test_a_floor_is_a_setting_of_all_exact_ones_of_all_direct_ones_or_of_one_entity() -> None:
    table = measured()
    person = table.filter(entity="PERSON")["recall"].item()

    assert person < 1.0
    assert missed(table, Canaries(direct=1.0)) == [f"recall of PERSON is {person:.3f}, below 1.00"]
    assert missed(table, Canaries(recall={"PERSON": 1.0})) == missed(table, Canaries(direct=1.0))
    assert missed(table, Canaries(direct=1.0, recall={"PERSON": 0.5})) == []
    assert len(missed(table, Canaries(over_masking=0.0))) == 1


def test_a_floor_for_what_is_never_planted_is_refused_with_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"'PERSN', which is never planted; there is ACCOUNT_ID, AGE"):
        with_floors(measured(), Canaries(recall={"PERSN": 1.0}), ner="rules")


def test_a_detector_that_masks_a_common_word_loses_precision_and_is_blamed_for_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def also_cooks(text: str, regions: tuple[str, ...], recognizers: tuple[Gated, ...] = ()) -> list[Span]:
        cooks = [Span(found.start(), found.end(), "US_SSN", PATTERN) for found in re.finditer(r"\bcooks\b", text)]
        return [*find_patterns(text, regions, recognizers), *cooks]

    before = measured()
    monkeypatch.setattr("flywheel.curate.scrub.detect.find_patterns", also_cooks)
    table = measure_canaries(canary_records(180, seed=1), settings=Scrub(ner="rules"), key=b"k")

    ssn, was = (one.filter(entity="US_SSN").row(0, named=True) for one in (table, before))
    assert (was["precision"], was["over_masking"]) == (1.0, 0.0)
    assert ssn["recall"] == 1.0
    assert ssn["masked"] == was["masked"] + 20, "ten canaries say it twice"
    assert ssn["precision"] == pytest.approx(was["masked"] / ssn["masked"])
    lost = [one.filter(entity=OVERALL)["over_masking"].item() for one in (table, before)]
    assert ssn["over_masking"] == pytest.approx(lost[0] - lost[1])


def test_what_is_measured_is_the_same_whatever_stands_for_a_value() -> None:
    surrogates = Scrub(ner="rules", replace="surrogate", unmeasured="quarantine", languages=("de",))
    canaries = canary_records(36, seed=1)

    one, other = (measure_canaries(canaries, settings=chosen, key=b"k") for chosen in (surrogates, Scrub(ner="rules")))
    assert one.equals(other)


def test_over_masking_by_entity_adds_up_to_that_of_all() -> None:
    table = measured()

    parts = table.filter(pl.col("entity") != OVERALL)["over_masking"].sum()
    assert parts == pytest.approx(table.filter(entity=OVERALL)["over_masking"].item())
    assert table.filter(pl.col("planted") > 0)["precision"].null_count() == 0
