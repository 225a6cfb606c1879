import pytest

from flywheel.curate.scrub.spans import ADDRESS, LIBRARY, NAME, Span
from flywheel.curate.scrub.titles import find_titles


def found(text: str, person: str, *more: tuple[str, str, int]) -> list[tuple[str, str]]:
    """What `find_titles` finds when the person, and more (value, entity, strength), were found before."""
    values = [(person, "PERSON", NAME), *more]
    spans = [Span(text.index(v), text.index(v) + len(v), entity, strength) for v, entity, strength in values]
    return [(text[s.start : s.end], s.entity) for s in find_titles(text, spans)]


@pytest.mark.parametrize("form", ["Mr.", "Mrs", "Dr.", "Prof."])
def test_a_form_of_address_before_a_name_goes_with_it(form: str) -> None:
    assert found(f"Ask {form} Xylander now", "Xylander") == [(form, "TITLE")]


def test_a_job_after_a_name_is_a_title_and_another_remark_is_none() -> None:
    assert found("Ida Quist, the senior process engineer, agreed", "Ida Quist") == [("senior process engineer", "TITLE")]
    assert found("Ida Quist, head of sales at Oru", "Ida Quist") == []
    assert found("Ida Quist, accountant at Oru, agreed", "Ida Quist") == [("accountant", "TITLE")]
    assert found("Ida Quist, as you know, agreed", "Ida Quist") == []


def test_the_lines_between_name_and_address_of_a_signature_are_job_and_employer() -> None:
    text = "Ida Quist\nProcess analyst\nOru and Sons\n12 Elm Road"
    address = ("12 Elm Road", "STREET_ADDRESS", ADDRESS)

    assert found(text, "Ida Quist", address) == [("Process analyst", "TITLE"), ("Oru and Sons", "ORGANIZATION")]


@pytest.mark.parametrize(
    "text",
    [
        "Ida Quist\nPlease call us back.\n020 7946 0958",
        "Ida Quist\nCity: Oru\n020 7946 0958",
        "We saw Ida Quist\nProcess analyst\n020 7946 0958",
        "Congratulations Ida Quist\nProcess analyst\n020 7946 0958",
        "Ida Quist\n020 7946 0958",
    ],
)
def test_sentences_and_fields_between_a_name_and_a_phone_are_left_alone(text: str) -> None:
    assert found(text, "Ida Quist", ("020 7946 0958", "PHONE_NUMBER", LIBRARY)) == []


def test_without_any_contact_the_lines_under_a_name_are_left_alone() -> None:
    assert found("Ida Quist\nProcess analyst\nOru and Sons\n", "Ida Quist") == []
