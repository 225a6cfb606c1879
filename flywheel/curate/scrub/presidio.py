"""Our rules as Presidio recognizers, for any AnalyzerEngine and by name in the YAML of a recognizer registry.

Import this module before the registry is read; then `- name: FlywheelSecrets` under `recognizers` is found like Presidio's own.
"""

from typing import Any, ClassVar

from presidio_analyzer import LocalRecognizer, RecognizerResult

from flywheel.curate.scrub.names import find_names
from flywheel.curate.scrub.numbers import find_numbers
from flywheel.curate.scrub.places import find_places
from flywheel.curate.scrub.secrets import find_secrets
from flywheel.curate.scrub.spans import Span, resolve


class RuleRecognizer(LocalRecognizer):
    """A recognizer around one detector. Scores are the strength of the evidence, from 0 to 1."""

    ENTITIES: ClassVar[tuple[str, ...]] = ()

    @staticmethod
    def find(text: str) -> list[Span]:
        """What the detector finds in a text."""
        raise NotImplementedError

    def __init__(self, supported_language: str = "en", name: Any = None, **settings: Any) -> None:
        super().__init__(supported_entities=list(self.ENTITIES), supported_language=supported_language, name=name, **settings)

    def load(self) -> None:
        """Nothing: word lists load with the first text."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: object = None) -> list[RecognizerResult]:  # noqa: ARG002
        """The detector's spans of these entities, without overlaps."""
        found = resolve(text, self.find(text))
        return [RecognizerResult(s.entity, s.start, s.end, min(s.strength, 100) / 100) for s in found if s.entity in entities]


class FlywheelSecrets(RuleRecognizer):
    """gitleaks' rules and passwords, tokens in URLs and headers, private keys."""

    ENTITIES = ("SECRET",)
    find = staticmethod(find_secrets)


class FlywheelNumbers(RuleRecognizer):
    """Cards, accounts, licences, ages and dates of birth by cue or checksum; user names and wallets."""

    ENTITIES = (
        *("CREDIT_CARD", "CARD_LAST4", "IBAN_CODE", "PAYMENT_ID", "ACCOUNT_ID", "USER_ID", "URL", "CRYPTO", "PHONE_NUMBER"),
        *("DATE_OF_BIRTH", "AGE", "PASSPORT", "US_SSN", "US_DRIVER_LICENSE"),
    )
    find = staticmethod(find_numbers)


class FlywheelNames(RuleRecognizer):
    """Names of people by word lists and context."""

    ENTITIES = ("PERSON",)
    find = staticmethod(find_names)


class FlywheelPlaces(RuleRecognizer):
    """Addresses, postcodes, homes and employers."""

    ENTITIES = ("STREET_ADDRESS", "ZIP_CODE", "LOCATION", "ORGANIZATION")

    @staticmethod
    def find(text: str) -> list[Span]:
        """Places that are bound to somebody."""
        return find_places(text)
