import gzip
import json
from typing import Any

import pytest

from flywheel.curate.scrub import scrub
from flywheel.curate.scrub.languages import unmeasured
from flywheel.curate.scrub.scripts import foreign_scripts, letters
from flywheel.errors import ConfigError
from flywheel.records import Message, Record, ToolCall, text_message, to_batch
from flywheel.sections import Scrub
from flywheel_tests.shared import shared_data

ENGLISH = "Please tell me how I can change the address on my account before the parcel is sent."


def reasons(*records: Record, **settings: Any) -> dict[str, str]:
    """Why records left, by id."""
    outcome = scrub(to_batch(records), settings=Scrub(ner="rules", **settings), key=b"k")
    assert outcome.kept.height + outcome.exits.height == len(records)
    return dict(outcome.exits.select("id", "reason").iter_rows())


def chat(identity: str, *texts: str) -> Record:
    return Record(id=identity, messages=tuple(text_message("user", text) for text in texts))


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("Latin", "Grüße, Łódź, İstanbul, ﬁ"),
        ("Cyrillic", "Привіт, ґанок"),
        ("Greek", "Καλημέρα"),
        ("Hebrew", "שלום"),
        ("Arabic", "مرحبا پچ"),
        ("Devanagari", "नमस्ते"),
        ("Han", "你好"),
        ("Kana", "こんにちは カタカナ"),
        ("Hangul", "안녕하세요"),
        ("Thai", "สวัสดี"),
        ("Georgian", "გამარჯობა"),
        ("Armenian", "Բարեւ"),
        ("Other", "សួស្តី"),
    ],
)
def test_letters_are_counted_by_their_script(script: str, text: str) -> None:
    assert set(letters(text)) == {script}


def test_marks_digits_and_signs_are_of_no_script() -> None:
    assert letters("12 + 34 = 46 € — 🙂 × µ") == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Let α + β = γ, then sum the squares of all the angles in the figure.", []),
        ("a word such as привет in an English sentence about greetings in the languages of the world", []),
        ("My friend wrote to me: " + "привет как дела " * 3, ["Cyrillic"]),
        ("Her name is 王小明 and she wants to talk about the order of last week", []),
        ("Her name is 王小明先生 and she", ["Han"]),
        ("你好", ["Han"]),
        ("word " * 2000 + "привет " * 40, ["Cyrillic"]),
    ],
)
def test_a_script_counts_by_its_share_and_number_of_letters(text: str, found: list[str]) -> None:
    assert foreign_scripts(letters(text), ("en",)) == found
    assert foreign_scripts(letters(text), ("en", "ru", "zh")) == []


def test_strict_projects_hold_back_other_scripts_and_languages_and_the_default_passes_them() -> None:
    records = [
        chat("english", ENGLISH, "ok"),
        chat("russian", "Здравствуйте, меня зовут Ольга Смирнова, где мой заказ?"),
        chat("german", "Guten Tag, ich möchte gerne wissen, warum meine Bestellung noch nicht angekommen ist."),
        chat("short", "hola"),
        chat("mixed", ENGLISH * 3, "Je voudrais savoir pourquoi ma commande n'est pas encore arrivée. " * 5),
    ]

    assert reasons(*records) == {}
    assert reasons(*records, unmeasured="quarantine") == {
        "russian": "scrub_script",
        "german": "scrub_language",
        "mixed": "scrub_language",
    }
    assert reasons(*records, unmeasured="quarantine", languages=("en", "de", "fr", "ru")) == {}


def test_a_foreign_script_counts_wherever_it_stands() -> None:
    call = ToolCall(name="f", arguments='{"note": "Здравствуйте, меня зовут Ольга Смирнова"}')
    record = Record(id="a", messages=(text_message("user", ENGLISH), Message(role="assistant", tool_calls=(call,))))

    assert reasons(record, unmeasured="quarantine") == {"a": "scrub_script"}


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"\[scrub\] languages: unknown language 'xx'"):
        reasons(chat("a", "b"), unmeasured="quarantine", languages=("xx",))


def test_real_english_support_logs_pass() -> None:
    rows = []
    with gzip.open(shared_data("tau_bench") / "gpt-4o-airline.trajectories.jsonl.gz", "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            texts = [m["content"] for m in json.loads(line)["traj"] if m["role"] != "tool" and m.get("content")]
            rows.append(chat(str(number), *texts))

    found = unmeasured(to_batch(rows).rows(named=True), ("en",))

    assert len(rows) > 20
    assert found == [None] * len(rows)
