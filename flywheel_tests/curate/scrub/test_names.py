"""What the rules take for somebody and what not. Values were written for these tests, not taken from the canaries."""

import csv
import gzip
import io
import json
from collections.abc import Iterable

import pytest

from flywheel.curate.scrub import names
from flywheel.curate.scrub.gazetteer import gazetteer
from flywheel.curate.scrub.names import find_names
from flywheel_tests.shared import shared_data


def people(text: str) -> list[str]:
    return [text[span.start : span.end] for span in sorted(set(find_names(text)))]


@pytest.mark.parametrize(
    "text",
    [
        "Press and hold the tile until it moves. Tap Save.",
        "Mark all of them as read, then press OK.",
        "Refund it to my IBAN SE45 5000 0000 0583 9825 7466.",
        'mypy says `Item "None" has no attribute "x"` and True is not None.',
        "The Heron Indoor Cam is offline, and so is the Ember Zone Kit.",
        "My Orrin 55 QLED flickers. The Orrin was fine until Monday.",
        "Where is the Rollo? I paid for a second Rollo Max.",
        "Hola, mi Rollo Max se calienta.",
        "Convert it with DataFrame.apply in PyTorch Lightning on MacOS Sonoma.",
        "class Anna(Base): pass\nfrom x import Iris\nuse Julia() or `Ruby`",
        "# Plugin Name: Clear Nginx\nColumn Name = Date",
        "Although Strassen's algorithm is fast, nobody uses it.",
        "First_pass and Second_pass are flags.",
        "Jordan, Cuba and Georgia are countries.",
    ],
)
def test_instructions_acronyms_code_and_products_are_nobody(text: str) -> None:
    assert people(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Her maiden name is Key.", ["Key"]),
        ("My name is Ján M. Novák, everyone calls me Ján", ["Ján M. Novák", "Ján"]),
        ("my name is vitoria", ["vitoria"]),
        ("follow up with patricia desrosiers tomorrow", ["patricia desrosiers"]),
        ("Please change it to Ivan King.", ["Ivan King"]),
        ("The invoice went to April Jones, as Jean DUPONT wished.", ["April Jones", "Jean DUPONT"]),
        ("Ask Christian Müller or Julia Becker about Julia and Ruby on Rails.", ["Christian Müller", "Julia Becker"]),
        ("It was written by Taghrid Zomorodian.", ["Taghrid Zomorodian"]),
        ("You are talking to Zomo Quiddly (zomo@example.com).", ["Zomo Quiddly"]),
        ("Aagje lives on a boat.", ["Aagje"]),
        ("Ubul: What a day.\nNicole: Indeed.", ["Ubul", "Nicole"]),
        ("naomi ryan\nplumber\n", ["naomi ryan"]),
        ("Don't go to town, Christopher!", ["Christopher"]),
        ("The minutes name Kónya, Becker and Vasquez.", ["Kónya", "Becker", "Vasquez"]),
        ("Call with Dave S and Molly M from Tuesday", ["Dave", "Molly"]),
        ("Thanks Anna, bye", ["Anna"]),
        ("The caller on hold is Zomo Quiddly, again.", ["Zomo Quiddly"]),
        ("hi, Zomo Quiddly here. All well?", ["Zomo Quiddly"]),
        ("A card for Zomo Quiddly, who retires in May.", ["Zomo Quiddly"]),
        ("The name is wrong, please correct it to Zomo Quiddly", ["Zomo Quiddly"]),
        ("I wrote to ms. Quinzia twice", ["Quinzia"]),
        ("Nadezhda Teterina and Kyriakos Drakakis signed", ["Nadezhda Teterina", "Kyriakos Drakakis"]),
    ],
)
def test_people_are_found_whole(text: str, found: list[str]) -> None:
    assert people(text) == found


def test_a_first_name_that_the_text_uses_for_a_thing_is_nobody_until_a_cue_says_so() -> None:
    assert people("The Orrin 43 broke. Orrin broke again. My husband Orrin wept.") == ["Orrin"]


class Everything(frozenset[str]):
    def isdisjoint(self, _: Iterable[object], /) -> bool:
        return False


def test_looking_at_one_word_before_searching_for_cues_loses_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = json.loads((shared_data("pii") / "presidio_synth_v2_even.json").read_text("utf-8"))
    with gzip.open(shared_data("banking77") / "test.csv.gz", "rt", encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(io.StringIO(file.read()))]
    texts += [document["full_text"] for document in documents]
    quick = [people(text) for text in texts]

    lists = gazetteer()._replace(cues=Everything())
    monkeypatch.setattr(names, "gazetteer", lambda: lists)

    assert [people(text) for text in texts] == quick
    assert sum(map(len, quick)) > 300
