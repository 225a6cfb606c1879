"""`make bench-pii`: what scrubbing finds, overlooks and masks for nothing, on sets that were not made for this project."""

import csv
import gzip
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from flywheel.curate.scrub import scrub
from flywheel.curate.scrub.canaries import canary_records, measure_canaries
from flywheel.curate.scrub.detect import Detectors, choose_detectors
from flywheel.curate.scrub.gates import our_recognizers
from flywheel.curate.scrub.patterns import email_recognizer, phone_recognizer
from flywheel.curate.scrub.places import find_places
from flywheel.curate.scrub.replace import Conversation, Detection
from flywheel.records import Message, Part, Record, ToolCall, from_batch, text_message, to_batch
from flywheel.sections import Scrub
from flywheel_tests.shared import DATA

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


def masked_intervals(text: str, detectors: Detectors) -> list[Interval]:
    """What is masked in a conversation of this one message."""
    conversation = Conversation(Detection(detectors), budget=10**9)
    conversation.collect(text, None)
    conversation.values.link()
    return [(span.start, span.end) for span in conversation.spans(text, None)]


def every_place(detectors: Detectors) -> Detectors:
    """The detectors and, besides homes and addresses, listed places wherever somebody is near them (`travelling to Norway`)."""
    return detectors._replace(run=(*detectors.run, partial(find_places, everywhere=True)))


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


class Tagged(NamedTuple):
    """Annotated text, token by token: how many name tokens there are and are masked, and the same of ordinary words."""

    names: int
    found: int
    words: int
    masked: int


def tagged(path: Path, detectors: Detectors) -> Tagged:
    """Masked tokens of a CoNLL file, sentence by sentence. Names are tokens of PER or person without @handles."""
    counts = Counter[str]()
    for sentence in path.read_text("utf-8").split("\n\n"):
        tokens = [line.split("\t")[:2] for line in sentence.splitlines() if "\t" in line]
        text = " ".join(token for token, _ in tokens)
        masked = masked_intervals(text, detectors)
        at = 0
        for token, label in tokens:
            hidden = any(start < at + len(token) and at < end for start, end in masked)
            if label[2:].lower() in ("per", "person"):
                if not token.startswith("@"):
                    counts.update(names=1, found=int(hidden))
            elif label == "O" and token.isalpha():
                counts.update(words=1, masked=int(hidden))
            at += len(token) + 1
    return Tagged(counts["names"], counts["found"], counts["words"], counts["masked"])


def leaks() -> dict[str, tuple[int, int]]:
    """For each annotated type of tau-bench's logs: spans, and those whose value is left in their message."""
    records = list(tau_records())
    after = {r.id: r for r in from_batch(scrub(to_batch(records), settings=Scrub(), key=b"benchmark").kept)}
    total: Counter[str] = Counter()
    left: Counter[str] = Counter()
    with gzip.open(DATA / "tau_bench" / "pii_truth_airline.jsonl.gz", "rt", encoding="utf-8") as lines:
        for entry in map(json.loads, lines):
            message = after[str(entry["trajectory"])].messages[entry["message"]]
            text = "\n".join([message.text, *(call.arguments for call in message.tool_calls)]).lower()
            for span in entry["spans"]:
                total[span["type"]] += 1
                left[span["type"]] += re.search(rf"(?<!\w){re.escape(span['value'].lower())}(?!\w)", text) is not None
    return {kind: (total[kind], left[kind]) for kind in sorted(total)}


def tau_records() -> Iterator[Record]:
    """tau-bench's airline trajectories as records."""
    with gzip.open(DATA / "tau_bench" / "gpt-4o-airline.trajectories.jsonl.gz", "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            messages = []
            for raw in json.loads(line)["traj"]:
                calls = tuple(ToolCall(id=c["id"], **c["function"]) for c in raw.get("tool_calls") or ())
                content = (Part(text=raw["content"]),) if raw.get("content") else ()
                messages.append(Message(role=raw["role"], content=content, tool_calls=calls, name=raw.get("name")))
            yield Record(id=str(number), messages=tuple(messages))


class Speed(NamedTuple):
    """Chats per CPU second over the same two-message chats. `patterns` is ours without names, `presidio` the same entities."""

    rules: float
    patterns: float
    presidio: float


def speed(count: int = 1500) -> Speed:
    """Chats of BANKING77's customer messages, every fifth with a document of presidio-research as its second turn."""
    with gzip.open(DATA / "banking77" / "test.csv.gz", "rt", encoding="utf-8") as file:
        queries = [row["text"] for row in csv.DictReader(file)][:count]
    documents = presidio_documents()
    chats = [(q, documents[i % len(documents)].text if i % 5 == 0 else queries[-i]) for i, q in enumerate(queries)]
    records = to_batch(
        Record(id=str(i), messages=tuple(text_message("user", text) for text in chat)) for i, chat in enumerate(chats)
    )
    ours = []
    for ner in ("rules", "none"):
        work = partial(scrub, settings=Scrub(ner=ner), key=b"benchmark")
        ours.append(timed(partial(work, records), warm=partial(work, records[:20])))
    analyze = plain_presidio()
    theirs = timed(lambda: [analyze(text) for chat in chats for text in chat], warm=lambda: analyze("warm up 1"))
    return Speed(count / ours[0], count / ours[1], count / theirs)


def plain_presidio() -> Callable[[str], object]:
    """Presidio as its documentation uses it, with a blank spaCy pipeline and the recognizers that ours uses."""
    import spacy
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    blank = SpacyNlpEngine()
    setattr(blank, "nlp", {"en": spacy.blank("en")})  # noqa: B010

    registry = RecognizerRegistry(recognizers=[gated.recognizer for gated in our_recognizers()])
    registry.add_recognizer(email_recognizer())
    registry.add_recognizer(phone_recognizer(Scrub().regions))
    registry.add_recognizer(predefined_card())
    for recognizer in registry.recognizers:
        recognizer.supported_language = "en"
    engine = AnalyzerEngine(registry=registry, nlp_engine=blank, supported_languages=["en"])
    return lambda text: engine.analyze(text, language="en", score_threshold=0.4)


def predefined_card() -> Any:
    """Presidio's card recognizer, which ours replaces."""
    from presidio_analyzer.predefined_recognizers import CreditCardRecognizer

    return CreditCardRecognizer()


def timed(work: Callable[[], object], *, warm: Callable[[], object]) -> float:
    """CPU seconds of this process for the work, after a first call that loads what is loaded once."""
    warm()
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Print every figure."""
    documents = presidio_documents()
    print(f"presidio-research synthetic set v2, even templates: {len(documents)} documents, types blind")
    default = choose_detectors(Scrub())
    for name, detectors in (("ner = rules", default), ("the same and every place that is mentioned", every_place(default))):
        found = [masked_intervals(document.text, detectors) for document in documents]
        print(f"  {name}")
        for iou in (0.9, 0.7):
            q = quality(documents, found, iou)
            print(f"    spans at IoU {iou}: precision {q.precision:.3f}  recall {q.recall:.3f}  F2 {q.f2:.3f}")
        print(
            f"    characters: recall {q.character_recall:.3f}  precision {q.character_precision:.3f}  "
            f"over-masking {q.over_masking:.4f}"
        )
        for kind, (count, recall) in recall_by_type(documents, found).items():
            print(f"      {kind:<18} {count:>4} spans, {recall:6.1%} of their characters masked")
    print("tau-bench airline logs: annotated values left in their message")
    for kind, (total, left) in leaks().items():
        print(f"    {kind:<18} {left:>4} of {total}")
    print("tweets that people annotated, token by token")
    for name, file in (("Broad Twitter Corpus F", "btc/f.conll"), ("WNUT17 test", "wnut17/emerging.test.annotated")):
        t = tagged(DATA / "pii" / file, default)
        print(f"    {name:<22} names {t.found / t.names:.3f} of {t.names}, ordinary words {t.masked / t.words:.4f} of {t.words}")
    print("canaries (540, seed 7), ner = rules")
    for row in measure_canaries(canary_records(540, seed=7), settings=Scrub(), key=b"benchmark").iter_rows(named=True):
        over = "" if row["over_masking"] is None else f", over-masking {row['over_masking']:.4f}"
        print(f"    {row['entity']:<18} {row['found']:>4} of {row['planted']}, recall {row['recall']:.3f}{over}")
    s = speed()
    print("speed, chats of two messages per CPU second")
    print(f"    rules {s.rules:,.0f}; patterns alone {s.patterns:,.0f}; plain Presidio {s.presidio:,.0f}")
    print(f"    patterns alone are {s.patterns / s.presidio:.1f} times plain Presidio, rules {s.rules / s.presidio:.1f} times")


if __name__ == "__main__":
    main()
