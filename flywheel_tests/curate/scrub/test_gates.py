"""What the gates keep from Presidio's recognizers: nothing true. The reference runs every recognizer on every whole text."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from presidio_analyzer import Pattern, PatternRecognizer
from presidio_analyzer.predefined_recognizers import CreditCardRecognizer, SpacyRecognizer

from flywheel.curate.scrub import patterns
from flywheel.curate.scrub.detect import choose_detectors, detect
from flywheel.curate.scrub.gates import THRESHOLD, gate_recognizers, our_recognizers
from flywheel.curate.scrub.patterns import email_recognizer, find_patterns, phone_recognizer
from flywheel.errors import ConfigError
from flywheel.sections import Scrub
from flywheel_tests.foreign_texts import foreign_texts

LISTED = Path(__file__).parent / "lost_hits.tsv"
"""Text (first 12 digits of its SHA-256), position, entity, why it is a false alarm. The list is that of the whole corpus. A
pattern proposed the reasons; then each of the 129 was read with the 45 characters before it and the 25 after it."""

REASONS = {
    "nobody": "loopback, netmask or any-address",
    "fraction": "digits of a decimal number",
    "code": "a number in a table, formula or program, a price, a time stamp, or the id of a document or an article",
    "address": "house numbers, no phone; the rules for places mask them",
    "inside": "a piece of a longer word, hash, UUID or number",
    "remote": "git@ names a server's account",
}


class Hit(NamedTuple):
    """A hit of the reference that is not wholly masked by ours."""

    text: str
    start: int
    entity: str
    value: str


def lost(text: str) -> Iterator[Hit]:
    recognizers = [email_recognizer(), phone_recognizer(Scrub().regions), CreditCardRecognizer()]
    recognizers += [gated.recognizer for gated in our_recognizers()]
    masked = {i for span in detect(text, choose_detectors(Scrub(ner="none"))) for i in range(span.start, span.end)}
    for recognizer in recognizers:
        for result in recognizer.analyze(text, recognizer.supported_entities):
            characters = range(result.start, result.end)
            if result.score >= THRESHOLD and any(text[i].isalnum() and i not in masked for i in characters):
                yield Hit(digest_of(text), result.start, result.entity_type, text[result.start : result.end])


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def one_in(count: int, text: str) -> bool:
    return int(digest_of(text), 16) % count == 0


def listed() -> dict[tuple[str, int, str], str]:
    rows = (line.split("\t") for line in LISTED.read_text("utf-8").splitlines())
    return {(digest, int(start), entity): reason for digest, start, entity, reason in rows}


@pytest.mark.slow
def test_every_hit_that_plain_presidio_has_and_we_have_not_is_listed_as_a_false_alarm() -> None:
    known = listed()
    listed_texts = {digest for digest, _, _ in known}
    sample = [
        text for text in foreign_texts() if re.search(r"\d|@", text) and (digest_of(text) in listed_texts or one_in(4, text))
    ]

    missing = [hit for text in sample for hit in lost(text)]

    assert len(sample) > 600
    assert {(hit.text, hit.start, hit.entity) for hit in missing} == set(known)
    assert set(known.values()) == set(REASONS)


def test_the_house_numbers_that_presidio_takes_for_a_phone_are_masked_as_an_address() -> None:
    ((digest, start, _),) = (hit for hit, reason in listed().items() if reason == "address")
    (text,) = (text for text in foreign_texts() if digest_of(text) == digest)

    assert any(s.start <= start < s.end and s.entity == "STREET_ADDRESS" for s in detect(text, choose_detectors(Scrub())))


def test_gates_alone_lose_nothing_that_the_recognizers_behind_them_find(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = [text for text in foreign_texts() if re.search(r"\d|:", text) and one_in(2 if len(text) < 400 else 16, text)]
    sample += ["codice fiscale RSSMRA85T10A562S", "my driver license is A1234567, passport 123456789, postcode sw1a 1aa"]
    gated = [find_patterns(text, Scrub().regions) for text in sample]

    everything = tuple(gate._replace(gate=re.compile(""), digits=0, needs_words=False) for gate in our_recognizers())
    monkeypatch.setattr(patterns, "our_recognizers", lambda: everything)

    assert [find_patterns(text, Scrub().regions) for text in sample] == gated
    assert sum(map(len, gated)) > 30


def found(text: str, *recognizers: PatternRecognizer) -> list[tuple[str, str]]:
    spans = find_patterns(text, ("US",), gate_recognizers(recognizers))
    return [(span.entity, text[span.start : span.end]) for span in spans]


def test_a_recognizer_of_ones_own_runs_in_every_window() -> None:
    badge = PatternRecognizer("BADGE", patterns=[Pattern("badge", r"\bB-\d{5}\b", 0.6)])
    text = "x y " * 1500 + "badge B-12345"

    assert found(text, badge) == [("BADGE", "B-12345")]


def test_a_weak_pattern_of_ones_own_needs_its_context_word_before_it() -> None:
    badge = PatternRecognizer("BADGE", patterns=[Pattern("badge", r"\b\d{5}\b", 0.1)], context=["badge"])

    assert found("my badge is 12345", badge) == [("BADGE", "12345")]
    assert found("12345 is my badge", badge) == []
    assert found("room 12345", badge) == []


def test_words_of_a_deny_list_are_found_without_a_digit() -> None:
    project = PatternRecognizer("PROJECT", deny_list=["Bluebird", "Night Heron"])

    assert found("we call it Night Heron", project) == [("PROJECT", "Night Heron")]


def test_a_recognizer_that_needs_an_nlp_engine_is_refused_instead_of_finding_nothing() -> None:
    with pytest.raises(ConfigError, match="SpacyRecognizer"):
        gate_recognizers([SpacyRecognizer()])
