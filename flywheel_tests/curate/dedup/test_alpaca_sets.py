"""Self-Instruct's seed tasks as an Alpaca file, with rows that repeat others planted in it."""

import gzip
import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl

from flywheel import plugins
from flywheel.curate.dedup.duplicates import find_duplicates
from flywheel.curate.dedup.prompts import conflicts
from flywheel.records import Record, from_batch
from flywheel.sections import Logs
from flywheel.sources.files import find_files
from flywheel.sources.read import Reading
from flywheel_tests.curate.dedup.samples import DAY, signed
from flywheel_tests.shared import shared_data

Row = dict[str, Any]


def tasks() -> list[Row]:
    """Instruction, input and output of each seed task's first instance."""
    with gzip.open(shared_data("self_instruct") / "seed_tasks.jsonl.gz", "rt", encoding="utf-8") as lines:
        seeds = [json.loads(line) for line in lines]
    return [{"instruction": seed["instruction"], **seed["instances"][0]} for seed in seeds]


def read(rows: list[Row], folder: Path) -> list[Record]:
    (folder / "alpaca.json").write_text(json.dumps(rows), "utf-8")
    logs = Logs(url="alpaca.json", dialect="alpaca")
    files = find_files(logs, root=folder, start=DAY)
    reading = Reading(files, logs=logs, root=folder, sources={"alpaca": plugins.build("source", "alpaca")}, key=b"key")
    return [record for chunk in reading for record in from_batch(chunk.records)]


def triples(record: Record) -> set[tuple[str, ...]]:
    """Word 3-grams of the record's messages, one message at a time, or all of its words where it has fewer."""
    grams = set()
    for message in record.messages:
        words = re.findall(r"\w+", message.text.lower())
        grams |= {tuple(words[i : i + 3]) for i in range(len(words) - 2)} or {tuple(words)}
    return grams


def overlap(one: set[tuple[str, ...]], other: set[tuple[str, ...]]) -> float:
    return len(one & other) / len(one | other)


def test_rows_that_repeat_a_seed_task_leave_and_other_answers_to_it_stay_as_conflicts(tmp_path: Path) -> None:
    rows = tasks()
    assert len(rows) == 175
    shouted = [{key: text.upper() for key, text in row.items()} for row in rows[::5]]
    answered = [{**row, "output": f"I would rather not say what number {number} is."} for number, row in enumerate(rows[::7])]

    records = read([*rows, *shouted, *answered], tmp_path)
    signatures = signed(records)
    found = find_duplicates(signatures.lazy())

    assert len(records) == len(rows) + len(shouted) + len(answered)
    order = {record.id: number for number, record in enumerate(records)}
    pairs = {tuple(sorted((order[one], order[other]))) for one, other in found.select("id", "kept").iter_rows()}
    planted = {(number * 5, len(rows) + number) for number in range(len(shouted))}
    assert planted <= pairs
    grams = [triples(record) for record in records]
    assert all(overlap(grams[one], grams[other]) >= 0.8 for one, other in pairs)
    close = {pair for pair in combinations(range(len(records)), 2) if overlap(grams[pair[0]], grams[pair[1]]) >= 0.9}
    left = {order[one] for one in found["id"]}
    assert all(one in left or other in left for one, other in close)
    stay = [record for record in records if order[record.id] not in left]
    told = conflicts(signatures.lazy(), pl.LazyFrame({"id": [record.id for record in stay], "day": [DAY] * len(stay)}))
    near = sum((number * 7, len(rows) + len(shouted) + number) in pairs for number in range(len(answered)))  # long prompts
    assert told["prompt"].n_unique() == len(answered) - near >= 20
