import random
from collections.abc import Sequence

import msgspec
import polars as pl
import pytest

from flywheel.curate.dedup.duplicates import DUPLICATES, find_duplicates
from flywheel.records import Candidate, Record, text_message
from flywheel_tests.curate.dedup.samples import chat, signed, varied, words

QUESTION = "Where is my parcel with the blue shoes that I ordered last week from your shop in town?"
ANSWER = "It left our warehouse on Monday morning and should arrive at your door tomorrow before noon."
DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")


def found(*signatures: pl.DataFrame, similarity: float = 0.8) -> list[tuple[object, ...]]:
    """Duplicates as (id, kept, reason, similarity)."""
    frame = find_duplicates(pl.concat(signatures), similarity=similarity)
    return list(frame.select("id", "kept", "reason", "similarity").iter_rows())


def jaccard(one: Sequence[int], other: Sequence[int]) -> float:
    return len(set(one) & set(other)) / len(set(one) | set(other))


def test_the_oldest_of_a_near_identical_pair_survives() -> None:
    oldest = chat("z", "How do I reset my billing password?", "Open Settings, then Security.", minute=0)
    repeat = chat("a", "how do i reset my billing password", "Open settings; then security!", minute=1)
    other = chat("b", "What is the refund window?", "Thirty days from delivery.", minute=2)

    assert found(signed([repeat, other, oldest])) == [("a", "z", "near", 1.0)]


def test_a_record_without_a_date_is_younger_than_any_dated_one() -> None:
    dated, undated = chat("z", QUESTION, ANSWER, minute=5), chat("a", QUESTION, ANSWER)

    assert found(signed([undated, dated])) == [("a", "z", "exact", 1.0)]
    assert found(signed([undated, chat("b", QUESTION, ANSWER)])) == [("b", "a", "exact", 1.0)]


def test_one_id_delivered_on_two_days_stays_on_the_first() -> None:
    first = signed([chat("a", QUESTION, ANSWER, minute=9)], DAYS[0])
    again = signed([chat("a", QUESTION.upper(), ANSWER, minute=0)], DAYS[1])
    edited = signed([chat("a", "Something else entirely, that was edited", "in the meantime", minute=0)], DAYS[2])

    frame = find_duplicates(pl.concat([edited, again, first]))

    assert frame.to_dicts() == [
        {"id": "a", "day": DAYS[1], "kept": "a", "kept_day": DAYS[0], "reason": "same_id", "similarity": None},
        {"id": "a", "day": DAYS[2], "kept": "a", "kept_day": DAYS[0], "reason": "other_version", "similarity": None},
    ]


def test_of_a_conversation_that_goes_on_under_one_id_the_longest_stays_whenever_it_comes() -> None:
    turns = (QUESTION, ANSWER, "And the invoice?", "It is attached.", "Thanks, all good.", "You are welcome.")
    days = [signed([chat("a", *turns[:count])], day) for count, day in zip((2, 6, 4), DAYS, strict=True)]

    frame = find_duplicates(pl.concat(days))

    assert frame.select("day", "kept_day", "reason").rows() == [
        (DAYS[0], DAYS[1], "other_version"),
        (DAYS[2], DAYS[1], "other_version"),
    ]


def test_a_beginning_that_has_candidates_stays_for_they_answer_its_prompt() -> None:
    more = " ".join(words(60, 5))
    short, long = chat("s", QUESTION, ANSWER), chat("l", QUESTION, ANSWER, more, "It is attached.")
    candidate = Candidate(messages=(text_message("assistant", "No idea."),))
    begun = msgspec.structs.replace(long, id="b", candidates=(candidate,))
    longest = chat("m", QUESTION, ANSWER, more, "It is attached.", " ".join(words(90, 6)))

    assert found(signed([short, long])) == [("s", "l", "prefix", None)]
    assert found(signed([msgspec.structs.replace(short, candidates=(candidate,)), long])) == []
    assert found(signed([short, begun, longest])) == [("s", "m", "prefix", None)]


def test_a_conversation_that_another_continues_gives_way_to_the_longest() -> None:
    turns = (QUESTION, ANSWER, "And the invoice?", "It is attached.", "Thanks, all good.", "You are welcome.")
    records = [chat(f"{count}", *turns[:count], system=f"It is {count} o'clock", minute=count) for count in (2, 4, 6)]
    other = chat("o", QUESTION, "I do not know.", minute=0)

    assert found(signed([*records, other])) == [("2", "6", "prefix", None), ("4", "6", "prefix", None)]


def test_only_whole_messages_from_the_start_are_a_prefix() -> None:
    records = [
        chat("a", "alpha", "bravo charlie"),
        chat("b", "alpha", "bravo charlie delta", "echo foxtrot golf", "hotel india juliet"),
        chat("c", "echo foxtrot golf", "hotel india juliet"),
        Record(id="d"),
    ]

    assert found(signed(records)) == []


def test_texts_without_words_are_only_ever_exact_duplicates() -> None:
    records = [chat("a", "👍"), chat("b", "🎉"), chat("c", "!!!"), chat("d", "👍"), chat("e", "...", "?"), chat("f", "???")]

    assert found(signed(records)) == [("d", "a", "exact", 1.0)]


def test_one_system_prompt_does_not_make_different_chats_alike() -> None:
    prompt = " ".join(words(400, 1))
    records = [chat(f"{i}", f"What about topic {i} then?", " ".join(words(12, i)), system=prompt) for i in range(20)]

    assert found(signed(records)) == []


def test_a_clock_in_the_system_prompt_does_not_hide_a_repeat() -> None:
    records = [chat(f"{i}", QUESTION, ANSWER, system=f"It is 10:{i:02} now.", minute=i) for i in range(2)]

    assert found(signed(records)) == [("1", "0", "near", 1.0)]


def chain() -> list[Record]:
    """a ~ b and b ~ c above 0.8, a and c below it."""
    base = words(120, 7)
    half = [*base[:60], *words(6, 8), *base[66:]]
    return [
        chat("a", " ".join(base), minute=0),
        chat("b", " ".join(half), minute=1),
        chat("c", " ".join([*half[:20], *words(6, 9), *half[26:]]), minute=2),
    ]


def test_in_a_chain_nobody_goes_for_resembling_one_that_goes() -> None:
    signatures = signed(chain())
    sets = signatures["shingles"].to_list()
    assert jaccard(sets[0], sets[1]) >= 0.8 > jaccard(sets[0], sets[2])
    assert jaccard(sets[1], sets[2]) >= 0.8

    assert found(signatures) == [("b", "a", "near", pytest.approx(jaccard(sets[0], sets[1])))]


def test_a_twin_of_a_record_that_goes_is_near_to_what_stays() -> None:
    a, b, _ = chain()
    twin = chat("t", b.messages[0].text.upper(), minute=3)
    continued = chat("p", b.messages[0].text, "and an answer", minute=4)

    assert {(i, k, r) for i, k, r, _ in found(signed([a, b, twin]))} == {("b", "a", "near"), ("t", "a", "near")}
    assert {(i, k, r) for i, k, r, _ in found(signed([a, b, twin, continued]))} == {
        ("b", "a", "prefix"),
        ("t", "a", "prefix"),
        ("p", "a", "near"),
    }


def corpus() -> list[tuple[Record, str]]:
    """Families, twins, prefixes, repeated ids and loners, each with its day."""
    generator = random.Random(3)
    records: list[tuple[Record, str]] = []
    for family in range(100):
        base = words(generator.randrange(20, 120), family)
        for member in range(generator.randrange(1, 6)):
            text = varied(base, generator.randrange(0, 3), family * 10 + member)
            turns = (text, "Yes, of course.", "Thanks then.")[: generator.randrange(1, 4)]
            minute = generator.choice([None, generator.randrange(10)])
            record = chat(f"{generator.randrange(1000)}", *turns, minute=minute)
            records += [(record, day) for day in generator.sample(DAYS, generator.choice([1, 1, 1, 2]))]
    return list({(record.id, day): (record, day) for record, day in records}.values())


def test_the_result_depends_neither_on_order_nor_on_the_way_days_are_cut() -> None:
    tagged = corpus()
    whole = pl.concat([signed([record], day) for record, day in tagged])
    expected = find_duplicates(whole)
    assert set(expected["reason"]) == {"same_id", "other_version", "exact", "prefix", "near"}

    for seed in range(5):
        assert find_duplicates(whole.sample(fraction=1, shuffle=True, seed=seed)).equals(expected)
    for days in (DAYS, DAYS[::-1]):
        parts = [signed((record for record, at in tagged if at == day), day) for day in days]
        assert find_duplicates(pl.concat(parts)).equals(expected)


def test_moving_records_between_days_changes_no_decision() -> None:
    records = list({record.id: record for record, _ in corpus()}.values())

    one = find_duplicates(signed(records)).drop("day", "kept_day").sort("id")
    many = find_duplicates(pl.concat([signed(records[i::3], DAYS[i]) for i in range(3)])).drop("day", "kept_day").sort("id")

    assert one.height > 20
    assert one.equals(many)


def test_what_is_kept_stays_and_every_near_pair_is_truly_near() -> None:
    signatures = pl.concat([signed([record], day) for record, day in corpus()])
    duplicates = find_duplicates(signatures)

    keys = set(duplicates.select("id", "day").iter_rows())
    assert keys.isdisjoint(duplicates.select("kept", "kept_day").iter_rows())
    sets = {(i, day): s for i, day, s in signatures.select("id", "day", "shingles").iter_rows()}
    near = duplicates.filter(pl.col("reason") == "near")
    assert near.height > 20
    for row in near.iter_rows(named=True):
        true = jaccard(sets[row["id"], row["day"]], sets[row["kept"], row["kept_day"]])
        assert row["similarity"] == pytest.approx(true)
        assert true >= 0.8


def test_no_pair_of_what_stays_is_similar_save_what_the_bands_may_miss() -> None:
    signatures = pl.concat([signed([record], day) for record, day in corpus()])
    gone = find_duplicates(signatures).select("id", "day")
    sets = signatures.join(gone, on=["id", "day"], how="anti")["shingles"].to_list()

    left = [(i, j) for i in range(len(sets)) for j in range(i) if sets[i] and sets[j] and jaccard(sets[i], sets[j]) >= 0.8]

    assert len(left) <= 1


def test_a_bucket_of_fifty_thousand_variations_is_no_square_of_pairs() -> None:
    base = words(60, 5)
    records = [chat(f"{i:05}", " ".join([*base, f"order{i}"])) for i in range(50_000)]
    records += [chat(f"same{i:05}", " ".join(base)) for i in range(20_000)]

    duplicates = find_duplicates(signed(records))

    assert duplicates.height == 69_999
    assert duplicates["kept"].unique().to_list() == ["00000"]


def test_repeats_among_thousands_of_requests_of_one_template_are_found() -> None:
    template = words(200, 5)
    requests = [chat(f"{i:05}", " ".join([*template, *words(60, i)]), minute=i) for i in range(3_000)]
    repeats = [chat(f"r{i:05}", " ".join([*template, *words(60, i)[:-2], "so", "on"]), minute=3_000 + i) for i in range(300)]

    duplicates = find_duplicates(signed([*requests, *repeats]))

    assert set(duplicates["id"]) <= {record.id for record in repeats}
    assert duplicates.height >= 290
    assert duplicates["kept"].to_list() == duplicates["id"].str.slice(1).to_list()


@pytest.mark.parametrize("similarity", [0.0, -1.0, 1.1, float("nan")])
def test_a_similarity_out_of_range_is_refused(similarity: float) -> None:
    with pytest.raises(ValueError, match="similarity"):
        find_duplicates(signed([chat("a", "b")]), similarity=similarity)


def test_an_id_twice_in_one_day_is_refused() -> None:
    with pytest.raises(ValueError, match="1 signatures repeat an id"):
        find_duplicates(signed([chat("a", "b"), chat("a", "c")]))


def test_no_signatures_have_no_duplicates() -> None:
    nothing = find_duplicates(signed([]))

    assert (nothing.height, nothing.columns) == (0, DUPLICATES.names)
