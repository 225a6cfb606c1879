"""Public data sets as a source: a path, a licence that must be stated, and a policy that refuses the others."""

import json
from pathlib import Path
from typing import Any

import pytest

from flywheel.errors import ConfigError
from flywheel.plan import Plan
from flywheel.project import Project
from flywheel.settings import load_settings
from flywheel.steps import ingest

DOLLY = {"instruction": "What is a lichen?", "context": "", "response": "A fungus and an alga."}


def project(root: Path, toml: str) -> Project:
    files: dict[str, list[dict[str, Any]]] = {
        "logs/2026-03-01/app.jsonl": [
            {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hey."}]}
        ],
        "public/dolly.jsonl": [DOLLY],
        "public/chats/2026-03-01.jsonl": [{"instruction": "Say one.", "output": "One."}],
    }
    for name, rows in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "flywheel.toml").write_text('[project]\nstart = "2026-01-01"\n[logs]\nlicenses = ["LicenseRef-ours"]\n' + toml)
    return Project.open(root / "flywheel.toml")


SETS = """
[[public]]
name = "dolly"
url = "public/*.jsonl"
license = "cc-by-4.0"
columns = {prompt = "instruction", reply = "response", tags = ["context"]}

[[public]]
name = "chats"
url = "public/chats/{date}.jsonl"
license = "Apache-2.0"
dialect = "alpaca"
"""


def records(opened: Project) -> list[dict[str, Any]]:
    ingest.log_files(opened, "log_files", 1)
    for day in Plan(opened).days:
        ingest.records(opened, "records", day, 1)
    found = opened.tables.read("records").select("day", "origin", "licenses", "messages", "source")
    rows = [
        {**row, "said": row["messages"][0]["content"][0]["text"], "dialect": row["source"]["dialect"]} for row in found.to_dicts()
    ]
    return sorted(rows, key=lambda row: str(row["origin"]))


def test_public_data_is_read_beside_the_logs_with_its_name_and_its_licence_alone(tmp_path: Path) -> None:
    found = records(project(tmp_path, SETS))

    assert [(row["origin"], row["licenses"], row["day"], row["said"], row["dialect"]) for row in found] == [
        ("log:messages", ["LicenseRef-ours"], "2026-03-01", "Hi", "messages"),
        ("public:chats", ["Apache-2.0"], "2026-03-01", "Say one.", "alpaca"),
        ("public:dolly", ["CC-BY-4.0"], "2026-01-01", "What is a lichen?", "columns"),
    ]


def test_a_file_that_the_logs_match_too_belongs_to_the_data_set(tmp_path: Path) -> None:
    opened = project(tmp_path, SETS.replace('"public/*.jsonl"', '["public/*.jsonl", "logs/**/*.jsonl"]').replace("columns", "#"))

    assert [row["origin"] for row in records(opened)] == ["public:chats", "public:dolly"]


def test_a_changed_licence_makes_the_records_anew(tmp_path: Path) -> None:
    opened = project(tmp_path, SETS)
    before = opened.nodes["records"].version

    after = project(tmp_path, SETS.replace("cc-by-4.0", "MIT")).nodes["records"].version

    assert after != before


@pytest.mark.parametrize(
    ("license", "says"),
    [
        ("CC-BY-NC-4.0", "add it to `\\[policy\\] licenses`"),
        ("Apache 2.0", "Did you mean 'Apache-2.0'"),
        ("", "SPDX id"),
        (None, "license"),
    ],
)
def test_a_licence_that_the_policy_does_not_know_is_refused_and_the_error_says_what_to_do(
    tmp_path: Path, license: str | None, says: str
) -> None:
    stated = "" if license is None else f'license = "{license}"'
    with pytest.raises(ConfigError, match=says):
        project(tmp_path, SETS.replace('license = "cc-by-4.0"', stated))


def test_the_policy_can_accept_more_and_less(tmp_path: Path) -> None:
    more = '[policy]\nlicenses = ["CC-BY-SA-4.0", "Apache-2.0"]\n'

    accepted = project(tmp_path, more + SETS.replace("cc-by-4.0", "CC-BY-SA-4.0")).settings.public

    assert [one.license for one in accepted] == ["CC-BY-SA-4.0", "Apache-2.0"]
    with pytest.raises(ConfigError, match=r"license = .cc-by-4\.0"):
        project(tmp_path, more + SETS)


def test_two_data_sets_of_one_name_are_refused(tmp_path: Path) -> None:
    project(tmp_path, "")
    (tmp_path / "flywheel.toml").write_text(SETS.replace('"chats"', '"dolly"'))

    with pytest.raises(ConfigError, match="two \\[\\[public\\]\\] are called 'dolly'"):
        load_settings(tmp_path / "flywheel.toml")
