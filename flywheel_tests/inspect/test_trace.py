from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from flywheel.inspect.trace import id_on_line, render, trace
from flywheel.ledger import EXITS, exits
from flywheel.records import SCHEMA, Record, Source, text_message, to_batch
from flywheel.schema import column
from flywheel.tables import Tables

VERDICTS = pa.schema([column("id", pa.string(), ""), column("score", pa.float64(), ""), column("keep", pa.bool_(), "")])
DUPLICATES = pa.schema(
    [*(column(name, pa.string(), "") for name in ("id", "day", "kept", "reason")), column("similarity", pa.float64(), "")]
)
DAY = "2026-01-02"


def record(id: str, **rest: object) -> Record:
    source = Source(file="logs/2026-01-02/a.jsonl", offset=120, length=40, dialect="openai_chat")
    talk = (text_message("user", "my very private words"), text_message("assistant", "ok"))
    return Record(id=id, source=source, messages=talk, **rest)  # type: ignore[arg-type]


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    tables = Tables(str(tmp_path))
    both = to_batch([record("keeps"), record("goes")])
    for stage in ("records", "scrubbed"):
        tables.write(stage, both, schema=SCHEMA, fingerprint=1, day=DAY)
    tables.write("curated", both.filter(pl.col("id") == "keeps"), schema=SCHEMA, fingerprint=1, day=DAY)
    child = record("child", parents=("keeps",), generation=1, origin="synthetic:paraphrase")
    tables.write("synthetic/paraphrase", to_batch([child]), schema=SCHEMA, fingerprint=1)
    gone = exits(["goes"], "near_duplicate", into=["keeps"], score=[0.91])
    tables.write("exits", gone, schema=EXITS, fingerprint=1, stage="curated", day=DAY)
    verdict = pl.DataFrame({"id": ["keeps"], "score": [0.25], "keep": [True]})
    tables.write("verdicts", verdict, schema=VERDICTS, fingerprint=1, filter="symbol_ratio", day=DAY)
    pair = {"id": ["goes"], "day": ["2026-01-02"], "kept": ["keeps"], "reason": ["near"], "similarity": [0.91]}
    tables.write("duplicates", pl.DataFrame(pair), schema=DUPLICATES, fingerprint=1)
    lineage = tmp_path / "sets" / "chat" / "latest" / "lineage.parquet"
    lineage.parent.mkdir(parents=True)
    pl.DataFrame({"split": ["train", "test"], "line": [1, 1], "id": ["keeps", "child"]}).write_parquet(lineage)
    return tables


def ways(id: str, tables: Tables) -> list[tuple[str, str]]:
    return [(step.stage, step.what) for step in trace(id, tables=tables)]


def test_a_record_that_stays_is_followed_from_its_file_to_its_line_in_the_set(tables: Tables) -> None:
    assert ways("keeps", tables) == [
        ("records", "read"),
        ("records", "present"),
        ("scrubbed", "present"),
        ("duplicates", "kept for"),
        ("verdicts", "scored"),
        ("curated", "present"),
        ("synthetic/paraphrase", "seeded"),
        ("sets/chat", "exported"),
    ]
    first, *_, last = trace("keeps", tables=tables)
    assert (first.details["file"], first.details["offset"], first.details["length"]) == ("logs/2026-01-02/a.jsonl", 120, 40)
    assert last.details == {"split": "train", "line": 1, "version": "latest"}


def test_a_record_that_left_ends_with_the_reason_and_what_it_repeats(tables: Tables) -> None:
    steps = trace("goes", tables=tables)

    assert (steps[-1].stage, steps[-1].what) == ("curated", "dropped")
    assert steps[-1].details == {"reason": "near_duplicate", "into": "keeps", "score": 0.91, "day": "2026-01-02"}
    assert ("duplicates", "repeats") in [(step.stage, step.what) for step in steps]


def test_a_synthetic_record_names_its_parents(tables: Tables) -> None:
    first = trace("child", tables=tables)[0]

    assert (first.stage, first.what, first.details["from"]) == ("synthetic/paraphrase", "made", "keeps")


def test_a_line_of_a_set_leads_to_its_record(tables: Tables) -> None:
    folder = Path(tables.root) / "sets" / "chat" / "latest"

    assert id_on_line(folder / "train.jsonl", 1) == "keeps"
    assert id_on_line(folder / "test.jsonl", 1) == "child"
    with pytest.raises(LookupError, match="no line 9"):
        id_on_line(folder / "train.jsonl", 9)


def test_the_text_of_a_record_is_never_shown(tables: Tables) -> None:
    assert "private" not in "\n".join(render("keeps", trace("keeps", tables=tables)))


def test_tables_that_were_never_written_are_passed_over(tmp_path: Path) -> None:
    steps = trace("nobody", tables=Tables(str(tmp_path)))

    assert steps == []
    assert render("nobody", steps) == ["record nobody is in no table of this project"]


def test_the_trace_reads_as_one_line_a_step(tables: Tables) -> None:
    lines = render("goes", trace("goes", tables=tables))

    assert lines[0] == "record goes"
    assert lines[-1].split() == "curated dropped reason near_duplicate, into keeps, score 0.91, day 2026-01-02".split()  # noqa: SIM905
