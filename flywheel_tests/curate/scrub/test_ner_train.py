"""The recipe of the model: what its texts are made of, what they are never made of, and that it learns."""

from pathlib import Path

import pytest

from flywheel.curate.scrub.ner_pipeline import LABELS
from flywheel.curate.scrub.ner_small import pack, recogniser, unpack
from flywheel.curate.scrub.train import corpora, learn
from flywheel.curate.scrub.train.templates import fill, templates
from flywheel.curate.scrub.train.values import Values
from flywheel_tests.shared import shared_data


@pytest.fixture(scope="module")
def values() -> Values:
    return Values(3, pool=12)


def test_every_template_fills_and_its_spans_are_whole_values(values: Values) -> None:
    for template in templates("sentences"):
        text, spans = fill(template, values)
        assert "{" not in text.replace('{"', "")
        for start, end, label in spans:
            assert label in LABELS
            assert text[start:end].strip() == text[start:end] != ""
            assert not text[start - 1 : start].isalpha()


def test_templates_without_anybody_have_no_spans_and_there_are_many_of_both_kinds(values: Values) -> None:
    assert all(not fill(template, values).spans for template in templates("plain"))
    assert len(templates("sentences")) > 150
    assert len(templates("plain")) > 35


def test_the_same_seed_gives_the_same_texts() -> None:
    one, other = (Values(5, pool=12) for _ in range(2))

    assert [fill(t, one) for t in templates("sentences")] == [fill(t, other) for t in templates("sentences")]


def test_no_sentence_of_a_test_part_or_of_the_evaluation_set_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shared_data("pii")
    opened: list[str] = []
    read = Path.read_text

    def note(path: Path, encoding: str) -> str:
        opened.append(path.name)
        return read(path, encoding)

    monkeypatch.setattr(Path, "read_text", note)

    trained = {" ".join(word for word, _ in sentence) for sentence in corpora.annotated(folder)}
    measured = {" ".join(word for word, _ in sentence) for sentence in corpora.held_out(folder)}

    assert set(opened) == {"a.conll", "b.conll", "e.conll", "g.conll", "h.conll", "wnut17train.conll", "emerging.dev.conll"}
    assert len(trained) > 9000
    assert len(trained & measured) < len(measured) / 100  # tweets that were written twice


def test_real_sentences_keep_their_entities_as_text_and_after_swapping(values: Values) -> None:
    for sentence in corpora.annotated(shared_data("pii"))[:1500]:
        words = [(word, tag[2:]) for word, tag in sentence if tag]
        text, spans = corpora.joined(sentence, spaced=True)
        assert " ".join(text[start:end] for start, end, _ in spans) == " ".join(word for word, _ in words)
        swapped = corpora.swapped(sentence, values)
        assert [word for word, tag in swapped if not tag] == [word for word, tag in sentence if not tag]
        assert len(corpora.joined(swapped, spaced=True).spans) == len(spans)


def test_ordinary_texts_hold_no_entity_and_missing_corpora_are_no_error(tmp_path: Path, values: Values) -> None:
    texts = corpora.ordinary(shared_data("pii").parent, values.random, count=300)

    assert len(texts) == 300
    assert not any(text.spans for text in texts)
    assert corpora.ordinary(tmp_path, values.random, count=300) == []


def test_a_few_rounds_teach_it_names_and_packing_keeps_what_it_learned() -> None:
    pipeline = learn.train([], [], epochs=4, seed=2, turns=4)
    fresh = Values(11, pool=12)
    texts = [fill(template, fresh) for template in templates("sentences")[:60]]

    found = list(recogniser(pipeline)([text for text, _ in texts]))
    packed = list(recogniser(unpack(pack(pipeline)))([text for text, _ in texts]))
    people = [(text, start, end) for text, spans in texts for start, end, label in spans if label == "PERSON"]
    hits = sum((text, f.start, f.end) in people for (text, _), answers in zip(texts, found, strict=True) for f in answers)

    assert hits > len(people) / 20  # 7 to 12 of 57 were measured, none without any round
    same = sum(one == other for one, other in zip(found, packed, strict=True))
    assert same >= 0.95 * len(texts)
