"""Presidio's pattern recognizers as plain objects: no engine, no NLP pass, no look-up, and only where a gate lets a text in.

A gate is a regular expression that every text which the recognizer can match also matches, so a gated text loses nothing.
Texts are cut into windows: Presidio's expressions are quadratic on hostile input, and it skips one that times out.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

from flywheel.curate.scrub.spans import CHECKSUM, LIBRARY, PATTERN, Span
from flywheel.curate.scrub.windows import windows

_THRESHOLD = 0.4
_CONTEXT_CHARACTERS, _CONTEXT_BONUS = 60, 0.35
_DIGIT = re.compile(r"\d")
_SEVEN_DIGITS = re.compile(r"(?:\d\D{0,3}){7}")
_RUN = re.compile(r"\d(?:[ .:+-]?\d)*")
_DIGIT_RUN = re.compile(r"(?:\d[ .-]?){6}")
_IDENTIFIER = re.compile(r"(?:[A-Za-z0-9][ -]?){0,9}\d[A-Za-z0-9 -]{0,3}\d")
_PHONE = re.compile(r"(?<![\w.#$€£-])(?:\+|00)?\(?\d(?:[ \u00a0().\-/x]{0,3}\d){6,14}(?![\w%]|[-.:/]\d)")
_NO_PHONE = re.compile(
    r"(?:\d{4}-\d{2}-\d{2}|\d{1,2}/\d{1,2}/\d{2,4}|\d{1,3}(?:\.\d{1,3}){3}|\d+\.\d+|[12]\d{3} ?[-/] ?[12]\d{3})\b"
)
_PHONE_CUE = re.compile(r"(?i)\b(?:tel|phone|call|cell|mobile|fax|sms|whatsapp|dial|handy|móvil|contact|reach)")
_LAST_LABEL = re.compile(r"[^\W\d_]{2,}\Z|xn--[a-z0-9-]+\Z", re.IGNORECASE)


class Gated(NamedTuple):
    """A Presidio recognizer behind its gates: what every text that it can match also matches, cheapest first.

    `digits` is the least length of a run of digits (separators between them count), `needs_words` says that its score never
    reaches the threshold without one of `words` nearby; `entity` is what we call what it finds.
    """

    recognizer: Any
    gate: re.Pattern[str]
    entity: str
    words: re.Pattern[str] | None
    digits: int
    needs_words: bool

    def admits(self, text: str, longest: int) -> bool:
        """Whether the recognizer may find something in a text whose longest run of digits has this length."""
        if longest < self.digits or (self.needs_words and not (self.words and self.words.search(text))):
            return False
        return self.gate.search(text) is not None


_GATES: dict[str, tuple[str, str | None, int]] = {
    "CryptoRecognizer": (r"(?:bc1|[13])[a-zA-HJ-NP-Z0-9]{25}", None, 0),
    "IbanRecognizer": (r"(?i)[a-z]{2}[ -]?\d[ -]?\d(?:[ -]?[a-z0-9]){8}", None, 2),
    "IpRecognizer": (r"\d\.\d{1,3}\.\d|[0-9A-Fa-f]:[0-9A-Fa-f:]", None, 0),
    "MacAddressRecognizer": (r"(?:[0-9A-Fa-f]{2}[:-]){5}|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.", None, 0),
    "UsSsnRecognizer": (r"\d{3}[-. ]?\d{2}[-. ]?\d{4}", None, 9),
    "UsItinRecognizer": (r"9\d{2}[-. ]?\d{2}[-. ]?\d{4}", None, 9),
    "UsPassportRecognizer": (r"\d{8}", "PASSPORT", 8),
    "UsBankRecognizer": (r"\d{8}", "ACCOUNT_ID", 8),
    "UsLicenseRecognizer": (_IDENTIFIER.pattern, None, 0),
    "UsMbiRecognizer": (r"(?i)[1-9][A-Z][A-Z0-9]\d-?[A-Z]", None, 0),
    "AbaRoutingRecognizer": (r"\d{4}-?\d{4}-?\d", "ACCOUNT_ID", 9),
    "MedicalLicenseRecognizer": (r"[A-Za-z]{2}\d{7}", None, 7),
    "NhsRecognizer": (r"\d{3}[- ]?\d{3}[- ]?\d{4}", None, 10),
    "UkNinoRecognizer": (r"(?i)[a-z]{2} ?\d{2} ?\d{2}", None, 4),
    "UkPostcodeRecognizer": (r"\d ?[A-Z]{2}\b", "ZIP_CODE", 0),
    "CaSinRecognizer": (_DIGIT_RUN.pattern, None, 6),
    "CaPostalCodeRecognizer": (r"(?i)[a-z]\d[a-z][ -]?\d[a-z]\d", "ZIP_CODE", 0),
    "InAadhaarRecognizer": (r"\d{4}[- :]?\d{4}[- :]?\d{4}", None, 12),
    "InPanRecognizer": (r"[A-Za-z]{3,5}\d{4}[A-Za-z]", None, 4),
    "AuTfnRecognizer": (r"\d{3} ?\d{3} ?\d{3}", None, 9),
    "AuMedicareRecognizer": (r"[2-6]\d{3} ?\d{5} ?\d", None, 10),
    "EsNifRecognizer": (r"(?i)\d{7}-?[a-z]", None, 7),
    "EsNieRecognizer": (r"(?i)[x-z]-?\d{7}", None, 7),
    "ItFiscalCodeRecognizer": (r"[0-9A-Za-z]{16}", None, 0),
    "PlPeselRecognizer": (r"\d{11}", None, 11),
    "FiPersonalIdentityCodeRecognizer": (r"\d{6}[+\-A-Za-z]", None, 6),
    "SgFinRecognizer": (r"(?i)[a-z]\d{7}[a-z]", None, 7),
    "ZaIdNumberRecognizer": (r"\d{13}", None, 13),
    "DeTaxIdRecognizer": (_DIGIT_RUN.pattern, None, 6),
    "SePersonnummerRecognizer": (r"\d{6}[-+ ]?\d{4}", None, 10),
}
_NOBODY = {"::1", "::", "127.0.0.1", "0.0.0.0", "255.255.255.255"}
_EXACT = {"IBAN_CODE", "CRYPTO", "EMAIL_ADDRESS", "US_SSN"}


def find_patterns(text: str, regions: tuple[str, ...]) -> list[Span]:
    """Spans of everything with a format of its own: e-mail, IBAN, IP, national ids, phones of the given regions."""
    spans: list[Span] = []
    digits = bool(_DIGIT.search(text))
    if not digits and "@" not in text and ":" not in text:
        return spans
    for offset, piece in windows(text):
        if "@" in piece:
            spans += [s._replace(start=s.start + offset, end=s.end + offset) for s in _emails(piece)]
        if digits or ":" in piece:
            spans += [s._replace(start=s.start + offset, end=s.end + offset) for s in _by_recognizer(piece)]
        if digits and _SEVEN_DIGITS.search(piece):
            spans += [s._replace(start=s.start + offset, end=s.end + offset) for s in _phones(piece, regions)]
    return spans


def _emails(text: str) -> Iterator[Span]:
    for result in email_recognizer().analyze(text, ["EMAIL_ADDRESS"]):
        if not text.startswith("git@", result.start) and text[result.start - 1 : result.start] != "\\":
            yield Span(result.start, result.end, "EMAIL_ADDRESS", CHECKSUM)


def _by_recognizer(text: str) -> Iterator[Span]:
    longest = max((match.end() - match.start() for match in _RUN.finditer(text)), default=0)
    for gated in recognizers():
        if not gated.admits(text, longest):
            continue
        for found in gated.recognizer.analyze(text, gated.recognizer.supported_entities):
            score = found.score
            before = text[max(0, found.start - _CONTEXT_CHARACTERS) : found.start]
            if score < _THRESHOLD and gated.words and gated.words.search(before):
                score += _CONTEXT_BONUS
            value = text[found.start : found.end]
            if value in _NOBODY or len(value) < 4 or value.startswith("255.") or _is_part_of_word(text, found.start, found.end):
                continue
            if value.isdigit() and not (gated.words and gated.words.search(before)):
                continue  # one in ten bare numbers passes a checksum by chance
            if score >= _THRESHOLD:
                exact = found.score >= 1.0 or gated.entity in _EXACT
                yield Span(found.start, found.end, gated.entity, CHECKSUM if exact else PATTERN)


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
    recognizer = phone_recognizer(regions)
    for match in _PHONE.finditer(text):
        bare = match[0].isdigit() and not match[0].startswith("00")
        cue = _PHONE_CUE.search(text, max(0, match.start() - 40), match.start())
        if (bare and not cue) or _NO_PHONE.match(match[0]):
            continue
        if _is_international(match[0]) or recognizer.analyze(match[0], ["PHONE_NUMBER"]):
            yield Span(match.start(), match.end(), "PHONE_NUMBER", LIBRARY)


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


@cache
def recognizers() -> tuple[Gated, ...]:
    """The recognizers of `_GATES`, made once."""
    import presidio_analyzer.predefined_recognizers as predefined
    from presidio_analyzer import PatternRecognizer

    gated = []
    for name, (gate, entity, digits) in _GATES.items():
        make: Callable[[], Any] = getattr(predefined, name)
        recognizer = make()
        words = "|".join(re.escape(word) for word in recognizer.context or ())
        gated.append(
            Gated(
                recognizer=recognizer,
                gate=re.compile(gate),
                entity=entity or recognizer.supported_entities[0],
                words=re.compile(rf"(?i)\b(?:{words})\b") if words else None,
                digits=digits,
                needs_words=type(recognizer).validate_result is PatternRecognizer.validate_result
                and max(pattern.score for pattern in recognizer.patterns) < _THRESHOLD,
            )
        )
    return tuple(gated)
