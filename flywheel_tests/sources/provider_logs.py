"""The recorded provider calls and what the vendors' SDKs make of the streamed ones."""

import gzip
from typing import Any, NamedTuple

import msgspec

from flywheel_tests.shared import shared_data


class Streamed(NamedTuple):
    entry: dict[str, Any]
    kind: str
    message: dict[str, Any]


def lines(folder: str, name: str) -> list[Any]:
    with gzip.open(shared_data(folder) / name) as file:
        return [msgspec.json.decode(line) for line in file if line.strip()]


def calls() -> list[dict[str, Any]]:
    return lines("provider_logs", "interactions.jsonl.gz")


def streams() -> list[Streamed]:
    by_place = {(call["source"], call["cassette"], call["index"]): call for call in calls()}
    expected = lines("provider_logs", "stream_expected.jsonl.gz")
    return [
        Streamed(
            by_place[one["source"], one["cassette"], one["index"]],
            one["expected_final"]["kind"],
            one["expected_final"]["message"],
        )
        for one in expected
    ]
