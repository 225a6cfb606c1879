import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from flywheel.errors import FlywheelError, PluginError
from flywheel.format.check import check_file
from flywheel.format.export import Exported, Renders, export, line_of
from flywheel.format.openai_chat import OpenaiChat
from flywheel.format.parquet import Parquet
from flywheel.format.publish import latest, point_latest, staging
from flywheel.format.tokens import Estimate
from flywheel.records import SCHEMA, Record, from_batch, text_message, to_batch
from flywheel.sections import Set
from flywheel_tests.format.real import function_calls, support_agents

CHAT = Set(name="chat", format="openai_chat")


def write(
    records: Iterable[Record], folder: Path, format_: Renders | None = None, *, size: int = 7, **provenance: Any
) -> Exported:
    rows = list(records)
    batches = (to_batch(rows[at : at + size]) for at in range(0, len(rows), size))
    return export(batches, format_ or OpenaiChat(), folder=folder, set=CHAT, token_counter=Estimate(), provenance=provenance)


def visible(folder: Path) -> dict[str, bytes]:
    """Every file that a reader sees, with its bytes; `latest` through its link."""
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and ".staging" not in str(p)
    }


def test_every_row_is_a_line_of_its_split_or_an_exit_with_a_reason(tmp_path: Path) -> None:
    records = support_agents(40)
    silent = Record(id="silent", messages=(text_message("user", "Hello?"),), split="train")

    made = write([*records, silent], tmp_path)

    assert [(file.split, file.rows) for file in made.files] == [("train", 32), ("validation", 4), ("test", 4)]
    assert made.exits.select("id", "outcome", "reason").rows() == [("silent", "dropped", "no_assistant_reply")]
    assert made.rows_in == 41 == sum(file.rows for file in made.files) + made.exits.height
    for file in made.files:
        content = (made.path / file.name).read_bytes()
        wanted = [OpenaiChat().render(record) for record in records if record.split == file.split]
        assert [json.loads(line) for line in content.splitlines()] == wanted
        assert (file.bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert check_file(made.path / file.name, "openai_chat")[:1] == (
            [] if file.rows >= 10 else [(0, "fewer_than_ten_rows", "warning")]
        )


def test_lineage_leads_from_every_line_to_its_record_and_log(tmp_path: Path) -> None:
    records = {record.id: record for record in support_agents(30)}

    made = write(records.values(), tmp_path)

    lineage = pl.read_parquet(made.path / "lineage.parquet")
    assert lineage.height == 30
    for file in made.files:
        rows = lineage.filter(split=file.split)
        assert rows["line"].to_list() == list(range(1, file.rows + 1))
        assert rows["tokens"].sum() == file.tokens
        for line, row in zip((made.path / file.name).read_bytes().split(b"\n"), rows.iter_rows(named=True), strict=False):
            source = records[row["id"]].source
            assert row["sha256"] == hashlib.sha256(line).hexdigest()
            assert source is not None
            assert (row["file"], row["offset"]) == (source.file, source.offset)
    assert line_of(made.path, "test", 2)["id"] == "tau10"
    with pytest.raises(FlywheelError, match="has no line 99 in test"):
        line_of(made.path, "test", 99)


def test_the_same_inputs_give_the_same_bytes_whatever_the_batches(tmp_path: Path) -> None:
    records = support_agents(20)

    one, other = write(records, tmp_path / "a", size=3, fingerprint=7), write(records, tmp_path / "b", size=20, fingerprint=7)

    assert visible(tmp_path / "a") == visible(tmp_path / "b")
    assert one.version == other.version
    assert one.version in one.path.name


def test_identical_content_is_left_alone_and_other_content_moves_latest(tmp_path: Path) -> None:
    records = support_agents(12)
    first = write(records, tmp_path, run=1)
    before = visible(tmp_path)

    again = write(records, tmp_path, run=2)
    assert (again.new, again.version, again.manifest["provenance"]) == (False, first.version, {"run": 1})
    assert visible(tmp_path) == before

    other = write(records[1:], tmp_path)
    assert (other.new, latest(tmp_path)) == (True, other.path)
    back = write(records, tmp_path)
    assert (back.new, latest(tmp_path)) == (False, first.path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([first.version, other.version, "latest"])


def test_a_change_of_settings_order_licence_or_lineage_is_another_version(tmp_path: Path) -> None:
    a, b = support_agents(2)
    b = Record(**{name: getattr(b, name) for name in SCHEMA.names} | {"split": a.split})
    relicensed = Record(**{name: getattr(b, name) for name in SCHEMA.names} | {"licenses": ("CC0-1.0",)})
    renamed = Record(**{name: getattr(b, name) for name in SCHEMA.names} | {"id": "other"})

    versions = [
        write(rows, tmp_path, format_).version
        for rows, format_ in (
            ([a, b], OpenaiChat()),
            ([b, a], OpenaiChat()),
            ([a, relicensed], OpenaiChat()),
            ([a, renamed], OpenaiChat()),
            ([a, b], OpenaiChat(parallel_tool_calls=True)),
        )
    ]

    assert len(set(versions)) == 5


def test_a_damaged_version_is_written_anew(tmp_path: Path) -> None:
    made = write(support_agents(12), tmp_path)
    good = (made.path / "train.jsonl").read_bytes()
    (made.path / "train.jsonl").write_bytes(good[:-40])

    assert write(support_agents(12), tmp_path).new
    assert (made.path / "train.jsonl").read_bytes() == good


KILLED = """
import sys, time
from pathlib import Path
from flywheel_tests.format.test_export import write, support_agents
def slow():
    for number, record in enumerate(support_agents(12)):
        yield record
from flywheel.format.openai_chat import OpenaiChat
class Slow(OpenaiChat):
    def render(self, record):
        if record.id == "tau9":
            print("half way", flush=True)
            time.sleep(60)
        return super().render(record)
write(slow(), Path(sys.argv[1]), Slow(), size=3)
"""


def test_a_killed_export_shows_nothing_and_the_next_one_clears_it_away(tmp_path: Path) -> None:
    before = write(support_agents(5), tmp_path)
    seen = visible(tmp_path)
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "half way\n"
    left = [path for path in tmp_path.iterdir() if path.name.startswith(".staging-")]
    assert len(left) == 1
    with staging(tmp_path):
        assert left[0].exists()  # it runs, so it is left alone

    child.send_signal(signal.SIGKILL)
    child.wait()

    assert visible(tmp_path) == seen
    assert latest(tmp_path) == before.path
    after = write(support_agents(12), tmp_path)
    assert not left[0].exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([before.version, after.version, "latest"])


def test_a_format_that_fails_names_the_record_but_not_its_text_and_leaves_nothing(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Broken:
        suffix: str = "jsonl"

        def render(self, record: Record) -> dict[str, Any]:
            raise KeyError(record.text)

    with pytest.raises(PluginError, match="failed on record r1 with KeyError") as caught:
        write([Record(id="r1", messages=(text_message("user", "my secret"),))], tmp_path, Broken())

    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert list(tmp_path.iterdir()) == []


def test_other_splits_and_file_types_are_refused(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Csv(OpenaiChat):
        suffix = "csv"

    reply = (text_message("user", "a"), text_message("assistant", "b"))
    with pytest.raises(FlywheelError, match="record r1 has split 'dev'; there is train, validation, test"):
        write([Record(id="r1", messages=reply, split="dev")], tmp_path)
    with pytest.raises(PluginError, match=r"writes '\.csv' files; known suffixes are 'jsonl' and 'parquet'"):
        write([Record(id="r1", messages=reply)], tmp_path, Csv())


def test_a_set_without_rows_has_a_card_and_no_file(tmp_path: Path) -> None:
    made = write([], tmp_path)

    assert made.files == ()
    assert sorted(path.name for path in made.path.iterdir()) == ["README.md", "lineage.parquet", "manifest.json"]


def test_parquet_holds_the_records_without_loss_for_duckdb_too(tmp_path: Path) -> None:
    records = support_agents(12) + [Record(**{n: getattr(r, n) for n in SCHEMA.names}) for r in function_calls()[:5]]

    made = write(records, tmp_path, Parquet())

    train = [record for record in records if record.split in ("train", None)]
    assert from_batch(pl.read_parquet(made.path / "train.parquet")) == train
    with duckdb.connect() as connection:
        found = connection.execute(f"select count(*), sum(len(messages)) from '{made.path}/train.parquet'").fetchall()
    assert found == [(len(train), sum(len(record.messages) for record in train))]
    assert check_file(made.path / "train.parquet", "parquet") == []
    some = write(records, tmp_path, Parquet(columns=("id", "messages")))
    assert pl.read_parquet(some.path / "train.parquet").columns == ["id", "messages"]


def test_memory_is_bounded_by_the_batch_not_by_the_set(tmp_path: Path) -> None:
    made = 0

    def batches() -> Iterator[pl.DataFrame]:
        nonlocal made
        for _ in range(5):
            made += 1
            yield to_batch([Record(id=f"r{made}", messages=(text_message("user", "a"), text_message("assistant", "b")))])

    class Watched(OpenaiChat):
        def render(self, record: Record) -> dict[str, Any]:
            assert record.id == f"r{made}"  # nothing was read ahead
            return super().render(record)

    done = export(batches(), Watched(), folder=tmp_path, set=CHAT, token_counter=Estimate(), provenance={})

    assert done.files[0].rows == 5


def test_the_manifest_counts_what_is_in_the_files(tmp_path: Path) -> None:
    made = write(support_agents(20), tmp_path, tables={"mixture/chat": 3}, fingerprint=42)

    manifest = json.loads((made.path / "manifest.json").read_bytes())
    assert manifest == made.manifest
    assert manifest["licenses"] == {"MIT": 20}
    assert manifest["origins"] == {"log:openai_chat": 20}
    assert manifest["provenance"] == {"tables": {"mixture/chat": 3}, "fingerprint": 42}
    assert manifest["tokens"]["exact"] is False
    assert manifest["format"]["settings"]["train_on"] == "all"
    assert str(tmp_path) not in (made.path / "manifest.json").read_text() + (made.path / "README.md").read_text()
    assert not os.path.lexists(tmp_path / "latest.json")
    assert time.strftime("%Y-%m-%d") not in (made.path / "manifest.json").read_text()


FULL_DISK = """
import resource, sys
from pathlib import Path
from flywheel_tests.format.test_export import write, support_agents
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write(support_agents(20), Path(sys.argv[1]))
except OSError as error:
    print(type(error).__name__, flush=True)
"""


def test_a_disk_that_refuses_more_leaves_the_last_version_as_it_was(tmp_path: Path) -> None:
    write(support_agents(2), tmp_path)
    before = visible(tmp_path)

    child = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True)

    assert child.stdout == "OSError\n"
    assert visible(tmp_path) == before
    assert not list(tmp_path.glob(".*"))


def test_exports_of_the_same_content_at_the_same_time_make_one_version(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from flywheel_tests.format.test_export import *; "
    code += "print(write(support_agents(20), Path(sys.argv[1])).new)"
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]

    assert sorted(child.communicate()[0] for child in children) == ["False\n", "False\n", "True\n"]
    assert len([path for path in tmp_path.iterdir() if path.name != "latest"]) == 1
    assert not list(tmp_path.glob(".*"))


def test_a_folder_in_the_place_of_the_link_is_explained(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()

    with pytest.raises(FlywheelError, match="Remove it, and run again"):
        point_latest(tmp_path, "4ff136ae63df")
    assert [path.name for path in tmp_path.iterdir()] == ["latest"]
