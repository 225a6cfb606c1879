import json

import pytest

from flywheel.curate.scrub import scrub
from flywheel.records import (
    Candidate,
    Feedback,
    Message,
    Part,
    Record,
    ToolCall,
    from_batch,
    text_message,
    to_batch,
)
from flywheel.sections import Scrub

KEY = b"test key"
PERSON = "<PERSON_1>"


def said(*texts: str) -> list[str]:
    """The scrubbed texts of a conversation of user turns."""
    record = Record(id="r", messages=tuple(text_message("user", text) for text in texts))
    (after,) = from_batch(scrub(to_batch([record]), settings=Scrub(), key=KEY).kept)
    return [message.text for message in after.messages]


@pytest.mark.parametrize(
    ("written", "after"),
    [
        ("Jane's car and JANE DOE's house", f"{PERSON}'s car and {PERSON}'s house"),
        ("is it janes car or jane doe's?", f"is it {PERSON} car or {PERSON}'s?"),
        ("ask J. Doe or Doe, Jane", f"ask {PERSON} or {PERSON}, {PERSON}"),
        ("ask Jane D. about it", f"ask {PERSON} about it"),
        ("signed J.D. today", f"signed {PERSON} today"),
        ("see /users/jane-doe and /u/jdoe42", f"see /users/{PERSON} and /u/{PERSON}"),
        ("open Jane_Doe_CV.pdf or JaneDoeCV.pdf", f"open {PERSON}_CV.pdf or {PERSON}CV.pdf"),
        ("GET /find?name=Jane%20Doe&page=2", f"GET /find?name={PERSON}&page=2"),
        ("GET /find?name=jane+doe", f"GET /find?name={PERSON}"),
        ("logins janedoe, doejane, jdoe, janed", f"logins {PERSON}, {PERSON}, {PERSON}, {PERSON}"),
        ("set home to /home/j.doe/src", f"set home to /home/{PERSON}/src"),
    ],
)
def test_a_name_is_one_placeholder_in_every_form_that_repeats_it(written: str, after: str) -> None:
    assert said("My name is Jane Doe.", written)[1].replace(f"{PERSON}. ", f"{PERSON} ") == after


@pytest.mark.parametrize("written", ["Müller", "müller", "Mueller", "mueller", "muller", "MÜLLER", "Müllers", "H. Muller"])
def test_diacritics_and_genitives_are_the_same_person(written: str) -> None:
    assert said("Ask Dr. Hans Müller.", f"it is {written} again")[1].replace("H. ", "") == f"it is {PERSON} again"


def test_last_name_first_is_the_same_person() -> None:
    assert said("Anna Becker called.", "Please list Becker Anna, thanks") == [
        f"{PERSON} called.",
        f"Please list {PERSON}, thanks",
    ]


def test_an_ordinary_word_is_not_taken_for_the_plural_or_the_initials_of_somebody() -> None:
    texts = ["My name is Jane Doe.", "What does it do? A J curve; class D; I do. MaxValue = 3"]

    assert said(*texts)[1] == texts[1]


@pytest.mark.parametrize("written", ["+1 415 555 0132", "415.555.0132", "001 415 555 0132", "tel:+14155550132", "(415) 555 0132"])
def test_a_phone_number_is_one_placeholder_with_and_without_its_country(written: str) -> None:
    assert (
        said("Ring me on (415) 555-0132", f"call {written}")[1].removeprefix("call ").removeprefix("tel:") == "<PHONE_NUMBER_1>"
    )


def test_a_street_is_one_placeholder_short_and_in_full_and_its_postcode_goes_with_it() -> None:
    assert said("I live at 20 Oak Street, Springfield, IL 62704", "20 Oak St then; route 62704") == [
        "I live at <STREET_ADDRESS_1>",
        "<STREET_ADDRESS_1> then; route <STREET_ADDRESS_1>",
    ]


@pytest.mark.parametrize(
    "written", ["5 April 1990", "April 5th, 1990", "5th of April 1990", "05.04.1990", "4/5/90", "05/04/1990"]
)
def test_a_birth_date_is_one_placeholder_in_every_format(written: str) -> None:
    assert said("dob: 1990-04-05", f"so it was {written}")[1] == "so it was <DATE_OF_BIRTH_1>"


def test_every_field_of_a_record_agrees_on_who_is_who() -> None:
    record = Record(
        id="r",
        messages=(
            text_message("system", "You serve Jane Doe (jane.doe@acme.test)."),
            text_message("user", "Look at my files", name="jane-doe"),
            Message(
                role="assistant",
                reasoning="jane wants her files",
                tool_calls=(ToolCall(name="ls", arguments='{"path": "/users/jane-doe/Jane_Doe_CV.pdf", "as": ["jdoe", 3]}'),),
            ),
            text_message("tool", '{"owner": {"name": "Jane Doe"}, "url": "https://files.test/u/jdoe?who=Jane%20Doe"}'),
            Message(role="assistant", content=(Part(type="image", url="https://files.test/jane_doe.png"), Part(text="Doe's CV"))),
        ),
        candidates=(Candidate(messages=(text_message("assistant", "Hello J. Doe"),)),),
        feedback=(Feedback(name="thumb", value="up", comment="JANE DOE was pleased"),),
        tags=("customer=Jane Doe", "folder=/users/jane-doe", "plan=gold"),
    )

    (after,) = from_batch(scrub(to_batch([record]), settings=Scrub(), key=KEY).kept)

    assert after.messages[0].text == f"You serve {PERSON} (<EMAIL_ADDRESS_1>)."
    assert after.messages[1].name == PERSON
    assert after.messages[2].reasoning == f"{PERSON} wants her files"
    arguments = json.loads(after.messages[2].tool_calls[0].arguments)
    assert arguments == {"path": f"/users/{PERSON}/{PERSON}_CV.pdf", "as": [PERSON, 3]}
    assert json.loads(after.messages[3].text) == {"owner": {"name": PERSON}, "url": f"https://files.test/u/{PERSON}?who={PERSON}"}
    assert after.messages[4].content[0].url == f"https://files.test/{PERSON}.png"
    assert after.candidates[0].messages[0].text == f"Hello {PERSON}"
    assert after.feedback[0].comment == f"{PERSON} was pleased"
    assert after.tags == (f"customer={PERSON}", f"folder=/users/{PERSON}", "plan=gold")
