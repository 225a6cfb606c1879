r"""Who somebody is online: user names after cues, in URLs, paths and shell prompts; handles, wallets, personal web sites."""

import hashlib
import re
from collections.abc import Iterator

from flywheel.curate.scrub.spans import CHECKSUM, CUE, REPEAT, Span

_USER = re.compile(
    r"(?i)\b(?:user(?:[ _-]?(?:name|id))?|login|handle|screen ?name|nickname|account name|profile)(?: (?:is|was|called)|"
    r"[ ]?[:=]){1,2} ?"
    r"[\"'`*@]{0,3}([A-Za-z][\w.-]{2,31})"
)
_HANDLE = re.compile(
    r"(?i)\b(?:twitter|instagram|insta|telegram|tiktok|snapchat|discord|github|follow|mastodon|bluesky|threads)\b"
    r"[^\n@]{0,20}(@\w{3,30}(?:\.\w{2,30}){0,3})\b"
)
_PROFILE = re.compile(
    r"(?i)\b(?:linkedin\.com/(?:in|pub)|(?:reddit\.com|redd\.it)/u(?:ser)?|steamcommunity\.com/id|"
    r"news\.ycombinator\.com/user\?id=|"
    r"(?:twitter|instagram|facebook|fb|t|wa|snapchat|tiktok|youtube|medium|threads|keybase|about|linktr|paypal|venmo|cash)"
    r"\.(?:com|net|me|io|ee|app)(?:/add|/u)?)/?(?<=[/=])[@~$]?([\w.%-]{2,60})(?=[/?#\s\"'<>),.;:!\]]|\Z)"
)
_LONE_PROFILE = re.compile(
    r"(?i)\b(?:github|gitlab|bitbucket|x)\.(?:com|org)/@?([\w-]{2,39})/?(?=[?#\s\"'<>),;:!\]]|\.?(?:\s|\Z))"
)
"""On these a longer path is a project or a post, so only an address that ends with the name is somebody's."""
_NO_PROFILE = re.compile(
    r"(?i)(?:about|add|ads?|api|app|apps|blog|business|channel|company|contact|dialog|docs|download|events?|explore|features|"
    r"feed|groups?|hashtag|help|home|i|index|intent|jobs|login|me|news|p|pages?|playlist|posts?|pricing|privacy|reel|search|"
    r"security|settings|share|sharer|shorts|signup|status|story|support|tag|tags|terms|topics?|tv|user|users|username|"
    r"video|watch|web|your.*|\d{1,3}|[\w-]*(?:example|sample)[\w-]*)(?:\.php)?\Z"
)
_HOME = re.compile(
    r"(?i)(?:(?<![\w.])(?:/home|(?-i:/Users)|/var/mail|/media|/export/home)/|"
    r"\b[a-z]:(?:\\{1,2}|/)(?:users|documents and settings)(?:\\{1,2}|/))"
    r"([^\W_][\w.-]{1,31}(?: [^\W\d_][\w.-]{1,24}){0,2}(?=[\\/])|[^\W_][\w.-]{1,31})"
)
_SHARED_HOME = re.compile(
    r"(?i)(?:\.{0,3}|root|user|users|usr|user\s?\d{0,2}|username|user_?name|your.*|my_?(?:user|name).*|me|myself|name|ubuntu|debian|fedora|"
    r"centos|admin|administrator|adm|public|shared|guest|default|defaultuser\d?|runner|runneradmin|vagrant|docker|ec2-user|pi|"
    r"node|app|dev|developer|deploy|jovyan|git|gitpod|codespace|vscode|jenkins|hadoop|spark|postgres|mysql|www|www-data|web|"
    r"data|all users|test|tester|testuser|demo|example|some.*|foo|bar|path|project|projects|work|workspace|oracle|linuxbrew|"
    r"sandbox|student|server|service|steam|desktop|documents|downloads|python|anaconda\d?|conda|nvidia|colab|kaggle|ftp|backup)\Z"
)
_PROMPT = re.compile(r"(?m)^\(?[^\n$#@]{0,12}?([a-z][\w.-]{1,31})@[\w.-]{1,40}:[~/][^\n$#]{0,60}[$#] ")
_LOGIN = re.compile(r"\b(?:ssh|scp|sftp|rsync)(?: +-[^\n]{1,40}?)?[^\n@]{1,60}?[ =]([a-z][\w.-]{1,31})@(?=[\w.-]{2,60})")
_SITE = re.compile(
    r"(?im)(?:^[^\w\n]{0,4}(?:personal )?(?:web ?(?:site|page)|home ?page|blog|portfolio|url|linkedin|github)\s{0,2}:|"
    r"\b(?:my|his|her|their|our) (?:\w{1,12} ){0,2}"
    r"(?:site|page|blog|portfolio|profile|photos?)\b|\bposted\b)[^\n]{0,30}?[\s:(<\"']{1,4}((?:https?://|www\.)[^\s<>\"')\]]{4,200})"
)
_ETHEREUM = re.compile(r"(?<![\w/])0x[0-9a-fA-F]{40}(?!\w)")
_CARDANO = re.compile(r"\b(?:addr1[a-z0-9]{50,110}|ltc1[a-z0-9]{39,59}|4[0-9AB][1-9A-HJ-NP-Za-km-z]{93})\b")
_BASE58_RUN = re.compile(r"(?<![\w/])(?=[LMDTXrAt])[1-9A-HJ-NP-Za-km-z]{26,36}(?!\w)")
_WEAKEST = REPEAT - 1
"""A directory or profile that repeats a name or address known from the conversation is rather that."""
_BITCOIN_LETTERS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_RIPPLE_LETTERS = "rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz"


def find_accounts(text: str) -> Iterator[Span]:
    """Spans of what this module is about, in a normalised text. Time is linear: every expression is bounded."""
    yield from _users(text)
    if "@" in text:
        yield from _captured(text, _HANDLE)
        yield from _logins(text)
    if "/" in text or "\\" in text:
        yield from _profiles(text)
        yield from _homes(text)
        yield from (Span(*_without_stop(text, *match.span(1)), "URL", CUE) for match in _SITE.finditer(text))
    yield from _wallets(text)


def _captured(text: str, pattern: re.Pattern[str]) -> Iterator[Span]:
    return (Span(*match.span(1), "USER_ID", CUE) for match in pattern.finditer(text))


def _users(text: str) -> Iterator[Span]:
    for match in _USER.finditer(text):
        value = match[1]
        is_code = text[match.end(1) : match.end(1) + 1] in ("(", "[", ";") or (
            "= " in match[0] and match[0][-len(value) - 1] == " "
        )
        if not is_code and any(c.isdigit() or c in "_." for c in value.rstrip(".")) and not value.startswith(("http", "www.")):
            end = match.end(1) - (len(value) - len(value.rstrip(".-")))
            yield Span(match.start(1), end, "USER_ID", CUE)


def _logins(text: str) -> Iterator[Span]:
    for pattern in (_PROMPT, _LOGIN):
        for match in pattern.finditer(text):
            if not _SHARED_HOME.match(match[1]):
                yield Span(*match.span(1), "USER_ID", _WEAKEST)


def _profiles(text: str) -> Iterator[Span]:
    for pattern in (_PROFILE, _LONE_PROFILE):
        for match in pattern.finditer(text):
            start, end = _without_stop(text, *match.span(1))
            if not _NO_PROFILE.match(text[start:end]):
                yield Span(start, end, "USER_ID", _WEAKEST)


def _homes(text: str) -> Iterator[Span]:
    """The user's directory: `/home/mli/notes`, `C:\\Users\\Mia Li\\Desktop`; accounts that every machine has stay."""
    for match in _HOME.finditer(text):
        start, end = _without_stop(text, *match.span(1))
        if not _SHARED_HOME.match(text[start:end]):
            yield Span(start, end, "USER_ID", _WEAKEST)


def _without_stop(text: str, start: int, end: int) -> tuple[int, int]:
    while end > start and text[end - 1] in ".,;:!?-":
        end -= 1
    return start, end


def _wallets(text: str) -> Iterator[Span]:
    if "0x" in text:
        yield from (Span(*match.span(), "CRYPTO", CHECKSUM) for match in _ETHEREUM.finditer(text))
    yield from (Span(*match.span(), "CRYPTO", CHECKSUM) for match in _CARDANO.finditer(text))
    for match in _BASE58_RUN.finditer(text):
        if is_base58check(match[0], _RIPPLE_LETTERS if match[0][0] == "r" else _BITCOIN_LETTERS):
            yield Span(*match.span(), "CRYPTO", CHECKSUM)


def is_base58check(value: str, letters: str = _BITCOIN_LETTERS) -> bool:
    """Whether the value's last four bytes are the double SHA-256 of the others, as in addresses of Bitcoin and its kin."""
    number = 0
    for character in value:
        digit = letters.find(character)
        if digit < 0:
            return False
        number = number * 58 + digit
    leading = len(value) - len(value.lstrip(letters[0]))
    decoded = bytes(leading) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    check = hashlib.sha256(hashlib.sha256(decoded[:-4]).digest()).digest()
    return len(decoded) > 20 and check[:4] == decoded[-4:]
