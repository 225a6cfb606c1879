import difflib
import json
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest

from flywheel import plugins
from flywheel.curate.dedup.methods import nearest
from flywheel.curate.dedup.methods.bloom import Bloom, BloomFilter
from flywheel.curate.dedup.methods.contract import text_hashes
from flywheel.curate.dedup.methods.edit import EditRatio
from flywheel.curate.dedup.methods.embeddings import Embeddings
from flywheel.curate.dedup.methods.exact import Exact
from flywheel.curate.dedup.methods.jaccard import Jaccard, ngrams
from flywheel.curate.dedup.methods.minhash import MinHash
from flywheel.curate.dedup.methods.simhash import SimHash, fingerprints
from flywheel.curate.dedup.methods.spans import Spans
from flywheel.curate.dedup.methods.tf_idf import TfIdf
from flywheel.errors import ConfigError, FlywheelError
from flywheel.plugins import AsksModel, Similarity
from flywheel.testing import check_similarity
from flywheel_tests.curate.dedup.samples import varied, words
from flywheel_tests.curate.dedup.test_truth import ROUNDING, oasst, read_json
from flywheel_tests.shared import shared_data

EVERY = sorted(plugin.name for plugin in plugins.installed("similarity") if plugin.distribution == "flywheel")
ANSWERING = [name for name in EVERY if name != "embeddings"]
LONG = " ".join(words(80, seed=1))


def found(method: Similarity, texts: Sequence[str | None], floor: float = 0.8) -> list[tuple[int, int | None]]:
    return method.pairs(pl.Series(texts, dtype=pl.String), floor=floor).select("row", "other").rows()


def test_the_methods_of_the_issue_are_there_by_name() -> None:
    assert EVERY == ["bloom", "edit_ratio", "embeddings", "exact", "jaccard", "minhash", "simhash", "spans", "tf_idf"]


@pytest.mark.parametrize("name", EVERY)
def test_every_method_keeps_the_contract(name: str) -> None:
    check_similarity(plugins.build("similarity", name), knows_other=name != "bloom")


@pytest.mark.parametrize("name", ANSWERING)
def test_a_copy_is_linked_to_its_first_occurrence_and_nothing_else_is(name: str) -> None:
    texts = ["", LONG, None, " ".join(words(80, seed=2)), "  \n", LONG, "", " ".join(words(80, seed=3)), LONG]

    table = plugins.build("similarity", name).pairs(pl.Series(texts, dtype=pl.String), floor=0.9)

    first = None if name == "bloom" else 1
    assert table.select("row", "other", "similarity").rows() == [(5, first, 1.0), (8, first, 1.0)]


@pytest.mark.parametrize("name", ANSWERING)
@pytest.mark.parametrize("texts", [[], [""], ["One text alone, with a few words in it."]])
def test_no_texts_or_one_give_no_pairs(name: str, texts: list[str]) -> None:
    assert found(plugins.build("similarity", name), texts) == []


@pytest.mark.parametrize("name", ANSWERING)
def test_the_same_texts_give_the_same_pairs_and_the_earlier_is_the_other(name: str) -> None:
    texts = pl.Series(oasst()[:400])
    method = plugins.build("similarity", name)

    table = method.pairs(texts, floor=0.6)

    assert table.equals(method.pairs(texts, floor=0.6))
    later = table.filter(pl.col("other") >= pl.col("row"))
    assert later.is_empty() or (name == "spans" and (later["other"] == later["row"]).all())
    assert table.filter(~pl.col("similarity").is_between(0.6, 1.0)).is_empty()


def test_exact_passes_over_case_and_white_space_and_punctuation_where_told() -> None:
    texts = ["Hello there,  World", "hello There,\tworld ", "hello there world", "Ｈello there, World"]

    assert found(Exact(), texts) == [(1, 0), (3, 0)]
    assert found(Exact(case=True), texts) == [(3, 0)]
    assert found(Exact(punctuation=False), texts) == [(1, 0), (2, 0), (3, 0)]


@pytest.mark.parametrize("similarity", [0.4, 0.5, 0.7, 0.9])
def test_jaccard_finds_every_true_pair_of_real_texts_at_its_true_similarity(similarity: float) -> None:
    listed = read_json(shared_data("jaccard_truth") / "oasst_messages.word3.json.gz")
    true = {(b, a): j for a, b, j in listed["pairs"] if j >= similarity}

    table = Jaccard(ngram=3).pairs(pl.Series(oasst()), floor=similarity)
    pairs = {(row, other): score for row, other, score in table.select("row", "other", "similarity").iter_rows()}

    assert true.keys() <= pairs.keys()
    assert all(score == pytest.approx(true[pair], abs=ROUNDING * 1.01) for pair, score in pairs.items() if pair in true)
    assert all(score < similarity + ROUNDING for pair, score in pairs.items() if pair not in true)


def test_minhash_finds_what_jaccard_finds_but_for_a_few_pairs_at_the_floor() -> None:
    texts = pl.Series([varied(words(60, seed=n // 3), 2, seed=n) for n in range(60)])

    every, some = Jaccard().pairs(texts, floor=0.6), MinHash().pairs(texts, floor=0.6)

    assert some.height > 50
    assert some.join(every, on=["row", "other", "similarity"], how="anti").is_empty()
    assert every.join(some, on=["row", "other"], how="anti").filter(pl.col("similarity") > 0.7).is_empty()


def longest_common(one: str, other: str) -> int:
    row = [0] * (len(other) + 1)
    for letter in one:
        before = row[:]
        for at, its in enumerate(other):
            row[at + 1] = before[at] + 1 if letter == its else max(before[at + 1], row[at])
    return row[-1]


def test_edit_ratio_is_that_of_the_longest_common_subsequence() -> None:
    generator = random.Random(5)
    base = ["".join(generator.choice("abcdeé 你") for _ in range(generator.randrange(1, 200))) for _ in range(12)]
    texts = [" ".join(text.split()) or "x" for text in [*base, *(text[:50] + "q" + text[52:] for text in base)]]

    table = EditRatio().pairs(pl.Series(texts), floor=0.3)
    pairs = {(row, other): score for row, other, score in table.select("row", "other", "similarity").iter_rows()}

    for row, text in enumerate(texts):
        for other in range(row):
            ratio = 2 * longest_common(texts[other], text) / (len(text) + len(texts[other]))
            if text != texts[other]:
                assert pairs.get((row, other)) == (pytest.approx(ratio) if ratio >= 0.3 else None), (row, other)


@pytest.mark.parametrize("floor", [0.55, 0.8, 0.95])
def test_edit_ratio_misses_no_pair_of_longer_texts_near_its_floor(floor: float) -> None:
    """Texts of two to four words of the machine, with 1 to 60 letters lost, added and moved, so that ratios lie everywhere."""
    generator = random.Random(11)
    texts = []
    for size in (64, 128, 150, 191, 256):
        base = [generator.choice("abcdefgh") for _ in range(size)]
        for changes in (0, 3, 15, 60):
            text = base[changes // 2 :] + base[: changes // 2]
            for _ in range(changes):
                text.insert(generator.randrange(len(text)), generator.choice("abcdefgh"))
                del text[generator.randrange(len(text))]
            texts.append("".join(text))

    table = EditRatio().pairs(pl.Series(texts), floor=floor)

    ratios = {
        (row, other): 2 * longest_common(texts[other], text) / (len(text) + len(texts[other]))
        for row, text in enumerate(texts)
        for other in range(row)
    }
    expected = {pair: ratio for pair, ratio in ratios.items() if ratio >= floor}
    assert 3 < len(expected) < len(ratios)
    assert {(row, other): ratio for row, other, ratio in table.select("row", "other", "similarity").iter_rows()} == expected


def test_the_nearest_of_many_vectors_are_those_of_an_exhaustive_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "_BLOCK", 64)
    vectors = nearest.unit(np.random.default_rng(3).standard_normal((330, 6)))
    vectors[310], vectors[320], vectors[17] = vectors[3], vectors[3], 0
    cosine = np.tril(vectors @ vectors.T, -1)
    order = np.argsort(-cosine, axis=1, kind="stable")

    for floor, neighbours in ((0.9, 3), (0.8, 400), (0.2, 1)):
        table = nearest.nearest_pairs(vectors, floor=floor, neighbours=neighbours)

        chosen = order[:, :neighbours]
        rows, places = np.nonzero(np.take_along_axis(cosine, chosen, axis=1) >= floor)
        expected = {(row, chosen[row, place]): cosine[row, chosen[row, place]] for row, place in zip(rows, places, strict=True)}
        told = {(row, other): value for row, other, value in table.select("row", "other", "similarity").iter_rows()}
        assert len(told) > 50
        assert told == pytest.approx(expected, abs=1e-6)
    best = nearest.nearest_pairs(vectors, floor=0.999, neighbours=1)
    assert best.filter(pl.col("row").is_in([310, 320])).select("row", "other").rows() == [(310, 3), (320, 3)]


def test_edit_ratio_sees_a_typo_where_words_do_not() -> None:
    texts = ["Recieve the reciept tomorow", "Receive the receipt tomorrow", "A quite different sentence altogether"]

    assert found(EditRatio(), texts, floor=0.85) == [(1, 0)]
    assert difflib.SequenceMatcher(None, texts[0], texts[1]).ratio() > 0.85
    assert found(Jaccard(), texts, floor=0.5) == []


def test_edit_ratio_refuses_more_texts_than_its_limit() -> None:
    with pytest.raises(FlywheelError, match=r"5 different ones, more than its `limit` of 4"):
        EditRatio(limit=4).pairs(pl.Series([f"text {n}" for n in range(5)]), floor=0.9)


def test_simhash_finds_every_pair_within_its_distance() -> None:
    texts = pl.Series([varied(words(300, seed=n // 4), n % 4 * 2, seed=n) for n in range(80)])
    prints = fingerprints(ngrams(texts, 2, "word"))
    near = {
        (row, other)
        for row in range(80)
        for other in range(row)
        if texts[row] != texts[other] and int(prints[row] ^ prints[other]).bit_count() <= 3
    }

    table = SimHash().pairs(texts, floor=1 - 3 / 64)

    assert near
    assert {(row, other) for row, other in table.filter(pl.col("similarity") < 1).select("row", "other").iter_rows()} == {
        pair for pair in near if int(prints[pair[0]] ^ prints[pair[1]])
    }
    assert all(row // 4 == other // 4 for row, other in near)


def test_simhash_weighs_what_most_elements_say() -> None:
    one, other = (fingerprints(ngrams(pl.Series([text]), 1, "word"))[0] for text in (LONG, varied(LONG.split(), 4, seed=9)))
    unlike = fingerprints(ngrams(pl.Series([" ".join(words(80, seed=2))]), 1, "word"))[0]

    assert int(one ^ other).bit_count() < 16 < int(one ^ unlike).bit_count()


def test_a_bloom_filter_forgets_nothing_and_errs_as_rarely_as_it_says() -> None:
    known = BloomFilter(capacity=20_000, false_positives=0.01)
    size = known.bits.nbytes

    first = known.add(text_hashes(pl.Series([f"text {n}" for n in range(20_000)])))
    again = known.add(text_hashes(pl.Series([f"text {n}" for n in range(20_000)])))
    new = known.add(text_hashes(pl.Series([f"other {n}" for n in range(5_000)])))

    assert again.all()
    assert 0.005 < new.mean() < 0.02
    assert first.mean() < 0.01
    assert known.bits.nbytes == size < 25_000


def test_bloom_finds_what_exact_finds_and_does_not_say_with_whom() -> None:
    texts = pl.Series([f"Sentence number {n % 50} of the collection" for n in range(200)])

    table = Bloom().pairs(texts)

    assert table["row"].to_list() == Exact().pairs(texts, floor=1.0)["row"].to_list()
    assert table["other"].null_count() == 150


def test_spans_are_the_passages_of_many_words_that_stand_twice() -> None:
    quote = " ".join(words(30, seed=7))
    one = f"{' '.join(words(40, seed=8))}. {quote.upper()}! {' '.join(words(9, seed=9))}"
    two = f"As somebody said: «{quote}» {' '.join(words(25, seed=10))}"

    table = Spans(tokens=20).pairs(pl.Series([one, "nothing here", two]))

    assert [(r["row"], r["other"], two[r["start"] : r["stop"]]) for r in table.iter_rows(named=True)] == [(2, 0, quote)]
    assert Spans(tokens=31).pairs(pl.Series([one, two])).is_empty()


def test_spans_equal_those_of_an_exhaustive_search() -> None:
    generator = random.Random(3)
    texts = [" ".join(generator.choice("abc") for _ in range(40)) for _ in range(8)]
    n = 6
    seen: set[tuple[str, ...]] = set()
    expected = set()
    for row, text in enumerate(texts):
        split = text.split()
        for at in range(len(split) - n + 1):
            window = tuple(split[at : at + n])
            if window in seen:
                expected |= {(row, place) for place in range(at, at + n)}
            seen.add(window)

    table = Spans(tokens=n).pairs(pl.Series(texts))

    covered = {
        (row, at // 2) for row, start, stop in table.select("row", "start", "stop").iter_rows() for at in range(start, stop)
    }
    assert expected
    assert covered == expected


def test_spans_finds_a_passage_that_a_text_repeats_itself() -> None:
    quote = " ".join(words(25, seed=4))
    text = f"{quote} and once more: {quote}"

    table = Spans(tokens=25).pairs(pl.Series([text]))

    assert [(r["row"], r["other"], text[r["start"] : r["stop"]]) for r in table.iter_rows(named=True)] == [(0, 0, quote)]


def test_tf_idf_puts_a_paraphrase_in_the_collections_own_words_near() -> None:
    topics = {
        "billing": "invoice payment refund card charge billing receipt price subscription fee",
        "network": "router wifi network signal cable modem antenna connection internet speed",
        "travel": "flight hotel luggage airport booking passport ticket gate boarding airline",
    }
    generator = random.Random(1)
    texts = [" ".join(generator.sample(topic.split(), 6)) for topic in topics.values() for _ in range(20)]

    pairs = found(TfIdf(dimensions=3), texts, floor=0.9)

    assert len(pairs) > 50
    assert all(row // 20 == (other or 0) // 20 for row, other in pairs)


class _Endpoint:
    """Gives texts that share their first letter the same direction."""

    closed = 0

    async def embed(self, texts: Sequence[str]) -> Any:
        letters = np.eye(26, dtype=np.float32)
        return np.array([letters[ord(text[0].lower()) - ord("a")] for text in texts])

    async def close(self) -> None:
        self.closed += 1


def test_embeddings_asks_the_configured_model_and_is_an_error_without_one() -> None:
    endpoint = _Endpoint()
    method = plugins.build("similarity", "embeddings")
    assert isinstance(method, AsksModel)

    assert found(method.asking(endpoint), ["apple pie", "banana", "avocado", "apple pie"]) == [(2, 0), (3, 0)]
    assert endpoint.closed == 1
    with pytest.raises(ConfigError, match=r"configure \[model\] and \[models\.embedder\]"):
        Embeddings().pairs(pl.Series(["a"]), floor=0.5)


def test_five_hundred_near_identical_chats_are_found_by_every_kind_of_method() -> None:
    dummy = read_json(shared_data("mt_bench") / "dummy_conversation.json.gz")
    chats = ["\n".join(turn["value"] for turn in chat["conversations"]) for chat in dummy]
    texts = pl.Series(chats)
    copies = len(chats) - len(set(chats))
    assert len(chats) == 500

    for name, floor in [
        ("exact", 1.0),
        ("jaccard", 0.7),
        ("minhash", 0.7),
        ("simhash", 0.95),
        ("edit_ratio", 0.8),
        ("tf_idf", 0.9),
    ]:
        left = 500 - plugins.build("similarity", name).pairs(texts, floor=floor)["row"].n_unique()
        assert left <= 500 - copies, name
        assert left < 500 - copies or name in ("exact", "simhash"), name


def test_the_document_tables_of_data_juicer_hold() -> None:
    """Which texts stay: equal ones once (exact), and near ones once (by characters, punctuation aside)."""
    folder = shared_data("djops")
    near: dict[str, tuple[Similarity, float]] = {
        "document_deduplicator": (Exact(case=True), 1.0),
        "document_minhash_deduplicator": (MinHash(ngram=5, unit="character"), 0.7),
        "document_simhash_deduplicator": (SimHash(ngram=6, unit="character"), 1 - 4 / 64),
    }
    cases = 0
    for name, (method, floor) in near.items():
        for case in json.loads((folder / f"deduplicator__{name}.json").read_text("utf-8"))["cases"]:
            if case["form"] != "dataset":
                continue
            texts = [row["text"] for row in case["input"]]
            gone = {row for row, _ in found(method, texts, floor=floor)}
            kept = [text for row, text in enumerate(texts) if row not in gone]
            assert kept == [row["text"] for row in case["expected"]], (name, case["test"])
            cases += 1
    assert cases > 5
