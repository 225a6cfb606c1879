"""Chats for the tests, and their signatures."""

import datetime as dt
import random
from collections.abc import Iterable, Sequence

import polars as pl

from flywheel.curate.dedup.signatures import sign
from flywheel.records import Message, Record, text_message, to_batch
from flywheel.sections import Dedup

DAY = "2026-01-01"
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def chat(name: str, *turns: str, system: str | None = None, minute: int | None = None) -> Record:
    """A conversation: user and assistant in turn."""
    messages: list[Message] = [] if system is None else [text_message("system", system)]
    messages += [text_message(("user", "assistant")[i % 2], text) for i, text in enumerate(turns)]
    at = None if minute is None else START + dt.timedelta(minutes=minute)
    return Record(id=name, messages=tuple(messages), created_at=at)


def signed(records: Iterable[Record], day: str = DAY, settings: Dedup | None = None) -> pl.DataFrame:
    return sign(to_batch(records), settings=settings or Dedup()).with_columns(day=pl.lit(day))


def words(count: int, seed: int) -> list[str]:
    generator = random.Random(seed)
    return [f"{generator.choice('bcdfgklmnprst')}{generator.randrange(5000):x}" for _ in range(count)]


def varied(base: Sequence[str], changes: int, seed: int) -> str:
    """The words with `changes` of them replaced, at random places."""
    generator = random.Random(seed)
    result = list(base)
    for place in generator.sample(range(len(result)), changes):
        result[place] = f"x{generator.randrange(10**6)}"
    return " ".join(result)
