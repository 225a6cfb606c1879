"""Sentences that people annotated (CC BY) and ordinary texts (CC BY, MIT, Apache), read from a folder outside the package."""

import gzip
import json
import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from flywheel.curate.scrub.gazetteer import gazetteer
from flywheel.curate.scrub.train.templates import Annotated
from flywheel.curate.scrub.train.values import Values

_TAGS = {
    **{"PER": "PERSON", "LOC": "LOCATION", "ORG": "ORGANIZATION"},
    **{"person": "PERSON", "location": "LOCATION", "corporation": "ORGANIZATION", "group": "ORGANIZATION"},
}
_NO_SPACE_BEFORE = re.compile(r"(?:[.,!?;:%)\]}’”…]+|'\w{1,2}|n't|’\w{1,2})\Z")
_NO_SPACE_AFTER = ("(", "[", "{", "“", "#", "$", "€", "£")

Tokens = list[tuple[str, str]]
"""Words with their label, or an empty one; a word that begins an entity has `B-` before it."""


def annotated(folder: Path) -> list[Tokens]:
    """Training sentences: WNUT 2017 train; Broad Twitter Corpus A, B, E, G and the first half of H, its authors' split."""
    first_half = read_conll(folder / "btc" / "h.conll")
    sentences = [s for part in "abeg" for s in read_conll(folder / "btc" / f"{part}.conll")]
    return [*sentences, *first_half[: len(first_half) // 2], *read_conll(folder / "wnut17" / "wnut17train.conll")]


def held_out(folder: Path) -> list[Tokens]:
    """Development sentences: WNUT 2017 dev and the second half of Broad Twitter Corpus H."""
    second_half = read_conll(folder / "btc" / "h.conll")
    return [*second_half[len(second_half) // 2 :], *read_conll(folder / "wnut17" / "emerging.dev.conll")]


def read_conll(path: Path) -> list[Tokens]:
    """Sentences of a CoNLL file. Entities of other kinds and @handles count as ordinary words."""
    sentences: list[Tokens] = [[]]
    for line in path.read_text("utf-8").splitlines():
        word, _, tag = line.strip().partition("\t")
        if not word:
            sentences.append([])
            continue
        label = _TAGS.get(tag[2:], "")
        sentences[-1].append((word, f"{tag[:2]}{label}" if label and not word.startswith("@") else ""))
    return [sentence for sentence in sentences if sentence]


def joined(sentence: Tokens, *, spaced: bool) -> Annotated:
    """The sentence as text: with a space between all words (`spaced`), or as people write it."""
    text = ""
    spans: list[tuple[int, int, str]] = []
    glue = True
    for word, tag in sentence:
        if not (glue or (not spaced and _NO_SPACE_BEFORE.match(word))):
            text += " "
        start = len(text)
        text += word
        if tag.startswith("I-") and spans and spans[-1][2] == tag[2:]:
            spans[-1] = (spans[-1][0], len(text), tag[2:])
        elif tag:
            spans.append((start, len(text), tag[2:]))
        glue = not spaced and word in _NO_SPACE_AFTER
    return Annotated(text, spans)


def swapped(sentence: Tokens, values: Values) -> Tokens:
    """The sentence with invented people, places and organisations instead of its own."""
    result: Tokens = []
    lengths = _entity_lengths(sentence)
    for at, (word, tag) in enumerate(sentence):
        if tag.startswith("I-") and result and result[-1][1][2:] == tag[2:]:
            continue
        if not tag:
            result.append((word, tag))
            continue
        label = tag[2:]
        slot = {"PERSON": "first" if lengths.get(at, 1) == 1 else "full", "LOCATION": "city", "ORGANIZATION": "org"}[label]
        value = values.make(slot)
        value = value.lower() if word.islower() else value.upper() if word.isupper() and len(word) > 3 else value
        result += [(part, f"{'I' if i else 'B'}-{label}") for i, part in enumerate(value.split(" "))]
    return result


def _entity_lengths(sentence: Tokens) -> dict[int, int]:
    lengths: dict[int, int] = {}
    start = 0
    for at, (_, tag) in enumerate(sentence):
        if tag.startswith("I-"):
            lengths[start] = lengths.get(start, 0) + 1
        elif tag:
            start = at
            lengths[at] = 1
    return lengths


def ordinary(folder: Path, chance: random.Random, count: int) -> list[Annotated]:
    """Texts in which no word can be a name: every capital begins a sentence or a common word, or is a product's. Of BANKING77
    (training part) and Taskmaster, CC BY 4.0, and the answers of GPT-4 in arena-hard-auto, Apache 2.0; a third each. None when
    the folder lacks them."""
    chosen: list[Annotated] = []
    for source in (_banking, _dialogues, _answers):
        texts = [line for line in dict.fromkeys(source(folder)) if 3 < len(line) < 400 and _is_plain(line)]
        chance.shuffle(texts)
        chosen += [Annotated(text, []) for text in texts[: count // 3]]
    return chosen


_CAPITAL = re.compile(r"(?<=[^.!?\n] )[^\W\d_a-z][^\W\d_]*|\A[^\W\d_a-z][^\W\d_]*")


def _is_plain(text: str) -> bool:
    lists = gazetteer()
    words = [word.lower() for word in _CAPITAL.findall(text)]
    return all(word in lists.common or word in lists.never or len(word) == 1 for word in words)


def _banking(folder: Path) -> Iterator[str]:
    return _lines(line.rpartition(",")[0].strip('"') for line in _unzipped(folder / "banking77" / "train.csv.gz"))


def _dialogues(folder: Path) -> Iterator[str]:
    rows = map(json.loads, _unzipped(folder / "taskmaster" / "tm4_data_07.jsonl.gz"))
    return _lines(turn.get("text", "") for row in rows for turn in row.get("utterances", ()))


def _answers(folder: Path) -> Iterator[str]:
    rows = map(json.loads, _unzipped(folder / "arena_hard" / "answer_gpt-4-0314.jsonl.gz"))
    return _lines(text for row in rows for text in _strings(row.get("messages", row.get("choices", ()))))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for item in value.values() for text in _strings(item))
    elif isinstance(value, list):
        yield from (text for item in value for text in _strings(item))


def _lines(texts: Iterable[str]) -> Iterator[str]:
    return (line for text in texts for line in text.splitlines())


def _unzipped(path: Path) -> list[str]:
    if not path.exists():
        return []
    return gzip.decompress(path.read_bytes()).decode("utf-8").splitlines()
