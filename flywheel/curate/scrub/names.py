"""Names of people by word lists and context: introductions, titles, first name beside last name, signatures, speakers."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from flywheel.curate.scrub.gazetteer import Gazetteer, gazetteer
from flywheel.curate.scrub.name_layout import enumerated, lines, lower_case, speakers
from flywheel.curate.scrub.name_words import (
    Run,
    Word,
    begins_sentence,
    is_code,
    is_listed,
    is_mixed,
    is_plain,
    is_shouted,
    looks_foreign,
    word_runs,
)
from flywheel.curate.scrub.spans import NAME, Span

_PARTICLES_BEFORE = re.compile(r"(?:\b(?:de|da|del|della|van|von|der|den|ter|la|le|bin|ibn|al|el|dos|das) )+\Z")
_TITLE = (
    r"(?:Mrs?|Ms|Mx|Miss|Dr|Prof(?:essor)?|Doctor|Sir|Madam|Lady|Lord|Captain|Capt|Sgt|Sergeant|Judge|Senator|Rev|Herrn?|Frau|"
    r"Señora?|Sra?|Mme|Mlle|Monsieur|Madame|Signora?|Sig|Dhr|Mevr|Pan|Pani|Shri|Smt)"
)
_CERTAIN = re.compile(
    rf"(?:\b(?i:(?:my|her|his|their|maiden) (?:full |last |first |legal )?name(?: is|'s|:)|(?:full|first|last|maiden|family|"
    rf"given) name ?[:=]|surname ?[:=]|your (?:full )?name\?|calls? me|named (?:him|her)|ich heiße|mein name ist|je m'appelle|"
    rf"me llamo|"
    rf"mi nombre es|mi chiamo|meu nome é|ik heet|m(?:rs?|s)\.)|\b{_TITLE}\.?)[ \n*_\"]{{1,4}}\Z"
)
"""Whatever is capitalised after this is a name, ordinary words included (`Her maiden name is Key`)."""
_STRONG = re.compile(
    r"(?i)\b(?:name (?:is|was|on (?:the|my) \w+ is)|name ?[:=]|named|dear|attn:?|signed(?: by)?,?|sincerely,?|"
    r"(?:kind |best |warm )?regards,?|yours(?: truly)?,|cheers,|account holder:?|follow(?:ing)? up with|"
    r"(?:wife|husband|partner|son|daughter|brother|sister|mother|father|friend|boss|manager|colleague|spouse|child)"
    r"(?:'s)?(?: name)?(?: is|,)?)[ \n*_\"]{1,4}\Z"
)
_PARTS = re.compile(r"\W+")
_WEAK = re.compile(
    r"(?i)(?:\b(?:I'?m|I am|this is|it'?s|under(?: the name(?: of)?)?|hi|hello|hey|thanks?,?|thank you,?|with|by|from|for|"
    r"to|ask|tell|told|"
    r"meet|met|and|best,|love,|hallo|bonjour|hola|ciao|said|says|asked|is)|[,:(\"\n>]|\A)[ \n*_\"]{0,3}\Z"
)
_OF_PERSON = re.compile(
    r"(?i)\b(?:I'?m|I am|under|hi|hello|hey|(?:directed|written|sung|composed|founded|painted|signed|invented|assisted) by|"
    r"starring|assistant to|ask(?: for)?|told?|tell|met|heard|"
    r"(?:talk|speak)(?:ing)? (?:to|with)|thanks?(?: you)?,|belongs to|(?:on behalf|in the name) of|"
    r"(?:sen[dt]|ship|shipped|deliver|delivered) (?:it |this |them )?to|"
    r"(?:account|order|booking|ticket|policy|parcel|contract) for|"
    r"for my (?:son|daughter|wife|husband)|guardian|account of|"
    r"(?:person|customer|caller|client|patient|guest|member|passenger|tenant|applicant|candidate|recipient|account holder)"
    r"(?: [a-z ]{1,20})? is|"
    r"(?:change|correct|update|amend)(?:d|ed)? (?:it|this|that|(?:my|the|his|her) (?:sur)?name) (?:in)?to) \Z"
)
"""Before two capitalised words that no list knows, this makes them a person."""
_OF_PERSON_AFTER = re.compile(
    r" ?[(<]?[\w.+-]{2,40}@\w|,? (?:who|whose|whom)\b| here\b[.,!;]|"
    r",? (?:date of birth|born|dob|aged?)\b|, \d{1,5} [A-Z][a-z]"
)
_PLACED = re.compile(
    r"(?i)\b(?:in|at|near|of|from|to|via|around|visit(?:ed|ing)?|across|city|town|north|south|east|west|mount|lake) \Z"
)
_THING_BEFORE = re.compile(
    r"(?i)(?:\A|[^\w'’])(?:my|the|our|your|this|that|these|an?|another|new|each|every|which|old|its|both|any|mi|mein\w{0,2}|mon|ma|"
    r"meu|minha|mio)(?: (?:new|old|second|third|first|other|used|spare|same|original|broken|faulty|refurbished|whole))? \Z"
)
_THING_AFTER = re.compile(
    r"(?: [^\W\d_]{1,12}){0,2}[ -][A-Z]{0,2}\d{1,4}[A-Za-z]?(?![\w:/.-]*\d)(?! [A-Z][a-z]+ (?:St|Ave|Rd|Road|Lane|Street)\b)"
)
_LIVES = re.compile(
    r"(?:,? (?:who )?(?:lives|lived|was born|is from|grew up|spent (?:a|the|his|her|most)|passed away|got married|smiled|laughed|"
    r"nodded|sighed)\b)"
)
"""Only people do this."""
_VOCATIVE = re.compile(r", (?:can|could|would|will) (?:I|you|we)\b")
_SAID = re.compile(r"[!?,.\"”'’] (?:said|asked|replied|whispered|shouted|cried|answered) \Z")
_ACTS = re.compile(
    r" (?:lives|said|says|told|asked|replied|wrote|called|works|was born|thinks|wants|loves|has|had|just|went|came|is from|knows|"
    r"left|spent|got|took|gave|feels|felt|did|does)\b"
)
_COMMANDS = re.compile(r" (?:the|an?|all|it|your|this|these|that|each|every|any|up|down|off|out|and hold)\b")
"""After a capital at the beginning of a sentence: an instruction (`Mark all of them`), no name."""
_MAXIMUM_WORDS = 5


def find_names(text: str) -> list[Span]:
    """Names of people in a normalised text, as PERSON spans. Time is linear in the text's length."""
    lists = gazetteer()
    runs = list(word_runs(text))
    things = _things(text, runs, lists)
    found = [span for run in runs for span in _names_in_run(text, run, lists, things)]
    found += enumerated(text, lists)
    if ":" in text:
        found += speakers(text, lists)
    if "\n" in text:
        found += lines(text, lists)
    found += lower_case(text, lists)
    return [Span(start, end, "PERSON", NAME) for start, end in found]


def _things(text: str, runs: list[Run], lists: Gazetteer) -> set[str]:
    """First words of runs that the text treats as a product: `my Rollo`, `Orrin 55`. Nobody says `the Anna`."""
    things = set()
    for run in runs:
        for at, word in enumerate(run[:2]):
            if word.lower not in lists.first or (at == 1 and not _THING_BEFORE.search(f"{run[0].text} ")):
                continue
            if _THING_BEFORE.search(text[max(0, word.start - 24) : word.start]) or _THING_AFTER.match(text, word.end):
                things.add(word.lower)
    return things


def _names_in_run(text: str, run: Run, lists: Gazetteer, things: set[str]) -> Iterator[tuple[int, int]]:
    position = 0
    while position < len(run):
        length = _name_length(text, run, position, lists, things)
        if length:
            yield run[position].start, run[position + length - 1].end
        position += max(length, 1)


def _name_length(text: str, run: Run, at: int, lists: Gazetteer, things: set[str]) -> int:
    """How many words of the run, from `at` on, are a person's name; 0 for none."""
    word = run[at]
    before = text[max(0, word.start - 40) : word.start]
    if before[-2:-1].islower():
        before = _PARTICLES_BEFORE.sub("", before)
    last = before.split()[-1:]  # most words follow no cue, which one look at the word before tells
    if last and not lists.cues.isdisjoint(_PARTS.split(last[0].lower())):
        if _CERTAIN.search(before):
            return _following(run, at, lists, certain=True)
        if _STRONG.search(before):
            return _following(run, at, lists, certain=False)
    if word.lower in lists.given and at + 1 < len(run) and is_listed(lists.last, run[at + 1]):
        return _full_name(text, run, at, lists, things, before)
    if word.lower in lists.never or word.lower in lists.institutions or is_code(text, word):
        return 0
    if word.lower in lists.common and word.lower not in lists.first:
        return 0
    length = _full_name(text, run, at, lists, things, before)
    return length or int(_stands_alone(text, run, at, lists, things, before))


def _following(run: Run, at: int, lists: Gazetteer, *, certain: bool) -> int:
    """How many words belong to a name that a cue announces. A `certain` cue makes ordinary words names too."""
    length = 0
    while at + length < len(run) and length < _MAXIMUM_WORDS:
        word = run[at + length]
        initial = len(word.lower) == 1 and length > 0
        known = word.lower in lists.last if length else len(run) == 1 and word.lower in lists.first
        ordinary = word.lower in lists.common and not certain and not known
        if length == 0 and word.lower in lists.never and _is_month(run, at, lists):
            length = 1
            continue
        barred = word.lower in lists.never or word.lower in lists.institutions or ordinary or is_mixed(word)
        surname = certain and length > 0 and word.lower in lists.brands
        if barred and not initial and not surname:
            break
        length += 1
    return length


def _is_month(run: Run, at: int, lists: Gazetteer) -> bool:
    """`Jan Jílek`, `April Jones`: a first name that is a word of the calendar too, with a surname after it."""
    return run[at].lower in lists.first and at + 1 < len(run) and is_plain(run[at + 1].lower, lists)


def _full_name(text: str, run: Run, at: int, lists: Gazetteer, things: set[str], before: str) -> int:
    word = run[at]
    end = at + 1
    while end < len(run) and len(run[end].lower) == 1:
        end += 1
    if end >= len(run) or len(word.lower) < 2:
        return 0
    following = run[end]
    if following.lower in lists.never and not (is_listed(lists.first, word) and following.lower in lists.brands):
        return 0
    if len(following.lower) < 2 or " ".join(w.lower for w in run[at : end + 1]) in lists.places:
        return 0
    pair = Pair(text, run, at, end, before, lists)
    if not (_is_sure_pair(pair) if word.lower in things or _THING_BEFORE.search(before) else _is_pair(pair)):
        return 0
    end += 1
    while end < len(run) and end - at < _MAXIMUM_WORDS and is_listed(lists.last, run[end]) and _may_continue(run[end], lists):
        end += 1
    if end < len(run) and run[end].lower in lists.institutions:
        return 0
    return end - at


class Pair(NamedTuple):
    """Two words of a run that may be first and last name, at `at` and `end`, initials between them."""

    text: str
    run: Run
    at: int
    end: int
    before: str
    lists: Gazetteer

    @property
    def word(self) -> Word:
        return self.run[self.at]

    @property
    def following(self) -> Word:
        return self.run[self.end]

    @property
    def is_listed(self) -> bool:
        """First name, then last name, no ordinary word among them."""
        listed = is_listed(self.lists.first, self.word) and is_listed(self.lists.last, self.following)
        return listed and self.word.lower not in self.lists.common

    @property
    def is_odd(self) -> bool:
        """The last name is an ordinary word too."""
        return self.following.lower in self.lists.common

    @property
    def has_initial(self) -> bool:
        return self.end > self.at + 1 and self.run[self.at + 1].lower not in ("a", "i")


def _is_sure_pair(pair: Pair) -> bool:
    """Enough to be somebody even after an article: `the Anna Becker of the text` is, `the Rollo Mop` is not."""
    return pair.is_listed and not pair.is_odd and len(pair.following.lower) > 3


def _is_pair(pair: Pair) -> bool:
    """Whether the words are a person's first and last name, in either order."""
    word, following, lists = pair.word, pair.following, pair.lists
    if is_mixed(word) or is_mixed(following) or is_shouted(word) or is_shouted(following):
        return _is_shouted_pair(pair)
    first = is_listed(lists.first, word)
    if word.lower in lists.common:
        return first and is_listed(lists.last, following) and not pair.is_odd
    if first and pair.has_initial:
        return True
    if first or (is_listed(lists.last, word) and is_listed(lists.first, following)):
        return _is_first_and_other(pair)
    return not pair.is_odd and _is_unlisted_pair(pair)


def _is_shouted_pair(pair: Pair) -> bool:
    """`Jean DUPONT`, `ANNA BECKER`: both listed, or every acronym (`IBAN SE`) would be somebody."""
    shouted = is_shouted(pair.following) and not is_mixed(pair.word) and len(pair.following.lower) > 2
    return shouted and pair.is_listed and not (pair.is_odd and is_shouted(pair.word))


def _is_first_and_other(pair: Pair) -> bool:
    word, lists = pair.word.lower, pair.lists
    last = is_listed(lists.last, pair.following)
    if word not in lists.places or word in lists.familiar:
        return last or not pair.is_odd or _ends_plainly(pair)
    return not pair.is_odd and (last or pair.following.lower not in lists.places or word not in lists.cities)


def _is_unlisted_pair(pair: Pair) -> bool:
    """A first word that is on no list of names: the second is, or a cue or the letters tell."""
    text, word, following, lists = pair.text, pair.word, pair.following, pair.lists
    abroad, away = word.lower in lists.places, following.lower in lists.places
    last = is_listed(lists.last, following)
    if word.lower in lists.rare_first and (last or following.lower in lists.rare_last) and not away:
        return True
    if pair.has_initial or ((last or is_listed(lists.first, following)) and not abroad and not away):
        return True
    if last and not abroad and following.lower not in lists.cities and not _PLACED.search(pair.before):
        return not begins_sentence(text, word.start) or _ACTS.match(text, following.end) is not None
    if pair.end > pair.at + 1 or (abroad and away):
        return False
    possessive = text.startswith(("'s ", "’s "), following.end) and pair.end == len(pair.run) - 1 and is_plain(word.lower, lists)
    tells = possessive or looks_foreign(word, following)
    told = _OF_PERSON.search(pair.before) or _OF_PERSON_AFTER.match(text, following.end)
    return told is not None or (tells and not abroad and not away)


def _ends_plainly(pair: Pair) -> bool:
    """`change it to Moira Pagan`: two capitalised words alone in mid-sentence, the second an ordinary word elsewhere."""
    alone = pair.at == 0 and pair.end == len(pair.run) - 1
    return alone and pair.before[-2:-1].islower() and not _THING_AFTER.match(pair.text, pair.word.end)


def _stands_alone(text: str, run: Run, at: int, lists: Gazetteer, things: set[str], before: str) -> bool:
    """A first name by itself: listed, no ordinary word, no place, no part of a longer title."""
    word = run[at]
    if len(word.lower) < 3 or word.text.isupper() or is_mixed(word) or word.lower in lists.common:
        return False
    if len(run) == 1 and (_VOCATIVE.match(text, word.end) or (word.lower not in lists.places and _does(text, word, before))):
        return True
    if not is_listed(lists.first, word) or word.lower in things or _is_inside_title(text, run, at, lists):
        return False
    if _COMMANDS.match(text, word.end) and begins_sentence(text, word.start):
        return False
    return word.lower not in lists.places or _is_no_place(text, word, lists, before)


def _is_inside_title(text: str, run: Run, at: int, lists: Gazetteer) -> bool:
    """`Heron Indoor Cam`, `Orrin Frame`: capitals beside the word that no sentence begins with and no greeting is."""
    following = run[at + 1] if at + 1 < len(run) else None
    if following is not None and len(following.lower) > 1 and following.lower not in lists.never:
        return True
    return at > 0 and not _follows_greeting(text, run[at - 1], run[at], lists)


def _is_no_place(text: str, word: Word, lists: Gazetteer, before: str) -> bool:
    """A first name that is a place too is meant as a name here."""
    if _ACTS.match(text, word.end):
        return word.lower not in lists.cities or _LIVES.match(text, word.end) is not None
    if word.lower in lists.familiar:
        return _WEAK.search(before) is not None
    return word.lower not in lists.cities and not _PLACED.search(before)


def _does(text: str, word: Word, before: str) -> bool:
    return _LIVES.match(text, word.end) is not None or _SAID.search(before) is not None


def _follows_greeting(text: str, last: Word, word: Word, lists: Gazetteer) -> bool:
    """`Thanks Anna`: the capital before the name begins a sentence, or is an initial of somebody else (`plan B. Joe left`)."""
    if len(last.lower) == 1:
        return True
    ordinary = last.lower in lists.common or last.lower in lists.never
    return ordinary and begins_sentence(text, last.start) and f"{last.lower} {word.lower}" not in lists.places


def _may_continue(word: Word, lists: Gazetteer) -> bool:
    return word.lower not in lists.never and word.lower not in lists.institutions
