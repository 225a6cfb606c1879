from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from flywheel.format.card import card, front_matter, size_category
from flywheel.format.trl_messages import TrlMessages
from flywheel.records import Record, text_message
from flywheel_tests.format.real import support_agents
from flywheel_tests.format.test_export import write

FUNNEL = [{"stage": "deduplicated", "rows_in": 60, "kept": 40, "dropped": {"near_duplicate": 20}}]


def meta(text: str) -> dict[str, Any]:
    found = yaml.safe_load(text.split("---\n")[1])
    assert isinstance(found, dict)
    return found


def manifest(**changes: Any) -> dict[str, Any]:
    files = [{"split": "train", "name": "train.jsonl", "rows": 3, "bytes": 9, "tokens": 5, "longest": 2, "sha256": "0"}]
    return {
        "set": "chat",
        "mix": "chat",
        "version": "0" * 12,
        "format": {"name": "openai_chat", "settings": {}},
        "files": files,
        "tokens": {"counted_by": "x", "exact": True},
        "licenses": {"MIT": 3},
        "origins": {"log": 3},
        "rejected": {},
        "versions": {"flywheel": "0"},
        "provenance": {},
    } | changes


def test_the_hub_reads_the_cards_metadata(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    made = write(support_agents(20), tmp_path, TrlMessages())

    data = hub.DatasetCard.load(made.path / "README.md").data.to_dict()

    assert data["license"] == "mit"
    assert data["size_categories"] == ["n<1K"]
    assert data["configs"][0]["data_files"][0] == {"split": "train", "path": "train.jsonl"}
    assert [feature["name"] for feature in data["dataset_info"]["features"]] == ["messages", "tools"]


def test_the_card_tells_the_funnel_down_to_the_formats_own_refusals(tmp_path: Path) -> None:
    silent = Record(id="silent", messages=(text_message("user", "Hello?"),))

    text = (write([*support_agents(12), silent], tmp_path, funnel=FUNNEL).path / "README.md").read_text()

    assert "| deduplicated | 60 | 40 | near_duplicate 20 |" in text
    assert "| format `openai_chat` | 13 | 12 | no_assistant_reply 1 |" in text
    assert "| MIT | 12 |" in text
    assert '## Fields\n\n`{"messages": [...], "tools"?, "parallel_tool_calls"?}`, with no other key.' in text
    assert "train_on: `last`" not in text


def test_the_card_promises_no_anonymity_and_admits_what_was_not_recorded() -> None:
    told = card(manifest(provenance={"scrub": "rules and word lists"})).lower()
    untold = card(manifest()).lower()

    assert "rules and word lists" in told
    assert "detection misses some" in told
    assert "assume that it was not" in untold
    assert "anonym" not in told + untold


@pytest.mark.parametrize(
    ("licenses", "expected"),
    [
        ({"Apache-2.0": 1}, "apache-2.0"),
        ({"CC-BY-SA-4.0": 1, "MIT": 2}, ["cc-by-sa-4.0", "mit"]),
        ({"ACME internal": 1}, "other"),
        ({"not stated": 1}, "unknown"),
        ({"cc-by-nc-9.0": 1, "not stated": 3}, ["other", "unknown"]),
        ({}, "unknown"),
    ],
)
def test_licences_become_identifiers_that_the_hub_knows(licenses: dict[str, int], expected: str | list[str]) -> None:
    assert meta(front_matter(manifest(licenses=licenses)))["license"] == expected


def test_names_cannot_break_the_yaml_nor_the_tables() -> None:
    nasty = 'a: "b"\n---\n| c'

    text = card(manifest(set=nasty, origins={"synthetic:x|y": 3}))

    assert meta(text)["pretty_name"] == nasty
    assert meta(text)["tags"] == ["flywheel", "openai_chat", "synthetic"]
    assert "| synthetic:x\\|y | 3 |" in text


@pytest.mark.parametrize(
    ("rows", "label"), [(0, "n<1K"), (999, "n<1K"), (1_000, "1K<n<10K"), (10_000_000, "10M<n<100M"), (5 * 10**9, "1B<n<10B")]
)
def test_sizes_carry_the_hubs_labels(rows: int, label: str) -> None:
    assert size_category(rows) == label


def test_a_set_without_files_declares_none() -> None:
    assert "configs" not in meta(front_matter(manifest(files=[])))


def test_the_card_tells_how_much_of_what_was_planted_was_found() -> None:
    canaries = [
        {"entity": "PERSON", "planted": 20, "found": 19, "recall": 0.95, "precision": 0.98, "over_masking": 0.0, "floor": 0.85},
        {"entity": "ALL", "planted": 30, "found": 29, "recall": 29 / 30, "precision": None, "over_masking": 0.002, "floor": None},
    ]
    told = card(manifest(provenance={"scrub": {"names": "rules", "canaries": canaries}}))

    assert "names were found by `rules`" in told
    assert "| planted | values | gone | recall | at least | precision | other words masked |" in told
    assert "| PERSON | 20 | 19 | 0.950 | 0.850 | 0.980 | 0.000 |" in told
    assert "| ALL | 30 | 29 | 0.967 |  |  | 0.002 |" in told
