"""Models of the user's choice: loaded by name, their labels mapped, long texts in windows."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import spacy

from flywheel.curate.scrub import scrub
from flywheel.curate.scrub.detect import choose_detectors, detect
from flywheel.curate.scrub.ner_models import SIZE
from flywheel.errors import ConfigError
from flywheel.records import Record, from_batch, text_message, to_batch
from flywheel.sections import Scrub

NAME = "Quorvex Tallimond"


def found(text: str, ner: str) -> list[tuple[str, str]]:
    return [(text[s.start : s.end], s.entity) for s in detect(text, choose_detectors(Scrub(ner=ner, places="all")))]


@pytest.fixture
def saved(tmp_path: Path) -> str:
    """A spaCy pipeline on disk with OntoNotes' labels."""
    pipeline = spacy.blank("en")
    ruler: Any = pipeline.add_pipe("entity_ruler")
    ruler.add_patterns(
        [
            {"label": "PERSON", "pattern": NAME},
            {"label": "GPE", "pattern": "Ombrelle"},
            {"label": "CARDINAL", "pattern": "Sevenfold"},
        ]
    )
    pipeline.to_disk(tmp_path / "pipeline")
    return str(tmp_path / "pipeline")


def test_a_spacy_pipeline_is_named_by_its_path(saved: str) -> None:
    text = f"I told {NAME} of Ombrelle. Sevenfold!"
    record = Record(id="r", messages=(text_message("user", text),))

    (after,) = from_batch(scrub(to_batch([record]), settings=Scrub(ner=f"spacy:{saved}", places="all"), key=b"k").kept)

    assert after.messages[0].text == "I told <PERSON_1> of <LOCATION_1>. Sevenfold!"


def test_a_spacy_pipeline_without_entities_or_of_no_known_name_is_refused(tmp_path: Path) -> None:
    spacy.blank("en").to_disk(tmp_path / "bare")

    with pytest.raises(ConfigError, match="has no `ner`"):
        choose_detectors(Scrub(ner=f"spacy:{tmp_path / 'bare'}"))
    with pytest.raises(ConfigError, match=r"no such package or folder.*path of a saved pipeline"):
        choose_detectors(Scrub(ner="spacy:en_no_such_model"))


@pytest.mark.parametrize("library", ["gliner", "transformers"])
def test_a_model_whose_library_is_missing_names_the_extra(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(ConfigError, match=rf"extra `{library}`: pip install 'flywheel\[{library}\]'"):
        choose_detectors(Scrub(ner=f"{library}:some/model"))


@pytest.mark.parametrize("name", ["gliner:", "unknown:x", "en_core_web_lg"])
def test_a_name_of_no_known_kind_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"`small`.*`rules`.*`none`.*spacy:"):
        choose_detectors(Scrub(ner=name))


class Stub:
    """Answers as GLiNER and transformers do: every occurrence of the name, of a place, of a label nobody maps."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def inference(self, texts: list[str], labels: list[str], **_: Any) -> list[list[dict[str, Any]]]:
        assert "person" in labels
        return [[{"start": s, "end": e, "label": label} for s, e, label in self._answers(text)] for text in texts]

    def __call__(self, texts: list[str], **_: Any) -> list[list[dict[str, Any]]]:
        scheme = {"person": "PER", "location": "LOC", "music": "MISC"}
        return [
            [{"start": s, "end": e, "entity_group": scheme[label], "score": 0.9} for s, e, label in self._answers(text)]
            for text in texts
        ]

    def _answers(self, text: str) -> list[tuple[int, int, str]]:
        self.shown.append(text)
        wanted = {NAME: "person", "Ombrelle": "location", "Sonatina": "music"}
        return [(text.find(value), text.find(value) + len(value), label) for value, label in wanted.items() if value in text]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    stub = Stub()
    monkeypatch.setitem(sys.modules, "gliner", SimpleNamespace(GLiNER=SimpleNamespace(from_pretrained=lambda _: stub)))
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(pipeline=lambda *_, **__: stub))
    return stub


@pytest.mark.parametrize("kind", ["gliner", "transformers"])
def test_labels_of_other_schemes_become_ours_and_unknown_ones_are_left(kind: str, stub: Stub) -> None:
    text = f"Yesterday {NAME} came to Ombrelle and he played Sonatina."

    assert found(text, "rules") == []
    assert found(text, f"{kind}:m") == [(NAME, "PERSON"), ("Ombrelle", "LOCATION")]


@pytest.mark.parametrize("kind", ["gliner", "transformers"])
def test_long_texts_are_shown_in_windows_and_found_at_their_place(kind: str, stub: Stub) -> None:
    text = "Vorlim talked and Teskal listened, " * 60 + f"then {NAME} came, " + "Vorlim talked and Teskal listened, " * 60

    assert (NAME, "PERSON") in found(text, f"{kind}:m")
    assert len(stub.shown) > 5
    assert max(map(len, stub.shown)) <= SIZE


def test_a_model_that_cannot_be_loaded_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("not a local folder")

    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(pipeline=fail))

    with pytest.raises(ConfigError, match=r"transformers:nobody/nothing.*cannot be loaded \(OSError\)"):
        choose_detectors(Scrub(ner="transformers:nobody/nothing"))
