import csv
import gzip
import io
import json
import random
import string

import pytest

from flywheel.curate.scrub.secrets import compile_go, find_secrets, rules
from flywheel_tests.shared import shared_data

LETTERS = string.ascii_letters + string.digits


def mixed(length: int, alphabet: str = LETTERS) -> str:
    return "".join(random.Random(length).choices(alphabet, k=length))


SECRETS = [
    ("export GITHUB_TOKEN={}", "ghp_" + mixed(36)),
    ("key id {} leaked", "AKIA" + mixed(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")),
    ("use {} for payments", "sk_live_" + mixed(24)),
    ("slack: {}", "xoxb-123456789012-123456789012-" + mixed(24)),
    ("openai {} key", "sk-proj-" + mixed(74) + "T3BlbkFJ" + mixed(74)),
    ("google {}", "AIza" + mixed(35)),
    ("api_key = '{}'", mixed(32)),
    ("postgres://reporting:{}@db.internal:5432/sales", "s3cr3t-Pass"),
    ("my password is {}", "hunter2"),
    ("Passwort: {}", "Sommer#24"),
    ("password: {}", "Kx-tRqWvb!"),
    ("Authorization: Bearer {}", "ya29." + mixed(40)),
    ("Authorization: Basic {}", "dXNlcjpwYXNzd29yZA=="),
    ("GET /me?access_token={}&x=1", mixed(20)),
    ("aws_secret_access_key = {}", mixed(40)),
]


@pytest.mark.parametrize(("context", "secret"), SECRETS)
def test_secrets_are_found_whole(context: str, secret: str) -> None:
    text = context.format(secret)
    covered = {i for span in find_secrets(text) for i in range(span.start, span.end)}

    assert set(range(text.index(secret), text.index(secret) + len(secret))) <= covered


def test_a_private_key_is_found_from_its_first_to_its_last_dash() -> None:
    key = f"-----BEGIN RSA PRIVATE KEY-----\n{mixed(3000)}\n-----END RSA PRIVATE KEY-----"

    assert any((span.start, span.end) == (6, 6 + len(key)) for span in find_secrets(f"look: {key} ok"))


@pytest.mark.parametrize(
    "text",
    [
        "password: str",
        "password: string;",
        "the password is wrong",
        "Forgot your password: Really!",
        "reset your password: click the link",
        "password = os.environ['DB_PASSWORD']",
        "api_key = 'YOUR_API_KEY'",
        "Authorization: Bearer <token>",
        "a bearer of good news that is internationalization",
        "AKIAIOSFODNN7EXAMPLE",
        "token = get_token(request)",
        "See https://example.com:8080/path@2x.png",
    ],
)
def test_placeholders_types_and_prose_are_no_secrets(text: str) -> None:
    assert find_secrets(text) == []


def test_four_thousand_real_customer_messages_hold_at_most_one_false_alarm() -> None:
    with gzip.open(shared_data("banking77") / "train.csv.gz", "rt", encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(io.StringIO(file.read()))][:4000]

    assert sum(bool(find_secrets(text)) for text in texts) <= 1


def test_real_answers_with_code_hold_few_secrets() -> None:
    with gzip.open(shared_data("arena_hard") / "answer_gpt-4-0314.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [message["content"]["answer"] for line in lines for message in json.loads(line)["messages"][1:]]

    assert sum(bool(find_secrets(text)) for text in texts) <= 5


def test_every_rule_that_holds_in_any_text_compiles() -> None:
    assert len(rules()) == 216


def test_a_flag_in_mid_pattern_holds_to_the_end_of_its_group_only() -> None:
    pattern = compile_go(r"a(b(?i)c|d)e\z")

    assert pattern.search("abCe")
    assert pattern.search("aDe")
    assert not pattern.search("aBce")
    assert not pattern.search("abcE")
