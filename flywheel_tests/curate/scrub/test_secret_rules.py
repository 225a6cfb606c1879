"""Every one of gitleaks' rules finds a secret of its own format, made at random from the rule's expression."""

import random
import re
import string
import tomllib
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from flywheel.curate.scrub.secrets import Rule, entropy, find_secrets, rules
from flywheel_tests.shared import shared_data

LETTERS = string.ascii_letters + string.digits
CATEGORIES = {
    op.CATEGORY_DIGIT: string.digits,
    op.CATEGORY_WORD: LETTERS,
    op.CATEGORY_NOT_SPACE: LETTERS,
    op.CATEGORY_SPACE: " ",
    op.CATEGORY_NOT_WORD: " ",
    op.CATEGORY_NOT_DIGIT: string.ascii_letters,
}
TRIES = 200


def sample(pattern: re.Pattern[str], source: random.Random) -> str:
    """A random string for the pattern; look-arounds are not obeyed, so it need not match."""
    return made(_parser.parse(pattern.pattern), source)


def made(tree: Any, source: random.Random) -> str:
    out = []
    for kind, value in tree:
        if kind is op.LITERAL:
            out.append(chr(value))
        elif kind is op.IN:
            out.append(picked(value, source))
        elif kind is op.BRANCH:
            out.append(made(source.choice(value[1]), source))
        elif kind in (op.MAX_REPEAT, op.MIN_REPEAT):
            least, most, part = value
            count = source.randint(least, min(most, least + (20 if least else 3)))
            out.extend(made(part, source) for _ in range(count))
        elif kind is op.SUBPATTERN:
            out.append(made(value[3], source))
        elif kind in (op.ANY, op.NOT_LITERAL):
            out.append(source.choice(string.ascii_letters))
    return "".join(out)


def picked(items: Any, source: random.Random) -> str:
    allowed: set[str] = set()
    for kind, value in items:
        if kind is op.LITERAL:
            allowed.add(chr(value))
        elif kind is op.RANGE:
            allowed.update(chr(code) for code in range(value[0], value[1] + 1))
        elif kind is op.CATEGORY:
            allowed.update(CATEGORIES[value])
    if items[0][0] is op.NEGATE:
        allowed = set(LETTERS + " =:-_") - allowed
    return source.choice(sorted(allowed & set(LETTERS)) or sorted(allowed))


def own_secret(rule: Rule) -> tuple[str, int, int]:
    """A text with the rule's keyword that the rule matches with enough entropy, and where its secret stands."""
    source = random.Random(rule.id)
    for _ in range(TRIES):
        text = f"see {rule.keywords[0]} {sample(rule.pattern, source)} there"
        match = rule.pattern.search(text)
        if match is None:
            continue
        group = rule.group or next((g for g in range(1, rule.pattern.groups + 1) if match[g]), 0)
        lowered = match[group].lower()
        allowed = any(p.search(match[group]) for p in rule.allowed) or any(p.search(match[0]) for p in rule.allowed_matches)
        if entropy(match[group]) > rule.entropy and not allowed and not any(word in lowered for word in rule.stopwords):
            return text, *match.span(group)
    raise AssertionError(f"no secret could be made for {rule.id}")


@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
def test_every_rule_of_gitleaks_finds_a_secret_of_its_own() -> None:
    overlooked = []
    for rule in rules():
        text, start, end = own_secret(rule)
        found = {i for span in find_secrets(text) for i in range(span.start, span.end)}
        if not set(range(start, end)) <= found:
            overlooked.append(rule.id)

    assert overlooked == []


def test_the_rules_are_those_of_gitleaks_but_for_the_ones_that_ours_stand_in_for() -> None:
    published = tomllib.loads((shared_data("secrets_gitleaks") / "gitleaks.toml").read_text("utf-8"))["rules"]
    without = {rule["id"] for rule in published} - {rule.id for rule in rules()}

    assert without == {"curl-auth-header", "curl-auth-user", "kubernetes-secret-yaml", *FILES}


FILES = {"hashicorp-tf-password", "nuget-config-password", "pkcs12-file"}


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("curl -s -u admin:Tr0ub4dor&3 https://api.internal/v1", "Tr0ub4dor&3"),
        ("curl --user 'bot:p4ss-w0rd' https://api.internal", "p4ss-w0rd"),
        ('curl -H "X-API-Key: 9f8a7b6c5d4e3f2a1b0c" https://api.internal', "9f8a7b6c5d4e3f2a1b0c"),
        ("kind: Secret\nmetadata:\n  name: db\ndata:\n  password: aHVudGVyMnZlcnlsb25n\ntype: Opaque", "aHVudGVyMnZlcnlsb25n"),
        ('<add key="ClearTextPassword" value="Sup3rSecret!" />', "Sup3rSecret!"),
        ("TOKEN = '6922832127:AAEm2DMKEBRxx1234567890abcdefghijklm'", "6922832127:AAEm2DMKEBRxx1234567890abcdefghijklm"),
    ],
)
def test_ours_stand_in_for_rules_bound_to_files_or_too_slow(text: str, secret: str) -> None:
    covered = {i for span in find_secrets(text) for i in range(span.start, span.end)}

    assert set(range(text.index(secret), text.index(secret) + len(secret))) <= covered
