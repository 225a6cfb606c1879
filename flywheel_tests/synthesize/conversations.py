"""Seeds for the synthesis tests."""

from typing import Any

from flywheel.records import Record, text_message


def chat(prompt: str = "How do I reset my password?", reply: str = "Open Settings.", *, id: str = "s1", **rest: Any) -> Record:
    """A train seed of one question and its answer."""
    turns = (text_message("user", prompt), text_message("assistant", reply))
    return Record(**{"id": id, "messages": turns, "split": "train", "licenses": ("CC-BY-4.0",), **rest})


def chats(count: int, **rest: Any) -> list[Record]:
    return [chat(f"Question number {number}, please?", id=f"s{number:05}", **rest) for number in range(count)]
