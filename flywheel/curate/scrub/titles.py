"""What stands beside a found name and tells of its bearer: forms of address, job titles, the employer of a signature."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from flywheel.curate.scrub.spans import MODEL, NAME, Span

_FORM_OF_ADDRESS = re.compile(r"\b(?P<title>(?:Mrs?|Ms|Mx|Dr|Prof)\.?) {1,2}\Z")
_APPOSITION = re.compile(
    r", (?:(?:the|an?|our|their|his|her|my|your) )?(?P<title>[^\W\d_][\w/&'-]*(?: [\w/&'-]+){0,4}?)"
    r"(?=,|[ ](?:at|of|for|from|with|in) [A-Z])"
)
_JOB = re.compile(
    r"(?i)(?:ers?|ors?|ists?|ians?|ants?|eers?|man|woman|men|agents?|clerks?|nurses?|chief|head|presidents?|partner|secretary|"
    r"attorney|aide|chef|judge|pilot|dean|intern|C[EFTO]O|VP)\Z"
)
_LINE = re.compile(r"[^\W\d_][^\n\d@:;!?|<>{}=]{1,58}[^\n\d@:;!?|<>{}=,]")
_CONTACT = frozenset({"STREET_ADDRESS", "PHONE_NUMBER", "EMAIL_ADDRESS", "URL", "ZIP_CODE"})
_REACH = 250
"""Characters between a signature's name and its first way of contact, at most."""
_INDENT = 12
"""Fewer characters than these stand before the name in its line."""


def find_titles(text: str, spans: Sequence[Span]) -> list[Span]:
    """Forms of address before a person, job titles after one (`Ada Voss, the lead engineer, said`), and the lines between name
    and address of a signature or letterhead: the first is a job title, the next an organisation. `spans` are what was found."""
    found = [title for span in spans if span.entity == "PERSON" for title in _beside(text, span)]
    return [*found, *_signatures(text, spans)] if "\n" in text else found


def _beside(text: str, person: Span) -> Iterator[Span]:
    before = _FORM_OF_ADDRESS.search(text, max(0, person.start - 8), person.start)
    if before:
        yield Span(before.start(), before.end("title"), "TITLE", NAME)
    after = _APPOSITION.match(text, person.end)
    if after and _JOB.search(after["title"]):
        yield Span(*after.span("title"), "TITLE", MODEL)


def _signatures(text: str, spans: Sequence[Span]) -> Iterator[Span]:
    contacts = sorted(span.start for span in spans if span.entity in _CONTACT)
    for person in spans:
        if person.entity != "PERSON" or not _ends_line(text, person):
            continue
        at = bisect_left(contacts, person.end)
        if at == len(contacts) or contacts[at] > person.end + _REACH:
            continue
        yield from _between(text, person.end + 1, contacts[at])


def _ends_line(text: str, person: Span) -> bool:
    """Whether a name is the last of its line, and nothing but a form of address stands before it there."""
    before = text[max(0, person.start - _INDENT) : person.start].rpartition("\n")[2]
    return text[person.end : person.end + 1] == "\n" and len(before) < _INDENT and " " not in before.strip()


def _between(text: str, start: int, end: int) -> Iterator[Span]:
    """The first two lines from `start` on, as far as they are no sentences and end before the contact at `end`."""
    for entity in ("TITLE", "ORGANIZATION"):
        while text[start : start + 1] == "\n":
            start += 1
        line = _LINE.match(text, start)
        if line is None or line.end() >= end or text[line.end()] != "\n" or line[0].endswith(".") or line[0].count(" ") > 6:
            return
        yield Span(*line.span(), entity, MODEL)
        start = line.end() + 1
