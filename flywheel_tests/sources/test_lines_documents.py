import io
import json
from typing import Any

import pytest

from flywheel.sources.documents import Documents
from flywheel.sources.lines import BadEntry, Entry, Item, decode, entries
from flywheel.sources.unpack import unpack
from flywheel_tests.shared import shared_data

ROWS: list[dict[str, Any]] = [
    {"id": number, "messages": [{"role": "user", "content": f'says "{number}" {{[\\'}], "note": {"id": "x", "n": [1, [2]]}}
    for number in range(5)
]


def split(text: bytes, *, max_line_bytes: int = 1 << 20) -> list[Item]:
    return list(entries(unpack(io.BytesIO(text)), max_line_bytes=max_line_bytes))


def ids(found: list[Item]) -> list[int]:
    return [decode(item.data)["id"] for item in found if isinstance(item, Entry)]


def lines_of(rows: list[dict[str, Any]]) -> str:
    return "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]"


@pytest.mark.parametrize("text", [json.dumps(ROWS), json.dumps(ROWS, indent=1), lines_of(ROWS), json.dumps(ROWS) + "\n\n"])
def test_each_element_of_an_array_is_an_entry_at_its_offset(text: str) -> None:
    found = split(text.encode())

    assert ids(found) == [0, 1, 2, 3, 4]
    assert all(text.encode()[item.offset :].startswith(item.data) for item in found if isinstance(item, Entry))


@pytest.mark.parametrize("text", [json.dumps(ROWS), json.dumps(ROWS, indent=4), lines_of(ROWS)])
@pytest.mark.parametrize(
    ("whole", "broken"),
    [
        ('says \\"2\\" {[\\\\"', 'says \\"2\\" {[\\\\'),  # a string without its end
        ('"id": 2,', '"id: 2,'),  # a key without its end
        ('"messages"', "messages"),  # a bare key, in every element: only the third is broken below
        ("[1, [2]]", "[1, [2]"),  # an array without its end
        ("[2]", "[2}"),  # the wrong bracket
        ('"note": {', '"note": '),  # an object without its start
    ],
)
def test_a_damaged_element_does_not_take_its_neighbours_along(text: str, whole: str, broken: str) -> None:
    if whole == "[1, [2]]" and '"n": [\n' in text:
        whole, broken = '"n": [\n', '"n": \n'
    if whole == "[2]" and whole not in text:
        whole, broken = '"x"', '"x'
    start = text.index("2,")
    start = text.rindex("{", 0, start)
    at = text.index(whole, start)
    damaged = text[:at] + broken + text[at + len(whole) :]
    assert damaged != text

    found = split(damaged.encode())

    valid = [item for item in found if isinstance(item, Entry) and _is_json(item.data)]
    assert ids(list(valid)) == [0, 1, 3, 4]
    assert len(found) in (5, 6)  # an end too many is an entry of its own


def test_a_quote_missing_at_the_end_of_an_element_does_not_swallow_the_next() -> None:
    found = split(b'[{"id":0,"t":"a"},{"id":1,"t":"b},{"id":2,"t":"c"},{"id":3,"t":"d"}]')

    assert ids(found) == [0, 2, 3]
    assert [item.reason for item in found if isinstance(item, BadEntry)] == ["not_json"]


def test_the_wrong_bracket_in_the_last_element_does_not_leave_the_array_open() -> None:
    found = split(b'[{"id":0},{"id":1,"n":[2}]')

    assert ids(found) == [0]
    assert [item.reason for item in found if isinstance(item, BadEntry)] == ["not_json"]


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def test_a_single_object_over_many_lines_is_one_entry() -> None:
    text = json.dumps({"id": 1, "observations": ROWS}, indent=2).encode()

    assert split(text) == [Entry(0, len(text), text)]


def test_pretty_printed_objects_one_after_the_other_are_an_entry_each_and_a_damaged_one_is_alone() -> None:
    texts = [json.dumps(row, indent=2) for row in ROWS]
    texts[2] = texts[2].replace('"note": {', '"note": {{"')

    found = split("\n".join(texts).encode())

    assert ids([item for item in found if isinstance(item, Entry)]) == [0, 1, 3, 4]
    assert [item.reason for item in found if isinstance(item, BadEntry)] == ["not_json"]


def test_an_array_that_ends_early_keeps_what_is_whole_and_says_so() -> None:
    text = json.dumps(ROWS).encode()

    cut = split(text[:-30])
    missing_bracket = split(text[:-1])

    assert ids(cut) == [0, 1, 2, 3]
    assert [item.reason for item in cut if isinstance(item, BadEntry)] == ["truncated"]
    assert ids(missing_bracket) == [0, 1, 2, 3, 4]
    assert missing_bracket[-1] == BadEntry(len(text) - 1, 0, "truncated")


def test_an_element_that_is_too_long_is_skipped_and_its_neighbours_are_read() -> None:
    rows = [{"id": 0}, {"id": 1, "text": "x" * 5000, "more": [{"a": "b" * 5000}]}, {"id": 2}]

    for text in (json.dumps(rows), json.dumps(rows, indent=2)):
        found = split(text.encode(), max_line_bytes=1024)
        assert ids(found) == [0, 2]
        assert [item.reason for item in found if isinstance(item, BadEntry)] == ["line_too_long"]


def test_an_array_larger_than_the_longest_line_is_still_an_array() -> None:
    rows = [{"id": number} for number in range(1000)]

    assert ids(split(json.dumps(rows).encode(), max_line_bytes=1024)) == list(range(1000))


@pytest.mark.hostile
@pytest.mark.parametrize("unit", [b',{"a":[', b'{"a":"', b'"', b"[", b'{"a":1}\n{', b"\\", b'{"a', b",\n{"])
def test_hostile_documents_take_steps_in_proportion_to_their_length(unit: bytes) -> None:
    class Counted(Documents):
        steps = 0

        def _step(self) -> bool:
            self.steps += 1
            return super()._step()

    text = b'[{"a":1},' + unit * (400_000 // len(unit))
    splitter = Counted(1 << 30)
    for at in range(0, len(text), 1 << 16):
        splitter.feed(text[at : at + (1 << 16)])
    splitter.close()

    assert splitter.steps < 8 * len(text)


@pytest.mark.parametrize("folder", ["label_studio", "trace_exports/langfuse"])
def test_real_exports_come_out_whole(folder: str) -> None:
    files = sorted((shared_data(folder.split("/", maxsplit=1)[0]).parent / folder).glob("*.json"))
    assert len(files) > 5
    for file in files:
        content = json.loads(file.read_bytes())
        expected = content if isinstance(content, list) else [content]
        found = split(file.read_bytes())
        assert [json.loads(item.data) for item in found if isinstance(item, Entry)] == expected, file.name
        assert not [item for item in found if isinstance(item, BadEntry)]
