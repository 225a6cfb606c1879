"""Hostile texts take time in proportion to their length: four times the text, about four times the CPU time."""

import time

import pytest

from flywheel.curate.scrub.detect import choose_detectors, detect
from flywheel.sections import Scrub

SHORT = 30_000
SHAPES = {
    "digits and dashes": "12-12-",
    "dotted letters": "a.a.a.",
    "at signs": "@@@@",
    "addresses of mail without end": "a@a.",
    "parentheses": "((((",
    "one long number": "1234567890",
    "spaced digits": "1 ",
    "schemes": "http://http://",
    "quotes": "\"'",
    "base64": "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0NTY3ODkw",
    "hexadecimal": "0x0f",
    "lists of names": "Anna, Robert, Maria, ",
    "full names": "Anna Becker Robert Hughes ",
    "capital words": "Ab ",
    "speakers": "Anna: hi\n",
    "Greek and Cyrillic": "Αννα Жанна ",
    "combining marks": "e\u0301",
    "zero width": "a\u200b",
    "fullwidth": "１２３-",
    "passwords": "password ",
    "assignments": "api_key = ",
    "bearers": "Bearer ",
    "streets": "at 12 Ab ",
    "house numbers": "12 Main, ",
    "white space": " \n\t",
    "paths": "/home/a",
    "backslashes": "C:\\Users\\",
    "keys of JSON": '{"a":',
    "placeholders": "<PERSON_1>",
    "colons": "::1:",
    "IBAN starts": "DE89 3704 ",
    "cues": "my name is ",
    "pem": "-----BEGIN PRIVATE KEY-----",
}


def cpu(text: str) -> float:
    """CPU seconds for the rules on a text."""
    detectors = choose_detectors(Scrub(ner="rules"))
    start = time.process_time()
    detect(text, detectors)
    return time.process_time() - start


def is_linear(piece: str) -> bool:
    short, long = (cpu((piece * (length // len(piece) + 1))[:length]) for length in (SHORT, 4 * SHORT))
    return long < 10 * (short + 0.02)


@pytest.mark.hostile
@pytest.mark.parametrize("shape", SHAPES)
def test_four_times_the_text_takes_about_four_times_the_time(shape: str) -> None:
    piece = SHAPES[shape]

    assert is_linear(piece) or is_linear(piece)
