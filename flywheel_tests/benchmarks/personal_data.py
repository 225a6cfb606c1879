"""`make bench-pii`: what scrubbing finds, overlooks and masks for nothing, on sets that were not made for this project."""

import gzip
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flywheel.curate.scrub.detect import choose_detectors, detect
from flywheel.settings import Scrub

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
Interval = tuple[int, int]


class Document(NamedTuple):
    """A text with its annotated spans: (start, end, type)."""

    text: str
    spans: list[tuple[int, int, str]]


class Quality(NamedTuple):
    """Shares from 0 to 1. Spans count as found at `iou` or more; `character_recall` and `over_masking` ignore types."""

    precision: float
    recall: float
    f2: float
    character_recall: float
    character_precision: float
    over_masking: float


def presidio_documents() -> list[Document]:
    """presidio-research's synthetic set, version 2, even templates (MIT; identities of FakeNameGenerator)."""
    raw = json.loads((DATA / "pii" / "presidio_synth_v2_even.json").read_text("utf-8"))
    return [
        Document(d["full_text"], [(s["start_position"], s["end_position"], s["entity_type"]) for s in d["spans"]]) for d in raw
    ]


def masked_intervals(text: str) -> list[Interval]:
    """What the default rules mask, neighbours across white space or commas joined as presidio-research joins them."""
    return [(span.start, span.end) for span in detect(text, _DETECTORS)]


_DETECTORS = choose_detectors(Scrub())


def quality(documents: Sequence[Document], found: Sequence[list[Interval]], iou: float) -> Quality:
    """Type-blind span and character figures over all documents, after presidio-research's SpanEvaluator."""
    hit = right = predicted = annotated = 0
    covered = personal = masked = plain = wrong = 0
    for document, spans in zip(documents, found, strict=True):
        gold = merge(document.text, ((s, e) for s, e, _ in document.spans))
        ours = merge(document.text, spans)
        annotated, predicted = annotated + len(gold), predicted + len(ours)
        hit += sum(any(overlap(g, o) >= iou for o in ours) for g in gold)
        right += sum(any(overlap(g, o) >= iou for g in gold) for o in ours)
        gold_characters = {i for s, e in gold for i in range(s, e)}
        our_characters = {i for s, e in ours for i in range(s, e)}
        covered += len(gold_characters & our_characters)
        personal, masked = personal + len(gold_characters), masked + len(our_characters)
        wrong += len(our_characters - gold_characters)
        plain += len(document.text) - len(gold_characters)
    precision, recall = right / max(predicted, 1), hit / max(annotated, 1)
    f2 = 5 * precision * recall / max(4 * precision + recall, 1e-9)
    return Quality(precision, recall, f2, covered / personal, covered / max(masked, 1), wrong / plain)


def merge(text: str, spans: Iterable[Interval]) -> list[Interval]:
    """Intervals joined where only white space or punctuation lies between them."""
    joined: list[Interval] = []
    for start, end in sorted(spans):
        if joined and not any(c.isalnum() for c in text[joined[-1][1] : start]):
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def overlap(one: Interval, other: Interval) -> float:
    """Intersection over union."""
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return max(shared, 0) / (max(one[1], other[1]) - min(one[0], other[0]))


def recall_by_type(documents: Sequence[Document], found: Sequence[list[Interval]]) -> dict[str, tuple[int, float]]:
    """For each annotated type: how many there are and the share of their characters that is masked."""
    total: Counter[str] = Counter()
    covered: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for document, spans in zip(documents, found, strict=True):
        characters = {i for s, e in spans for i in range(s, e)}
        for start, end, kind in document.spans:
            count[kind] += 1
            total[kind] += end - start
            covered[kind] += sum(i in characters for i in range(start, end))
    return {kind: (count[kind], covered[kind] / total[kind]) for kind in sorted(total, key=lambda k: -total[k])}
