"""Presidio's pattern recognizers as plain objects: no engine, no NLP pass, no look-up, and only where a gate lets a text in.

Texts are cut into windows: Presidio's expressions are quadratic on hostile input, and it skips one that times out.
"""

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any

from flywheel.curate.scrub.gates import Gated, our_recognizers, threshold
from flywheel.curate.scrub.spans import CHECKSUM, LIBRARY, PATTERN, Span
from flywheel.curate.scrub.windows import windows

_CONTEXT_CHARACTERS, _CONTEXT_BONUS = 60, 0.35
_DIGIT = re.compile(r"\d")
_SEVEN_DIGITS = re.compile(r"(?:\d\D{0,3}){7}")
_RUN = re.compile(r"\d(?:[ .:+-]?\d)*")
_PHONE = re.compile(r"(?<![\w.#$€£-])(?:\+|00)?\(?\d(?:[ \u00a0().\-/x]{0,3}\d){6,14}(?![\w%]|[-.:/]\d)")
_NO_PHONE = re.compile(
    r"(?:\d{4}-\d{2}-\d{2}|\d{1,2}/\d{1,2}/\d{2,4}|\d{1,3}(?:\.\d{1,3}){3}|\d+\.\d+|[12]\d{3} ?[-/] ?[12]\d{3})\b"
)
_TWO_DIGITS = re.compile(r"\d\d")
_PHONE_CUE = re.compile(r"(?i)\b(?:tel|phone|call|cell|mobile|fax|sms|whatsapp|dial|handy|móvil|contact|reach)")
_LAST_LABEL = re.compile(r"[^\W\d_]{2,}\Z|xn--[a-z0-9-]+\Z", re.IGNORECASE)
_NOBODY = {"::1", "::", "127.0.0.1", "0.0.0.0", "255.255.255.255"}
_EXACT = {"IBAN_CODE", "CRYPTO", "EMAIL_ADDRESS", "US_SSN"}


def find_patterns(text: str, regions: tuple[str, ...], recognizers: tuple[Gated, ...] = ()) -> list[Span]:
    """Spans of everything with a format of its own: e-mail, IBAN, IP, national ids, phones of the given regions.

    `recognizers` are other people's, from `gate_recognizers`; their spans keep their own entities.
    """
    spans: list[Span] = []
    digits = bool(_DIGIT.search(text))
    if not digits and not recognizers and "@" not in text and ":" not in text:
        return spans
    for offset, piece in windows(text):
        found = [span for gated in recognizers for span in _by_recognizer(piece, gated)]
        if "@" in piece:
            found += _emails(piece)
        if digits or ":" in piece:
            found += _by_recognizers(piece)
        if digits and _SEVEN_DIGITS.search(piece):
            found += _phones(piece, regions)
        spans += [span._replace(start=span.start + offset, end=span.end + offset) for span in found] if offset else found
    return spans


def _emails(text: str) -> Iterator[Span]:
    for result in email_recognizer().analyze(text, ["EMAIL_ADDRESS"]):
        start = result.start
        if text.startswith("git@", start):
            continue
        escape = text[start - 1 : start] == "\\" and text[start] in "nrt"  # `\nmia@x.org` in the source of a program
        yield Span(start + escape, result.end, "EMAIL_ADDRESS", CHECKSUM)


def _by_recognizers(text: str) -> Iterator[Span]:
    longest = max((match.end() - match.start() for match in _RUN.finditer(text)), default=0)
    lower = text.lower()
    for gated in our_recognizers():
        if gated.admits(lower, longest):
            yield from _by_recognizer(text, gated)


def _by_recognizer(text: str, gated: Gated) -> Iterator[Span]:
    recognizer = gated.recognizer
    if not gated.ours and not gated.admits(text.lower(), 0):
        return
    for found in recognizer.analyze(text, recognizer.supported_entities, None):
        before = text[max(0, found.start - _CONTEXT_CHARACTERS) : found.start].lower()
        cue = gated.words is not None and gated.words.search(before) is not None
        if found.score + _CONTEXT_BONUS * cue < threshold(recognizer, found.entity_type):
            continue
        if gated.ours and _is_chance(text, found.start, found.end, gated, cue):
            continue
        entity = gated.entity or found.entity_type
        exact = found.score >= 1.0 or entity in _EXACT
        yield Span(found.start, found.end, entity, CHECKSUM if exact else PATTERN)


def _is_chance(text: str, start: int, end: int, gated: Gated, cue: bool) -> bool:
    """Matches that say nothing: addresses of no machine, bare numbers (one in ten passes a checksum), pieces of words."""
    value = text[start:end]
    if value in _NOBODY or len(value) < 4 or value.startswith("255."):
        return True
    if not cue and (gated.cue_only or value.isdigit()):
        return True
    is_host = gated.entity == "IP_ADDRESS" and text[max(0, start - 2) : start] in ("//", "\\\\")
    return not is_host and _is_part_of_word(text, start, end)


def _is_part_of_word(text: str, start: int, end: int) -> bool:
    before, after = text[max(0, start - 1) : start], text[end : end + 2]
    return (
        before.isalnum()
        or before in tuple("_/.\\")
        or after[:1].isalnum()
        or after[:1] == "_"
        or (after[:1] == "." and after[1:].isdigit())
    )


def _phones(text: str, regions: tuple[str, ...]) -> Iterator[Span]:
    """Digits that look written as a phone number, confirmed by phonenumbers; bare runs of digits need a cue before them.

    With a `+` and separators a possible length is enough: ranges that phonenumbers does not know are given out every year.
    """
    for match in _PHONE.finditer(text):
        number = match[0]
        bare = (number.isdigit() and not number.startswith("00")) or not _TWO_DIGITS.search(number)
        cue = _PHONE_CUE.search(text, max(0, match.start() - 40), match.start())
        if (bare and not cue) or _NO_PHONE.match(number):
            continue
        if _is_international(number) or _is_phone(number, regions):
            yield Span(match.start(), match.end(), "PHONE_NUMBER", LIBRARY)


@lru_cache(maxsize=10_000)
def _is_phone(number: str, regions: tuple[str, ...]) -> bool:
    return bool(phone_recognizer(regions).analyze(number, ["PHONE_NUMBER"]))


def _is_international(number: str) -> bool:
    from phonenumbers import NumberParseException, is_possible_number, parse

    if not number.startswith("+") or number[1:].isdigit():
        return False
    try:
        return bool(is_possible_number(parse(number)))
    except NumberParseException:
        return False


@cache
def email_recognizer() -> Any:
    """Presidio's e-mail recognizer without tldextract, which asks publicsuffix.org on first use; a domain ends in letters."""
    from presidio_analyzer.predefined_recognizers import EmailRecognizer

    class OfflineEmail(EmailRecognizer):
        def validate_result(self, pattern_text: str) -> bool:
            return _LAST_LABEL.search(pattern_text.rpartition("@")[2]) is not None

    return OfflineEmail()


@cache
def phone_recognizer(regions: tuple[str, ...]) -> Any:
    """Presidio's phone recognizer for these regions; its score is 0.4 whatever it finds."""
    from presidio_analyzer.predefined_recognizers import PhoneRecognizer

    return PhoneRecognizer(supported_regions=regions)
