"""Texts of other projects' data sets: people's prompts, support dialogues, tool calls, invented personal data."""

import gzip
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from flywheel_tests.shared import shared_data


def foreign_texts() -> Iterator[str]:
    """Some eight thousand texts, none twice, always in the same order; skips the test where they are absent."""
    seen = set()
    for text in _texts():
        if text not in seen:
            seen.add(text)
            yield text


def _texts() -> Iterator[str]:
    for document in json.loads((shared_data("pii") / "presidio_synth_v2_even.json").read_text("utf-8")):
        yield document["full_text"]
    for folder, file in (
        ("arena_hard", "question_v2.0.jsonl.gz"),
        ("oasst_en100", "en_100_tree.jsonl.gz"),
        ("taskmaster", "tm4_data_07.jsonl.gz"),
        ("tau_bench", "gpt-4o-airline.trajectories.jsonl.gz"),
    ):
        with gzip.open(shared_data(folder) / file, "rt", encoding="utf-8") as lines:
            for line in islice(lines, 20 if folder == "tau_bench" else None):
                yield from _strings(json.loads(line))
    with gzip.open(shared_data("abcd") / "abcd_sample.json.gz", "rt", encoding="utf-8") as stream:
        yield from _strings(json.load(stream))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str) and " " in value:
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)
