import pytest

from flywheel.curate.scrub import scrub
from flywheel.curate.scrub.dates import find_dates
from flywheel.curate.scrub.peoples import find_peoples
from flywheel.records import Message, Record, ToolCall, from_batch, text_message, to_batch
from flywheel.sections import Scrub


def dates(text: str) -> list[str]:
    return [text[span.start : span.end] for span in find_dates(text)]


def peoples(text: str, *, everywhere: bool = False) -> list[str]:
    return [text[span.start : span.end] for span in find_peoples(text, everywhere=everywhere)]


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("logged at 2021-11-30 07:15:09.", "2021-11-30 07:15:09"),
        ("arrives 2024-05-01T10:00:00-05:00 there", "2024-05-01T10:00:00-05:00"),
        ("See you Friday, 7 June 2024 at 5:30 pm", "Friday, 7 June 2024 at 5:30 pm"),
        ("due on Sept 9th", "Sept 9th"),
        ("we met in March 2019", "March 2019"),
        ("married since 1987, happily", "1987"),
        ("in the 1980s", "the 1980s"),
        ("call me at 8am", "8am"),
        ("le 14 juillet 1998", "14 juillet 1998"),
    ],
)
def test_dates_times_and_years_are_found_as_they_are_written(text: str, date: str) -> None:
    assert dates(text) == [date]


@pytest.mark.parametrize(
    "text", ["I paid 2000 euros for 1999 chairs", "see you on Friday", "version 3.11.2", "in 2000 rows", "a ratio of 3:2", "MMXX"]
)
def test_amounts_versions_and_days_of_the_week_are_no_dates(text: str) -> None:
    assert dates(text) == []


def masked(settings: Scrub) -> Message:
    call = ToolCall(id="1", name="book", arguments='{"day": "2024-06-07", "at": "17:30", "seats": 2}')
    said = text_message("user", "A table on June 7th, please. I was born on 1990-02-03.")
    record = Record(id="r", messages=(said, Message(role="assistant", tool_calls=(call,))))
    (after,) = from_batch(scrub(to_batch([record]), settings=settings, key=b"k").kept)
    return Message(role="user", content=after.messages[0].content, tool_calls=after.messages[1].tool_calls)


def test_only_dates_of_birth_are_masked_unless_all_are_asked_for() -> None:
    birth, everything = (masked(Scrub(ner="rules", dates=dates)) for dates in ("birth", "all"))

    assert birth.text == "A table on June 7th, please. I was born on <DATE_OF_BIRTH_1>."
    assert birth.tool_calls[0].arguments == '{"day": "2024-06-07", "at": "17:30", "seats": 2}'
    assert everything.text == "A table on <DATE_TIME_1>, please. I was born on <DATE_OF_BIRTH_1>."
    assert everything.tool_calls[0].arguments == '{"day": "<DATE_TIME_2>", "at": "<DATE_TIME_3>", "seats": 2}'


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("She is Norwegian.", "Norwegian"),
        ("I'm originally a Sri Lankan, you know", "Sri Lankan"),
        ("my wife is a devout Catholic", "Catholic"),
        ("he converted to a Buddhist sect", "Buddhist"),
        ("Nationality: Kenyan", "Kenyan"),
        ("a Bolivian passport", "Bolivian"),
        ("of Punjabi descent", "Punjabi"),
    ],
)
def test_a_nationality_or_faith_is_found_where_it_is_somebodys(text: str, word: str) -> None:
    assert peoples(text) == [word]


@pytest.mark.parametrize("text", ["The Danish cheese was good.", "the Swedes won", "French toast", "Is it in English?"])
def test_nothing_of_somebody_is_left_alone(text: str) -> None:
    assert peoples(text) == []


def test_on_request_all_are_found_but_languages_and_the_names_of_companies_and_treaties() -> None:
    text = "The Danish cook speaks Thai, flies British Airways, left the European Union and met two Swedes."

    assert peoples(text, everywhere=True) == ["Danish", "Swedes"]
