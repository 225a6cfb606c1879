"""Against exhaustive similarities of real texts, and against articles with planted copies."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xxhash

from flywheel.curate.dedup.duplicates import find_duplicates
from flywheel.curate.dedup.matching import similar_pairs
from flywheel.curate.dedup.minhash import band_hashes, lsh_bands
from flywheel.curate.dedup.shingles import Sets, hash_tokens, shingle
from flywheel.curate.dedup.signatures import sign
from flywheel.records import to_batch
from flywheel.sections import Dedup
from flywheel_tests.curate.dedup.samples import DAY, chat, signed
from flywheel_tests.shared import shared_data

ROUNDING = 0.00005


def read_json(path: Path) -> Any:
    return json.loads(gzip.open(path).read())


def banking() -> list[str]:
    with gzip.open(shared_data("banking77") / "train.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


def oasst() -> list[str]:
    with gzip.open(shared_data("jaccard_truth") / "oasst_messages.rows.jsonl.gz") as file:
        return [json.loads(line)["text"] for line in file]


def character_sets(texts: list[str], width: int) -> Sets:
    folded = [" ".join(text.lower().split()) for text in texts]
    grams = ([text[i : i + width] for i in range(len(text) - width + 1)] for text in folded)
    return hash_tokens([[xxhash.xxh32_intdigest(gram.encode()) for gram in row] for row in grams])


def measure(sets: Sets, truth: str, similarity: float) -> tuple[float, int]:
    """Recall, and how many pairs are found that are not true; the similarities found must be the true ones."""
    listed = read_json(shared_data("jaccard_truth") / f"{truth}.json.gz")
    assert len(sets.offsets) == listed["rows"] + 1
    jaccard = {(a, b): j for a, b, j in listed["pairs"]}
    found = similar_pairs(sets, band_hashes(sets, lsh_bands(similarity)), similarity=similarity)
    hits = dict(zip(zip(found.earlier.tolist(), found.later.tolist(), strict=True), found.jaccard.tolist(), strict=True))
    assert len(hits) == len(found.later)
    assert all(j == pytest.approx(jaccard.get(pair), abs=ROUNDING * 1.01) for pair, j in hits.items())
    true = {pair for pair, j in jaccard.items() if j >= similarity}
    return len(true & hits.keys()) / len(true), len({pair for pair in hits if jaccard[pair] < similarity - ROUNDING})


def baseline(name: str, similarity: float) -> float:
    rows = json.loads((shared_data("jaccard_truth") / "datasketch_baseline.json").read_text())
    return float(next(r["recall"] for r in rows if r["set"] == name and r["threshold"] == similarity and r["verified"]))


@pytest.mark.parametrize("similarity", [0.5, 0.6, 0.7, 0.8, 0.9])
def test_short_bank_queries_by_words_give_true_pairs_only_and_nearly_all(similarity: float) -> None:
    recall, false = measure(shingle(pl.Series(banking())), "banking77_train.word3", similarity)

    assert (recall >= 0.97, false) == (True, 0)


@pytest.mark.parametrize("similarity", [0.6, 0.7, 0.8])
def test_bank_queries_by_characters_are_found_at_least_as_datasketch_finds_them(similarity: float) -> None:
    recall, false = measure(character_sets(banking(), 5), "banking77_train.char5", similarity)

    assert recall >= baseline("banking77 char5", similarity) - 0.03
    assert (recall >= 0.95, false) == (True, 0)


@pytest.mark.parametrize("similarity", [0.5, 0.7, 0.8, 0.9])
def test_assistant_messages_are_found_at_least_as_datasketch_finds_them(similarity: float) -> None:
    recall, false = measure(shingle(pl.Series(oasst())), "oasst_messages.word3", similarity)

    assert recall >= baseline("oasst word3", 0.7) - 0.03
    assert false == 0


@pytest.mark.parametrize("similarity", [0.5, 0.7, 0.8, 0.9])
def test_of_two_assistant_messages_a_tenth_above_the_threshold_one_goes(similarity: float) -> None:
    texts = oasst()
    listed = read_json(shared_data("jaccard_truth") / "oasst_messages.word3.json.gz")
    messages = signed((chat(f"{i:05}", text) for i, text in enumerate(texts)), settings=Dedup(similarity=similarity))

    found = find_duplicates(messages, similarity=similarity)

    gone = set(found["id"].cast(pl.Int64))
    long = {i for i, text in enumerate(texts) if len(text.split()) > 3}
    assert [(a, b) for a, b, j in listed["pairs"] if j >= similarity + 0.1 and {a, b} <= long and not {a, b} & gone] == []
    true = {(a, b): j for a, b, j in listed["pairs"]}
    links = found.filter(reason="near").select(pl.col("kept", "id").cast(pl.Int64)).rows()
    assert all(true[min(pair), max(pair)] >= similarity - ROUNDING for pair in links if set(pair) <= long)


def articles(size: int) -> tuple[pl.DataFrame, set[frozenset[str]]]:
    """Articles as records, and the pairs of which one is a copy of the other."""
    folder = shared_data("minhash_articles")
    with gzip.open(folder / f"articles_{size}.train.gz", "rt", encoding="utf-8") as file:
        texts = dict(line.rstrip("\n").split(" ", 1) for line in file)
    truth = {frozenset(line.split()) for line in (folder / f"articles_{size}.truth").read_text().splitlines()}
    return to_batch(chat(name, text) for name, text in texts.items()), truth


@pytest.mark.parametrize("size", [100, 1000])
@pytest.mark.parametrize("similarity", [0.25, 0.35, 0.45, 0.5, 0.55, 0.65, 0.75, 0.85, 0.95])
def test_exactly_the_plagiarised_articles_are_found_at_any_threshold(size: int, similarity: float) -> None:
    records, truth = articles(size)

    signatures = sign(records, settings=Dedup(similarity=similarity)).with_columns(day=pl.lit(DAY))
    found = find_duplicates(signatures, similarity=similarity)

    assert {frozenset(pair) for pair in found.select("id", "kept").iter_rows()} == truth
    assert set(found["reason"]) <= {"near", "exact"}


def test_of_hundreds_of_nearly_identical_chats_those_stay_that_comparing_all_pairs_leaves() -> None:
    entries = read_json(shared_data("mt_bench") / "dummy_conversation.json.gz")
    assert len(entries) >= 500
    signatures = signed(chat(f"{i:04}", *(turn["value"] for turn in e["conversations"])) for i, e in enumerate(entries))
    sets = [set(row) for row in signatures["shingles"]]
    stay: list[int] = []
    for i, mine in enumerate(sets):
        if not any(len(mine & sets[k]) >= 0.8 * len(mine | sets[k]) for k in stay):
            stay.append(i)

    gone = set(find_duplicates(signatures)["id"].cast(pl.Int64))

    assert sorted(set(range(len(entries))) - gone) == stay
    assert len(entries) - len(stay) > 150


def test_every_near_duplicate_among_real_queries_is_truly_similar_to_one_that_stays() -> None:
    texts = banking()
    jaccard = {(a, b): j for a, b, j in read_json(shared_data("jaccard_truth") / "banking77_train.word3.json.gz")["pairs"]}

    found = find_duplicates(signed(chat(f"{i:05}", text) for i, text in enumerate(texts)))

    assert set(found["kept"]).isdisjoint(found["id"])
    near = found.filter(pl.col("reason") == "near").select(pl.col("id", "kept").cast(pl.Int64), "similarity")
    three_words = [(i, k, s) for i, k, s in near.iter_rows() if len(texts[k].split()) > 3]
    assert len(three_words) > 50
    assert all(s >= 0.8 and k < i and s == pytest.approx(jaccard[k, i], abs=ROUNDING * 1.01) for i, k, s in three_words)
