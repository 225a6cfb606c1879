"""Addresses and places: street patterns of several languages, address blocks, postcodes, places near first-person words."""

import re
from collections.abc import Iterator

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
_GERMANIC = (
    r"(?:straße|strasse|str\.|gasse|weg|platz|allee|ring|damm|ufer|steig|gata|gatan|gate|vej|vegen|veien|vägen|stien|gade|"
    r"katu|tie|"
    r"kuja|straat|laan|plein|kade|dreef|utca|utcája|út|útja|tér|tere|köz|sor)"
)
_STREETS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?<![\w.])\d{{1,6}}[A-Za-z]?(?:[ ,]{{1,2}}\d{{1,5}}(?:st|nd|rd|th)?)?(?: {_CAP}){{0,4}}(?: \d{{1,3}}(?:st|nd|"
        rf"rd|th))? {_SUFFIX}\b\.?",
        rf"(?<=[ \n])(?:{_CAP} ){{1,3}}(?:Street|Avenue|Road|Lane|Drive|Boulevard|Blvd)\b",
        rf"\b(?:\d{{1,6}} )?(?:{_CAP} ){{0,2}}[{UPPER}][^\W\d_]{{0,20}}"
        rf"(?:-[^\W\d_]{{1,20}}){{0,3}}{_GERMANIC} \d{{1,4}} ?[a-zA-Z]?\b",
        rf"\b(?:\d{{1,6}} )?(?:{_CAP} ){{1,2}}(?:{_GERMANIC}|u\.|krt\.) \d{{1,4}}\.?",
        rf"(?<!\w)\d{{1,4}}(?: ?(?:bis|ter))?,? {_ROMANCE} {_SMALL}{_CAP}(?:[ -]{_SMALL}{_CAP}){{0,3}}",
        rf"(?<!\w){_ROMANCE} {_SMALL}{_CAP}(?:[ -]{_SMALL}{_CAP}){{0,3}},? (?:n[º°.]? ?)?\d{{1,5}}\b",
        rf"(?m)^[^\w\n]{{0,5}}(?:address:? ?)?\d{{1,6}}(?: {_CAP}| {_SMALL}){{1,5}} \d{{1,4}}\b[ ]{{0,3}}$",
        r"\b(?:(?:USS|USNS|USNV|USCGC|PSC) [^\n,]{1,30}|Unit \d{1,5} Box \d{1,5})[,\n ]{1,4}[ADF]PO,? A[AEP] \d{5}\b",
        r"\b(?i:p\.? ?o\.? ?box|postfach|apartado) \d{1,7}\b",
    )
)
_UNIT_WORD = r"(?:Suite|Ste|Apt|Apartment|Unit|Floor|Flat|Room|Wohnung)\.? #?\d{1,5}[A-Za-z]?"
_UNIT = rf"{_UNIT_WORD}|#\d{{1,5}}[A-Za-z]?"
_UNIT_BLOCK = re.compile(
    rf"(?:[^\n\d]{{0,60}} )?(?P<address>\d{{1,6}} [^\n.?!:]{{2,60}}|"
    rf"{_CAP}(?: {_CAP}){{0,3}} \d{{1,4}})[ ]?[,\n][^\w\n]{{0,8}}(?:{_UNIT_WORD})"
)
_ADDRESS_CUE = re.compile(
    r"(?i)\b(?:address(?:es)?(?: (?:is|was|to|of))?|live[sd]?(?: at| in| on)?|living (?:at|in|on)|located (?:at|in|on)|"
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
    rf"(?P<place>{CAPITALISED}(?:[ -]{CAPITALISED}){{0,3}}))"
)
_ZIP = re.compile(
    r"(?i)\b(?:zip|zip ?code|postal ?code|post ?code|plz|postleitzahl|code postal|c\.?p\.?|cap)\b(?: (?:is|code|"
    r"number))*[ :=#\"*]{1,5}"
    r"([A-Z]?\d[A-Z\d][ -]?[A-Z\d]{1,5}(?:-\d{4})?)\b"
)
_STATE_ZIP = re.compile(r"(?<=, )[A-Z]{2},? (\d{5}(?:-\d{4})?)\b")
_HERE = re.compile(
    r"(?i)\b(?:I|I'?m|I'?ve|my|we|our|me|us|he|she|his|her|address|lives?|living|lived|born|moved|moving|travell?ing|"
    r"travel(?:led)?|trip|"
    r"visit(?:ed|ing)?|flying|flight|stay(?:ing|ed)?|resident|hometown|office|branch(?:es)?|located|based|deliver|ship(?:ped)?)\b"
)
_KNOWLEDGE = re.compile(
    r"(?i)\b(?:capital|population|history|historical|currency|president|minister|king|queen|empire|flag|largest|biggest|"
    r"century|war|"
    r"language|econom\w+|climate|explain|describe|essay|poem|story|country|countries|list|compare|famous|invented|"
    r"located in which)\b"
)
_WHERE = re.compile(
    rf"\b(?:originally from|(?:I'm|I am|we're|comes?|is) from|born in|lives? in|living in|moved? to|moving to|based in|"
    rf"grew up in|"
    rf"residing in|arrived (?:at|in)|travell?ing to|flying to|(?:I am|I'm|am) in|back from|lost in|stuck in) "
    rf"((?:the )?{CAPITALISED}(?:[ -]{CAPITALISED}){{0,3}})"
)
_COMPANY = re.compile(
    rf"(?<!\w)(?:{CAPITALISED}|&)(?: (?:{CAPITALISED}|&)){{0,3}},? (?:Inc|LLC|Ltd|GmbH|Corp|Corporation|PLC|S\.A\.|AG|"
    rf"B\.V\.|Pty|KG|Limited|Incorporated)\b\.?"
)
_EMPLOYER = re.compile(
    rf"\b(?:work(?:s|ed|ing)? (?:at|for)|employed (?:at|by)|employer is|job at|position at|"
    rf"hired by) ({CAPITALISED}(?: (?:{CAPITALISED}|&)){{0,3}})"
)


def find_places(text: str) -> list[Span]:
    """Addresses, postcodes, listed places and employers in a normalised text. Time is linear in the text's length."""
    spans = [Span(start, end, "STREET_ADDRESS", ADDRESS) for start, end in _addresses(text)]
    spans += [Span(*match.span(1), "ZIP_CODE", CUE) for match in _ZIP.finditer(text)]
    spans += [Span(*match.span(1), "ZIP_CODE", ADDRESS - 1) for match in _STATE_ZIP.finditer(text)]
    spans += [Span(start, end, "LOCATION", PLACE) for start, end in _listed(text)]
    spans += [Span(*match.span(1), "LOCATION", PLACE) for match in _WHERE.finditer(text)]
    spans += [Span(*match.span(), "ORGANIZATION", PLACE) for match in _COMPANY.finditer(text)]
    spans += [Span(*match.span(1), "ORGANIZATION", PLACE) for match in _EMPLOYER.finditer(text)]
    return spans


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    if any(character.isdigit() for character in text):
        for match in _ADDRESS_CUE.finditer(text):
            numbered = _NUMBERED.match(text, match.end())
            if numbered and not _is_quantity(numbered[0]):
                found.append(numbered.span())
        found += [match.span(1) for match in _NUMBERED_TWICE.finditer(text)]
        found += [(match.start("address"), match.end()) for match in _UNIT_BLOCK.finditer(text)]
    found += [match.span() for pattern in _STREETS for match in pattern.finditer(text)]
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
    places = gazetteer().places
    never = gazetteer().never - {"north", "south", "east", "west"}
    for _ in range(6):
        match = _TAIL.match(text, end)
        if match is None:
            return end
        place = match["place"]
        if place:
            separated = not text[end : match.start("place")].isspace() or "\n" in text[end : match.start("place")]
            known = place.lower() in places
            closed = re.match(r"[ ,]{0,2}(?:\n|[A-Z]{2}\b|\d{4,6}\b)|\s*\n\s*\d", text[match.end() : match.end() + 12])
            if not (known or (separated and closed)) or place.lower() in never:
                return end
        end = match.end()
    return end


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
            if _HERE.search(around) and not _KNOWLEDGE.search(around):
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
