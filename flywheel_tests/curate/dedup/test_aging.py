"""`[[duplicates]]` over days that come in any order: what is older stays, and texts are not kept."""

import datetime as dt
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flywheel import plugins
from flywheel.curate.dedup.aging import Aging
from flywheel.curate.dedup.methods.bloom import Bloom
from flywheel.curate.dedup.methods.exact import Exact
from flywheel.curate.dedup.similar import find_similar
from flywheel.plugins import Digests
from flywheel.sections import DuplicateRule
from flywheel_tests.curate.dedup.samples import chat, varied, words
from flywheel_tests.curate.dedup.test_similar import batch

ROWS = pl.Schema(
    [("created_at", pl.Datetime("us", "UTC")), ("id", pl.String), ("day", pl.String), ("said", pl.List(pl.UInt32))],
)
DIGESTED = ["bloom", "exact", "jaccard", "minhash", "simhash", "spans"]
TEXT = [*DIGESTED, "edit_ratio", "tf_idf"]


def rows(count: int, *, seed: int) -> pl.DataFrame:
    """Rows of few moments, days and ids, so that each of them decides for some."""
    generator = random.Random(seed)
    moments = [None, *(dt.datetime(2026, 3, day, tzinfo=dt.UTC) for day in (1, 2, 3))]
    return pl.DataFrame(
        {
            "created_at": generator.choices(moments, k=count),
            "id": generator.choices(["a", "B", "é", "z", "𝒳", ""], k=count),
            "day": generator.choices(["2026-03-01", "2026-03-02"], k=count),
            "said": [[number, number] for number in range(count)],
        },
        schema=ROWS,
    )


def test_rows_go_by_moment_then_id_then_day_then_as_they_came_and_those_without_a_moment_last() -> None:
    every = rows(3000, seed=1)

    with Aging(ROWS) as waiting:
        for start in range(0, every.height, 170):
            waiting.add(every[start : start + 170])
        aged = pl.concat(waiting.oldest_first("number", "said"))
        some = waiting.at(pl.Series([2999, 0, 7, 7]), "id", "created_at", "said")

    expected = every.with_row_index("number").sort("created_at", "id", "day", nulls_last=True, maintain_order=True)
    assert aged["number"].to_list() == expected["number"].to_list()
    assert aged["said"].to_list() == expected["said"].to_list()
    assert some.equals(expected[[0, 7, 2999]].select(pl.Series("at", [0, 7, 2999]), "id", "created_at", "said"))


def late() -> list[pl.DataFrame]:
    """Days of which the last brings the oldest chats."""
    base = [words(60, seed=n) for n in range(8)]
    made = []
    for day in (2, 3, 4):
        texts = [varied(text, n % 2 * (day - 2), seed=n) for n, text in enumerate(base)]
        records = [chat(f"{day}-{n}", text, minute=100 - 10 * day + n) for n, text in enumerate(texts)]
        made.append(batch(*records, day=f"2026-03-0{day}"))
    return made


def found(batches: Iterable[pl.DataFrame], method: str, **given: Any) -> pl.DataFrame:
    if method == "spans":
        given |= {"level": "span", "settings": {"tokens": 8}}
    rule = DuplicateRule(name="rule", method=method, floor=0.5, threshold=0.5, **given)
    return find_similar(batches, rule, plugins.build("similarity", method, rule.settings))


@pytest.mark.parametrize("method", TEXT)
@pytest.mark.parametrize("scope", ["any", "within"])
def test_the_pairs_do_not_depend_on_how_records_come(method: str, scope: str) -> None:
    days = late()
    single = [day[at : at + 1] for day in days for at in range(day.height)]
    random.Random(2).shuffle(single)

    expected = found([pl.concat(days)], method, level="message", scope=scope)

    assert expected.height or scope == "within"
    assert found(reversed(days), method, level="message", scope=scope).equals(expected)
    assert found(single, method, level="message", scope=scope).equals(expected)


@pytest.mark.parametrize("method", ["exact", "jaccard", "edit_ratio"])
def test_of_two_equal_chats_the_older_stays_though_its_day_comes_later(method: str) -> None:
    young = batch(chat("a", *words(9, seed=1), minute=9), day="2026-03-02")
    old = batch(chat("b", *words(9, seed=1), minute=3), day="2026-03-05")

    pairs = found([young, old], method)

    assert pairs.select("id", "day", "other", "other_day").rows() == [("a", "2026-03-02", "b", "2026-03-05")]


def test_no_records_have_no_pairs() -> None:
    for method in ("exact", "edit_ratio"):
        for scope in ("any", "within"):
            assert found([], method, scope=scope).is_empty()


@pytest.mark.parametrize("name", DIGESTED)
def test_a_digest_follows_from_its_text_alone(name: str) -> None:
    texts = pl.Series([None, "", "  ", "One, two - three.", "…!", "你好 world", "one, TWO - three.", " ".join(words(70, seed=3))])
    method = plugins.build("similarity", name)
    assert isinstance(plugins.build("similarity", name), Digests)

    whole = method.digests(texts)

    assert texts[5] == "你好 world"
    assert [method.digests(texts[at : at + 1]).to_list() for at in range(len(texts))] == [[each] for each in whole.to_list()]
    assert "String" not in str(whole.dtype)
    assert method.among([whole[:3], whole[3:3], whole[3:]], floor=0.9).equals(method.pairs(texts, floor=0.9))


@dataclass(frozen=True)
class _Looking(Exact):
    """Looks into the folder for temporary files while the texts wait there."""

    def among(self, digests: Iterable[pl.Series], *, floor: float = 1.0) -> pl.DataFrame:
        held = b"".join(path.read_bytes() for path in Path(tempfile.gettempdir()).rglob("*") if path.is_file())
        assert b"chat-7" in held, "the ids wait in the file, or this test proves nothing"
        assert b"remarkable" not in held
        return super().among(digests, floor=floor)


def test_no_text_waits_in_the_temporary_file_and_the_file_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    rule = DuplicateRule(name="rule")
    records = batch(*(chat(f"chat-{n}", "A remarkable sentence, isn't it?", "It is remarkable.") for n in range(9)))

    assert find_similar([records], rule, _Looking()).height == 8
    assert list(tmp_path.iterdir()) == []


def large(count: int) -> Iterator[pl.DataFrame]:
    for number in range(count):
        yield batch(chat(f"{number}", random.Random(number).randbytes(50_000).hex()))


def test_the_memory_of_bloom_is_not_that_of_the_texts() -> None:
    """30 MB of text in a process of its own, whose peak rises by less than half of that."""
    program = "from flywheel_tests.curate.dedup.test_aging import print_growth; print_growth()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert int(done.stdout) < 15_000


def print_growth() -> None:
    """Kilobytes by which the peak rises from 20 chats to 300."""

    def search(count: int) -> int:
        find_similar(large(count), DuplicateRule(name="rule", words=1), Bloom(capacity=1000))
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    print(-search(20) + search(300))
