from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.curate.scrub.json_text import edit_json, is_json
from flywheel.curate.scrub.normalise import normalise
from flywheel.curate.scrub.numbers import is_iban, luhn
from flywheel.curate.scrub.spans import CHECKSUM, CUE, NAME, PLACE, Span, resolve
from flywheel.curate.scrub.windows import windows


def test_the_stronger_evidence_wins_and_the_rest_of_the_weaker_stays_masked() -> None:
    text = "Mia Li 4111111111111111 Paris"
    spans = [Span(0, 29, "PERSON", NAME), Span(7, 23, "CREDIT_CARD", CHECKSUM), Span(7, 23, "PHONE_NUMBER", CUE)]

    assert [(text[s.start : s.end], s.entity) for s in resolve(text, spans)] == [
        ("Mia Li", "PERSON"),
        ("4111111111111111", "CREDIT_CARD"),
        ("Paris", "PERSON"),
    ]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 8), st.sampled_from([NAME, PLACE, CUE])), max_size=6))
def test_resolved_spans_never_overlap_and_cover_every_pair_of_found_letters(raw: list[tuple[int, int, int]]) -> None:
    text = "abcdefghijklmnopqrstuvwxyz012345"
    spans = [Span(start, start + length, "X", strength) for start, length, strength in raw]

    resolved = resolve(text, spans)

    assert all(a.end <= b.start for a, b in pairwise(resolved))
    assert all(any(r.start < s.end and s.start < r.end for r in resolved) for s in spans)


@pytest.mark.parametrize(
    ("text", "normal"),
    [("ｍｉａ＠x.de", "mia@x.de"), ("m\u200bi\u202ea", "mia"), ("a\ud800b", "a\ufffdb"), ("e\u0301t", "ét"), ("x\u00a0y", "x y")],
)
def test_text_is_normalised_with_the_way_back(text: str, normal: str) -> None:
    result = normalise(text)

    assert result.text == normal
    assert result.original(0, len(normal)) == (0, len(text))


@given(st.text())
def test_every_normal_character_comes_from_inside_the_original(text: str) -> None:
    result = normalise(text)

    for place in range(len(result.text)):
        start, end = result.original(place, place + 1)
        assert 0 <= start < end <= len(text)


@given(st.text(alphabet="ab \n", max_size=300), st.integers(20, 60))
def test_windows_cover_the_text_and_hold_every_short_stretch_whole(text: str, size: int) -> None:
    pieces = list(windows(text, size=size, overlap=10))

    assert all(text[w.start : w.start + len(w.text)] == w.text and len(w.text) <= size for w in pieces)
    for start in range(len(text) - 5):
        assert any(w.start <= start and start + 5 <= w.start + len(w.text) for w in pieces)


def test_checksums_accept_the_published_examples_and_no_neighbour() -> None:
    assert luhn("4111111111111111")
    assert not luhn("4111111111111112")
    assert is_iban("GB29 NWBK 6016 1331 9268 19")
    assert not is_iban("GB29 NWBK 6016 1331 9268 18")


def test_json_keeps_its_bytes_where_nothing_is_edited() -> None:
    text = '{ "a" : [1.50, -2e400, true, null, "\\u00e9"], "b":{"c":"x\\"y"}, "b": 12345678901234567890 }'
    seen: list[tuple[str, str | None, bool]] = []

    def look(value: str, key: str | None, is_number: bool) -> str:
        seen.append((value, key, is_number))
        return value

    assert edit_json(text, look) == text
    assert ('x"y', "c", False) in seen
    assert ("1.50", "a", True) in seen
    assert ("c", None, False) in seen


def test_deep_nesting_is_no_json_but_text() -> None:
    assert is_json("[[1]]")
    assert not is_json("[" * 100_000 + "]" * 100_000)
    assert not is_json('{"a": ')
