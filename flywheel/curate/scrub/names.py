"""Names of people by word lists and context: introductions, titles, first name beside last name, signatures."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from flywheel.curate.scrub.gazetteer import Gazetteer, gazetteer
from flywheel.curate.scrub.letters import CAPITALISED, UPPER
from flywheel.curate.scrub.spans import NAME, Span

_WORD = re.compile(rf"(?<![\w@#/\\.])(?<!\w['’-]){CAPITALISED}")
_CONTRACTION = re.compile(
    r"['’](?:m|ve|ll|d|re|t)\Z|\A(?:[Ii]t|[Hh]e|[Ss]he|[Tt]hat|[Ww]hat|[Ww]ho|[Ll]et|[Tt]here|[Hh]ere)['’]s\Z"
)
_PARTICLES_BEFORE = re.compile(r"(?:\b(?:de|da|del|della|van|von|der|den|ter|la|le|bin|ibn|al|el|dos|das) )+\Z")
_PARTICLE = re.compile(r" (?:(?:de|da|di|du|del|della|van|von|der|den|ter|la|le|bin|ibn|al|el|dos|das|af|zu|y) ){1,2}")
_TITLE = (
    r"(?:Mrs?|Ms|Mx|Miss|Dr|Prof(?:essor)?|Doctor|Sir|Madam|Lady|Lord|Captain|Capt|Sgt|Sergeant|Judge|Senator|Rev|Herrn?|Frau|"
    r"Señora?|Sra?|Mme|Mlle|Monsieur|Madame|Signora?|Sig|Dhr|Mevr|Pan|Pani|Shri|Smt)"
)
_STRONG = re.compile(
    rf"(?:\b(?i:(?:my|her|his|their|maiden) (?:full |last |first |legal )?name(?: is|'s|:)|name (?:is|was|on (?:the|"
    rf"my) \w+ is)|(?:full |first |last |sur)?name ?[:=]|"
    rf"named|call me|dear|attn:?|signed(?: by)?,?|sincerely,?|(?:kind |best |warm )?regards,?|yours(?: truly)?,|cheers,|"
    rf"ich heiße|mein name ist|je m'appelle|me llamo|mi nombre es|mi chiamo|meu nome é|ik heet|follow(?:ing)? up with|"
    rf"(?:wife|husband|partner|son|daughter|brother|sister|mother|father|friend|boss|manager|colleague|"
    rf"spouse)(?:'s)?(?: name)?(?: is|,)?)"
    rf"|\b{_TITLE}\.?)[ \n*_\"]{{1,4}}\Z"
)
_WEAK = re.compile(
    r"(?i)(?:\b(?:I'?m|I am|this is|it'?s|under(?: the name(?: of)?)?|hi|hello|hey|thanks?,?|thank you,?|with|by|from|for|"
    r"to|ask|tell|told|"
    r"meet|met|and|best,|love,|hallo|bonjour|hola|ciao|said|says|asked|is)|[,:(\"\n>]|\A)[ \n*_\"]{0,3}\Z"
)
_LOWER_CUE = re.compile(
    r"(?i)\b(?:my name is|name(?:'s| is|:)|call me|named|patient|contact|follow up with|speak (?:to|with)|mrs?\.?|ms\.?|dr\.?) "
    r"([^\W\d_A-Z]{2,20}(?: [^\W\d_A-Z]{2,20}){0,2})"
)
_FULL_STOP = re.compile(r"[.!?\n]\s*[\"'(*]*\Z|\A\s*\Z")
_LIST = re.compile(rf"\b({CAPITALISED}(?:, {CAPITALISED}){{1,6}},? and {CAPITALISED})")
_MAXIMUM_WORDS = 5


class Word(NamedTuple):
    """A capitalised word without its possessive, and whether it goes on in the same name after the word before it."""

    start: int
    end: int
    lower: str
    joined: bool


def find_names(text: str) -> list[Span]:
    """Names of people in a normalised text, as PERSON spans. Time is linear in the text's length."""
    lists = gazetteer()
    spans = [Span(start, end, "PERSON", NAME) for run in _runs(text) for start, end in _names_in_run(text, run, lists)]
    spans += [Span(start, end, "PERSON", NAME) for start, end in _enumerated(text, lists)]
    spans += [Span(start, end, "PERSON", NAME) for start, end in _lower_case(text, lists)]
    return spans


def _runs(text: str) -> Iterator[list[Word]]:
    """Capitalised words that stand side by side, at most a particle or an initial's full stop between them."""
    run: list[Word] = []
    for match in _WORD.finditer(text):
        if _CONTRACTION.search(match[0]):
            continue
        word = match[0][:-2] if match[0].endswith(("'s", "’s")) else match[0]
        joined = False
        if run:
            between = text[run[-1].end : match.start()]
            initial = run[-1].end - run[-1].start <= 2 and between in (". ", ".")
            joined = between in (" ", "  ") or initial or _PARTICLE.fullmatch(between) is not None
        if not joined:
            if run:
                yield run
            run = []
        run.append(Word(match.start(), match.start() + len(word), word.lower(), joined))
    if run:
        yield run


def _names_in_run(text: str, run: list[Word], lists: Gazetteer) -> Iterator[tuple[int, int]]:
    position = 0
    while position < len(run):
        length = _name_length(text, run, position, lists)
        if length:
            yield run[position].start, run[position + length - 1].end
        position += max(length, 1)


def _name_length(text: str, run: list[Word], at: int, lists: Gazetteer) -> int:
    """How many words of the run, from `at` on, are a person's name; 0 for none."""
    word = run[at]
    before = text[max(0, word.start - 40) : word.start]
    if _STRONG.search(_PARTICLES_BEFORE.sub("", before)):
        length = 0
        while at + length < len(run) and length < _MAXIMUM_WORDS and _may_be_name(run[at + length], lists, length > 0):
            length += 1
        return length
    if not _may_be_name(word, lists, False) and word.lower not in lists.first:
        return 0
    length = _full_name(run, at, lists)
    return length or int(_stands_alone(text, run, at, lists))


def _full_name(run: list[Word], at: int, lists: Gazetteer) -> int:
    word = run[at]
    end = at + 1
    initials = 0
    while end < len(run) and len(run[end].lower) == 1:
        end += 1
        initials += 1
    if end >= len(run) or word.lower in lists.never or len(word.lower) < 2:
        return 0
    following = run[end]
    brand = following.lower in lists.never and not (_in(lists.first, word) and following.lower in lists.brands)
    if brand or len(following.lower) < 2:
        return 0
    if " ".join(w.lower for w in run[at : end + 1]) in lists.places:
        return 0
    first, last = _in(lists.first, word), _in(lists.last, following)
    ordinary, odd = word.lower in lists.common, following.lower in lists.common
    swapped = _in(lists.last, word) and _in(lists.first, following)
    if ordinary:
        accepted = first and last and not odd
    elif first or swapped:
        accepted = (
            (last or not odd) if word.lower not in lists.places else not odd and (last or following.lower not in lists.places)
        )
    else:
        listed = last or _in(lists.first, following)
        abroad = word.lower in lists.places or following.lower in lists.places
        accepted = not odd and ((initials > 0 and run[at + 1].lower not in ("a", "i")) or (listed and not abroad))
    if not accepted:
        return 0
    end += 1
    while end < len(run) and end - at < _MAXIMUM_WORDS and _in(lists.last, run[end]) and _may_be_name(run[end], lists, True):
        end += 1
    if end < len(run) and run[end].lower in lists.institutions:
        return 0
    return end - at


def _stands_alone(text: str, run: list[Word], at: int, lists: Gazetteer) -> bool:
    """A first name by itself: listed, no ordinary word, no place, no part of a longer title."""
    word = run[at]
    if len(word.lower) < 3 or not _in(lists.first, word) or not _may_be_name(word, lists, False):
        return False
    if len(run) > 1 and any(other.lower not in lists.common and other is not word for other in run[at + 1 :]):
        return False
    if at > 0 and run[at - 1].lower not in lists.common | lists.never:
        return False
    if text[word.start : word.end].isupper() or (at > 0 and f"{run[at - 1].lower} {word.lower}" in lists.places):
        return False
    if word.lower in lists.places:
        addressed = _WEAK.search(text[max(0, word.start - 30) : word.start]) is not None and word.lower in lists.familiar
        return addressed or _ACTS.match(text, word.end) is not None
    return True


_ACTS = re.compile(r" (?:lives|said|says|told|asked|replied|wrote|called|works|was born|thinks|wants|loves)\b")


def _may_be_name(word: Word, lists: Gazetteer, inside: bool) -> bool:
    """No ordinary word: inside a name, listed names may be ordinary words too (`Grace Hope`)."""
    if word.lower in lists.never or word.lower in lists.institutions:
        return False
    return word.lower not in lists.common or (inside and (word.lower in lists.last or word.lower in lists.first))


def _in(names: frozenset[str], word: Word) -> bool:
    return word.lower in names or ("-" in word.lower and any(part in names for part in word.lower.split("-") if len(part) > 2))


def _enumerated(text: str, lists: Gazetteer) -> Iterator[tuple[int, int]]:
    """`Kónya, Becker and Vasquez`: a list of capitalised words that holds a listed name and no ordinary word or place."""
    if " and " not in text:
        return
    for match in _LIST.finditer(text):
        words = [Word(m.start(), m.end(), m[0].lower(), False) for m in _WORD.finditer(text, match.start(), match.end())]
        plain = all(_may_be_name(word, lists, False) for word in words) and any(word.lower not in lists.places for word in words)
        if plain and sum(word.lower in lists.last or word.lower in lists.first for word in words) * 2 >= len(words):
            yield from ((word.start, word.end) for word in words)


def _lower_case(text: str, lists: Gazetteer) -> Iterator[tuple[int, int]]:
    for match in _LOWER_CUE.finditer(text):
        end = match.start(1)
        for word in match[1].split(" "):
            listed = word in lists.first or (end > match.start(1) and len(word) > 3)
            if not listed or word in lists.never or word in lists.common or word in lists.places:
                break
            end += len(word) + (end > match.start(1))
        if end > match.start(1):
            yield match.start(1), end


def begins_sentence(text: str, position: int) -> bool:
    """Whether a capital at this position says nothing, because a sentence begins there."""
    return _FULL_STOP.search(text[max(0, position - 6) : position]) is not None


def is_capital(character: str) -> bool:
    """Whether names may begin with this letter."""
    return character in UPPER
