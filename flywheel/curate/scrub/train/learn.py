"""Examples an epoch, training, and the figures on held-out sentences."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from flywheel.curate.scrub.ner_pipeline import blank
from flywheel.curate.scrub.train.corpora import Tokens, joined, swapped
from flywheel.curate.scrub.train.templates import Annotated, fill, templates
from flywheel.curate.scrub.train.values import Values

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.training import Example

_BATCH = 96
_RATE = 0.0015


class Score(NamedTuple):
    """Entities of one label, with exact bounds."""

    precision: float
    recall: float
    f1: float


def train(sentences: Sequence[Tokens], plain: Sequence[Annotated], *, epochs: int, seed: int, turns: int = 22) -> Language:
    """A trained pipeline. Every epoch fills each template `turns` times anew and shows each real sentence once, every third with
    its entities swapped. The same arguments give the same model on the same machine.

    Time: see MODEL_CARD.md.
    """
    from thinc.api import Adam, fix_random_seed

    fix_random_seed(seed)
    values = Values(seed)
    pipeline = blank()
    pipeline.initialize(lambda: _examples(pipeline, epoch(sentences[:200], plain[:50], values, turns=1)))
    optimizer = Adam(_RATE, L2=0.01, grad_clip=1.0)
    for number in range(epochs):
        texts = epoch(sentences, plain, values, turns=turns)
        values.random.shuffle(texts)
        for at in range(0, len(texts), _BATCH):
            done = (number + at / len(texts)) / epochs
            optimizer.learn_rate = _RATE * min(1.0, done * 20 + 0.1) * (1.02 - done)
            pipeline.update(list(_examples(pipeline, texts[at : at + _BATCH])), sgd=optimizer, drop=0.25)
    return pipeline


def epoch(sentences: Sequence[Tokens], plain: Sequence[Annotated], values: Values, *, turns: int) -> list[Annotated]:
    """The texts of one epoch, in no useful order."""
    chance = values.random
    real = [joined(swapped(s, values) if chance.random() < 0.35 else s, spaced=chance.random() < 0.5) for s in sentences]
    made = [fill(t, values) for t in templates("sentences") for _ in range(turns)]
    made += [fill(t, values) for t in templates("plain") for _ in range(turns)]
    merged = [
        _beside(made[i], made[chance.randrange(len(made))], chance) if chance.random() < 0.35 else made[i]
        for i in range(len(made))
    ]
    return [_recased(text, chance) for text in (*real, *merged, *plain)]


def _beside(one: Annotated, other: Annotated, chance: random.Random) -> Annotated:
    gap = chance.choice((" ", "\n", ". ", "\n\n", " - "))
    moved = [(s + len(one.text) + len(gap), e + len(one.text) + len(gap), label) for s, e, label in other.spans]
    return Annotated(one.text + gap + other.text, [*one.spans, *moved])


def _recased(text: Annotated, chance: random.Random) -> Annotated:
    share = chance.random()
    if share < 0.06 and len(text.text.lower()) == len(text.text):
        return Annotated(text.text.lower(), text.spans)
    if share < 0.08 and len(text.text.upper()) == len(text.text):
        return Annotated(text.text.upper(), text.spans)
    return text


def _examples(pipeline: Language, texts: Sequence[Annotated]) -> Iterator[Example]:
    from spacy.training import Example
    from spacy.util import filter_spans

    for text, spans in texts:
        doc = pipeline.make_doc(text)
        whole = [span for s, e, label in spans if (span := doc.char_span(s, e, label=label, alignment_mode="expand"))]
        reference = doc.copy()
        reference.ents = filter_spans(whole)
        yield Example(doc, reference)


def scores(pipeline: Language, sentences: Sequence[Tokens]) -> dict[str, Score]:
    """Precision, recall and F1 by label, `all` last, of sentences as people write them."""
    texts = [joined(sentence, spaced=False) for sentence in sentences]
    hits: dict[str, list[int]] = {}
    for (_, gold), doc in zip(texts, pipeline.pipe([text for text, _ in texts], batch_size=256), strict=True):
        found = {(e.start_char, e.end_char, e.label_) for e in doc.ents}
        for label in ("PERSON", "LOCATION", "ORGANIZATION", "all"):
            right = {g for g in gold if label in (g[2], "all")}
            ours = {f for f in found if label in (f[2], "all") and f[2] != "NRP"}
            counts = hits.setdefault(label, [0, 0, 0])
            for i, n in enumerate((len(right & ours), len(ours), len(right))):
                counts[i] += n
    return {label: Score(h / max(o, 1), h / max(r, 1), 2 * h / max(o + r, 1)) for label, (h, o, r) in hits.items()}
