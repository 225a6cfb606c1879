"""Dates and times of every kind, for `[scrub] dates = "all"`; dates of birth alone are in numbers.py."""

import re
from collections.abc import Iterator

from flywheel.curate.scrub.numbers import DATE, MONTH
from flywheel.curate.scrub.spans import PLACE, Span

_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,6})?)?"
_ZONE = r"(?:Z|[ ]?(?:UTC|GMT|[ECMP][SD]T|CES?T|[+-]\d{2}:?\d{2}))"
_HALF = r"[ap]\.?m\b\.?"
_TIME = rf"(?:{_CLOCK}(?: ?{_HALF})?(?:{_ZONE}(?!\w))?|\d{{1,2}} ?{_HALF}|\d{{1,2}} o'clock)"
_DAY_NAME = r"(?:mon|tues?|wed(?:nes)?|thur?s?|fri|sat(?:ur)?|sun)(?:day)?"
_YEAR = r"(?:1[6-9]|20)\d\d"
_DAY_MONTH = (
    rf"{MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?(?![\w:])|(?:the )?\d{{1,2}}(?:st|nd|rd|th|\.)? (?:of )?{MONTH}(?!\w)|"
    rf"{MONTH}\.?,? (?:of )?{_YEAR}(?!\w)"
)
_DATE_TIME = re.compile(
    rf"(?i)(?<![\w.,/:-])(?:{_DAY_NAME},? )?(?:the )?"
    rf"(?:(?:{DATE}|{_DAY_MONTH})(?!\d)(?:(?:T|,? (?:at )?){_TIME})?|{_TIME})(?![\w%])"
)
_NUMBERED = re.compile(rf"\d|(?i:{_HALF})")
_CALENDAR_YEAR = re.compile(
    rf"\b(?i:in|since|until|till|of|from|by|before|after|around|during|early|late|year|summer|winter|spring|autumn|fall)"
    rf"(?P<year> (?:the )?{_YEAR}(?:s|-\d{{2,4}})?)(?![\w%]|[.,:/-]\d| [a-z]{{3,12}}s\b)"
)


def find_dates(text: str) -> list[Span]:
    """Dates, months with a day or a year, times of the day, and years after `in`, `since` and the like, as DATE_TIME spans.

    Not days of the week, months, holidays or durations by themselves, which are nobody's.
    """
    return list(_dates(text)) if _NUMBERED.search(text) else []


def _dates(text: str) -> Iterator[Span]:
    for match in _DATE_TIME.finditer(text):
        yield Span(*match.span(), "DATE_TIME", PLACE)
    for match in _CALENDAR_YEAR.finditer(text):
        yield Span(match.start("year") + 1, match.end("year"), "DATE_TIME", PLACE)
