import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.errors import Rejected
from flywheel.sources.lines import BadEntry, Blank, Entry, Item, decode, entries
from flywheel.sources.unpack import unpack
from flywheel_tests.shared import shared_data

GOOD = [b'{"good": %d}' % number for number in range(100)]


def split(text: bytes, *, max_line_bytes: int = 1 << 20) -> list[Item]:
    return list(entries(unpack(io.BytesIO(text)), max_line_bytes=max_line_bytes))


def values(items: Iterable[Item]) -> list[Any]:
    found = []
    for item in items:
        if isinstance(item, Entry):
            try:
                found.append(decode(item.data))
            except Rejected as rejected:
                found.append(rejected.reason)
    return found


def good_ones(text: bytes) -> list[int]:
    return [value["good"] for value in values(split(text)) if isinstance(value, dict) and isinstance(value.get("good"), int)]


def cases() -> list[Path]:
    return sorted((shared_data("json") / "JSONTestSuite" / "test_parsing").glob("*.json"))


@pytest.mark.hostile
@pytest.mark.parametrize("form", [b"%b", b'{"field": %b}'])
def test_no_case_of_jsontestsuite_harms_its_neighbours(form: bytes) -> None:
    assert len(cases()) == 318
    for case in cases():
        text = b"\n".join([*GOOD[:50], form % case.read_bytes(), *GOOD[50:]])
        assert good_ones(text) == list(range(100)), case.name


@pytest.mark.hostile
@pytest.mark.parametrize("form", [b"%b", b'{"field": %b}'])
def test_a_line_that_is_no_json_is_never_accepted_and_one_that_is_always(form: bytes) -> None:
    wrong = []
    for case in cases():
        line = form % case.read_bytes()
        if b"\n" in line.strip():
            continue  # several lines, each judged by itself
        accepted = any(not isinstance(value, str) or value == decode_or_none(line) for value in values(split(b"0\n" + line))[1:])
        if (case.name[0], accepted) in (("n", True), ("y", False)):
            wrong.append(case.name)
    assert wrong == []


def decode_or_none(line: bytes) -> Any:
    """What Python's own parser says, NaN refused."""

    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    try:
        return json.loads(line.strip(b" \t\r\n\0").removeprefix(b"\xef\xbb\xbf"), parse_constant=refuse)
    except (ValueError, RecursionError):
        return None


def test_every_naughty_string_survives_as_text() -> None:
    strings = json.loads((shared_data("json") / "blns" / "blns.json").read_text("utf-8"))
    assert len(strings) > 500

    escaped = b"\n".join(json.dumps({"text": text}).encode() for text in strings)
    literal = b"\n".join(json.dumps({"text": text}, ensure_ascii=False).encode() for text in strings)

    assert [value["text"] for value in values(split(escaped))] == strings
    assert [value["text"] for value in values(split(literal))] == strings


@given(st.binary(max_size=400) | st.text('{}[]",:\\ \n\r\t\0a1\ud800', max_size=200).map(lambda s: s.encode(errors="replace")))
@settings(max_examples=400, deadline=None)
def test_entries_lie_where_they_say_in_order_and_do_not_overlap(text: bytes) -> None:
    found = list(entries([text] if text else [], max_line_bytes=1024))

    end = 0
    for item in found:
        assert item.offset >= end
        end = item.offset + item.length
        assert end <= len(text)
        if isinstance(item, Entry):
            assert item.data == text[item.offset : end]
            assert item.length == len(item.data) > 0


@given(
    st.lists(st.sampled_from([*'{}[]",:\\ \n\r', "\n{", '{"a":1}', '{"a":', '"}', "},{", "é", "\0"]), max_size=60).map("".join)
)
@settings(max_examples=400, deadline=None)
def test_the_result_does_not_depend_on_how_the_stream_is_cut_into_pieces(text: str) -> None:
    whole = text.encode()
    expected = list(entries([whole], max_line_bytes=1024))

    assert list(entries([whole[at : at + 1] for at in range(len(whole))], max_line_bytes=1024)) == expected
    assert list(entries([whole[at : at + 7] for at in range(0, len(whole), 7)], max_line_bytes=1024)) == expected


@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.integers(), max_size=3), max_size=8))
@settings(max_examples=200, deadline=None)
def test_the_same_values_come_out_of_lines_an_array_and_a_pretty_array(rows: list[dict[str, Any]]) -> None:
    for text in ("\n".join(map(json.dumps, rows)), json.dumps(rows), json.dumps(rows, indent=2), json.dumps(rows, indent="\t")):
        assert values(split(text.encode())) == rows


def test_lines_end_at_a_line_feed_only() -> None:
    text = '{"a": "\u2028 \u0085 \x7f"}\r\n{"b": 1}\r\n'.encode()

    assert values(split(text)) == [{"a": "\u2028 \u0085 \x7f"}, {"b": 1}]


def test_padding_and_marks_are_stripped_and_offsets_still_hit() -> None:
    text = b'\xef\xbb\xbf{"a":1}\n\0\0\0{"b":2}\0\0\n \t\n\xef\xbb\xbf\n\n{"c":3}'

    found = split(text)

    assert values(found) == [{"a": 1}, {"b": 2}, {"c": 3}]
    assert [type(item) for item in found].count(Blank) == 3
    assert all(text[item.offset :].startswith(item.data) for item in found if isinstance(item, Entry))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_files_in_other_encodings_are_read(encoding: str) -> None:
    assert values(split('{"text": "né 😀"}\n{"b": 1}\n'.encode(encoding))) == [{"text": "né 😀"}, {"b": 1}]


def test_objects_separated_by_carriage_returns_are_read() -> None:
    assert values(split(b'{"a":1}\r{"b":2}\r{"c":3}')) == [{"a": 1}, {"b": 2}, {"c": 3}]


def test_lines_that_are_arrays_or_scalars_are_entries() -> None:
    assert values(split(b'[{"a": 1}, 2]\n"text"\n7\nnull\n[]')) == [[{"a": 1}, 2], "text", 7, None, []]


@pytest.mark.parametrize(
    "first", [b'{"a": {"b": 1', b'{"a": "unfinished', b'{"a": 1,', b'{"a": [', b'{"a": 1} junk', b'{"a": 1', b"[1, 2", b"{"]
)
def test_a_damaged_first_line_does_not_make_a_document_of_the_others(first: bytes) -> None:
    assert good_ones(b"\n".join([first, *GOOD[:3]])) == [0, 1, 2]
    assert good_ones(b"\n".join([first, *GOOD])) == list(range(100))


def test_of_keys_given_twice_the_last_wins() -> None:
    assert decode(b'{"a": 1, "a": 2}') == {"a": 2}


def test_half_a_surrogate_pair_becomes_a_replacement_character_and_whole_pairs_stay() -> None:
    line = b'{"cut": "x\\ud83d", "low": "\\uDE00y", "pair": "\\ud83d\\ude00", "text": "\\\\ud83d", "end": "\\ud83d\\n"}'

    assert decode(line) == {"cut": "x\ufffd", "low": "\ufffdy", "pair": "😀", "text": "\\ud83d", "end": "\ufffd\n"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"[" * 2000 + b"]" * 2000, "too_deep"),
        (b'{"a":' * 100_000, "too_deep"),
        (b'{"a": NaN}', "not_json"),
        (b'{"a": -Infinity}', "not_json"),
        (b'{"a": 1e400}', "number_out_of_range"),
        (b'{"a": "\xed\xa0\x80"}', "not_utf8"),
        (b'{"a": 1}{"b": 2}', "not_json"),
        (b'{"a": "\\ud800" "\\ud800"}', "not_json"),
    ],
)
def test_an_entry_that_cannot_be_decoded_says_why(line: bytes, reason: str) -> None:
    with pytest.raises(Rejected, match=f"^{reason}$"):
        decode(line)


def test_big_integers_stay_exact() -> None:
    assert decode(b'{"id": 123456789012345678901234567890}') == {"id": 123456789012345678901234567890}


@pytest.mark.hostile
def test_a_line_of_60_megabytes_is_skipped_and_the_rest_is_read() -> None:
    huge = b'{"a":"' + b"x" * 60_000_000 + b'"}'

    found = split(b'{"b":1}\n' + huge + b'\n{"c":2}\n', max_line_bytes=32 << 20)

    assert found == [Entry(0, 7, b'{"b":1}'), BadEntry(8, len(huge), "line_too_long"), Entry(len(huge) + 9, 7, b'{"c":2}')]


def test_a_line_of_exactly_the_limit_is_read() -> None:
    line = b'{"a":"' + b"x" * 1016 + b'"}'
    assert len(line) == 1024

    assert [type(item) for item in split(line + b"\n" + line + b" \n", max_line_bytes=1024)] == [Entry, BadEntry]
