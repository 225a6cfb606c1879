"""Real conversations for the tests of curation: prompts and answers from Arena-Hard, written by people and two models."""

import gzip
import json
from pathlib import Path
from typing import Any

from flywheel.records import Record, text_message
from flywheel_tests.shared import shared_data


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a gzipped JSON Lines file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def arena_chats() -> list[Record]:
    """1,000 answered prompts (500 prompts, two models) and 750 prompts without an answer, in many languages."""
    folder = shared_data("arena_hard")
    records = []
    for model in ("gpt-3.5-turbo-0125", "gpt-4-0314"):
        for row in read_lines(folder / f"answer_{model}.jsonl.gz"):
            texts = [m["content"] if isinstance(m["content"], str) else m["content"]["answer"] for m in row["messages"]]
            messages = tuple(text_message(m["role"], text) for m, text in zip(row["messages"], texts, strict=True))
            records.append(Record(id=f"{row['uid']}/{model}", messages=messages))
    for row in read_lines(folder / "question_v2.0.jsonl.gz"):
        records.append(Record(id=row["uid"], messages=(text_message("user", row["prompt"]),)))
    return records


def oasst_chats() -> list[Record]:
    """Every path from a root to an assistant's message in 100 OpenAssistant trees: 1,187 human-written chats."""
    records: list[Record] = []

    def walk(node: dict[str, Any], before: tuple[Any, ...]) -> None:
        role = "user" if node["role"] == "prompter" else "assistant"
        messages = (*before, text_message(role, node["text"]))
        if role == "assistant":
            records.append(Record(id=node["message_id"], messages=messages))
        for reply in node.get("replies", []):
            walk(reply, messages)

    for tree in read_lines(shared_data("oasst_en100") / "en_100_tree.jsonl.gz"):
        walk(tree["prompt"], ())
    return records
