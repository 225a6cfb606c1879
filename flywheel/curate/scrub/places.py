"""Addresses and places: street patterns of several languages, address blocks, postcodes, places near first-person words."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from flywheel.curate.scrub.gazetteer import gazetteer
from flywheel.curate.scrub.letters import CAPITALISED, UPPER
from flywheel.curate.scrub.spans import ADDRESS, CUE, PLACE, Span

_CAP = rf"{CAPITALISED}\.?"
_WORD = re.compile(rf"(?<![\w@#/\\-]){CAPITALISED}(?: {CAPITALISED}){{0,3}}")
_SUFFIX = (
    r"(?:Streets?|St|Str|Avenue|Ave|Av|Road|Rd|Drive|Dr|Lane|Ln|Boulevard|Blvd|Court|Ct|Circle|Cir|Way|Place|Pl|Terrace|Ter|"
    r"Parkway|Pkwy|Highway|Hwy|Square|Sq|Trail|Trl|Loop|Alley|Crescent|Cres|Close|Grove|Row|Mews|Walk|Gardens|Path|Pike|Parade)"
)
_SMALL = (
    r"(?:(?:de|du|des|la|le|les|del|della|dell'|delle|dei|d'|di|do|da|dos|las|los|al|san|santa|l'|"
    r"von|van|der|den|zum|zur|am) ?){0,3}"
)
_ROMANCE = (
    r"(?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Bb]d|[Pp]lace|[Cc]hemin|[Aa]llée|[Ii]mpasse|[Qq]uai|[Rr]oute|[Cc]alle|[Cc]/|"
    r"[Aa]venida|[Aa]v(?:da)?\.|"
    r"[Pp]aseo|[Pp]laza|[Cc]arrer|[Cc]amino|[Rr]onda|[Vv]ia|[Vv]iale|[Cc]orso|[Pp]iazza|[Ll]argo|[Vv]icolo|[Ss]trada|"
    r"[Rr]ua|[Tt]ravessa|"
    r"[Pp]raça|[Uu]lica|[Uu]lice|[Uu]l\.|[Ss]tr\.)"
)
_GERMANIC_ENDS = (
    *("straße", "strasse", "str.", "gasse", "weg", "platz", "allee", "ring", "damm", "ufer", "steig", "gata", "gatan", "gate"),
    *("vej", "vegen", "veien", "vägen", "stien", "gade", "katu", "tie", "kuja", "straat", "laan", "plein", "kade", "dreef"),
    *("utca", "utcája", "út", "útja", "tér", "tere", "köz", "sor", "u.", "krt."),
)
_GERMANIC = "(?:" + "|".join(re.escape(end) for end in _GERMANIC_ENDS[:-2]) + ")"


class _Street(NamedTuple):
    """A pattern of street addresses; every match holds a digit if `numbered`, and one of `words` if there are any."""

    numbered: bool
    words: tuple[str, ...]
    pattern: re.Pattern[str]


_ROADS = ("street", "avenue", "road", "lane", "drive", "boulevard", "blvd")
_ROMANCE_ROADS = (
    *("rue ", "avenue ", "boulevard ", "bd ", "place ", "chemin ", "allée ", "impasse ", "quai ", "route ", "calle ", "c/ "),
    *("avenida ", "av. ", "avda. ", "paseo ", "plaza ", "carrer ", "camino ", "ronda ", "via ", "viale ", "corso ", "piazza "),
    *("largo ", "vicolo ", "strada ", "rua ", "travessa ", "praça ", "ulica ", "ulice ", "ul. ", "str. "),
)
_STREETS = (
    _Street(
        True,
        (),
        re.compile(
            rf"\d(?<![\w.]\d)\d{{0,5}}[A-Za-z]?(?:[ ,]{{1,2}}\d{{1,5}}(?:st|nd|rd|th)?)?(?: {_CAP}){{0,4}}"
            rf"(?: \d{{1,3}}(?:st|nd|rd|th))? {_SUFFIX}\b\.?"
        ),
    ),
    _Street(False, _ROADS, re.compile(rf"(?<=[ \n])(?:{_CAP} ){{1,3}}(?:Street|Avenue|Road|Lane|Drive|Boulevard|Blvd)\b")),
    _Street(
        True,
        _ROMANCE_ROADS,
        re.compile(rf"(?<!\w)\d{{1,4}}(?: ?(?:bis|ter))?,? {_ROMANCE} {_SMALL}{_CAP}(?:[ -]{_SMALL}{_CAP}){{0,3}}"),
    ),
    _Street(
        True,
        _ROMANCE_ROADS,
        re.compile(rf"(?<!\w){_ROMANCE} {_SMALL}{_CAP}(?:[ -]{_SMALL}{_CAP}){{0,3}},? (?:n[º°.]? ?)?\d{{1,5}}\b"),
    ),
    _Street(
        True, (), re.compile(rf"(?m)^[^\w\n]{{0,5}}(?:address:? ?)?\d{{1,6}}(?: {_CAP}| {_SMALL}){{1,5}} \d{{1,4}}\b[ ]{{0,3}}$")
    ),
    _Street(
        True,
        ("apo", "dpo", "fpo"),
        re.compile(
            r"(?i)\b(?:(?:USS|USNS|USNV|USCGC) [^\n,]{1,30}|(?:PSC|CMR|Unit) \d{1,5},? Box \d{1,5})[,\n ]{1,4}"
            r"[ADF]PO,? A[AEP] \d{5}\b"
        ),
    ),
    _Street(
        False,
        ("corner of ",),
        re.compile(rf"\b(?:the )?corner of (?=[{UPPER}\d])[^\n.?!,:]{{3,60}} and {_CAP}(?: {_CAP}| \d{{1,4}}){{0,4}}"),
    ),
    _Street(True, ("box", "postfach", "apartado"), re.compile(r"\b(?i:p\.? ?o\.? ?box|postfach|apartado) \d{1,7}\b")),
)
_GERMANIC_STREETS = (
    re.compile(
        rf"\b(?:\d{{1,6}} )?(?:{_CAP} ){{0,2}}[{UPPER}][^\W\d_]{{0,20}}"
        rf"(?:-[^\W\d_]{{1,20}}){{0,3}}{_GERMANIC} \d{{1,4}} ?[a-zA-Z]?\b"
    ),
    re.compile(rf"\b(?:\d{{1,6}} )?(?:{_CAP} ){{1,2}}(?:{_GERMANIC}|u\.|krt\.) \d{{1,4}}\.?"),
)
_HOUSE_NUMBER = re.compile(r" \d")
_UNIT_WORD = r"(?:Suite|Ste|Apt|Apartment|Unit|Floor|Flat|Room|Wohnung)\.? #?\d{1,5}[A-Za-z]?"
_UNIT_GATE = re.compile(r"Suite|Ste|Apt|Apartment|Unit|Floor|Flat|Room|Wohnung")
_DIGIT = re.compile(r"\d")
_UNIT = rf"{_UNIT_WORD}|#\d{{1,5}}[A-Za-z]?"
_UNIT_BLOCK = re.compile(
    rf"(?:[^\n\d]{{0,60}} )?(?P<address>\d{{1,6}} [^\n.?!:]{{2,60}}|"
    rf"{_CAP}(?: {_CAP}){{0,3}} \d{{1,4}})[ ]?[,\n][^\w\n]{{0,8}}(?:{_UNIT_WORD})"
)
_ADDRESS_CUE = re.compile(
    r"(?i)\b(?:address(?:es)?(?: (?:is|was|to|of|with))?|meet (?:me|you|us|him|her|them) at|return to|"
    r"live[sd]?(?: at| in| on)?|living (?:at|in|on)|located (?:at|in|on)|"
    r"(?:is|are|was) (?:at|on)|"
    r"(?:sen[dt]|ship(?:ped)?|deliver(?:ed|y)?|mail(?:ed)?|move[d]?|moving|relocat\w+|one|card|it|go|going|come) to|home(?: at)?|"
    r"reside[sd]? (?:at|in)|stay(?:ing|ed)? (?:at|in)|office (?:is )?(?:at|in)|adresse|direcci[oó]n|indirizzo|wohne in)"
    r"[ :\n*]{1,3}(?=\d{1,6}[ ,]|[^\W\d_])"
)
_NUMBERED = re.compile(
    rf"\d{{1,6}}[A-Za-z]?(?:[ ,]{{1,2}}(?:{_CAP}|\d{{1,5}}\b(?![.:%]\d))){{1,7}}|{_CAP}(?: {_CAP}){{0,3}} \d{{1,4}}\b"
)
_NUMBERED_TWICE = re.compile(
    rf"\b(?:at|to|on|with|and|is|,|:)[ \n](\d{{2,6}} (?:{_CAP} ){{1,3}}\d{{1,4}}\b|"
    rf"\d{{2,6}} \d{{2,5}} {_CAP}(?: {_CAP}){{0,2}}\b)(?![:%])"
)
_TAIL = re.compile(
    rf"(?:[ ,\n]{{1,4}}\s{{0,6}}|,? ?\n[^\w\n]{{1,6}})(?:St\.|{_UNIT}|[A-Z]{{2}}(?:[ ,]{{1,2}}\d{{5}}(?:-\d{{4}})?)\b|"
    rf"(?P<zip>\d{{4,6}}(?:-\d{{4}})?)\b|"
    rf"(?P<place>{CAPITALISED}(?:[ -](?:(?:de|del|do|da|di|du|nad|na|u|am|an|im|of|on|upon|la|le|el) )?{CAPITALISED}){{0,3}}"
    rf"(?: \([^()\n]{{2,30}}\))?)(?!:))"
)
_ZIP = re.compile(
    r"(?i)\b(?:zip|zip ?code|postal ?code|post ?code|plz|postleitzahl|code postal|c\.?p\.?|cap)\b(?: (?:is|code|"
    r"number))*[ :=#\"*]{1,5}"
    r"([A-Z]?\d[A-Z\d][ -]?[A-Z\d]{1,5}(?:-\d{4})?)\b"
)
_POSTCODE = re.compile(r"(?<![\w-])(?:[A-Z]{1,2}\d[A-Z\d]? \d[ABD-HJLNP-UW-Z]{2}|[ABCEGHJ-NPRSTVXY]\d[A-Z] \d[A-Z]\d)(?![\w-])")
"""British and Canadian postcodes as they are printed, which nothing else looks like."""
_STATE_ZIP = re.compile(r"(?<=, )[A-Z]{2},? (\d{5}(?:-\d{4})?)\b")
_PERSONAL = re.compile(
    r"(?i)\b(?:I|I'?m|I'?ve|my|we|our|me|us|he|she|his|her|they|who|address|lives?|living|lived|born|moved|moving|travell?ing|"
    r"travel(?:led)?|trip|visit(?:ed|ing)?|flying|flight|stay(?:ing|ed)?|resident|hometown|office|branch(?:es)?|located|based|"
    r"deliver|ship(?:ped)?)\b"
)
_KNOWLEDGE = re.compile(
    r"(?i)\b(?:capital|population|history|historical|currency|president|minister|king|queen|empire|flag|largest|biggest|"
    r"century|war|"
    r"language|econom\w+|climate|explain|describe|essay|poem|story|country|countries|list|compare|famous|invented|"
    r"located in which)\b"
)
_HOME = re.compile(
    rf"\b(?:(?P<sure>(?i:originally from|(?:I'?m|I am|we'?re|we are|(?:he|she)(?:'s| is)|I come|(?:he|she) comes) from|"
    rf"(?:I'?m|I am|(?:he|she)(?:'s| is)) (?:currently |now |still )?in|"
    rf"born(?: and raised)? in|(?:grew|grown) up in|raised in|hometown(?: is| of)?|(?:resident|citizen|native) of|"
    rf"(?:my|our|his|her|their) (?:home|house|flat|apartment|family|parents|office|place)(?: is)? in|"
    rf"ich (?:wohne|lebe) in|ich komme aus|j'habite (?:à|en|au)|vivo (?:en|a)|moro em|abito a|woon in))|"
    rf"(?i:lives? (?:here )?in|lived in|living in|moved (?:here )?(?:to|from)|moving (?:here )?(?:to|from)|"
    rf"relocat(?:e|ed|ing) (?:to|from)|"
    rf"based in|resid(?:es?|ed|ing) in|(?:is|comes?|came) from|settled in)) "
    rf"(?P<place>(?:the )?{CAPITALISED}(?:[ -](?:(?:of|de|del|do|da|u|nad|am|upon|on|la|le) )?{CAPITALISED}){{0,3}}|"
    rf"[^\W\d_]{{4,20}}(?: [^\W\d_]{{2,20}}){{0,2}})"
)
_HOME_GATE = re.compile(
    r"from |live|living|born|gr[eo]wn? up|raised|hometown|(?:resident|citizen|native) of|mov(?:ed|ing) |relocat|based|resid|"
    r"settled|(?:m|s|now|still|currently|ly|home|house|flat|apartment|family|office|place) in |ich |habite|vivo|moro|abito|woon"
)
"""What every text with a match of `_HOME` has in lower case."""
_SOMEBODY = re.compile(
    r"(?:\b(?:[Ii]|[Ii]'?m|[Ww]e|[Mm]y|[Oo]ur|[Hh]e|[Ss]he|[Tt]hey|[Hh]is|[Hh]er|who|[Yy]ou)\b[^.!?\n]{0,60}|"
    r"\b[A-Z]\w+ (?:now )?)\Z"
)
_COMPANY = re.compile(
    rf"(?<!\w)(?:(?!(?:19|20)\d\d )\d{{1,4}} )?(?:{CAPITALISED}|&)(?: (?:{CAPITALISED}|&)){{0,3}},? "
    rf"(?:Inc|LLC|Ltd|GmbH|Corp|Corporation|PLC|S\.A\.|AG|"
    rf"B\.V\.|Pty|KG|Limited|Incorporated)\b\.?"
)
_EMPLOYER = re.compile(
    rf"\b(?:work(?:s|ed|ing)? (?:at|for)|employed (?:at|by)|employer is|job at|position at|"
    rf"hired by) ({CAPITALISED}(?: (?:{CAPITALISED}|&)){{0,3}})"
)


def find_places(text: str, *, everywhere: bool = False) -> list[Span]:
    """Addresses, postcodes, where somebody lives or is from, and employers in a normalised text; linear in the text's length.

    A place is personal when it belongs to an address or to a person (`I live in Lyon`), not when somebody travels there or asks
    about it. `everywhere` adds every listed place that stands near a word such as `I`, `visit` or `flight`.
    """
    spans = [Span(start, end, "STREET_ADDRESS", ADDRESS) for start, end in _addresses(text)]
    spans += [Span(*match.span(1), "ZIP_CODE", CUE) for match in _ZIP.finditer(text)]
    spans += [Span(*match.span(1), "ZIP_CODE", ADDRESS - 1) for match in _STATE_ZIP.finditer(text)]
    spans += [Span(*match.span(), "ZIP_CODE", ADDRESS - 1) for match in _POSTCODE.finditer(text)]
    spans += [Span(start, end, "LOCATION", PLACE) for start, end in _homes(text)]
    if everywhere:
        spans += [Span(start, end, "LOCATION", PLACE) for start, end in _listed(text)]
    spans += [Span(*match.span(), "ORGANIZATION", PLACE) for match in _COMPANY.finditer(text)]
    spans += [Span(*match.span(1), "ORGANIZATION", PLACE) for match in _EMPLOYER.finditer(text)]
    return spans


def _homes(text: str) -> Iterator[tuple[int, int]]:
    """Where somebody lives, was born, moved to or is from; lower-case words only when they are a listed place."""
    if not _HOME_GATE.search(text.lower()):
        return
    lists = gazetteer()
    for match in _HOME.finditer(text):
        start, end = match.span("place")
        sure = match["sure"] is not None
        before = text[max(0, match.start() - 80) : match.start()]
        if not sure and (not _SOMEBODY.search(before) or _KNOWLEDGE.search(before)):
            continue
        name = match["place"].removeprefix("the ")
        if name[0].isupper():
            words = name.lower().split(" ")
            listed = name.lower() in lists.places or words[-1] in lists.places
            if words[0] not in lists.never - _DIRECTIONS and (listed or (sure and words[0] not in lists.common)):
                yield start, end
        else:
            for length in (3, 2, 1):
                known = " ".join(name.split(" ")[:length])
                if known in lists.places and known not in lists.common and known not in lists.never:
                    yield start, start + len(known)
                    break


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    has_digit = _DIGIT.search(text) is not None
    if has_digit:
        for match in _ADDRESS_CUE.finditer(text):
            numbered = _NUMBERED.match(text, match.end())
            if numbered and not _is_quantity(numbered[0]):
                found.append(numbered.span())
        found += [match.span(1) for match in _NUMBERED_TWICE.finditer(text)]
        if _UNIT_GATE.search(text):
            found += [(match.start("address"), match.end()) for match in _UNIT_BLOCK.finditer(text)]
    lowered = text.lower()
    for street in _STREETS:
        if (has_digit or not street.numbered) and (not street.words or any(word in lowered for word in street.words)):
            found += [match.span() for match in street.pattern.finditer(text)]
    if has_digit and any(text.endswith(_GERMANIC_ENDS, 0, match.start()) for match in _HOUSE_NUMBER.finditer(text)):
        found += [match.span() for pattern in _GERMANIC_STREETS for match in pattern.finditer(text)]
    for start, end in found:
        number = _NUMBER_BEFORE.search(text, max(0, start - 8), start)
        yield number.start() if number else start, _with_tail(text, end)


_NUMBER_BEFORE = re.compile(r"(?<![\w.,$€£])\d{1,6} \Z")


def _is_quantity(value: str) -> bool:
    words = value.split()
    return (
        len(words) < 2 or not any(c.isalpha() for c in value) or (words[0].isdigit() and len(words) == 2 and words[1].isupper())
    )


def _with_tail(text: str, end: int) -> int:
    """Where the address that has its street up to `end` ends: units, places and postcodes after commas or line breaks."""
    lists = gazetteer()
    never = lists.never - _DIRECTIONS
    while text[end - 1].isspace():
        end -= 1
    for _ in range(7):
        match = _TAIL.match(text, end)
        if match is None:
            return end
        if match["place"]:
            between = text[end : match.start("place")]
            separated = "," in between or "\n" in between or _UNIT_END.search(text, max(0, end - 14), end) is not None
            place = match["place"].lower().partition(" (")[0]
            closed = separated and _CLOSED.match(text, match.end()) is not None
            follows = _TAIL.match(text, match.end()) if separated and not closed else None
            closed = closed or (follows is not None and (follows["place"] or "").lower() in lists.places)
            last = place.rpartition(" ")[2]
            known = place in lists.places or (separated and last in lists.places and len(last) > 4)
            if not (known or closed) or place in never or place.partition(" ")[0] in never:
                return end
        end = match.end()
    return end


_DIRECTIONS = frozenset(
    {"north", "south", "east", "west", "saint", "san", "united", "new", "el", "la", "los", "las", "le", "les", "st"}
)
"""First words of places that are no names of people (`never`) by themselves."""
_UNIT_END = re.compile(rf"(?:{_UNIT})\Z")
_CLOSED = re.compile(r"[ ,]{0,2}(?:\n|[A-Z]{2}\b|\d{4,6}\b)|\s*\n\s*\d|[.?]?\Z")


def _listed(text: str) -> Iterator[tuple[int, int]]:
    lists = gazetteer()
    for match in _WORD.finditer(text):
        for start, end in _longest_places(match, lists.places):
            name = text[start:end].lower()
            if name in lists.common or name in lists.never or len(name) < 4 or name in lists.first:
                continue
            if text[start:end].isupper():
                continue
            around = text[max(0, start - 120) : end + 80]
            if _PERSONAL.search(around) and not _KNOWLEDGE.search(around):
                yield start, end


def _longest_places(run: re.Match[str], places: frozenset[str]) -> Iterator[tuple[int, int]]:
    words = [(m.start(), m.end()) for m in re.finditer(r"\S+", run[0])]
    position = 0
    while position < len(words):
        for last in range(len(words), position, -1):
            start, end = words[position][0], words[last - 1][1]
            if run[0][start:end].lower() in places:
                yield run.start() + start, run.start() + end
                position = last
                break
        else:
            position += 1
