"""Hostile texts take time in proportion to their length: four times the text, about four times the CPU time."""

import time

import pytest

from flywheel.curate.scrub import patterns
from flywheel.curate.scrub.detect import choose_detectors, detect
from flywheel.sections import Scrub

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


@pytest.fixture(scope="module", autouse=True)
def _everything_is_loaded() -> None:
    for shape in ("speakers", "pem", "addresses of mail without end"):
        cpu(text_of(SHAPES[shape], 500))


def text_of(piece: str, length: int) -> str:
    """The piece over and over; what ends it opens the gates of the recognizers that need a digit, a colon or an at sign."""
    return (piece * (length // len(piece) + 1))[:length] + " 1:2 @"


def cpu(text: str) -> float:
    """CPU seconds for the rules on a text."""
    detectors = choose_detectors(Scrub(ner="rules"))
    start = time.process_time()
    detect(text, detectors)
    return time.process_time() - start


def is_linear(piece: str, length: int) -> bool:
    """Whether four times the length takes less than seven times the time: linear is 4, quadratic 16. The second try is for a
    machine that was busy with something else."""
    for _ in range(2):
        short, long = (cpu(text_of(piece, size)) for size in (length, 4 * length))
        if long < 7 * (short + 0.01):
            return True
    return False


@pytest.mark.hostile
@pytest.mark.parametrize("shape", SHAPES)
def test_four_times_the_text_takes_about_four_times_the_time(shape: str) -> None:
    assert is_linear(SHAPES[shape], 8_000)


@pytest.mark.hostile
def test_all_shapes_one_after_the_other_take_linear_time_up_to_120_kb() -> None:
    assert is_linear("\n".join(piece * (1000 // len(piece)) for piece in SHAPES.values()), 30_000)


@pytest.mark.hostile
def test_a_search_of_whole_texts_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    piece = SHAPES["digits and dashes"]
    assert is_linear(piece, 1_000)

    monkeypatch.setattr(patterns, "windows", lambda text: [(0, text)])

    assert not is_linear(piece, 1_000)
