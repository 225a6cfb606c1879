import json

import pytest

from flywheel.curate.scrub import places
from flywheel.curate.scrub.places import find_places
from flywheel_tests.shared import shared_data


def found(text: str, *, everywhere: bool = False) -> list[str]:
    return [text[span.start : span.end] for span in sorted(find_places(text, everywhere=everywhere))]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("I live in Lyon and like it.", "Lyon"),
        ("She grew up in Tromsø.", "Tromsø"),
        ("we moved here from tunisia", "tunisia"),
        ("I'm Ada, originally from Soto del Barco, hello", "Soto del Barco"),
        ("I am currently in Austria", "Austria"),
        ("Ich wohne in Graz.", "Graz"),
    ],
)
def test_a_place_that_is_bound_to_somebody_is_personal(text: str, place: str) -> None:
    assert found(text) == [place]


@pytest.mark.parametrize(
    "text",
    [
        "I am travelling to Norway on Friday.",
        "I am writing from Chile if that makes a difference.",
        "My flight from Toronto to Las Vegas was late.",
        "Emperor penguins live in Antarctica.",
        "What is the tax in Portugal?",
        "How do I move from Plus to Studio Annual?",
        "I'm in the middle of a call and I am in Python land.",
    ],
)
def test_a_trip_a_question_and_a_plan_are_not(text: str) -> None:
    assert found(text) == []


def test_every_place_near_somebody_is_found_on_request() -> None:
    assert found("I am travelling to Norway on Friday.", everywhere=True) == ["Norway"]


@pytest.mark.parametrize(
    "address",
    [
        "25615 Tawastintie 72 Apt. 004, ISHAM, United Kingdom",
        "48010 Paseo del Atlántico 81\n Suite 762\n Torroella de Montgrí\n Spain 20416",
        "PSC 1437, Box 3833\nAPO AA 66791",
        "the corner of 25 Dili Gianni Street and King Forges",
        "12 rue de la Paix, 75002 Paris",
        "Goethestraße 12, 60313 Frankfurt",
        "638 2229 Wolmarans St\nCaxias do Sul, RS 24893",
    ],
)
def test_an_address_is_found_to_its_last_line_and_no_further(address: str) -> None:
    text = f"Send it to {address}\nMobile: later"
    covered = {i for span in find_places(text) for i in range(span.start, span.end)}
    start = text.index(address)

    assert {i for i in range(start, start + len(address)) if text[i].isalnum()} <= covered
    assert "Mobile" not in "".join(text[i] if i in covered else " " for i in range(len(text)))


def test_looking_for_words_before_street_patterns_loses_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = json.loads((shared_data("pii") / "presidio_synth_v2_even.json").read_text("utf-8"))
    texts = [document["full_text"] for document in documents]
    quick = [find_places(text) for text in texts]

    monkeypatch.setattr(places, "_STREETS", tuple(s._replace(numbered=False, words=()) for s in places._STREETS))
    monkeypatch.setattr(places, "_GERMANIC_ENDS", ("",))

    assert [find_places(text) for text in texts] == quick
    assert sum(map(len, quick)) > 300


def test_british_and_canadian_postcodes_need_no_cue() -> None:
    assert found("Parcels for SW1A 1AA and K1A 0B1, not for part A1B-2C3 or AB12.") == ["SW1A 1AA", "K1A 0B1"]
