r"""Presidio's recognizers behind gates: which texts each of them can match at all.

A gate is a regular expression that every text which the recognizer can match also matches, so a gated text loses nothing.
Presidio's expressions ignore case; the gates look at the text in lower case, which takes half the time of ignoring it.
"""

import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple

from flywheel.errors import ConfigError

THRESHOLD = 0.4
"""The least score that counts: Presidio gives phones 0.4 whatever they are."""

_ANYTHING = re.compile("")
_IDENTIFIER = r"(?:[a-z0-9][ -]?){0,9}\d[a-z0-9 -]{0,3}\d"
_DIGIT_RUN = r"(?:\d[ .-]?){6}"
_NINE = r"[a-z0-9]{8}\d"


class Gated(NamedTuple):
    """A Presidio recognizer behind its gates: what every text that it can match also matches, cheapest first.

    `digits` is the least length of a run of digits (separators between them count), `needs_words` says that what it finds never
    counts without one of `words` nearby, be it for its score or because it is `cue_only`; `entity` is what we call what it
    finds, None for what the recognizer calls it.
    `ours` marks the recognizers of this module, whose matches inside words and long numbers are known to be chance.
    """

    recognizer: Any
    gate: re.Pattern[str]
    entity: str | None
    words: re.Pattern[str] | None
    digits: int
    needs_words: bool
    cue_only: bool
    ours: bool

    def admits(self, lower: str, longest: int) -> bool:
        """Whether it may find something in a text, given in lower case, whose longest run of digits has this length."""
        if longest < self.digits or (self.needs_words and not (self.words and self.words.search(lower))):
            return False
        return self.gate.search(lower) is not None


_GATES: dict[str, tuple[str, str | None, int]] = {
    "CryptoRecognizer": (r"(?:bc1|[13])[a-z0-9]{25}", None, 0),
    "IbanRecognizer": (r"[a-z]{2}[ -]?\d[ -]?\d(?:[ -]?[a-z0-9]){8}", None, 2),
    "IpRecognizer": (r"\d\.\d{1,3}\.\d|[0-9a-f]:[0-9a-f:]|::[0-9a-f]", None, 0),
    "MacAddressRecognizer": (r"(?:[0-9a-f]{2}[:-]){5}|[0-9a-f]{4}\.[0-9a-f]{4}\.", None, 0),
    "UsSsnRecognizer": (r"\d{3}[-. ]?\d{2}[-. ]?\d{4}", None, 9),
    "UsItinRecognizer": (r"9\d{2}[-. ]?\d{2}[-. ]?\d{4}", None, 9),
    "UsPassportRecognizer": (r"\d{8}", "PASSPORT", 8),
    "UsBankRecognizer": (r"\d{8}", "ACCOUNT_ID", 8),
    "UsLicenseRecognizer": (_IDENTIFIER, None, 0),
    "UsMbiRecognizer": (r"[1-9][a-z][a-z0-9]\d-?[a-z]", None, 0),
    "AbaRoutingRecognizer": (r"\d{4}-?\d{4}-?\d", "ACCOUNT_ID", 9),
    "MedicalLicenseRecognizer": (r"[a-z][a-z9]\d{7}", None, 7),
    "NhsRecognizer": (r"\d{3}[- ]?\d{3}[- ]?\d{4}", None, 10),
    "UkNinoRecognizer": (r"[a-z]{2} ?\d{2} ?\d{2}", None, 4),
    "UkPostcodeRecognizer": (r"\d\s?[a-z]{2}\b", "ZIP_CODE", 0),
    "UkPassportRecognizer": (r"[a-z]{2}\d{7}", "PASSPORT", 7),
    "UkDrivingLicenceRecognizer": (r"[a-z9]{5}\d{6}", None, 6),
    "CaSinRecognizer": (_DIGIT_RUN, None, 6),
    "CaPostalCodeRecognizer": (r"[a-z]\d[a-z][ -]?\d[a-z]\d", "ZIP_CODE", 0),
    "InAadhaarRecognizer": (r"\d{4}[- :]?\d{4}[- :]?\d{4}", None, 12),
    "InPanRecognizer": (r"[a-z]{3,5}\d{4}[a-z]", None, 4),
    "InPassportRecognizer": (r"[a-z][1-9]\d\s?\d{5}", "PASSPORT", 2),
    "InVoterRecognizer": (r"[a-z]{3}\d{7}", None, 7),
    "AuTfnRecognizer": (r"\d{3}\s?\d{3}\s?\d{3}", None, 3),
    "AuMedicareRecognizer": (r"[2-6]\d{3}\s?\d{5}\s?\d", None, 5),
    "EsNifRecognizer": (r"\d{7}-?[a-z]", None, 7),
    "EsNieRecognizer": (r"\d{7}-?[a-z]", None, 7),
    "EsPassportRecognizer": (r"[a-z]{3}\d{6}", "PASSPORT", 6),
    "ItFiscalCodeRecognizer": (r"[0-9a-z]{16}", None, 0),
    "ItDriverLicenseRecognizer": (r"[a-z][a-z1][0-9a-z]{7}[a-z]", None, 0),
    "ItPassportRecognizer": (r"[a-z]{2}\d{7}", "PASSPORT", 7),
    "ItIdentityCardRecognizer": (r"[a-z]{2}\s?\d{5}|\d{7}[a-z]{2}", None, 5),
    "DePassportRecognizer": (_NINE, "PASSPORT", 1),
    "DeIdCardRecognizer": (_NINE, None, 1),
    "DeSocialSecurityRecognizer": (r"\d{8}[a-z]\d{3}", None, 8),
    "DeHealthInsuranceRecognizer": (r"[a-z]\d{9}", None, 9),
    "DeFuehrerscheinRecognizer": (r"[a-z]{2}\d{8}", None, 8),
    "DeTaxIdRecognizer": (r"\d{11}", None, 11),
    "PlPeselRecognizer": (r"\d{11}", None, 11),
    "FiPersonalIdentityCodeRecognizer": (r"\d{6}[+\-a-z]", None, 6),
    "SePersonnummerRecognizer": (r"\d{6}[-+]?\d{4}", None, 10),
    "SgFinRecognizer": (r"[a-z]\d{7}[a-z]", None, 7),
    "ZaIdNumberRecognizer": (r"\d{13}", None, 13),
    "TrNationalIdRecognizer": (r"\d{11}", None, 11),
    "ThTninRecognizer": (r"\d{13}", None, 13),
    "NgNinRecognizer": (r"\d{11}", None, 11),
    "KrRrnRecognizer": (r"\d{6}-?[1-4]\d{6}", None, 13),
}
"""Recognizer: gate, our name of the entity (Presidio's when None), least run of digits."""

_CUE_ONLY = {
    "DePassportRecognizer",
    "DeIdCardRecognizer",
    "InVoterRecognizer",
    "UkDrivingLicenceRecognizer",
    "DeSocialSecurityRecognizer",
}
"""Their format is that of part numbers and their checksum one digit, so one of their words must stand before the value."""


@cache
def our_recognizers() -> tuple[Gated, ...]:
    """The recognizers of this module, made once."""
    import presidio_analyzer.predefined_recognizers as predefined

    made = []
    for name, (gate, entity, digits) in _GATES.items():
        make: Callable[[], Any] = getattr(predefined, name)
        recognizer = make()
        made.append(
            Gated(
                recognizer=recognizer,
                gate=re.compile(gate),
                entity=entity or recognizer.supported_entities[0],
                words=_words(recognizer),
                digits=digits,
                needs_words=name in _CUE_ONLY or _needs_words(recognizer),
                cue_only=name in _CUE_ONLY,
                ours=True,
            )
        )
    return tuple(made)


def gate_recognizers(found: Iterable[Any]) -> tuple[Gated, ...]:
    """Other people's recognizers, as Presidio's registry makes them, for `find_patterns(..., recognizers=...)`.

    What they find counts from their own score threshold on, 0.4 where they have none; a context word within the 60 characters
    before a match adds Presidio's 0.35. One whose patterns all stay below the threshold is only asked about texts that hold a
    context word. They see windows of 2,000 characters, and no result of an NLP pass.

    Raises:
        ConfigError: a recognizer reads what an NLP engine found and so would find nothing here.
    """
    from presidio_analyzer.predefined_recognizers import SpacyRecognizer

    gated = []
    for recognizer in found:
        if isinstance(recognizer, SpacyRecognizer):
            raise ConfigError(
                f"the recognizer {type(recognizer).__name__} takes names from an NLP engine, which [scrub] registry has not; "
                "leave it out and choose a model by [scrub] ner."
            )
        needs = _needs_words(recognizer)
        gated.append(
            Gated(recognizer, _ANYTHING, None, _words(recognizer), digits=0, needs_words=needs, cue_only=False, ours=False)
        )
    return tuple(gated)


def threshold(recognizer: Any, entity: str) -> float:
    """The least score from which on this recognizer's results of an entity count."""
    own: dict[str, float] = recognizer.score_thresholds
    return own.get(entity, own.get("default", THRESHOLD))


def _words(recognizer: Any) -> re.Pattern[str] | None:
    words = "|".join(re.escape(word.lower()) for word in recognizer.context or ())
    return re.compile(rf"(?<!\w)(?:{words})(?!\w)") if words else None


def _needs_words(recognizer: Any) -> bool:
    """Whether nothing that it matches reaches the threshold by itself."""
    from presidio_analyzer import PatternRecognizer

    if not isinstance(recognizer, PatternRecognizer) or type(recognizer).validate_result is not PatternRecognizer.validate_result:
        return False
    if type(recognizer).analyze is not PatternRecognizer.analyze or not recognizer.context:
        return False
    least = threshold(recognizer, recognizer.supported_entities[0])
    patterns: list[Any] = getattr(recognizer, "patterns")  # noqa: B009
    return max((pattern.score for pattern in patterns), default=1.0) < least
