import gzip
import hashlib
import hmac
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.errors import ConfigError, Rejected
from flywheel.ledger import EXITS
from flywheel.plugins import Source
from flywheel.records import SCHEMA, Feedback, Record, Usage, text_message, to_batch
from flywheel.sections import Logs
from flywheel.sources.files import find_files
from flywheel.sources.read import READS, REJECTED, Reading
from flywheel_tests.projects import call, call_id
from flywheel_tests.sources.dialects import DIALECTS
from flywheel_tests.test_records import FULL

KEY = b"secret"


@dataclass(frozen=True)
class Said:
    """`{"said": [...], "id"?, "user"?}`; `fail` raises, `reject` rejects, `many` gives several records."""

    def sniff(self, head: bytes) -> bool:
        return b'"said"' in head

    def parse(self, entry: Any) -> Iterator[Record]:
        if "fail" in entry:
            raise KeyError(entry["fail"])
        if "reject" in entry:
            raise Rejected(entry["reject"])
        for said in entry.get("many", [entry["said"]]):
            yield Record(
                id=entry.get("id", ""),
                user=entry.get("user"),
                app=entry.get("app"),
                messages=tuple(text_message("user", text) for text in said),
                feedback=(Feedback(name="thumb", by=entry.get("user")),) if "user" in entry else (),
            )


@dataclass(frozen=True)
class Told:
    """`{"told": text}`; takes whatever has a `text` too, but leaves it to others when it is not its own."""

    specificity = 90

    def sniff(self, head: bytes) -> bool:
        return b'"told"' in head or b'"text"' in head

    def parse(self, entry: Any) -> Iterator[Record]:
        if "told" not in entry:
            raise Rejected("unmapped")
        yield Record(id="", messages=(text_message("user", entry["told"]),))


SOURCES: dict[str, Source] = {"said": Said(), "told": Told()}


def line(**entry: Any) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def reading(root: Path, logs: Logs | None = None, **rest: Any) -> Reading:
    logs = logs or Logs(url="**/*")
    files = find_files(logs, root=root, start="2026-01-01")
    return Reading(files, logs=logs, root=root, sources=SOURCES, key=KEY, **rest)


def everything(read: Reading) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    chunks = list(read)
    return tuple(pl.concat([chunk[part] for chunk in chunks]) for part in range(3))  # type: ignore[return-value]


def check_sums(read: Reading, records: pl.DataFrame, rejected: pl.DataFrame, exits: pl.DataFrame) -> None:
    reads = read.reads
    assert reads.filter(pl.col("lines") != pl.col("accepted") + pl.col("rejected") + pl.col("blank")).is_empty()
    assert reads["rejected"].sum() == rejected.height
    assert reads.select(pl.col("records") - pl.col("merged") - pl.col("dropped")).sum().item() == records.height
    assert reads["merged"].sum() == exits.filter(pl.col("outcome") == "merged").height
    assert reads["dropped"].sum() == exits.filter(pl.col("outcome") == "dropped").height


def test_the_reader_fills_in_where_a_record_comes_from_and_hides_the_user(tmp_path: Path) -> None:
    first = line(said=["hi"], id="an-id-of-the-log", user="kim@example.org")
    (tmp_path / "a.jsonl").write_bytes(first + line(said=["no id"], app="theirs"))

    records, rejected, exits = everything(reading(tmp_path, Logs(url="*", licenses=("MIT",), app="shop")))

    pseudonym = hmac.new(KEY, b"kim@example.org", hashlib.sha256).hexdigest()[:32]
    assert records.schema == to_batch([]).schema
    assert rejected.schema == pl.Schema(REJECTED)
    assert exits.columns[: len(EXITS)] == EXITS.names
    assert records["id"][0] == "an-id-of-the-log"
    assert len(records["id"][1]) == 32
    assert records["source"].to_list()[1] == {
        "file": "a.jsonl",
        "offset": len(first),
        "length": len(line(said=["no id"], app="theirs")) - 1,
        "dialect": "said",
    }
    assert records["origin"].to_list() == ["log:said"] * 2
    assert records["user"].to_list() == [pseudonym, None]
    assert records["feedback"].to_list()[0][0]["by"] == pseudonym
    assert records["app"].to_list() == ["shop", "theirs"]
    assert records["licenses"].to_list() == [["MIT"]] * 2


def test_an_id_that_is_an_address_is_a_pseudonym(tmp_path: Path) -> None:
    lines = [line(said=[said], id=id) for said, id in (("one", "kim.lee@example.org"), ("two", "run-7/kim@mail.example.org/3"))]
    (tmp_path / "a.jsonl").write_bytes(b"".join(lines))

    records, _, _ = everything(reading(tmp_path, Logs(url="*")))

    hidden = hmac.new(KEY, b"kim.lee@example.org", hashlib.sha256).hexdigest()[:32]
    assert records["id"][0] == hidden
    assert not any("@" in id or "kim" in id for id in records["id"])


def test_a_batch_is_what_to_batch_makes_of_the_same_records(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Given:
        def sniff(self, head: bytes) -> bool:
            return head == b"{}"

        def parse(self, entry: Any) -> Iterator[Record]:
            yield from records if entry == {} else ()

    records = [FULL, Record(id="nul", messages=(text_message("user", "\0 \u2028 😀 \\ \x7f"),), usage=Usage(prompt_tokens=2**60))]
    (tmp_path / "a").write_bytes(b"{}")
    logs = Logs(url="a")
    read = Reading(find_files(logs, root=tmp_path, start="2026-01-01"), logs=logs, root=tmp_path, sources={"g": Given()}, key=KEY)

    batch, _, _ = everything(read)

    filled = ["id", "source", "user", "origin", "licenses"]
    assert batch.drop(filled).equals(to_batch(records).drop(filled))
    assert batch.columns == SCHEMA.names


def test_every_line_is_accepted_rejected_or_blank_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(
        line(said=["one"])
        + b"\n"
        + b'{"said": \n'
        + line(other=1)
        + line(said=[])
        + line(said=["x"], reject="http_error")
        + line(said=["x"], reject="Kim said: hello!")
        + line(said=["x"], fail="Kim said: hello!")
        + line(said=["x"], many=[])
        + line(said=["x"], many=[["two"], [], ["three"]])
    )

    read = reading(tmp_path)
    records, rejected, exits = everything(read)

    assert records.height == 3
    assert rejected["reason"].to_list() == [
        "not_json",
        "unknown_dialect",
        "no_messages",
        "http_error",
        "invalid_reason",
        "source_error:KeyError",
        "no_records",
    ]
    assert exits["reason"].to_list() == ["no_messages"]
    assert read.reads.select("lines", "blank", "accepted", "rejected", "records", "merged", "dropped").row(0) == (
        10,
        1,
        2,
        7,
        4,
        0,
        1,
    )
    assert read.reads.schema == pl.Schema(READS)
    assert read.reads["bytes"][0] == (tmp_path / "a.jsonl").stat().st_size
    check_sums(read, records, rejected, exits)
    assert "Kim" not in str(rejected.rows()) + str(exits.rows()) + str(read.reads.rows())


def test_the_same_file_again_under_another_name_or_packed_adds_no_record(tmp_path: Path) -> None:
    text = line(said=["one"]) + line(said=["two"], id="own") + line(said=["x"], many=[["three"], ["four"]])
    (tmp_path / "a.jsonl").write_bytes(text)
    once, _, _ = everything(reading(tmp_path))
    (tmp_path / "b.txt").write_bytes(b"\n" + text.replace(b"\n", b"\r\n"))
    (tmp_path / "c.log").write_bytes(gzip.compress(text))

    read = reading(tmp_path)
    records, rejected, exits = everything(read)

    assert records.equals(once)
    assert exits["id"].to_list() == once["id"].to_list() * 2
    assert exits["into"].to_list() == exits["id"].to_list()
    assert exits["reason"].unique().to_list() == ["same_id"]
    assert read.reads["merged"].to_list() == [0, 4, 4]
    check_sums(read, records, rejected, exits)


def test_rows_that_share_an_id_but_not_their_content_are_all_kept(tmp_path: Path) -> None:
    """A data set's numbers, a counter that starts anew, a cached answer, a row that was updated."""
    (tmp_path / "a").write_bytes(line(said=["one"], id="1") + line(said=["asked"], id="chatcmpl-cached-answer"))
    (tmp_path / "b").write_bytes(line(said=["another"], id="1") + line(said=["asked again"], id="chatcmpl-cached-answer"))
    (tmp_path / "c").write_bytes(line(said=["asked again"], id="chatcmpl-cached-answer", app="updated"))

    read = reading(tmp_path)
    records, rejected, exits = everything(read)

    texts = [messages[0]["content"][0]["text"] for messages in records["messages"].to_list()]
    assert texts == ["one", "asked", "another", "asked again", "asked again"]
    assert records["id"].n_unique() == 5
    assert records["tags"].to_list() == [[], [], [], *[["logged_id=chatcmpl-cached-answer"]] * 2]
    assert exits.is_empty()
    check_sums(read, records, rejected, exits)


def test_rows_whose_ids_conflict_are_recognised_when_they_are_delivered_again(tmp_path: Path) -> None:
    rows = [line(said=[text], id=id) for id in ("7", "an-id-of-sixteen") for text in ("first", "second")]
    (tmp_path / "a").write_bytes(b"".join(rows))
    once, _, _ = everything(reading(tmp_path))
    (tmp_path / "b").write_bytes(b"".join(reversed(rows)))
    (tmp_path / "c").write_bytes(rows[1] + rows[3])

    twice, _, exits = everything(reading(tmp_path))

    assert twice.equals(once)
    assert exits.height == 6
    assert set(exits["into"]) == set(once["id"])


def test_dialects_may_be_mixed_in_a_file_and_an_unmapped_entry_goes_to_the_next(tmp_path: Path) -> None:
    rows = [line(said=["one"]), line(told="two"), line(said=["three"]), line(told="four"), line(said=["text"], text=1)]
    (tmp_path / "a").write_bytes(b"".join(rows))

    records, rejected, _ = everything(reading(tmp_path))

    assert records["origin"].to_list() == ["log:said", "log:told", "log:said", "log:told", "log:said"]
    assert rejected.is_empty()


def test_a_named_dialect_reads_everything_and_must_exist(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(line(told="one") + line(said=["two"]))

    records, rejected, _ = everything(reading(tmp_path, Logs(url="a", dialect="told")))

    assert records["origin"].to_list() == ["log:told"]
    assert rejected["reason"].to_list() == ["unmapped"]
    with pytest.raises(ConfigError, match=r"no source of that name is loaded\. There is said, told, or auto"):
        reading(tmp_path, Logs(url="a", dialect="tald"))


def test_a_file_that_vanishes_or_breaks_off_does_not_stop_the_others(tmp_path: Path) -> None:
    text = b"".join(line(said=[str(number)]) for number in range(1000))
    (tmp_path / "a").write_bytes(text)
    (tmp_path / "b").write_bytes(gzip.compress(text)[:500])
    (tmp_path / "c").write_bytes(line(said=["last"]))
    (tmp_path / "d").write_bytes(b"plain text\n")
    read = reading(tmp_path)
    (tmp_path / "a").unlink()

    records, rejected, exits = everything(read)

    assert records["source"].struct.field("file").unique(maintain_order=True).to_list() == ["b", "c"]
    assert rejected.select("file", "reason").rows() == [("a", "unreadable"), ("b", "truncated"), ("d", "not_json")]
    assert rejected.select("offset", "length").row(0) == (0, 0)
    assert read.reads.select("file", "bytes", "accepted").row(3) == ("d", 11, 0)
    check_sums(read, records, rejected, exits)


def test_what_a_growing_file_gains_is_left_for_the_next_time(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(line(said=["one"]) + line(said=["two"]))
    read = reading(tmp_path)
    with (tmp_path / "a").open("ab") as file:
        file.write(line(said=["three"]) + b'{"said": ["half')

    records, rejected, _ = everything(read)
    later, late, _ = everything(reading(tmp_path))

    assert (records.height, rejected.height) == (2, 0)
    assert later["id"].to_list()[:2] == records["id"].to_list()
    assert (later.height, late["reason"].to_list()) == (3, ["not_json"])


def test_a_request_that_changes_its_shape_in_the_middle_of_a_file_loses_nothing(tmp_path: Path) -> None:
    """New keys, dropped keys, other types, renamed wrappers: at each drift 50 lines more, all in one file."""
    loaded = {dialect.__class__.__name__: dialect for dialect in DIALECTS}
    drifts: tuple[Callable[[dict[str, Any]], dict[str, Any]], ...] = (
        lambda entry: entry,
        lambda entry: {"request": entry["request"], "response": entry["response"]},
        lambda entry: {"request_body": json.dumps(entry["request"]), "response_body": json.dumps(entry["response"])},
        lambda entry: entry | {"timestamp": str(entry["timestamp"]), "trace": {"deep": [1, {"er": None}]}, "session_id": 7},
        lambda entry: {"ts": entry["timestamp"] * 1000, "body": entry["request"], "response": entry["response"]},
        lambda entry: entry["request"] | {"id": entry["response"]["id"], "choices": entry["response"]["choices"]},
        lambda entry: entry | {"request": entry["request"] | {"messages": [_parted(entry["request"]["messages"][0])]}},
    )
    entries = [drift(call(50 * number + index)) for number, drift in enumerate(drifts) for index in range(50)]
    (tmp_path / "a").write_bytes(b"".join(line(**entry) for entry in entries))
    logs = Logs(url="a")
    files = find_files(logs, root=tmp_path, start="2026-01-01")
    read = Reading(files, logs=logs, root=tmp_path, sources=loaded, key=KEY)

    records, rejected, exits = everything(read)

    assert rejected.is_empty()
    assert [id.split("-")[1] for id in records["id"]] == [call_id(number).split("-")[1] for number in range(350)]
    said = [[part["text"] for message in messages for part in message["content"]] for messages in records["messages"].to_list()]
    expected = [call(number) for number in range(350)]
    assert [texts[0] for texts in said] == [entry["request"]["messages"][0]["content"] for entry in expected]
    assert [texts[1] for texts in said] == [entry["response"]["choices"][0]["message"]["content"] for entry in expected]
    check_sums(read, records, rejected, exits)


def _parted(message: dict[str, Any]) -> dict[str, Any]:
    return message | {"content": [{"type": "text", "text": message["content"]}]}


READ_WITHIN = """
import resource, sys
from pathlib import Path
import polars, pyarrow, pyarrow.json, numpy
from flywheel.sections import Logs
from flywheel.sources.files import find_files
from flywheel.sources.openai_chat import OpenAIChat
from flywheel.sources.read import Reading

def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

root, logs = Path(sys.argv[1]), Logs(url="*.jsonl*")
files = find_files(logs, root=root, start="2026-01-01")
read = Reading(files, logs=logs, root=root, sources={"openai_chat": OpenAIChat()}, key=b"k")
before, most, rows = resident(), 0, 0
for chunk in read:
    rows += chunk.records.height
    most = max(most, resident())
counts = read.reads
assert (counts["lines"] == counts["accepted"] + counts["rejected"] + counts["blank"]).all()
print(rows, counts["rejected"].sum(), counts["bytes"].sum(), most - before)
"""


@pytest.mark.slow
def test_a_file_of_200_mb_is_read_in_a_fraction_of_its_size(tmp_path: Path) -> None:
    """Sound lines, and one line of 60 MB and a bomb of 150 MB of nothing beside them."""
    text = "The quick brown fox jumps over the lazy dog. " * 80
    with (tmp_path / "a.jsonl").open("wb") as file:
        for number in range(50_000):
            file.write(line(**call(number, prompt=f"{number} {text}")))
        file.write(b'{"messages": "' + b"x" * (60 << 20) + b'"}\n')
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b"\0" * (150 << 20), compresslevel=1))

    ran = subprocess.run(
        [sys.executable, "-c", READ_WITHIN, str(tmp_path)], check=True, capture_output=True, text=True, timeout=280
    )

    rows, rejected, size, grown = map(int, ran.stdout.split())
    assert (rows, size > 400 << 20) == (50_000, True)
    assert rejected == 2
    assert grown < 300 << 20


def test_batches_are_bounded_and_reading_again_gives_the_same(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"".join(line(said=[str(number)]) for number in range(25)) + b"bad\n" * 25)
    (tmp_path / "b").write_bytes(b"".join(line(said=[str(number)]) for number in range(20, 30)))

    read = reading(tmp_path, batch_rows=10)
    first, second = list(read), list(read)

    assert [chunk.records.height for chunk in first] == [10, 10, 5, 0, 5]
    assert max(chunk.rejected.height for chunk in first) == 10
    assert all(one[part].equals(two[part]) for one, two in zip(first, second, strict=True) for part in range(3))


def test_records_that_cannot_be_stored_are_mended_or_dropped_alone(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Awkward:
        def sniff(self, head: bytes) -> bool:
            return head == b"{}"

        def parse(self, entry: Any) -> Iterator[Record]:
            assert entry == {}
            yield Record(id="cut\ud800", user="u\ud800", messages=(text_message("user", "half \ud83d"),))
            yield Record(id="joined", messages=(text_message("user", "\ud83d\ude00"),))
            yield Record(id="huge", messages=(text_message("user", "x"),), usage=Usage(prompt_tokens=2**70))
            yield Record(id="wrong", messages=(text_message("user", "x"),), model={"a": 1})  # type: ignore[arg-type]
            yield Record(id="good", messages=(text_message("user", "x"),))

    (tmp_path / "a").write_bytes(b"{}")
    logs = Logs(url="a")
    files = find_files(logs, root=tmp_path, start="2026-01-01")
    read = Reading(files, logs=logs, root=tmp_path, sources={"awkward": Awkward()}, key=KEY)

    records, rejected, exits = everything(read)

    texts = [messages[0]["content"][0]["text"] for messages in records["messages"].to_list()]
    assert [id.split("-")[0] for id in records["id"]] == ["cut\ufffd", "joined", "good"]
    assert texts == ["half \ufffd", "😀", "x"]
    assert exits.select(pl.col("id").str.head(4), "outcome", "reason").rows() == [
        ("huge", "dropped", "cannot_be_stored"),
        ("wron", "dropped", "cannot_be_stored"),
    ]
    check_sums(read, records, rejected, exits)


@given(
    st.lists(
        st.binary(max_size=300) | st.sampled_from([line(said=["a"]), line(told="b"), b"\n", b"\x1f\x8b\x08", b"[{"]), max_size=8
    )
)
@settings(max_examples=100, deadline=None)
def test_for_any_bytes_the_sums_hold(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    root = tmp_path_factory.mktemp("any")
    (root / "a").write_bytes(b"".join(parts))
    (root / "b").write_bytes(gzip.compress(b"".join(parts))[:-3])
    (root / "c").write_bytes(line(said=["good"]))

    read = reading(root)
    records, rejected, exits = everything(read)

    check_sums(read, records, rejected, exits)
    assert "good" in str(records["messages"].to_list())
