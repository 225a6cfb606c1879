import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.sources.values import count, decoded, first, json_text, moment, scalar, string

AT = dt.datetime(2026, 3, 2, 12, 30, 15, 123456, tzinfo=dt.UTC)
SECOND = AT.replace(microsecond=0)
EPOCH = 1772454615


@pytest.mark.parametrize(
    ("logged", "expected"),
    [
        (EPOCH, SECOND),
        (EPOCH + 0.123456, AT),
        (EPOCH * 1000 + 123, AT.replace(microsecond=123000)),
        (EPOCH * 10**6 + 123456, AT),
        (EPOCH * 10**9 + 123456789, AT),
        (str(EPOCH), SECOND),
        (f"{EPOCH}.123456", AT),
        (str(EPOCH * 1000), SECOND),
        ("2026-03-02T12:30:15.123456Z", AT),
        ("2026-03-02T12:30:15.123456789Z", AT),
        ("2026-03-02T14:30:15.123456+02:00", AT),
        ("2026-03-02 12:30:15.123456", AT),
        ("2026-03-02 12:30:15.123456 UTC", AT),
        (" 2026-03-02T12:30:15 ", SECOND),
        ("20260302T123015Z", SECOND),
        ("2026-03-02", dt.datetime(2026, 3, 2, tzinfo=dt.UTC)),
        ("Mon, 02 Mar 2026 13:30:15 +0100", SECOND),
    ],
)
def test_a_time_is_understood_in_every_unit_and_notation_and_is_utc_where_it_names_no_zone(
    logged: Any, expected: dt.datetime
) -> None:
    assert moment(logged) == expected


def test_a_time_in_the_future_is_taken_as_logged() -> None:
    assert moment(7258118400) == moment("2200-01-01") == dt.datetime(2200, 1, 1, tzinfo=dt.UTC)


def test_in_the_hour_that_comes_twice_in_autumn_the_offset_decides() -> None:
    times = [moment(f"2026-10-25T02:30:00+0{hours}:00") for hours in (2, 1)]

    assert times == [dt.datetime(2026, 10, 25, hour, 30, tzinfo=dt.UTC) for hour in (0, 1)]


@pytest.mark.parametrize(
    "logged",
    [
        *(None, True, 0, -1, "", "now", "12:30", "1.5", "1969-12-31", "2026-02-30", "2026-03-02T23:59:60Z", {}, [EPOCH]),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", 1e20, float("nan"), float("inf"), "9" * 30),
    ],
)
def test_what_is_no_time_is_none(logged: Any) -> None:
    assert moment(logged) is None


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(ANYTHING)
def test_any_value_is_read_without_an_error(value: Any) -> None:
    assert (found := moment(value)) is None or found.tzinfo is dt.UTC
    assert (number := count(value)) is None or 0 <= number < 2**63
    assert string(value) is None or value
    assert scalar(value) != ""
    assert isinstance(json_text(value), str)
    decoded(value)


def test_numbers_and_truth_are_told_as_they_were_logged() -> None:
    logged: list[Any] = [True, 1, 0.8, 2**70, "good", "", None, {}]

    assert [scalar(value) for value in logged] == ["true", "1", "0.8", str(2**70), "good", None, None, None]
    assert [count(value) for value in (3, "3", 3.9, True, -1, "x", 2**64)] == [3, 3, 3, None, None, None, None]
    assert first({"a": None, "b": "", "c": 0}, "a", "b", "c") == 0
    assert decoded('{"a": [1]}') == {"a": [1]}
    assert decoded("{no json") == "{no json"
