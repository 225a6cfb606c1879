"""Names told by how the text is laid out: enumerations, who speaks, lines of a signature, small letters after a cue."""

import re
from collections.abc import Iterator

from flywheel.curate.scrub.gazetteer import Gazetteer
from flywheel.curate.scrub.letters import CAPITALISED
from flywheel.curate.scrub.name_words import WORD, is_plain

_LIST = re.compile(rf"(?<!\w){CAPITALISED}(?:, {CAPITALISED}){{1,6}},? (?:and|&) {CAPITALISED}")
_SPEAKER = re.compile(rf"(?m)^[ \t>*]{{0,4}}(?P<name>{CAPITALISED}(?: {CAPITALISED}){{0,2}}):(?=[ \n])")
_LINE = re.compile(r"(?m)^[ \t]{0,4}(?P<name>[^\W\d_]{2,20}(?: [^\W\d_]\.?)?(?: [^\W\d_]{2,20}){1,2})[ \t]{0,2}(?=\n)")
_CONTACT = re.compile(r"(?i)\b(?:phone|mobile|tel|e-?mail|apt|suite|fax)\b|\w@\w|(?<![\d.])\d{5}(?![\d.])")
_LOWER_CUE = re.compile(
    r"\b(?P<cue>(?i:my name is|maiden name is|name(?:'s| is|:)|calls? me|named|patient|contact|follow up with|speak (?:to|with)|"
    r"mrs?\.?|ms\.?|dr\.?)) "
    r"(?P<name>[^\W\d_A-Z]{2,20}(?: (?:[^\W\d_A-Z]\.? )?[^\W\d_A-Z]{2,20}){0,2})"
)


def enumerated(text: str, lists: Gazetteer) -> Iterator[tuple[int, int]]:
    """`Kónya, Becker and Vasquez`: a list of capitalised words of which half are listed names and none is an ordinary word."""
    if ", " not in text or (" and " not in text and " & " not in text):
        return
    for match in _LIST.finditer(text):
        words = [(m.start(), m.end(), m[0].lower()) for m in WORD.finditer(text, match.start(), match.end())]
        words = [word for word in words if word[2] != "and"]
        likely = sum((word in lists.last or word in lists.first) and word not in lists.cities for _, _, word in words)
        people = any(word not in lists.places for _, _, word in words) or all(_is_surname(word, lists) for _, _, word in words)
        if people and likely * 2 >= len(words) and all(_is_listable(word, lists) for _, _, word in words):
            yield from ((start, end) for start, end, _ in words)


def _is_surname(word: str, lists: Gazetteer) -> bool:
    return word in lists.last and word not in lists.cities


def _is_listable(word: str, lists: Gazetteer) -> bool:
    return word not in lists.never and word not in lists.institutions and (word not in lists.common or word in lists.last)


def speakers(text: str, lists: Gazetteer) -> Iterator[tuple[int, int]]:
    """`Nicole: Remember me?` under `Ubul: What a wife.`: who speaks in a dialogue of two or more, when one is a listed name."""
    labels = [(m.start("name"), m.end("name"), m["name"].lower().split(" ")) for m in _SPEAKER.finditer(text)]
    people = [label for label in labels if all(is_plain(word, lists) for word in label[2])]
    if len(labels) < 2 or 2 * len(people) < len(labels):
        return
    if any(words[0] in lists.first and words[0] not in lists.cities for _, _, words in people):
        yield from ((start, end) for start, end, _ in people)


def lines(text: str, lists: Gazetteer) -> Iterator[tuple[int, int]]:
    """A line that is nothing but a name, as in signatures and address blocks, in either case."""
    for match in _LINE.finditer(text):
        words = [word for word in match["name"].lower().split(" ") if len(word.rstrip(".")) > 1]
        if not all(is_plain(word, lists) for word in words):
            continue
        capital = match["name"].istitle() and " ".join(words) not in lists.places
        if words[0] in lists.first:
            accepted = words[-1] in lists.last or (capital and words[-1] not in lists.places)
        else:
            accepted = capital and _CONTACT.search(text, match.end(), match.end() + 250) is not None
        if accepted:
            yield match.span("name")


def lower_case(text: str, lists: Gazetteer) -> Iterator[tuple[int, int]]:
    """`my name is vitoria`: names in small letters behind a cue that is only followed by names."""
    for match in _LOWER_CUE.finditer(text):
        end = start = match.start("name")
        own = match["cue"].lower() in ("my name is", "maiden name is", "call me", "calls me")
        for word in match["name"].split(" "):
            initial = len(word.rstrip(".")) == 1 and end > start
            listed = word in lists.first or initial or (end > start and len(word) > 3) or (own and len(word) > 3)
            if not listed or not (initial or is_plain(word, lists)) or (word in lists.places and word not in lists.first):
                break
            end += len(word) + (end > start)
        if end > start:
            yield start, end
