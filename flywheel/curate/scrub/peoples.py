"""Nationalities, peoples, religions and political groups (Presidio's NRP) by a word list, where they tell of somebody."""

import re
from collections.abc import Iterator
from functools import cache

from flywheel.curate.scrub.gazetteer import gazetteer
from flywheel.curate.scrub.letters import CAPITALISED
from flywheel.curate.scrub.spans import PLACE, Span

_WORD = re.compile(rf"(?<![\w@#/\\-]){CAPITALISED}(?:[ -]{CAPITALISED})?")
_CANDIDATE = re.compile(r"[A-Z][A-Za-z]{2,}")
_OF_SOMEBODY = re.compile(
    r"(?i)\b(?:(?:I|we|you|he|she|they|who|(?:my|his|her|our|their|your) [a-z]{2,15}) ?(?:'m|am|'s|is|'re|are|was|were)|i'?m|"
    r"as|being|nationality|citizenship|religion|religious beliefs?|ethnicity|denomination|party|identif(?:y|ies) as|"
    r"convert(?:ed)? to|born|raised|married an?|became)"
    r"(?: ?[:=]| is| was)?(?: (?:an?|of|half|part|also|not|originally|still|now|both|really|actually|proud|devout|practi[sc]ing|"
    r"naturali[sz]ed|native|registered|lifelong|by birth)){0,3}[ -]\Z"
)
_OF_SOMEBODY_AFTER = re.compile(
    r"s?[ -](?:citizen(?:ship)?|national(?:ity)?|passport|descent|origins?|heritage|ancestry|background|roots|parents?|mother|"
    r"father|grand\w{3,9}|wife|husband|family|immigrants?|refugees?|expat\w{0,6}|by birth|faith|born)\b"
)
_NEXT = re.compile(rf" (?P<word>{CAPITALISED})")
_IS_LANGUAGE = re.compile(
    r"(?i)\b(?:in|into|to|from|speaks?|speaking|spoken|learn(?:s|ed|ing)?|stud(?:y|ies|ying)|teach(?:es|ing)?|translate|fluent)"
    r"(?: (?:fluent|good|some|plain|proper|basic|simple))? \Z"
)
_NO_PERSON_AFTER = re.compile(r"(?! [a-z]{3,})|[ -](?:language|translations?|words?|texts?|grammar|lessons?|speak\w+|version)\b")


def find_peoples(text: str, *, everywhere: bool = False) -> list[Span]:
    """Capitalised words of the list as NRP spans, in a normalised text, where the words beside them say that they are
    somebody's (`she is Norwegian`, `a Kenyan passport`); `everywhere` takes all but languages (`translate it into Dutch`)."""
    return [Span(start, end, "NRP", PLACE) for start, end in _listed(text) if everywhere or _is_bound(text, start, end)]


def _listed(text: str) -> Iterator[tuple[int, int]]:
    if _first_words().isdisjoint(word.lower().rstrip("s") for word in _CANDIDATE.findall(text)):
        return
    peoples = gazetteer().peoples
    for match in _WORD.finditer(text):
        start, end = match.span()
        words = re.split("[ -]", match[0])
        if _is_people("_".join(words), peoples):
            found = [(start, end)]
        else:
            first = start + len(words[0])
            found = [(start, first)] if _is_people(words[0], peoples) else []
            if len(words) > 1 and _is_people(words[1], peoples):
                found.append((first + 1, end))
        yield from (span for span in found if not _is_language(text, *span) and not _begins_name(text, span[1]))


def _begins_name(text: str, end: int) -> bool:
    """Whether a company, a treaty or the like goes on (`European Union`); a person may follow (`the Dane Søren Berg`)."""
    following = _NEXT.match(text, end)
    return following is not None and following["word"].lower() not in gazetteer().first


@cache
def _first_words() -> frozenset[str]:
    """Of every entry of the list, without the s of a plural: most texts have none of them."""
    return frozenset(entry.partition("_")[0].rstrip("s") for entry in gazetteer().peoples)


def _is_people(word: str, peoples: frozenset[str]) -> bool:
    lower = word.lower()
    return lower in peoples or (lower.endswith("s") and lower[:-1] in peoples)


def _is_bound(text: str, start: int, end: int) -> bool:
    return _OF_SOMEBODY_AFTER.match(text, end) is not None or _OF_SOMEBODY.search(text, max(0, start - 60), start) is not None


def _is_language(text: str, start: int, end: int) -> bool:
    return _NO_PERSON_AFTER.match(text, end) is not None and _IS_LANGUAGE.search(text, max(0, start - 40), start) is not None
