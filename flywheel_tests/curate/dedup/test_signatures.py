import json
from pathlib import Path

import polars as pl
import pytest

from flywheel.curate.dedup.signatures import SIGNATURES, sign
from flywheel.records import Message, Part, Record, ToolCall, empty, text_message, to_batch
from flywheel.sections import Dedup
from flywheel.tables import Tables
from flywheel_tests.curate.dedup.samples import chat, signed, words

QUESTION = "Where is my parcel with the blue shoes?"
ANSWER = "It left our warehouse on Monday and should arrive tomorrow."


def column(name: str, *records: Record) -> list[object]:
    return signed(records)[name].to_list()


def calling(name: str, arguments: str, call: str = "c1") -> Record:
    asked = Message(role="assistant", tool_calls=(ToolCall(id=call, name=name, arguments=arguments),))
    result = Message(role="tool", tool_call_id=call, content=(Part(text="done"),))
    return Record(id="t", messages=(text_message("user", QUESTION), asked, result))


def test_signatures_survive_a_delta_table_bit_for_bit(tmp_path: Path) -> None:
    signatures = sign(to_batch([chat("a", QUESTION, ANSWER), chat("b", "👍"), Record(id="c")]), settings=Dedup())
    tables = Tables(str(tmp_path))

    tables.write("signatures", signatures, schema=SIGNATURES, fingerprint=1, day="2026-01-01")

    assert signatures.columns == SIGNATURES.names
    assert tables.read("signatures").drop("day").equals(signatures)


def test_signatures_hold_no_text() -> None:
    text = json.dumps(signed([chat("a", "zebra stripes are unmistakable", "unmistakable zebra")]).to_dicts(), default=str)

    assert "zebra" not in text
    assert "unmistakable" not in text


def test_a_records_signature_does_not_depend_on_its_batch() -> None:
    batch = to_batch(chat(f"{i}", *(" ".join(words(i % 40, i)) for _ in range(i % 4)), system="é" * (i % 3)) for i in range(200))
    whole = sign(batch, settings=Dedup())

    for size in (1, 7, 64):
        parts = [sign(batch[i : i + size], settings=Dedup()) for i in range(0, batch.height, size)]
        assert pl.concat(parts).equals(whole)


def test_case_width_and_white_space_do_not_make_a_conversation_another() -> None:
    one, *others = column(
        "exact",
        chat("a", "Ärger mit ABC", "Tut mir leid."),
        chat("b", "  ärger\n\n mit \tabc ", "tut mir leid."),
        chat("c", "ＡＲＧＥＲ".replace("Ａ", "Ä", 1) + " mit ＡＢＣ", "Tut mir leid."),
    )

    assert others == [one, one]


@pytest.mark.parametrize(
    "other",
    [
        chat("b", "Ärger mit ABC", "Tut mir leid!"),
        chat("b", "Ärger mit AB C", "Tut mir leid."),
        chat("b", "Ärger mit ABC", "Tut mir leid.", ""),
        chat("b", "Ärger mit ABC Tut mir leid."),
        chat("b", "Ärger mit ABC", "Tut mir leid.", system="Be kind."),
        Record(id="b", messages=(text_message("user", "Ärger mit ABC"), text_message("user", "Tut mir leid."))),
    ],
)
def test_another_text_role_or_system_prompt_does(other: Record) -> None:
    first, second = column("exact", chat("a", "Ärger mit ABC", "Tut mir leid."), other)

    assert first != second


def test_tool_calls_count_by_name_and_arguments_and_not_by_id() -> None:
    plain = calling("track", '{"order": 7}')
    exact = column("exact", plain, calling("track", '{"order": 7}', "c9"), calling("cancel", '{"order": 7}'))
    sets = column("shingles", plain, calling("track", '{"order":7}'), calling("track", '{"order": 8}'))

    assert exact[0] == exact[1] != exact[2]
    assert sets[0] == sets[1] != sets[2]


def test_another_image_makes_another_conversation() -> None:
    def about(url: str) -> Record:
        return Record(id=url, messages=(Message(role="user", content=(Part(text="What is it?"), Part(type="image", url=url))),))

    exact = column("exact", about("https://example.org/1.png"), about("https://example.org/2.png"), chat("c", "What is it?"))

    assert len(set(exact)) == 3


def test_system_prompts_are_no_part_of_the_words() -> None:
    plain, prompted, developer = column(
        "words",
        chat("a", QUESTION, ANSWER),
        chat("b", QUESTION, ANSWER, system="You are the assistant of a shoe shop."),
        Record(id="c", messages=(text_message("developer", "Today is Monday."), *chat("c", QUESTION, ANSWER).messages)),
    )

    assert plain == prompted == developer


def test_beginnings_of_a_longer_conversation_start_with_those_of_the_shorter() -> None:
    short, long, late = column(
        "beginnings", chat("a", QUESTION, ANSWER), chat("b", QUESTION, ANSWER, "thanks", system="x"), chat("c", ANSWER, QUESTION)
    )

    assert isinstance(short, list)
    assert isinstance(long, list)
    assert isinstance(late, list)
    assert (len(short), long[:2], len(long)) == (2, short, 3)
    assert not set(late) & set(long)


def test_a_conversation_without_words_has_neither_words_nor_bands() -> None:
    rows = signed([chat("a", "👍🏽", "🎉!"), Record(id="b"), chat("c", "...", system="Say many words about it")])

    assert rows["words"].to_list() == [None, None, None]
    assert rows["bands"].list.len().to_list() == [0, 0, 0]
    assert rows["exact"].n_unique() == 3


def test_an_empty_batch_has_no_signatures() -> None:
    assert sign(empty(), settings=Dedup()).schema == sign(to_batch([chat("a", "b")]), settings=Dedup()).schema
