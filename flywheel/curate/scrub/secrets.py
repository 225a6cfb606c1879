"""Secrets by their format: gitleaks' rules as data, and what those rules do not cover.

Source: https://github.com/gitleaks/gitleaks, config/gitleaks.toml (MIT; see data/NOTICE), written for Go's RE2. Rules bound to
a file name do not apply to chats, and the rules for `curl` and Kubernetes backtrack too much in Python; ours stand in.
"""

import math
import re
import tomllib
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from flywheel.curate.scrub.spans import CHECKSUM, Span
from flywheel.curate.scrub.windows import windows

SECRET = "SECRET"
_SKIPPED = {"curl-auth-header", "curl-auth-user", "kubernetes-secret-yaml"}
_ANYWHERE = {"freemius-secret-key"}
"""Bound to a file name, but precise without it."""
_LONG_TOKEN = re.compile(r"[^\s\"'`,;<>]{12}|-----BEGIN")
_PEM = re.compile(r"-----BEGIN[ A-Z0-9_-]{0,60}PRIVATE KEY(?: BLOCK)?-----")
_PEM_BODY = re.compile(r"(?:[\sA-Za-z0-9+/=:,.\\-]){0,20000}")
_NO_SECRET = re.compile(
    r"(?i)^(?:[<\[{$%*.#].*|.*\(.*|[x*•.\-_]+|(?:your|my|the|example|changeme|none|null|undefined|true|false|str(?:ing)?|"
    r"text|int|required|optional|hidden|redacted|process|os|env|config|settings|self|this|request|req|user|password|secret)"
    r"(?:$|[\W_].*))$"
)


class Rule(NamedTuple):
    """One of gitleaks' rules: any of `keywords` in the lower-cased text first, then the pattern, then entropy in bits."""

    id: str
    pattern: re.Pattern[str]
    keywords: tuple[str, ...]
    entropy: float
    group: int
    allowed: tuple[re.Pattern[str], ...]
    allowed_matches: tuple[re.Pattern[str], ...]
    stopwords: tuple[str, ...]


_EXTRA = tuple(
    re.compile(pattern)
    for pattern in (
        r"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s:/@'\"]{0,64}:([^\s/@'\"]{3,128})@",
        r"(?i)\bbearer[ \t]+([A-Za-z0-9._~+/-]{16,2000}=*)",
        r"(?i)\bauthorization['\"]?[ \t]*[:=][ \t]*['\"]?basic[ \t]+([A-Za-z0-9+/]{8,500}={0,2})",
        r"(?i)[?&](?:access_token|refresh_token|id_token|token|api_?key|auth|sig|signature|key|secret|client_secret|password)"
        r"=([^\s&#\"'<>]{8,2000})",
        r"(?i)\b(?:aws_?)?secret_?(?:access_?)?key\b['\"]?\s{0,3}[=:]\s{0,3}['\"]?([A-Za-z0-9/+=]{40})(?![A-Za-z0-9/+=])",
        r"(?i)\bcurl\b[^\n]{0,300}?\s(?:-u|--user)[ =]?['\"]?[^\s:'\"]{1,64}:([^\s'\"]{3,128})",
        r"(?i)\s(?:-H|--header)[ =]?['\"](?:x-)?[\w-]{0,30}(?:key|token|secret|auth\w*):[ \t]{0,3}(?:\w{1,20} )?"
        r"([^\s'\"]{8,2000})",
        r"(?i)\bkey=\"(?:clear ?text)?password\"\s{1,8}value=\"([^\"\n]{4,256})\"",
        r"(?<![\w:])(\d{8,10}:AA[A-Za-z0-9_-]{30,36})(?![\w-])",
        r"(?<![\w.-])([MN][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40})(?![\w-])",
    )
)
_KUBERNETES = re.compile(
    r"(?m)^[ \t]{0,8}(?:data|stringData):[ \t]{0,4}\n((?:[ \t]{1,12}[\w.-]{1,64}:[ \t]{0,4}[^\n]{1,2000}\n?){1,30})"
)
_KUBERNETES_VALUE = re.compile(r"(?m):[ \t]{0,4}['\"]?([^\s'\"]{4,2000})['\"]?[ \t]{0,4}$")
_PASSWORD = re.compile(
    r"(?i)(?<![a-z])(?:password|passwort|passwd|pwd|passphrase|kennwort|contraseña|mot de passe|senha|wachtwoord)"
    r"(?:['\"]?\s{0,2}(?:=>|[:=])\s{0,2}|\s(?:is|was|ist|es|est|to)\s)['\"`]?([^\s'\"`,;<>]{4,128})"
)
_ODD_CASE = re.compile(r"[a-z][A-Z]")


def find_secrets(text: str) -> list[Span]:
    """Secret values in a normalised text, the value only where a rule captures one. Time is linear in the text's length."""
    if not _LONG_TOKEN.search(text) and "as" not in text.lower():
        return []
    spans = [Span(start, end, SECRET, CHECKSUM + 5) for start, end in _pem_keys(text)]
    for offset, piece in windows(text, size=4096, overlap=512):
        lowered = piece.lower()
        found = list(_by_gitleaks(piece, lowered)) if _LONG_TOKEN.search(piece) else []
        found += _by_extra(piece, lowered)
        spans += [Span(offset + start, offset + end, SECRET, CHECKSUM + 5) for start, end in found]
    return spans


def _pem_keys(text: str) -> Iterator[tuple[int, int]]:
    for match in _PEM.finditer(text):
        end = text.find("-----END", match.end(), match.end() + 20_000)
        close = text.find("-----", end + 8, end + 80) if end >= 0 else -1
        body = _PEM_BODY.match(text, match.end())
        yield match.start(), close + 5 if close >= 0 else body.end() if body else match.end()


def _by_gitleaks(text: str, lowered: str) -> Iterator[tuple[int, int]]:
    named = {number for keyword, number in _by_keyword() if keyword in lowered}
    for rule in [rules()[number] for number in sorted(named)]:
        for match in rule.pattern.finditer(text):
            group = rule.group or (match.re.groups and next((g for g in range(1, match.re.groups + 1) if match[g]), 0)) or 0
            secret = match[group] or ""
            if secret and entropy(secret) > rule.entropy and not _is_allowed(rule, match[0], secret):
                yield match.span(group)


def _is_allowed(rule: Rule, match: str, secret: str) -> bool:
    if any(pattern.search(secret) for pattern in rule.allowed):
        return True
    lowered = secret.lower()
    return any(word in lowered for word in rule.stopwords) or any(pattern.search(match) for pattern in rule.allowed_matches)


def _by_extra(text: str, lowered: str) -> Iterator[tuple[int, int]]:
    for pattern in _EXTRA:
        for match in pattern.finditer(text):
            if not _NO_SECRET.match(match[1]) and any(c.isdigit() or not c.isalnum() for c in match[1]):
                yield match.span(1)
    if "kind: secret" in lowered:
        for block in _KUBERNETES.finditer(text):
            yield from (match.span(1) for match in _KUBERNETES_VALUE.finditer(text, block.start(1), block.end(1)))
    if (
        "pass" not in lowered
        and "pwd" not in lowered
        and not any(w in lowered for w in ("kennwort", "contras", "senha", "wacht"))
    ):
        return
    for match in _PASSWORD.finditer(text):
        value = match[1].rstrip(".!?),")
        if match[1].endswith(("!", "?")) and _ODD_CASE.search(value):
            value = match[1]  # `aQAq!`: no sentence ends in such a word, so the sign belongs to it
        if looks_like_password(value):
            yield match.start(1), match.start(1) + len(value)


def looks_like_password(value: str) -> bool:
    """Whether the word behind `password:` is one, and no placeholder, type or word of the sentence."""
    letter = any(c.isalpha() for c in value)
    other = any(c.isdigit() or c in "!@#$%^&*?+=~" for c in value)
    return len(value) >= 4 and letter and other and "\\n" not in value and not _NO_SECRET.match(value)


def entropy(text: str) -> float:
    """Shannon entropy in bits a character, as gitleaks computes it."""
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())


@cache
def _by_keyword() -> tuple[tuple[str, int], ...]:
    """Each keyword with the number of its rule: one pass over 270 of them is most of what a text without secrets costs."""
    return tuple((keyword, number) for number, rule in enumerate(rules()) for keyword in rule.keywords)


@cache
def rules() -> tuple[Rule, ...]:
    """gitleaks' rules, compiled once."""
    config = tomllib.loads((files("flywheel.curate.scrub") / "data" / "gitleaks.toml").read_text("utf-8"))
    everywhere = config["allowlist"]
    return tuple(
        _rule(entry, everywhere)
        for entry in config["rules"]
        if "regex" in entry and ("path" not in entry or entry["id"] in _ANYWHERE) and entry["id"] not in _SKIPPED
    )


def _rule(entry: dict[str, Any], everywhere: dict[str, Any]) -> Rule:
    lists = [allow for allow in entry.get("allowlists", ()) if "paths" not in allow]
    on_secret = [regex for allow in lists if "regexTarget" not in allow for regex in allow.get("regexes", ())]
    on_match = [regex for allow in lists if "regexTarget" in allow for regex in allow.get("regexes", ())]
    return Rule(
        id=entry["id"],
        pattern=compile_go(entry["regex"]),
        keywords=tuple(keyword.lower() for keyword in entry["keywords"]),
        entropy=entry.get("entropy", 0.0),
        group=entry.get("secretGroup", 0),
        allowed=tuple(compile_go(regex) for regex in [*on_secret, *everywhere["regexes"]]),
        allowed_matches=tuple(compile_go(regex) for regex in on_match),
        stopwords=tuple(w.lower() for allow in [*lists, everywhere] for w in allow.get("stopwords", ())),
    )


def compile_go(regex: str) -> re.Pattern[str]:
    r"""A pattern of Go's RE2 in Python: `(?i)` in mid-pattern holds to the end of its group, `\z` is the end of the text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return re.compile(_scope_flags(regex.replace(r"\z", r"\Z")))


def _scope_flags(regex: str) -> str:
    out: list[str] = []
    open_flags = [0]
    position, in_class = 0, False
    while position < len(regex):
        step = 1
        if regex[position] == "\\":
            step = 2
            out.append(regex[position : position + 2])
        elif in_class or regex[position] == "[":
            closes = regex[position] == "]" and out[-1] not in ("[", "[^")
            in_class = not (in_class and closes)
            out.append(regex[position])
        elif regex.startswith("(?i)", position):
            step = 4
            out.append("(?i:")
            open_flags[-1] += 1
        elif regex[position] == "(":
            open_flags.append(0)
            out.append("(")
        elif regex[position] == ")":
            out.append(")" * (open_flags.pop() + 1))
        elif regex[position] == "|":
            out.append(")" * open_flags[-1] + "|" + "(?i:" * open_flags[-1])
        else:
            out.append(regex[position])
        position += step
    return "".join(out) + ")" * open_flags[0]
