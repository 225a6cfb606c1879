import pytest
from flywheel_code.code_parses import CodeParses

from flywheel.curate.judge import judge
from flywheel.plugins import build
from flywheel.records import text_message, to_batch
from flywheel.testing import chat, check_filter


def score(reply: str, plugin: CodeParses | None = None) -> float | None:
    plugin = plugin or CodeParses()
    value: float | None = judge(to_batch([chat("Write it.", text_message("assistant", reply))]), plugin)["score"].item()
    return value


def test_it_keeps_the_contract() -> None:
    check_filter(CodeParses())


def test_it_is_found_by_its_name() -> None:
    assert build("filter", "code_parses", {"minimum": 1, "languages": ["json"]}) == CodeParses(1.0, ("json",))


@pytest.mark.parametrize(
    ("reply", "share"),
    [
        ("```python\nx = 1\n```", 1.0),
        ("```python\nx = = 1\n```", 0.0),
        ("```py\nx = 1\n```\nand\n```json\n{'a': 1}\n```", 0.5),
        ('```json\n// a comment\n{"a": [1, 2]}\n```', 1.0),
        ("```toml\na = 1\n```\n```toml\na = \n```", 0.5),
        ("1. First:\n   ```python\n   if x:\n       y()\n   ```", 1.0),
        ("> ```python\n> if x:\n>     y()\n> ```", 1.0),
        ("```python\n>>> 1 + 1\n2\n>>> for i in x:\n...     print(i)\n```", 1.0),
        ("```python\n%matplotlib inline\n!pip install x\nimport x\n```", 1.0),
        ("```python\n" + "(" * 5000 + "\n```", 0.0),
        ("```python\nx = '\x00'\n```", 0.0),
    ],
)
def test_the_score_is_the_share_of_blocks_that_parse(reply: str, share: float) -> None:
    assert score(reply) == share


@pytest.mark.parametrize("reply", ["no code", "", "```\nx = = 1\n```", "```rust\nfn\n```", "```python\nx = = 1", "`x = = 1`"])
def test_a_reply_without_a_measured_block_has_no_score(reply: str) -> None:
    assert score(reply) is None


def test_only_the_chosen_languages_are_measured() -> None:
    reply = "```python\nx = = 1\n```\n```json\n{}\n```"

    assert score(reply, CodeParses(languages=("json",))) == 1.0


def test_an_unknown_language_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'cobol'"):
        CodeParses(languages=("cobol",))
