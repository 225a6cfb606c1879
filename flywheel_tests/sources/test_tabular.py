"""CSV and Parquet files as sources."""

import csv
import gzip
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flywheel.errors import ConfigError
from flywheel.sections import Columns, Logs
from flywheel.settings import load_settings
from flywheel.sources.files import find_files
from flywheel.sources.lines import BadEntry, Blank, Entry, entries
from flywheel.sources.read import Reading
from flywheel.sources.tabular import parquet_rows, rows_or_entries
from flywheel_tests.shared import shared_data
from flywheel_tests.sources.dialects import DIALECTS

SOURCES = {type(dialect).__name__: dialect for dialect in DIALECTS}


def written(rows: list[list[str]], **dialect: Any) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, **dialect).writerows(rows)
    return out.getvalue().encode()


def split(data: bytes, piece: int = 7, **rest: Any) -> list[Any]:
    return list(rows_or_entries(iter(data[at : at + piece] for at in range(0, len(data), piece)), **rest))


def values(items: list[Any]) -> list[Any]:
    return [json.loads(item.data) for item in items if isinstance(item, Entry)]


def read(root: Path, columns: Columns | None = None) -> tuple[Reading, pl.DataFrame, pl.DataFrame]:
    logs = Logs(url="*", columns=columns)
    reading = Reading(find_files(logs, root=root, start="2026-01-01"), logs=logs, root=root, sources=SOURCES, key=b"k")
    chunks = list(reading)
    counts = reading.reads.select(pl.exclude("file", "sha256").sum()).row(0, named=True)
    assert counts["lines"] == counts["accepted"] + counts["rejected"] + counts["blank"]
    return reading, pl.concat([one.records for one in chunks]), pl.concat([one.rejected for one in chunks])


def talks(records: pl.DataFrame) -> list[list[tuple[str, str]]]:
    return [[(m["role"], "".join(p["text"] for p in m["content"])) for m in said] for said in records["messages"].to_list()]


def test_columns_of_a_table_are_read_as_the_project_names_them(tmp_path: Path) -> None:
    rows = [["nr", "frage", "antwort", "gespräch", "wer", "sterne", "besser", "wann"]]
    rows += [["1", 'Was ist "KI"?', "Eine;\nAntwort,", "s1", "ann", "4", "Mehr.", "2026-03-04 05:06:07"]]
    rows += [["2", "Und?", "", "s1", "ann", "", "", ""]]
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + written(rows, delimiter=";")))
    (tmp_path / "b.csv").write_bytes(written(rows).decode().encode("utf-16"))
    columns = Columns(
        **{"prompt": "frage", "reply": "antwort", "session": "gespräch", "user": "wer", "id": "nr", "created_at": "wann"},
        feedback=("sterne",),
        correction="besser",
        tags=("nr",),
    )

    reading, records, rejected = read(tmp_path, columns)

    assert talks(records) == [[("user", 'Was ist "KI"?'), ("assistant", "Eine;\nAntwort,")]]
    (said,) = records["feedback"].to_list()
    assert [(one["name"], one["value"]) for one in said] == [("sterne", "4"), ("correction", "Mehr.")]
    assert records.select("session", "tags", "origin").row(0) == ("s1", ["nr=1"], "log:columns")
    assert records["id"][0].startswith("1-")
    assert str(records["created_at"][0]) == "2026-03-04 05:06:07+00:00"
    assert rejected["reason"].to_list() == ["no_response"] * 2
    assert reading.reads.select("lines", "blank", "accepted", "merged").rows() == [(3, 1, 1, 0), (3, 1, 1, 1)]


@pytest.mark.parametrize("version", ["v86k_2025-01-06", "v105k_2025-12-14"])
def test_every_prompt_of_a_real_table_with_quoted_lines_is_read_whole(tmp_path: Path, version: str) -> None:
    packed = (shared_data("prompts_versions") / f"{version}.csv.gz").read_bytes()
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(packed).decode(), newline="")))
    (tmp_path / "prompts.csv.gz").write_bytes(packed)

    reading, records, rejected = read(tmp_path, Columns(prompt="prompt", tags=("act",)))

    distinct = list({json.dumps(row): row["prompt"] for row in rows}.values())
    assert [said[0][1] for said in talks(records)] == distinct
    assert rejected.is_empty()
    assert reading.reads["accepted"].item() == len(rows)


def test_a_row_lies_at_its_offset_and_rows_do_not_depend_on_how_the_bytes_come() -> None:
    data = written([["prompt", "completion"], ["a\nb", 'say ""hi""'], ["c", "d,\r\ne"], ["f", ""]])

    whole = split(data, len(data))

    assert values(whole) == [
        {"prompt": "a\nb", "completion": 'say ""hi""'},
        {"prompt": "c", "completion": "d,\r\ne"},
        {"prompt": "f", "completion": ""},
    ]
    assert all(split(data, piece) == whole for piece in (1, 2, 3, 8))
    raw = [data[item.offset : item.offset + item.length] for item in whole]
    assert b"\r\n".join(raw) + b"\r\n" == data


def test_an_open_quote_costs_its_own_line_and_no_other() -> None:
    good = [f'question {number},"answer, {number}"' for number in range(50)]
    bad = [*good[:20], 'who said "this","and never closed', *good[20:35], 'a,"open', *good[35:]]

    items = split("\n".join(["prompt,completion", *bad]).encode(), 100)

    assert [row["completion"] for row in values(items)] == [f"answer, {number}" for number in range(50)]
    assert [item.reason for item in items if isinstance(item, BadEntry)] == ["bad_quotes"] * 2


def test_ragged_rows_other_encodings_and_overlong_rows_are_rejected_alone() -> None:
    rows = [b"prompt;reply", b"a;b", b"a;b;c", b"", b"\xe4;b", b"x" * 3000 + b";y", b'"' + b"z\n" * 2000 + b'";y', b"c;d"]

    items = split(b"\n".join(rows), 64, max_line_bytes=2048, columns=("reply",))

    assert values(items) == [{"prompt": "a", "reply": "b"}, {"prompt": "c", "reply": "d"}]
    reasons = [item.reason for item in items if isinstance(item, BadEntry)]
    assert reasons[:3] == ["ragged_row", "not_utf8", "line_too_long"]
    assert set(reasons[3:]) == {"bad_quotes", "ragged_row"}
    assert sum(isinstance(item, Blank) for item in items) == 2


@pytest.mark.parametrize("text", ["2026-01-01, INFO, started\n", "prompt\nhello\n", '"a"\n"b"\n', "{bad,prompt\n", "a,b\n1,2\n"])
def test_text_that_is_no_table_stays_lines(text: str) -> None:
    data = text.encode() * 3

    assert split(data) == list(entries(iter([data])))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(['"', ",", "\n", "\r\n", "a", "ä", '""', '",', "\0"]), max_size=40), st.integers(1, 9))
def test_every_byte_of_any_table_is_in_exactly_one_item(pieces: list[str], size: int) -> None:
    data = ("prompt,reply\n" + "".join(pieces)).encode()

    items = split(data, size, max_line_bytes=16, columns=("prompt",))

    end = 0
    for item in items:
        assert item.offset >= end
        assert data[end : item.offset].strip(b"\r\n\0 \t") == b""
        end = item.offset + item.length
    assert data[end:].strip(b"\r\n\0 \t") == b""


CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]


def test_parquet_rows_are_read_by_their_own_dialects_and_by_named_columns(tmp_path: Path) -> None:
    observation = {
        "id": "o-1",
        "trace_id": "t-1",
        "type": "GENERATION",
        "parent_observation_id": None,
        "usage_details": {"input": 3},
    }
    observation |= {"start_time": "2026-03-04T05:06:07Z", "input": json.dumps(CHAT[:1]), "output": json.dumps(CHAT[1])}
    pq.write_table(pa.Table.from_pylist([{"messages": CHAT, "source": "x"}] * 2), tmp_path / "a.parquet")
    pq.write_table(pa.Table.from_pylist([{"messages": json.dumps(CHAT)}]), tmp_path / "b")
    pq.write_table(pa.Table.from_pylist([observation]), tmp_path / "c.parquet", compression="zstd")
    pq.write_table(pa.table({"q": ["Hi", "[1, 2]"], "a": ["Hello.", '{"is": "json"}']}), tmp_path / "d.pq")

    reading, records, rejected = read(tmp_path, Columns(prompt="q", reply="a"))

    hello = [("user", "Hi"), ("assistant", "Hello.")]
    assert talks(records) == [hello, hello, hello, hello, [("user", "[1, 2]"), ("assistant", '{"is": "json"}')]]
    assert records["source"].struct.field("dialect").to_list() == ["Messages", "Messages", "Langfuse", "columns", "columns"]
    assert records["source"].struct.field("offset").to_list() == [0, 0, 0, 0, 1]
    assert rejected.is_empty()
    assert reading.reads["merged"].to_list() == [1, 0, 0, 0]


def test_every_type_of_a_column_becomes_json_and_none_stops_the_file(tmp_path: Path) -> None:
    table = pa.table(
        {
            "messages": [CHAT],
            "when": pa.array([1772600767000000], pa.timestamp("us", "UTC")),
            "price": pa.array([1], pa.decimal128(5, 2)),
            "raw": [b"\xff\x00"],
            "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
            "nan": [float("nan")],
            "none": pa.nulls(1),
            "big": pa.array([2**64 - 1], pa.uint64()),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")

    with (tmp_path / "a.parquet").open("rb") as file:
        (row,) = values(list(parquet_rows(file)))

    assert row["messages"] == CHAT
    assert row["when"].startswith("2026-03-04T05:06:07")
    assert (row["map"], row["nan"], row["none"], row["big"]) == ({"a": 1}, None, None, 2**64 - 1)


def test_a_page_that_repeats_a_long_text_a_million_times_ends_as_a_bomb_in_little_memory(tmp_path: Path) -> None:
    dictionary = pa.array(["a" * 5_000_000, "b"])
    indices = pa.array([0] * 1_000_000, pa.int32())
    pq.write_table(pa.table({"prompt": pa.DictionaryArray.from_arrays(indices, dictionary)}), tmp_path / "bomb.parquet")
    assert (tmp_path / "bomb.parquet").stat().st_size < 1_000_000

    tracemalloc.start()
    with (tmp_path / "bomb.parquet").open("rb") as file:
        count, last = 0, None
        for item in parquet_rows(file):
            count, last = count + 1, item
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert isinstance(last, BadEntry)
    assert last.reason == "decompression_bomb"
    assert 10 < count < 500
    assert peak < 400 << 20


def test_damaged_parquet_is_one_reason_and_changed_parquet_is_not_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": ["Hi"] * 1000}), tmp_path / "good.parquet")
    good = (tmp_path / "good.parquet").read_bytes()
    cases = {"cut": good[:-20], "flipped": good[:8] + b"\xff" * 40 + good[48:], "short": b"PAR1", "grown": good + good}

    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        with (tmp_path / name).open("rb") as file:
            items = list(parquet_rows(file, size=len(good) if name == "grown" else None))
        assert isinstance(items[-1], BadEntry), name
        assert items[-1].reason == ("changed" if name == "grown" else "corrupt")


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=200), st.integers(0, 900), st.booleans())
def test_any_bytes_in_a_parquet_file_end_as_rows_and_at_most_one_reason(data: bytes, at: int, alone: bool) -> None:
    out = io.BytesIO()
    pq.write_table(pa.table({"prompt": ["Hi"] * 100}), out)
    good = out.getvalue()
    broken = b"PAR1" + data if alone else good[:at] + data + good[at + len(data) :]

    items = list(parquet_rows(io.BytesIO(broken)))

    assert sum(isinstance(item, BadEntry) for item in items) <= 1


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ('columns = {reply = "a"}', "either `prompt` or `messages`"),
        ('columns = {prompt = "q", answer = "a"}', "answer"),
        ('dialect = "alpaca"\ncolumns = {prompt = "q"}', "auto"),
    ],
)
def test_a_wrong_mapping_is_an_error_that_names_it(tmp_path: Path, toml: str, says: str) -> None:
    (tmp_path / "flywheel.toml").write_text(f"[logs]\n{toml}\n")

    with pytest.raises(ConfigError, match=says):
        load_settings(tmp_path / "flywheel.toml")
