"""`make bench-pii`: what scrubbing finds, overlooks and masks for nothing, on sets that were not made for this project."""

import csv
import gzip
import json
import random
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from flywheel.curate.scrub import ner_small, scrub
from flywheel.curate.scrub.canaries import canary_records, measure_canaries
from flywheel.curate.scrub.detect import Detectors, choose_detectors, prepare
from flywheel.curate.scrub.gates import our_recognizers
from flywheel.curate.scrub.patterns import email_recognizer, phone_recognizer
from flywheel.curate.scrub.replace import Conversation, Detection
from flywheel.records import Message, Part, Record, ToolCall, from_batch, text_message, to_batch
from flywheel.sections import Scrub
from flywheel_tests.foreign_texts import foreign_texts
from flywheel_tests.shared import DATA

Interval = tuple[int, int]

STRICTEST = 'small, places = "all", dates = "all": the strictest configuration'


class Document(NamedTuple):
    """A text with its annotated spans: (start, end, type). `unseen`: its template was not read while the rules were written."""

    text: str
    spans: list[tuple[int, int, str]]
    unseen: bool


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
        Document(
            d["full_text"],
            [(s["start_position"], s["end_position"], s["entity_type"]) for s in d["spans"]],
            unseen=d["template_id"] % 4 == 2,
        )
        for d in raw
    ]


def masked_intervals(text: str, detectors: Detectors) -> list[Interval]:
    """What is masked in a conversation of this one message."""
    conversation = Conversation(Detection(detectors), budget=10**9)
    conversation.collect(text, None)
    conversation.values.link()
    return [(span.start, span.end) for span in conversation.spans(text, None)]


def masked_in(texts: Sequence[str], detectors: Detectors) -> list[list[Interval]]:
    """What is masked in each text, as a conversation of its own; a model reads them all at once, as `scrub` lets it."""
    if detectors.names:
        detectors.names.read(prepare(text, detectors).seen for text in texts)
    return [masked_intervals(text, detectors) for text in texts]


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
    blocks = path.read_text("utf-8").replace("\r", "").split("\n\n")
    sentences = [[line.split("\t")[:2] for line in block.splitlines() if "\t" in line] for block in blocks]
    texts = [" ".join(token for token, _ in sentence) for sentence in sentences]
    counts = Counter[str]()
    for sentence, masked in zip(sentences, masked_in(texts, detectors), strict=True):
        at = 0
        for token, label in sentence:
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
    after = {r.id: r for r in from_batch(scrub(to_batch(records), settings=Scrub(ner="small"), key=b"benchmark").kept)}
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


ORDINARY = {
    "gsm8k questions": ("gsm8k/train.jsonl.gz", ("question",)),
    "Open Assistant, English": ("oasst_en100/en_100_tree.jsonl.gz", ("text",)),
    "arena-hard prompts": ("arena_hard/question_v0.1.jsonl.gz", ("content", "prompt")),
    "MBPP programs": ("human_eval/mbpp_sanitized.jsonl.gz", ("canonical_solution", "prompt")),
}
"""Texts that hold little or nothing personal, and the fields to read."""


def ordinary_texts(path: str, fields: tuple[str, ...], count: int = 400) -> list[str]:
    """The first texts of a JSON Lines file, wherever the fields stand in its rows."""
    with gzip.open(DATA / path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line, _ in zip(lines, range(count), strict=False)]
    return [text for row in rows for text in strings_of(row, fields)][:count]


def strings_of(value: Any, fields: tuple[str, ...]) -> Iterator[str]:
    """Every string that stands under one of the fields, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str) and key in fields:
                yield inner
            else:
                yield from strings_of(inner, fields)
    elif isinstance(value, list):
        for inner in value:
            yield from strings_of(inner, fields)


def masked_words(texts: Sequence[str], detectors: Detectors) -> tuple[int, int]:
    """How many words there are and how many of them are masked, names that really stand there included."""
    words = masked = 0
    for text, intervals in zip(texts, masked_in(texts, detectors), strict=True):
        for match in re.finditer(r"[^\W\d_]+", text):
            words += 1
            masked += any(start < match.end() and match.start() < end for start, end in intervals)
    return words, masked


ENGINES = ("small", "rules", "none", "presidio", "presidio with the model")
"""What is timed: three settings of `ner`, and Presidio with the same recognizers, without and with the same model."""


class Speed(NamedTuple):
    """CPU seconds for all `chats`: of the work alone, after a first call that loads what is loaded once, and of the whole
    process from its start, imports, models and reading the chats included."""

    work: float
    process: float


def speed(engine: str) -> Speed:
    """One of `ENGINES`, in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "flywheel_tests.benchmarks.personal_data", engine]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Speed(float(printed), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def chats() -> list[tuple[str, str]]:
    """Two messages each, no text twice, those of the data sets mixed."""
    queries = (row["text"] for part in ("test", "train") for row in banking(part))
    problems = ordinary_texts("gsm8k/train.jsonl.gz", ("question", "answer"), count=100_000)
    unique = [*dict.fromkeys([*queries, *problems, *foreign_texts()])]
    random.Random(0).shuffle(unique)
    return list(zip(unique[::2], unique[1::2], strict=False))


def banking(part: str) -> list[dict[str, str]]:
    """Rows of BANKING77."""
    with gzip.open(DATA / "banking77" / f"{part}.csv.gz", "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def timed(engine: str) -> float:
    """CPU seconds of this process, all threads, for all chats."""
    said = chats()
    if engine.startswith("presidio"):
        texts = [text for chat in said for text in chat]
        work = presidio_with_model(texts) if "model" in engine else presidio(texts)
    else:
        records = to_batch(
            Record(id=str(i), messages=tuple(text_message("user", text) for text in chat)) for i, chat in enumerate(said)
        )
        settings = Scrub(ner=engine)
        scrub(records[:20], settings=settings, key=b"benchmark")
        work = partial(scrub, records, settings=settings, key=b"benchmark")
    start = time.process_time()
    work()
    return time.process_time() - start


def presidio(texts: list[str]) -> Callable[[], object]:
    """Presidio's engine for batches, on a blank spaCy pipeline, with the recognizers that ours uses; ready to run."""
    import spacy
    from presidio_analyzer import BatchAnalyzerEngine

    engine = BatchAnalyzerEngine(analyzer_engine=analyzer(spacy.blank("en")))
    list(engine.analyze_iterator(["warm up 1"], language="en", score_threshold=0.4))
    return lambda: list(engine.analyze_iterator(texts, language="en", score_threshold=0.4, batch_size=256))


def presidio_with_model(texts: list[str]) -> Callable[[], object]:
    """Presidio as its documentation uses it, a text at a time, with the same recognizers and our model; ready to run."""
    engine = analyzer(ner_small.pipeline(), ["PERSON", "LOCATION", "ORGANIZATION", "NRP"])
    engine.analyze("warm up 1", language="en")
    return lambda: [engine.analyze(text, language="en", score_threshold=0.4) for text in texts]


def analyzer(pipeline: Any, named: Sequence[str] = ()) -> Any:
    """Presidio's engine around a spaCy pipeline whose entities of the types `named` count."""
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine
    from presidio_analyzer.predefined_recognizers import CreditCardRecognizer, SpacyRecognizer

    nlp_engine = SpacyNlpEngine()
    setattr(nlp_engine, "nlp", {"en": pipeline})  # noqa: B010

    registry = RecognizerRegistry(recognizers=[gated.recognizer for gated in our_recognizers()])
    for recognizer in (email_recognizer(), phone_recognizer(Scrub().regions), CreditCardRecognizer()):
        registry.add_recognizer(recognizer)
    if named:
        registry.add_recognizer(SpacyRecognizer(supported_entities=list(named)))
    for recognizer in registry.recognizers:
        recognizer.supported_language = "en"
    return AnalyzerEngine(registry=registry, nlp_engine=nlp_engine, supported_languages=["en"])


def main() -> None:
    """Print every figure."""
    documents = presidio_documents()
    print(f"presidio-research synthetic set v2, even templates: {len(documents)} documents, types blind")
    chosen = {ner: choose_detectors(Scrub(ner=ner)) for ner in ("rules", "small")}
    strictest = choose_detectors(Scrub(places="all", dates="all"))
    named = {"rules": chosen["rules"], "small, the default": chosen["small"], STRICTEST: strictest}
    for ner, detectors in named.items():
        found = masked_in([document.text for document in documents], detectors)
        unseen = [number for number, document in enumerate(documents) if document.unseen]
        print(f"  ner = {ner}")
        for iou in (0.9, 0.7):
            q = quality(documents, found, iou)
            new = quality([documents[number] for number in unseen], [found[number] for number in unseen], iou)
            print(
                f"    spans at IoU {iou}: precision {q.precision:.3f}  recall {q.recall:.3f}  F2 {q.f2:.3f}; "
                f"of {len(unseen)} documents whose templates were never read {new.f2:.3f}"
            )
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
    for ner, detectors in chosen.items():
        for name, file in (("Broad Twitter Corpus F", "btc/f.conll"), ("WNUT17 test", "wnut17/emerging.test.annotated")):
            t = tagged(DATA / "pii" / file, detectors)
            shares = f"names {t.found / t.names:.3f} of {t.names}, ordinary words {t.masked / t.words:.4f} of {t.words}"
            print(f"    {ner:<6} {name:<22} {shares}")
    print("texts with little that is personal: words masked")
    for name, (path, fields) in ORDINARY.items():
        texts = ordinary_texts(path, fields)
        for ner, detectors in chosen.items():
            words, masked = masked_words(texts, detectors)
            print(f"    {ner:<6} {name:<24} {masked / words:.4f} of {words}")
    for ner in chosen:
        print(f"canaries (540, seed 7), ner = {ner}")
        measured = measure_canaries(canary_records(540, seed=7), settings=Scrub(ner=ner), key=b"benchmark")
        for row in measured.iter_rows(named=True):
            over = "" if row["over_masking"] is None else f", over-masking {row['over_masking']:.4f}"
            share = "never planted" if row["recall"] is None else f"recall {row['recall']:.3f}"
            print(f"    {row['entity']:<18} {row['found']:>4} of {row['planted']}, {share}{over}")
    count = len(chats())
    print(f"speed: CPU seconds for {count:,} chats of two messages: the work, and the whole process with imports and models")
    s = {engine: speed(engine) for engine in ENGINES}
    for engine, seconds in s.items():
        name = engine if "presidio" in engine else f"ner = {engine}"
        print(f"    {name:<24} {seconds.work:6.2f}  {seconds.process:6.2f}  ({count / seconds.work:,.0f} chats per CPU second)")
    for ours, theirs in (("none", "presidio"), ("rules", "presidio"), ("small", "presidio with the model")):
        ratios = [theirs_took / ours_took for ours_took, theirs_took in zip(s[ours], s[theirs], strict=True)]
        print(f"    {theirs} takes {ratios[0]:.1f} times the CPU of ner = {ours}, {ratios[1]:.1f} times with the whole process")


if __name__ == "__main__":
    print(timed(sys.argv[1])) if len(sys.argv) > 1 else main()
