"""Numbers and ids that a cue or a checksum gives away: cards, phones, ages, dates of birth, account and licence numbers."""

import re
from collections.abc import Iterator

from flywheel.curate.scrub.accounts import find_accounts
from flywheel.curate.scrub.letters import CAPITALISED
from flywheel.curate.scrub.spans import CHECKSUM, CUE, PATTERN, Span

_DIGIT = re.compile(r"\d")
_IBAN = re.compile(r"\b[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?\b", re.ASCII)
MONTH = (
    r"(?:jan(?:uary|uar)?|feb(?:ruary|ruar)?|mar(?:ch|z)?|märz|apr(?:il)?|may|mai|jun[ei]?|jul[yi]?|aug(?:ust)?|"
    r"sept?(?:ember)?|o[ck]t(?:ober)?|nov(?:ember)?|de[cz](?:ember)?|"
    r"janvier|février|mars|avril|juin|juillet|août|septembre|octobre|novembre|décembre|"
    r"enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre|"
    r"gennaio|febbraio|aprile|maggio|giugno|luglio|settembre|ottobre|dicembre|"
    r"janeiro|fevereiro|março|maio|junho|julho|setembro|outubro|novembro|dezembro|januari|februari|maart|mei|augustus)"
)
DATE = (
    rf"(?:\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}|\d{{1,2}}[-/.] ?\d{{1,2}}[-/.] ?\d{{2,4}}|"
    rf"{MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}|"
    rf"\d{{1,2}}(?:st|nd|rd|th|\.)? (?:(?:of|de|di) )?{MONTH}\.?,? (?:de |del )?\d{{4}}|"
    rf"\d{{1,2}}-{MONTH}-\d{{2,4}})"
)
_DAY = rf"(?:{MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?|(?:the )?\d{{1,2}}(?:st|nd|rd|th|\.)? (?:of )?{MONTH}|\d{{1,2}}[/.]\d{{1,2}})\b"

_CARD = re.compile(r"(?<![^\W_])(?<!\.)\d(?:[ \u00a0._*·•~'\-–—−/\\]{0,2}\d){11,18}(?!\d|[.,]\d)")
"""12 to 19 digits with separators that no list has. Not at the end of a word, nor behind a decimal point."""
_LISTED_CARD = re.compile(
    r"(?<![\w.])(?<!\d[,;:|])(?<!\d[,;:|] )(?:\d{4}([,;:|]{1,2} ?| ?[|:] ?|\s{3,6}|\n)\d{4}\1\d{4}\1\d{4}|"
    r"3\d{3}([,;:|] ?|\n)\d{6}\2\d{5})(?!\w|\s?[,;:|.] ?\d)"
)
"""Four fours or an Amex's groups between separators that lists have too."""
_CARD_CUE = re.compile(r"(?i)\b(?:card|cc|visa|amex|master ?card|maestro|discover|karte|tarjeta|carte)\b[^.\n]{0,40}\Z")
_THOUSANDS = re.compile(r"\d{1,3}([ .,'_])\d{3}(?:\1\d{3})*\Z")
_LAST_FOUR = re.compile(
    r"(?i)\b(?:ending|ends|ended|last (?:four|4)(?: digits)?)(?: (?:in|with|of|is|are|being|:))*[ :*#x•]{0,8}(\d{4})\b"
)
_PHONE = re.compile(
    r"(?i)\b(?:phones?|tele?(?:phone|fon)?|mobile|cell(?:phone)?|call(?:ing|ed)?|text (?:me|us|him|her|them)|sms|"
    r"messages? (?:to|on|at)|registered|ring(?:ing)?|hotline|pager|whatsapp|answer(?:ing)?|fax|whats ?app|dial|reach(?:ed)?|"
    r"contact|handy|rufnummer|m[óo]vil|t[ée]l[ée]phone|cel(?:ular)?|office|home|work|(?:my|his|her|our|their|your) number)\b"
    r"[^\d\n+(]{0,25}[\n ]?(\+?\(?\d[\d ().\-/\u00a0x+]{5,22}\d)(?!\w)"
)
_NO_PHONE = re.compile(rf"(?i){DATE}|\d+[.]\d\d|\d{{1,3}}(?:\.\d{{1,3}}){{3}}")
_AGE = re.compile(
    r"(?i)\b(\d{1,3})(?:[- ]?(?:years?|yrs?|months?|weeks?)[- ]?olds?\b|[- ]?(?:y/o|y\.o\.|yo)(?!\w)|"
    r"[- ]years?(?= (?:of age|female|male)))|"
    r"\b(?:aged?|turn(?:ed|ing|s)|alter|edad|[âa]ge)(?: (?:is|of|just))?[: ]{1,2}(\d{1,3})\b(?![-.,/:]?\d|[ -](?:%|days|"
    r"minutes|hours))|"
    r"\b(?:I'?m|I am|she'?s|he'?s|(?:she|he) is|was) (\d{1,3})(?=[.,;!?\n]|\Z| and\b| now\b| but\b)"
)
_BIRTH = re.compile(
    rf"(?i)\b(?:born|birth ?(?:date|day)|date of birth|d\.?o\.?b\.?|geboren|geburtsdatum|n[ée]e?|naissance|nacido|nacimiento)"
    rf"(?![a-z])[^\d\n]{{0,30}}?({DATE})"
)
_BIRTHDAY = re.compile(rf"(?i)\bbirthday(?:'s)?(?: (?:is|was|falls))?(?: on)?[ :]{{1,2}}({_DAY})")
_BIRTH_YEAR = re.compile(
    r"(?i)\b(?:(?:I|he|she|who|(?:son|daughter|wife|husband|mother|father)) (?:was|is) born in|born in|year of birth|birth ?year)"
    r"[ :]{1,2}((?:19[2-9]|20[0-2])\d)\b"
)
_KIND = (
    r"(?P<kind>driver'?s?[' ]?licen[cs]e|licen[cs]e|passport|bank account|account|acct|member(?:ship)?|policy|claim|patient|mrn|"
    r"employee|staff|student|insurance|tax|vat|national id|ssn|social security|sin|routing|booking|reservation|confirmation|"
    r"order|ticket|customer|client|invoice|case|certificate|gift card|loyalty|frequent flyer|vin|license plate|plate|imei|"
    r"aadhaar|pan card|pan|nino|national insurance|nhs|medicare|dni|nie|cpf|cnpj|curp|rfc|bsn|pesel|c[ée]dula|rut|tin|itin|ein|"
    r"steuer-?id|nric|fin|personnummer|id card|identity card|iban|sort code|swift|bic|prescription|docket|badge|"
    r"user|konto|kunden|ausweis|cuenta|compte)"
)
_BY_CUE = re.compile(
    rf"(?i)\b{_KIND}(?:[ _-]?(?:number|nummer|no\.?|num|nr\.?|ids?|code|ref(?:erence)?|identifier))?"
    r"(?:['\"*]{0,2}(?: (?:is|was|are|for|of|with|under)|[ ]?[:=#]){0,2}[ \n\"'*#]{1,4}|"
    r"#)(?P<value>[A-Za-z0-9](?:[A-Za-z0-9_]|-(?=\w)){3,24})\b"
)
_BEHIND_NAME = re.compile(rf"(?<!\w){CAPITALISED}(?:,? {CAPITALISED}){{1,4}} \((\d{{7,12}})\)")
_LETTERS_ONLY = re.compile(
    r"\b(?:reservation|booking|confirmation)(?: (?i:number|code|id|reference))[^A-Z0-9\n]{1,12}([A-Z0-9]{6})\b"
)
_SNAKE_ID = re.compile(r"(?<![\w-])[a-z]{2,15}_[a-z]{2,15}_\d{3,6}(?![\w-])")
_PAYMENT = re.compile(
    r"(?i)(?<![\w-])(?:credit_card|debit_card|gift_card|certificate|paypal|payment|card|account|bank)_\d{4,12}(?!\w)"
)
_PAYMENT_WORDS = re.compile(
    r"(?i)\b(?:certificate|gift card|voucher|payment)s?(?: (?:id|number|no\.?|code))?[ :#*`\"']{1,4}(\d{5,12})\b"
)
_ENTITY = {
    "driver": "US_DRIVER_LICENSE",
    "licen": "US_DRIVER_LICENSE",
    "passport": "PASSPORT",
    "ssn": "US_SSN",
    "social": "US_SSN",
    "user": "USER_ID",
}


def find_numbers(text: str) -> list[Span]:
    """Spans of what this module is about, in a normalised text. Time is linear: every expression is bounded."""
    spans = [*find_accounts(text), *_captured(text, _LETTERS_ONLY, "ACCOUNT_ID")]
    if _DIGIT.search(text):
        spans += [*_cards(text), *_by_cue(text), *_ages(text)]
        spans += [Span(*match.span(), "IBAN_CODE", CHECKSUM) for match in _IBAN.finditer(text) if is_iban(match[0])]
        for birth in (_BIRTH, _BIRTHDAY, _BIRTH_YEAR):
            spans += _captured(text, birth, "DATE_OF_BIRTH")
        spans += [s for s in _captured(text, _PHONE, "PHONE_NUMBER") if _is_phone(text[s.start : s.end])]
        spans += _captured(text, _LAST_FOUR, "CARD_LAST4")
        spans += _captured(text, _BEHIND_NAME, "ACCOUNT_ID")
        spans += _captured(text, _PAYMENT_WORDS, "PAYMENT_ID")
        if "_" in text:
            spans += [Span(*match.span(), "USER_ID", PATTERN) for match in _SNAKE_ID.finditer(text)]
            spans += [Span(*match.span(), "PAYMENT_ID", PATTERN) for match in _PAYMENT.finditer(text)]
    return spans


def is_iban(value: str) -> bool:
    """Whether letters and digits are an account number with a valid checksum (ISO 13616, modulo 97), in either case."""
    text = re.sub(r"[ -]", "", value).upper()
    moved = text[4:] + text[:4]
    return 15 <= len(text) <= 34 and int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def luhn(digits: str) -> bool:
    """Whether decimal digits pass the checksum of payment cards (ISO/IEC 7812-1)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _captured(text: str, pattern: re.Pattern[str], entity: str) -> list[Span]:
    found = ((match, match.lastindex or 0) for match in pattern.finditer(text))
    return [Span(*match.span(group), entity, CUE) for match, group in found]


def _cards(text: str) -> Iterator[Span]:
    for match in (*_CARD.finditer(text), *_LISTED_CARD.finditer(text)):
        groups = [(match.start() + g.start(), match.start() + g.end()) for g in re.finditer(r"\d+", match[0])]
        strength = _card_strength(text, match.start(), match.end())
        if strength:
            yield Span(*match.span(), "CREDIT_CARD", strength)
        elif len(groups) > 1:
            alone = (
                (start, end) for start, end in groups if end - start > 11 and "." not in text[start - 1] + text[end : end + 1]
            )
            long = ((start, end, _card_strength(text, start, end)) for start, end in alone)
            yield from (Span(start, end, "CREDIT_CARD", found) for start, end, found in long if found)


def _card_strength(text: str, start: int, end: int) -> int:
    """How sure these digits are a card's number: CHECKSUM, CUE, 0 for not at all."""
    value = text[start:end]
    groups = [len(group) for group in re.findall(r"\d+", value)]
    digits = re.sub(r"\D", "", value)
    if len({*re.findall(r"\d+", value)}) == 1 < len(groups) or len(set(digits)) == 1 or not _is_written_as_card(value, groups):
        return 0
    issued = digits[0] in "23456" or digits.startswith(("1800", "2131"))
    if issued and luhn(digits):
        return CHECKSUM
    return CUE if _CARD_CUE.search(text, max(0, start - 60), start) else 0


def _is_written_as_card(value: str, groups: list[int]) -> bool:
    """In groups as on a card or alike, or digit by digit in full length: no column of numbers, no thousands."""
    if len(groups) == 1:
        return True
    if set(groups) == {1}:
        return len(groups) == 16 and len(set(re.findall(r"\D+", value))) == 1
    return (min(groups) >= 3 or len(set(groups)) == 1) and not _THOUSANDS.match(value)


def _is_phone(value: str) -> bool:
    digits = sum(c.isdigit() for c in value)
    return 7 <= digits <= 15 and not _NO_PHONE.fullmatch(value)


def _ages(text: str) -> Iterator[Span]:
    for match in _AGE.finditer(text):
        group = match.lastindex or 0
        if int(match[group]) <= 120:
            yield Span(*match.span(group), "AGE", CUE)


def _by_cue(text: str) -> Iterator[Span]:
    for match in _BY_CUE.finditer(text):
        value = match["value"]
        if sum(c.isdigit() for c in value) >= 3 and not re.fullmatch(DATE, value):
            kind = match["kind"].lower()
            entity = next((name for prefix, name in _ENTITY.items() if kind.startswith(prefix)), "ACCOUNT_ID")
            yield Span(*match.span("value"), entity, CUE - 1)
