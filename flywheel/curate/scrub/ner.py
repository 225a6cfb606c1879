"""Named entities by a model: which one, what it is shown, what of its answer is kept. Many texts at a time."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from flywheel.curate.scrub.gazetteer import Gazetteer, gazetteer
from flywheel.curate.scrub.spans import MODEL, NAME, Span
from flywheel.curate.scrub.windows import windows
from flywheel.errors import ConfigError

SMALL = "small"
"""The model that the package ships."""

ENTITIES = {
    **dict.fromkeys(("PERSON", "PER", "PERS", "NAME", "PATIENT", "STAFF", "HCW", "FIRST_NAME", "LAST_NAME", "SURNAME"), "PERSON"),
    **dict.fromkeys(("LOCATION", "LOC", "GPE", "FAC", "PLACE", "CITY", "STATE", "COUNTRY", "HOSPITAL"), "LOCATION"),
    **dict.fromkeys(("ADDRESS", "STREET_ADDRESS", "STREET"), "STREET_ADDRESS"),
    **dict.fromkeys(("ORGANIZATION", "ORGANISATION", "ORG", "COMPANY", "CORPORATION", "PATORG", "VENDOR"), "ORGANIZATION"),
    **dict.fromkeys(("NRP", "NORP", "NATIONALITY", "RELIGION"), "NRP"),
    **dict.fromkeys(("PHONE", "PHONE_NUMBER", "TELEPHONE"), "PHONE_NUMBER"),
    **dict.fromkeys(("EMAIL", "EMAIL_ADDRESS", "E_MAIL"), "EMAIL_ADDRESS"),
    **dict.fromkeys(("DATE_OF_BIRTH", "DOB"), "DATE_OF_BIRTH"),
}
"""Labels of common schemes (CoNLL, OntoNotes, i2b2, GLiNER's) and our entity; labels that are not here are ignored."""

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_SENTENCE = re.compile(r"(?<=[a-z]{4}[.!?]) +|\n+|(?<=[a-z]{4}[.!?][\"')]) +")
_FENCED = re.compile(r"```.*?(?:```|\Z)|`[^`\n]{1,200}`", re.DOTALL)
_CODE_BESIDE = re.compile(r"[`$%<>\\_=@#{}\[\]/]\Z|\w[.:]\Z")
_CODE_AFTER = re.compile(r"[(\[=_`{]|\.\w|::| ?(?:=|==|\(\))[^\w]|/\w")
_SOMEBODY = re.compile(
    r"\b(?:I|I['’](?:m|ve|d|ll)|i|im|i['’]m|[Mm]e|[Mm]y|[Mm]ine|[Ww]e|[Ww]e['’]\w{1,2}|[Oo]ur|[Uu]s|[Ss]he|[Hh]ers?|[Hh]e|[Hh]is|[Hh]im|"
    r"Mrs?|Ms|Dr|(?:[Nn]ame|[Aa]ddress|[Cc]ity|[Ff]rom|[Tt]o|[Ee]mployer|[Cc]ompany|[Nn]ationality|[Hh]ometown) ?:)(?!\w)"
)
_OTHERS = re.compile(
    r"\b(?:[Ss]he|[Hh]ers?|[Hh]e|[Hh]is|[Hh]im|[Ww]ho|Mrs?|Ms|Dr|[Nn]amed?|[Mm]et|[Mm]y|[Ff]riends?|[Ww]ife|[Hh]usband|[Ss]ister|"
    r"[Bb]rother|"
    r"[Mm]om|[Dd]ad|[Dd]ear|[Hh]ello|[Hh]i|[Ll]ove|[Tt]hanks?|[Bb]y|@\w+|RT)(?!\w)"
)
_PLACED = re.compile(r"(?i)\b(?:in|at|near|from|to|of|via|around|visit(?:ed|ing)?|city|town|state|country|location)[ :]{1,2}\Z")
_HOME = re.compile(
    r"(?i)\b(?:live[sd]?|living|born|grew up|mov(?:e|ed|ing)|resid\w+|home|hometown|address|based|native|relocat\w+|from|"
    r"work(?:s|ed|ing)?|stud(?:y|ies|ied|ying)|teach(?:es)?|taught|city|town|state|country|location|citizen)\b[^.!?\n]{0,24}\Z"
)
_ARTICLE = re.compile(r"(?i)\b(?:the|an?|this|that|some|any|using|use|install|import|open|via|called|expert|new) \Z")
_NEAR, _SHORT = 120, 200
_SHARED = ("LOCATION", "ORGANIZATION", "NRP")


class Found(NamedTuple):
    """A model's answer: characters of the text that was shown to it and its own label."""

    start: int
    end: int
    label: str


Recognise = Callable[[Sequence[str]], Iterable[Sequence[Found]]]
"""Shows texts to a model, all in one call; one answer each, in their order."""


class Piece(NamedTuple):
    """A part of a text that is shown to the model, and where it begins."""

    start: int
    text: str


class Names:
    """A model with a memory of the texts that it was shown, so that a batch is shown at once and asked for one by one.

    Places are found where somebody lives and the like, or `everywhere` that somebody is near. A text's spans depend on the text
    alone. It is shown in windows of at most `size` characters.
    """

    def __init__(self, recognise: Recognise, *, size: int = 2000, everywhere: bool = False) -> None:
        self._recognise = recognise
        self._everywhere = everywhere
        self._size = size
        self._known: dict[str, list[Span]] = {}

    def read(self, texts: Iterable[str]) -> None:
        """Show the model the texts that it does not know yet."""
        self._known |= self._find([text for text in dict.fromkeys(texts) if text not in self._known])

    def spans(self, text: str) -> list[Span]:
        """People, places, organisations and nationalities in a normalised text. They may overlap."""
        known = self._known.get(text)
        return self._find([text])[text] if known is None else known

    def _find(self, texts: Sequence[str]) -> dict[str, list[Span]]:
        pieces = [list(_pieces(text, self._size)) for text in texts]
        shown = list(dict.fromkeys(piece.text for parts in pieces for piece in parts))
        answers = dict(zip(shown, self._recognise(shown) if shown else (), strict=True))
        return {
            text: list(_kept(text, [(piece.start, found) for piece in parts for found in answers[piece.text]], self._everywhere))
            for text, parts in zip(texts, pieces, strict=True)
        }


def choose_names(name: str, *, everywhere: bool = False) -> Names:
    """The model that `[scrub] ner` names, loaded.

    Raises:
        ConfigError: no such model, its library is not installed, or the shipped file is damaged.
    """
    from flywheel.curate.scrub import ner_models

    kind, _, value = name.partition(":")
    if name == SMALL:
        from flywheel.curate.scrub.ner_small import small

        return Names(small(), everywhere=everywhere)
    if kind in ner_models.KINDS and value:
        size = 2000 if kind == "spacy" else ner_models.SIZE
        return Names(ner_models.KINDS[kind](value), size=size, everywhere=everywhere)
    raise ConfigError(
        f"[scrub] ner = {name!r} is not available; there is `small` (rules and the model that comes with Flywheel), `rules` "
        "(word lists and context), `none` (leaves names in, on purpose), and rules with a model of yours: "
        "`spacy:PACKAGE_OR_PATH`, `gliner:NAME`, `transformers:NAME`."
    )


def _pieces(text: str, size: int) -> Iterator[Piece]:
    """The sentences that can hold a name, neighbours together, in windows. Code between backticks is not shown."""
    lists = gazetteer()
    hidden = [match.span() for match in _FENCED.finditer(text)] if "`" in text else []
    for start, end in _clear(hidden, len(text)):
        for first, last in _runs(text, start, end, lists):
            for offset, part in windows(text[first:last], size=size, overlap=size // 10):
                yield Piece(first + offset, part)


def _clear(hidden: list[tuple[int, int]], length: int) -> Iterator[tuple[int, int]]:
    position = 0
    for start, end in (*hidden, (length, length)):
        if start > position:
            yield position, start
        position = end


def _runs(text: str, start: int, end: int, lists: Gazetteer) -> Iterator[tuple[int, int]]:
    """Neighbouring sentences between `start` and `end` of which each can hold a name."""
    run: tuple[int, int] | None = None
    position = start
    while position < end:
        match = _SENTENCE.search(text, position, end)
        stop = match.end() if match else end
        if _may_name(text, position, stop, lists):
            run = (run[0] if run else position, stop)
        elif run:
            yield run
            run = None
        position = stop
    if run:
        yield run


def _may_name(text: str, start: int, end: int, lists: Gazetteer) -> bool:
    first = True
    for match in _WORD.finditer(text, start, end):
        word = match[0]
        lower = word.lower()
        common = lower in lists.common
        listed = lower in lists.first or lower in lists.last
        if word[0].isupper() and len(word) > 1:
            if not common or (listed and not first):
                return True
        elif not common and (lower in lists.first or (listed and lower in lists.places)):
            return True
        first = False
    return False


def _kept(text: str, answers: list[tuple[int, Found]], everywhere: bool) -> Iterator[Span]:
    """The answers that hold as spans of the whole text: no code, no ordinary words; places, organisations and nationalities
    only where somebody is near them."""
    lists = gazetteer()
    spans = [(offset + f.start, offset + f.end, ENTITIES.get(f.label.upper().replace(" ", "_"))) for offset, f in answers]
    likely = [(s, e, kind) for s, e, kind in spans if kind and not _is_code(text, s, e) and _is_name(text, s, e, kind, lists)]
    people = sorted(start for start, _, entity in likely if entity == "PERSON")
    for start, end, entity in likely:
        if entity in _SHARED and not everywhere and not _tells_of_somebody(text, start, end, people):
            continue
        if entity == "LOCATION" and not everywhere and not _is_bound(text, start, end):
            continue
        whole_name = entity == "PERSON" and " " in text[start:end]  # may be longer than what the rules see of it
        yield Span(start, end, entity, NAME if whole_name else MODEL)


def _is_bound(text: str, start: int, end: int) -> bool:
    """Whether a place is somebody's: an address, or after `lives in` and the like."""
    numbered = any(character.isdigit() for character in text[start:end])
    return numbered or _HOME.search(text, max(0, start - 40), start) is not None


def _tells_of_somebody(text: str, start: int, end: int, people: list[int]) -> bool:
    """Whether a person is near: a name, a pronoun, a field of a form."""
    first, last = max(0, start - _NEAR), end + _NEAR
    at = bisect_left(people, first)
    return (at < len(people) and people[at] < last) or _SOMEBODY.search(text, first, last) is not None


def _is_code(text: str, start: int, end: int) -> bool:
    return _CODE_BESIDE.search(text[max(0, start - 2) : start]) is not None or _CODE_AFTER.match(text, end) is not None


def _is_name(text: str, start: int, end: int, entity: str, lists: Gazetteer) -> bool:
    """Whether the words can be a name of this kind: they are not all common or products, no acronym, no unlisted single word
    that nothing near speaks for."""
    value = text[start:end]
    words = [match[0].lower() for match in _WORD.finditer(value)]
    if entity == "NRP" or not words:
        return bool(words)
    if _is_ordinary(words, entity, lists):
        return False
    if len(words) > 1 or any(character.isdigit() for character in value):
        return not value.islower() or any(word in lists.first or word in lists.places for word in words)
    return _is_single_name(text, start, end, entity, lists)


def _is_single_name(text: str, start: int, end: int, entity: str, lists: Gazetteer) -> bool:
    value = text[start:end]
    word = value.lower()
    if entity == "PERSON" and text[max(0, start - 2) : start].strip() == "@":
        return True
    capital = value[0].isupper() and value[1:].islower()
    if entity == "LOCATION":
        return word in lists.places or (capital and _PLACED.search(text, 0, start) is not None)
    if len(value) < 3 or (value.isupper() and len(value) < 6):
        return False
    if entity == "PERSON" and word not in lists.first and word not in lists.last:
        near = len(text) <= _SHORT or _OTHERS.search(text, max(0, start - _NEAR), end + _NEAR) is not None
        return near and capital and _ARTICLE.search(text, max(0, start - 12), start) is None
    return entity != "ORGANIZATION" or value[0].isupper()


def _is_ordinary(words: list[str], entity: str, lists: Gazetteer) -> bool:
    if len(words) > 1 and entity == "PERSON" and words[0] in lists.first and words[-1] in lists.last:
        return False
    known = entity != "LOCATION"
    return all(word in lists.common or (known and (word in lists.never or word in lists.institutions)) for word in words)
