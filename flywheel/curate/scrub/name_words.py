"""Capitalised words that stand side by side, and what their letters tell of them."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from flywheel.curate.scrub.gazetteer import Gazetteer
from flywheel.curate.scrub.letters import UPPER

WORD = re.compile(rf"[{UPPER}](?<![\w@#/\\.].)(?<!\w['’-].)[^\W\d_]{{0,30}}(?:['’\-][^\W\d_]{{1,30}}){{0,3}}(?!\w)")
_CONTRACTION = re.compile(
    r"['’](?:m|ve|ll|d|re|t)\Z|\A(?:[Ii]t|[Hh]e|[Ss]he|[Tt]hat|[Ww]hat|[Ww]ho|[Ll]et|[Tt]here|[Hh]ere)['’]s\Z"
)
_PARTICLE = re.compile(r" (?:(?:de|da|di|du|del|della|van|von|der|den|ter|la|le|bin|ibn|al|el|dos|das|af|zu|y) ){1,2}")
_CODE_AFTER = re.compile(r"[(\[=_`]|\.\w|::| ?(?:=|==|\(\)) ")
_CODE_BEFORE = re.compile(r"[`$%<\\]\Z|\b(?:import|class|def|extends|instanceof) \Z")
_FULL_STOP = re.compile(r"[.!?\n]\s*[\"'(*]*\Z|\A\s*\Z")
_FOREIGN = frozenset("łśźżčřšěůđćőűğşıþðęąńťďľĺŕāēīūļņķģėįų")
_PREFIX = re.compile(r"(?:Mc|Mac|De|Di|Du|Da|La|Le|Van|Von|Fitz|O['’]|D['’]|St)(?=[A-Z])")


class Word(NamedTuple):
    """A capitalised word without its possessive, and whether it goes on in the same name after the word before it."""

    start: int
    end: int
    text: str
    lower: str


Run = list[Word]


def word_runs(text: str) -> Iterator[Run]:
    """Capitalised words that stand side by side, at most a particle or an initial's full stop between them."""
    run: Run = []
    for match in WORD.finditer(text):
        word = match[0]
        if "'" in word or "’" in word:
            if _CONTRACTION.search(word):
                continue
            if word.endswith(("'s", "’s")):
                word = word[:-2]
        if run and not _joined(text, run[-1], match.start()):
            yield run
            run = []
        run.append(Word(match.start(), match.start() + len(word), word, word.lower()))
    if run:
        yield run


def _joined(text: str, last: Word, start: int) -> bool:
    gap = start - last.end
    if gap > 16:
        return False
    between = text[last.end : start]
    if gap < 3:
        return between in (" ", "  ") or (between in (". ", ".") and last.end - last.start <= 2)
    return _PARTICLE.fullmatch(between) is not None


def is_code(text: str, word: Word) -> bool:
    """Whether the word is part of code: called, indexed, assigned to, imported, in a path."""
    return (
        _CODE_AFTER.match(text, word.end) is not None
        or _CODE_BEFORE.search(text[max(0, word.start - 12) : word.start]) is not None
    )


def is_shouted(word: Word) -> bool:
    """Whether the word is in capitals throughout; an initial is not."""
    return len(word.text) > 1 and word.text.isupper()


def is_mixed(word: Word) -> bool:
    """`DataFrame`, `iPhone`, `OpenAI`: capitals within, which names have only after a prefix, a hyphen or an apostrophe."""
    tail = word.text[1:]
    if tail.islower() or not tail or word.text.isupper():
        return False
    return any(part[1:] != part[1:].lower() for part in re.split(r"[-'’]", _PREFIX.sub("", word.text)))


def is_listed(names: frozenset[str], word: Word) -> bool:
    """Whether the list has the word, or one part of a word with hyphens."""
    return word.lower in names or ("-" in word.lower and any(part in names for part in word.lower.split("-") if len(part) > 2))


def is_plain(word: str, lists: Gazetteer) -> bool:
    """Whether the lower-case word is no ordinary word, so that it can be a name without being listed."""
    return word not in lists.never and word not in lists.institutions and word not in lists.common


def looks_foreign(word: Word, following: Word) -> bool:
    """Letters that words of Western Europe do not have, in two words that neither list knows."""
    return not _FOREIGN.isdisjoint(word.lower + following.lower)


def begins_sentence(text: str, position: int) -> bool:
    """Whether a capital at this position says nothing, because a sentence begins there."""
    return _FULL_STOP.search(text[max(0, position - 6) : position]) is not None
