"""The named-entity model in the scrub: what it adds, what it may not touch, that a batch changes nothing."""

import gzip
import json
import socket
from pathlib import Path

import pytest

from flywheel.curate.scrub import ner_small, scrub
from flywheel.curate.scrub.ahead import read_ahead
from flywheel.curate.scrub.detect import choose_detectors
from flywheel.curate.scrub.ner import Found, Names
from flywheel.curate.scrub.replace import COLUMNS
from flywheel.errors import ConfigError
from flywheel.records import Record, from_batch, text_message, to_batch
from flywheel.sections import Scrub
from flywheel_tests.benchmarks.personal_data import masked_in, masked_intervals, presidio_documents, quality, tagged
from flywheel_tests.shared import shared_data

KEY = b"key"


def chat(identity: str, *texts: str) -> Record:
    return Record(id=identity, messages=tuple(text_message("user", text) for text in texts))


def said(*texts: str, ner: str = "small") -> list[str]:
    (after,) = from_batch(scrub(to_batch([chat("r", *texts)]), settings=Scrub(ner=ner), key=KEY).kept)
    return [message.text for message in after.messages]


def sentences(count: int) -> list[str]:
    """Sentences of tweets, of the part that no model was trained on."""
    text = (shared_data("pii") / "btc" / "f.conll").read_text("utf-8")
    return [" ".join(line.split("\t")[0] for line in block.splitlines()) for block in text.split("\n\n")][:count]


def test_the_model_finds_names_that_no_list_has() -> None:
    text = "Yesterday Tavrish Ozelmun and his brother came to the market."

    assert said(text, ner="rules") == [text]
    assert said(text) == ["Yesterday <PERSON_1> and his brother came to the market."]


def test_a_text_is_masked_alike_alone_and_among_others() -> None:
    records = [chat(str(i), *sentences(600)[i * 2 : i * 2 + 2]) for i in range(300)]

    together = list(from_batch(scrub(to_batch(records), settings=Scrub(ner="small"), key=KEY).kept))
    alone = [next(iter(from_batch(scrub(to_batch([r]), settings=Scrub(ner="small"), key=KEY).kept))) for r in records[::10]]

    assert together[::10] == alone


def test_a_batch_is_shown_to_the_model_at_once_and_each_text_once() -> None:
    calls: list[list[str]] = []

    def recognise(texts: list[str]) -> list[list[Found]]:
        calls.append(list(texts))
        return [[] for _ in texts]

    detectors = choose_detectors(Scrub(ner="rules"))._replace(names=Names(recognise))  # type: ignore[arg-type]
    rows = to_batch([chat(str(i), "Greetings from Zzyzx Quorn", f"No {i}: Vexl Mirtop paid") for i in range(5)])

    read_ahead(rows.select(COLUMNS).rows(named=True), detectors, budget=1000)
    for text in ("Greetings from Zzyzx Quorn", "No 3: Vexl Mirtop paid"):
        masked_intervals(text, detectors)

    assert len(calls) == 1
    assert sorted(calls[0]) == sorted(["Greetings from Zzyzx Quorn", *(f"No {i}: Vexl Mirtop paid" for i in range(5))])


def test_a_text_that_the_model_fails_on_costs_only_its_own_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def recognise(texts: list[str]) -> list[list[Found]]:
        if any("Grnk" in text for text in texts):
            raise RuntimeError("out of vocabulary")
        return [[Found(0, 4, "PER")] if text.startswith("Vexl") else [] for text in texts]

    monkeypatch.setattr(ner_small, "small", lambda: recognise)
    records = [chat("good", "Vexl paid the bill"), chat("bad", "Grnk paid the bill")]

    kept, exits, _ = scrub(to_batch(records), settings=Scrub(ner="small"), key=KEY)

    assert [record.messages[0].text for record in from_batch(kept)] == ["<PERSON_1> paid the bill"]
    assert exits.select("id", "reason").rows() == [("bad", "scrub_failed")]


def test_a_damaged_or_missing_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ner_small, "folder", lambda: tmp_path)
    for content in (None, b"", b"something else"):
        ner_small.pipeline.cache_clear()
        (tmp_path / ner_small.CHECKSUM).write_text("0" * 64 + "  small.msgpack.gz\n", "ascii")
        if content is not None:
            (tmp_path / ner_small.FILE).write_bytes(content)
        with pytest.raises(ConfigError, match=r"small.*SHA-256.*rules"):
            scrub(to_batch([chat("r", "x")]), settings=Scrub(ner="small"), key=KEY)
    ner_small.pipeline.cache_clear()


def test_the_model_ships_under_ten_megabytes_with_its_card() -> None:
    from hatchling.builders.wheel import WheelBuilder

    root = Path(__file__).parents[3]
    model = "flywheel/curate/scrub/model/"
    packed = {f.distribution_path for f in WheelBuilder(str(root)).recurse_included_files()}

    assert {model + name for name in (ner_small.FILE, ner_small.CHECKSUM, "MODEL_CARD.md")} <= packed
    assert sum(path.stat().st_size for path in (root / model).iterdir()) < 10_000_000


def test_loading_the_model_and_scrubbing_open_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    ner_small.pipeline.cache_clear()

    assert said("I met Tavrish Ozelmun") == ["I met <PERSON_1>"]


def test_on_annotated_documents_more_is_found_and_little_else_masked() -> None:
    shared_data("pii")
    documents = presidio_documents()

    figures = {}
    for name, settings in (
        ("rules", Scrub(ner="rules", places="all", dates="all")),
        ("default", Scrub()),
        ("strictest", Scrub(places="all", dates="all")),
    ):
        found = masked_in([document.text for document in documents], choose_detectors(settings))
        figures[name] = [quality(documents, found, iou) for iou in (0.9, 0.7)]

    for name, strict, loose, characters in (("default", 0.76, 0.785, 0.86), ("strictest", 0.84, 0.865, 0.92)):
        assert figures[name][0].f2 >= strict
        assert figures[name][1].f2 >= loose
        assert figures[name][0].character_recall >= characters
        assert figures[name][0].over_masking <= 0.03
    assert figures["strictest"][0].character_recall > figures["rules"][0].character_recall


@pytest.mark.parametrize(("file", "least"), [("btc/f.conll", 0.7), ("wnut17/emerging.test.annotated", 0.7)])
def test_names_in_tweets_that_no_model_was_trained_on(file: str, least: float) -> None:
    path = shared_data("pii") / file

    model, rules = (tagged(path, choose_detectors(Scrub(ner=ner))) for ner in ("small", "rules"))

    assert model.found / model.names >= least
    assert model.found > 1.5 * rules.found
    assert model.masked / model.words <= 0.03


def test_a_form_of_address_goes_with_the_name_and_only_with_it() -> None:
    assert said("Dr. Tavrish Ozelmun called.", "I see a dr on Oak Dr today.") == [
        "<TITLE_1> <PERSON_1> called.",
        "I see a dr on Oak Dr today.",
    ]


def test_programs_are_left_alone() -> None:
    with gzip.open(shared_data("human_eval") / "mbpp_sanitized.jsonl.gz", "rt", encoding="utf-8") as lines:
        programs = [json.loads(line) for line in lines]
    texts = [str(value) for program in programs for key, value in program.items() if "code" in key or "solution" in key]
    assert len(texts) > 100

    changed = [text for text, after in zip(texts, said(*texts), strict=True) if text != after]

    assert len(changed) <= len(texts) / 200
