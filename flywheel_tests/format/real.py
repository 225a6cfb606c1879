"""Real conversations of other projects as records, read as plainly as possible."""

import datetime as dt
import gzip
import json
from collections.abc import Iterator
from typing import Any

from flywheel.records import Message, Record, Source, ToolCall, text_message
from flywheel_tests.shared import shared_data

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def lines(folder: str, name: str) -> Iterator[Any]:
    with gzip.open(shared_data(folder) / name, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def message(turn: dict[str, Any]) -> Message:
    calls = tuple(
        ToolCall(id=call["id"], name=call["function"]["name"], arguments=call["function"]["arguments"])
        for call in turn.get("tool_calls") or ()
    )
    return text_message(
        turn["role"], turn.get("content"), tool_calls=calls, tool_call_id=turn.get("tool_call_id"), name=turn.get("name")
    )


def support_agents(count: int = 60) -> list[Record]:
    """tau-bench's airline agents: long, with tool calls; cut after the last reply; a tenth each for validation and test."""
    found = []
    for number, entry in zip(range(count), lines("tau_bench", "gpt-4o-airline.trajectories.jsonl.gz"), strict=False):
        turns = entry["traj"]
        while turns[-1]["role"] != "assistant":
            turns.pop()
        found.append(
            Record(
                id=f"tau{number}",
                origin="log:openai_chat",
                source=Source(file="airline.jsonl", offset=number * 1000, length=1000),
                created_at=START + dt.timedelta(minutes=number),
                messages=tuple(map(message, turns)),
                licenses=("MIT",),
                split={0: "test", 1: "validation"}.get(number % 10, "train"),
            )
        )
    return found


def function_calls() -> list[Record]:
    """Glaive's tool conversations as LLaMA-Factory ships them: no call ids, schemas as a JSON string."""
    with gzip.open(shared_data("llamafactory_demo") / "glaive_toolcall_en_demo.json.gz", "rt", encoding="utf-8") as file:
        entries = json.load(file)
    return [Record(id=f"glaive{n}", messages=tuple(_turns(e)), tools=tuple(_tools(e))) for n, e in enumerate(entries)]


def _turns(entry: dict[str, Any]) -> Iterator[Message]:
    for turn in entry["conversations"]:
        if turn["from"] == "function_call":
            call = json.loads(turn["value"])
            arguments = call["arguments"]
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            yield Message(role="assistant", tool_calls=(ToolCall(name=call["name"], arguments=text),))
        else:
            yield text_message({"human": "user", "gpt": "assistant", "observation": "tool"}[turn["from"]], turn["value"])


def _tools(entry: dict[str, Any]) -> list[str]:
    return [json.dumps(tool) for tool in json.loads(entry["tools"])] if entry.get("tools") else []
