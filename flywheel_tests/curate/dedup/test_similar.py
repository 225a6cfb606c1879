import json
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest

from flywheel import plugins
from flywheel.curate.dedup.similar import cut, find_similar, what_is_cut, who_leaves
from flywheel.curate.dedup.units import paragraphs, sentences, units, without
from flywheel.errors import ConfigError
from flywheel.records import Message, Part, Record, from_batch, text_message, to_batch
from flywheel.sections import DuplicateRule
from flywheel.settings import load_settings
from flywheel_tests.curate.dedup.samples import chat, varied, words
from flywheel_tests.shared import shared_data

NOBODY = pl.DataFrame(schema={"id": pl.String, "day": pl.String})
QUOTE = "The only way to do great work is to love what you do, said the founder."


def batch(*records: Record, day: str = "2026-03-02") -> pl.DataFrame:
    return to_batch(records).with_columns(day=pl.lit(day))


def rule(**given: Any) -> DuplicateRule:
    return DuplicateRule(name="rule", **given)


def pairs(records: pl.DataFrame, chosen: DuplicateRule) -> pl.DataFrame:
    return find_similar([records], chosen, plugins.build("similarity", chosen.method, chosen.settings))


def replies(records: pl.DataFrame) -> list[str]:
    return [record.reply for record in from_batch(records)]


def cut_by(records: pl.DataFrame, chosen: DuplicateRule) -> pl.DataFrame:
    return cut(records, what_is_cut(pairs(records, chosen), chosen, NOBODY))


def text_of(records: pl.DataFrame, level: str, **given: Any) -> list[str]:
    return units(records, level=level, roles=("user", "assistant"), **given)["text"].to_list()


def test_units_are_what_their_level_says_with_their_places() -> None:
    reply = "One. Two two!\n\nThree (three)?\nFour"
    records = batch(chat("a", "Hi there", reply, system="Be kind."))

    assert text_of(records, "conversation") == [f"Hi there\n\n{reply}"]
    assert text_of(records, "message") == ["Hi there", reply]
    assert text_of(records, "paragraph") == ["Hi there", "One. Two two!", "Three (three)?\nFour"]
    assert text_of(records, "sentence") == ["Hi there", "One.", "Two two!", "Three (three)?", "Four"]
    assert text_of(records, "sentence", window=2) == ["One. Two two!", "Two two! Three (three)?", "Three (three)? Four"]
    assert text_of(records, "sentence", words=2) == ["Hi there", "Two two!", "Three (three)?"]
    for level in ("paragraph", "sentence", "span"):
        for row in units(records, level=level, roles=("assistant",)).iter_rows(named=True):
            assert reply[row["start"] : row["stop"]].strip() == row["text"]
            assert (row["message"], row["part"]) == (2, 0)


def test_pieces_cover_a_text_but_for_blanks_at_its_end() -> None:
    text = " “Is it?” he asked.  Yes…  今天天气真不错。小明说好。\n\n \nBye! \n"

    for split in (sentences, paragraphs):
        pieces = split(text)
        assert next(piece.start for piece in pieces) == 0
        assert "".join(text[piece.start : piece.stop] for piece in pieces) == text.rstrip()


def test_fenced_code_is_neither_compared_nor_cut() -> None:
    code = "```python\nprint('the very same line of code')\n\nprint('the very same line of code')\n```"
    records = batch(chat("a", "Show me", f"Here it is now, as you asked.\n\n{code}\n\nHere it is now, as you asked."))

    assert replies(cut_by(records, rule(level="paragraph", action="cut"))) == [f"Here it is now, as you asked.\n\n{code}"]
    assert replies(cut_by(records, rule(level="sentence", action="cut", words=2))) == [f"Here it is now, as you asked.\n\n{code}"]


def test_a_paragraph_that_a_reply_repeats_is_cut_and_the_record_says_so() -> None:
    said = "First a paragraph of several words.\n\nThen quite another one, also of words."
    records = batch(chat("a", "Go on", f"{said}\n\nFirst a paragraph of  several words."), chat("b", "Go on", said))

    made = cut_by(records, rule(level="paragraph", action="cut", scope="within"))

    assert replies(made) == [said, said]
    assert made["tags"].to_list() == [["cut:rule"], []]
    assert made.drop("messages", "tags").equals(records.drop("messages", "tags"))


def test_a_popular_quote_is_kept_once_over_all_records() -> None:
    records = batch(*(chat(f"{n}", f"Question {n}", f"{QUOTE} And answer number {n} follows here.", minute=n) for n in range(4)))

    made = cut_by(records, rule(level="sentence", action="cut", scope="across"))

    assert [QUOTE in reply for reply in replies(made)] == [True, False, False, False]
    assert replies(made)[3] == "And answer number 3 follows here."


def test_scope_within_looks_at_each_record_by_itself_and_across_at_others_alone() -> None:
    twice = batch(chat("a", "Q", f"{QUOTE} Well. {QUOTE}", minute=0), chat("b", "Q", f"{QUOTE} Ah. {QUOTE}", minute=1))

    within = pairs(twice, rule(level="sentence", scope="within"))
    across = pairs(twice, rule(level="sentence", scope="across"))

    assert within.select("id", "other").rows() == [("a", "a"), ("b", "b")]
    assert across.select("id", "other").rows() == [("b", "a"), ("b", "a")]


def test_a_passage_of_many_words_is_cut_out_of_the_middle() -> None:
    passage = " ".join(words(60, seed=1))
    records = batch(chat("a", "Q", f"Before. {passage}", minute=0), chat("b", "Q", f"Mine {passage} too", minute=1))

    assert replies(cut_by(records, rule(level="span", method="spans", action="cut"))) == [f"Before. {passage}", "Mine  too"]


def test_a_message_that_is_nothing_but_repetitions_stays() -> None:
    records = batch(chat("a", "Q", QUOTE, minute=0), chat("b", "Q", QUOTE, minute=1))

    made = cut_by(records, rule(level="sentence", action="cut"))

    assert replies(made) == [QUOTE, QUOTE]
    assert made["tags"].to_list() == [[], []]


def test_a_passage_is_not_cut_for_a_record_that_leaves() -> None:
    records = batch(chat("a", "Q", f"{QUOTE} One.", minute=0), chat("b", "Q", f"{QUOTE} Two.", minute=1))
    chosen = rule(level="sentence", action="cut")

    kept = what_is_cut(pairs(records, chosen), chosen, pl.DataFrame({"id": ["a"], "day": ["2026-03-02"]}))

    assert kept.is_empty()


def test_the_oldest_of_similar_conversations_stays_and_nobody_leaves_for_one_that_leaves() -> None:
    base = words(40, seed=3)
    chain = [" ".join(base), varied(base, 3, seed=4), varied(varied(base, 3, seed=4).split(), 3, seed=5)]
    records = batch(*(chat(name, text, "Yes", minute=n) for n, (name, text) in enumerate(zip("abc", chain, strict=True))))
    found = pairs(records, rule(method="jaccard", action="drop", threshold=0.6, floor=0.2))

    def left(threshold: float) -> list[tuple[str, str]]:
        gone = who_leaves(found, rule(method="jaccard", action="drop", threshold=threshold, floor=0.2))
        return gone.select("id", "into").rows()

    assert left(0.6) == [("b", "a")]
    assert left(0.4) == [("b", "a"), ("c", "a")]
    assert left(0.95) == []


def test_a_shared_system_prompt_makes_no_two_conversations_alike() -> None:
    system = " ".join(words(200, seed=6))
    records = batch(*(chat(f"{n}", " ".join(words(8, seed=n)), " ".join(words(8, seed=90 + n)), system=system) for n in range(6)))

    for method in ("exact", "jaccard", "minhash", "simhash", "edit_ratio", "tf_idf"):
        assert pairs(records, rule(method=method, threshold=0.9, floor=0.9)).is_empty(), method


def test_a_long_common_beginning_makes_no_two_conversations_equal() -> None:
    start = "You are talking to the shop's assistant. " * 3
    records = batch(*(chat(f"{n}", start + " ".join(words(60, seed=n)), " ".join(words(60, seed=50 + n))) for n in range(6)))

    for method in ("exact", "jaccard", "minhash", "simhash"):
        assert pairs(records, rule(method=method, threshold=0.8, floor=0.8)).is_empty(), method


def test_the_second_part_of_a_message_is_cut_where_it_stands() -> None:
    parts = (Part(text="A word."), Part(type="image", url="x"), Part(text=f"{QUOTE} Bye."))
    first = chat("a", "Q", QUOTE, minute=0)
    second = Record(id="b", messages=(text_message("user", "Q"), Message(role="assistant", content=parts)))

    made = from_batch(cut_by(batch(first, second), rule(level="sentence", action="cut")))[1]

    assert [part.text for part in made.messages[1].content] == ["A word.", None, "Bye."]


def data_juicer_sentences() -> list[dict[str, Any]]:
    path = shared_data("djops") / "mapper__remove_repeat_sentences_mapper.json"
    return [case for case in json.loads(path.read_text("utf-8"))["cases"] if case["form"] == "map"]


def test_repeated_sentences_go_as_in_data_juicer() -> None:
    cases = data_juicer_sentences()
    assert cases
    for case in cases:
        params = case["op"]["params"]
        chosen = rule(level="sentence", action="cut", words=params.get("min_repeat_sentence_length", 2), scope="within")
        made = cut_by(batch(chat("a", "Q", case["input"]["text"])), chosen)
        assert replies(made) == [case["expected"]], case["test"]


def deduplicated(texts: Sequence[str], window: int) -> list[str]:
    records = batch(*(chat(f"{n:03}", "Q", text, minute=n) for n, text in enumerate(texts)))
    chosen = rule(level="sentence", action="cut", window=window, words=1, roles=("assistant",))
    found = what_is_cut(pairs(records, chosen), chosen, NOBODY)
    spans: dict[str, list[tuple[int, int]]] = {}
    for id, start, stop in found.select("id", "start", "stop").iter_rows():
        spans.setdefault(id, []).append((start, stop))
    made = [without(text, spans.get(f"{n:03}", [])) for n, text in enumerate(texts)]
    return [text for text in made if text.strip()]


def test_windows_of_three_sentences_go_as_in_datatrove() -> None:
    table = json.loads((shared_data("datatrove") / "dedup.json").read_text("utf-8"))["sentence_dedup"]

    kept = deduplicated([doc["text"] for doc in table["docs"]], window=3)

    assert [" ".join(text.split()) for text in kept] == [" ".join(text.split()) for text in table["expected_texts_in_order"]]


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ('level = "paragraph"\naction = "drop"', "cut it"),
        ('level = "message"\naction = "cut"', "drop it"),
        ('method = "spans"', 'level = "span" goes with method = "spans"'),
        ('level = "message"\nwindow = 3', "counts sentences"),
        ("threshold = 1.5", "threshold"),
    ],
)
def test_a_rule_that_cannot_work_is_an_error_that_says_why(tmp_path: Any, keys: str, says: str) -> None:
    (tmp_path / "flywheel.toml").write_text(f'[[duplicates]]\nname = "rule"\n{keys}\n', "utf-8")

    with pytest.raises(ConfigError, match=says):
        load_settings(tmp_path / "flywheel.toml")
