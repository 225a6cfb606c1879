"""What becomes of flagged records: dropped, masked, or kept out until somebody has decided."""

import csv
import json
from pathlib import Path

import polars as pl
import pytest

from flywheel.curate.policy import decide, mask_flagged, read_decisions
from flywheel.errors import ConfigError, PluginError
from flywheel.filters.word_list import WordList
from flywheel.inspect.ledger import ledger_facts
from flywheel.plan import Plan
from flywheel.project import Project
from flywheel.records import Candidate, Message, Part, from_batch, text_message, to_batch
from flywheel.settings import load_settings
from flywheel.testing import chat
from flywheel_tests.projects import call, call_id, make_all, write_project

DAY, NEXT = "2026-03-02", "2026-03-03"
FILTERS = """
[[filters]]
use = "length"
minimum = 5

[[filters]]
use = "word_list"
name = "offensive"

[[filters]]
use = "copyright_notice"
name = "notice"
"""
ACTIONS = """
[policy.actions]
offensive = "mask"
notice = "review"
"""
RUDE, CLAIMED = "This shit number 1 broke again, what now?", "Copyright 2019 Kestrel. What does the page say of number 2?"
LOGS = {
    DAY: [
        call(1, prompt=RUDE),
        call(2, prompt=CLAIMED),
        call(3),
        call(4, prompt="Hm?", reply="© 2020 X"),
        call(5, prompt=f"{RUDE} {CLAIMED}"),
    ],
    NEXT: [call(11), call(12, prompt="Copyright 2021 Kestrel Ltd. Which year is on sheet number 12?")],
}


def made(folder: Path, toml: str = FILTERS + ACTIONS) -> Project:
    project = write_project(folder, LOGS, toml=toml)
    make_all(project)
    return project


def reasons(project: Project) -> dict[str, str]:
    return dict(project.tables.read("ledger").filter(fate="dropped").select("id", "reason").iter_rows())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Made once; only the last test of the file changes it."""
    return made(tmp_path_factory.mktemp("policy"))


def listed(project: Project) -> list[dict[str, str]]:
    with project.review_list.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def annotate(project: Project, **decisions: str) -> None:
    """Fill in the list that was written, as a person would, and save it where the policy reads it."""
    rows = listed(project)
    with (project.settings.root / "decisions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row | {"decision": decisions.get(row["id"], "")} for row in rows)


def test_masked_records_stay_with_the_words_gone_and_reviewed_ones_stay_out(project: Project) -> None:
    kept = {record.id: record for record in from_batch(project.tables.read("curated").drop("day"))}

    assert sorted(kept) == [call_id(1), call_id(3), call_id(11)]
    assert kept[call_id(1)].prompt == "This <REMOVED> number 1 broke again, what now?"
    assert "masked=offensive" in kept[call_id(1)].tags
    assert reasons(project) == {call_id(2): "notice_review", call_id(5): "notice_review", call_id(12): "notice_review"} | {
        call_id(4): "length"
    }


def test_the_ledger_counts_who_was_masked_and_its_sums_hold(project: Project) -> None:
    ledger = project.tables.read("ledger")

    assert ledger.filter(pl.col("masked").list.len() > 0).select("id", "fate", "masked").rows() == [
        (call_id(1), "kept", ["offensive"])
    ]
    assert set(ledger_facts(project.tables, project.settings).values()) == {7.0, 0.0}


def test_a_set_holds_nothing_that_waits_and_no_masked_word(project: Project) -> None:
    text = "".join(path.read_text("utf-8") for path in (project.sets / "chat" / "latest").glob("*.jsonl"))

    assert "<REMOVED>" in text
    assert "shit" not in text
    assert "Kestrel" not in text


def test_what_waits_is_listed_with_its_text_and_a_record_that_is_dropped_anyway_is_not(project: Project) -> None:
    rows = listed(project)

    assert [(row["id"], row["flag"], row["decision"]) for row in rows] == [
        (call_id(2), "notice", ""),
        (call_id(5), "notice", ""),
        (call_id(12), "notice", ""),
    ]
    assert rows[0]["prompt"] == CLAIMED


def test_json_lines_are_decisions_too_and_the_last_one_holds(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    rows = [{"id": "a", "flag": "f", "decision": "keep"}, {"id": "a", "flag": "f", "decision": "drop"}]
    path.write_text("\n".join(json.dumps(row) for row in [*rows, {"id": "b", "flag": "f", "decision": None}]))

    assert read_decisions(path).rows() == [("a", "f", "drop")]
    assert read_decisions(tmp_path / "none.csv").is_empty()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("id,flag,decision\nx,f,jane@kestrel.example\n", "decision 1 of .* is none of keep, mask, drop"),
        ("id,flag\njane,f\n", "has no column 'decision'"),
    ],
)
def test_a_wrong_decision_is_named_by_its_row_and_not_quoted(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "decisions.csv"
    path.write_text(text)

    with pytest.raises(ConfigError, match=complaint) as caught:
        read_decisions(path)
    assert "jane" not in str(caught.value)


def test_without_a_policy_flags_drop_and_there_is_no_review(tmp_path: Path) -> None:
    project = made(tmp_path, FILTERS)

    assert "review" not in project.nodes
    assert reasons(project)[call_id(1)] == "offensive"
    assert reasons(project)[call_id(2)] == "notice"


def test_a_family_of_duplicates_keeps_its_masked_member(tmp_path: Path) -> None:
    twice = [call(1, prompt=RUDE), call(8, prompt=RUDE, reply=call(1)["response"]["choices"][0]["message"]["content"])]
    project = write_project(tmp_path, {DAY: twice}, toml=FILTERS + ACTIONS)
    make_all(project)

    assert project.tables.read("curated")["id"].to_list() == [call_id(1)]


def test_a_policy_file_says_the_same_and_leaves_nothing_in_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(ACTIONS.replace("[policy.actions]", "[actions]"))
    (tmp_path / "flywheel.toml").write_text('[policy]\nfile = "policy.toml"\n' + FILTERS)
    (tmp_path / "both.toml").write_text('[policy]\nfile = "policy.toml"\nlicenses = ["MIT"]\n' + FILTERS)
    (tmp_path / "none.toml").write_text('[policy]\nfile = "there.toml"\n' + FILTERS)
    (tmp_path / "unknown.toml").write_text(FILTERS + ACTIONS.replace("notice", "notices"))

    assert load_settings(tmp_path / "flywheel.toml").policy.held == {"offensive": "mask", "notice": "review"}
    for name, complaint in (
        ("both", "`file` and other keys"),
        ("none", "is not there"),
        ("unknown", "names 'notices'; there is"),
    ):
        with pytest.raises(ConfigError, match=complaint):
            load_settings(tmp_path / f"{name}.toml")


def test_a_filter_that_cannot_mask_is_refused_by_name(tmp_path: Path) -> None:
    project = write_project(tmp_path, LOGS, toml=FILTERS + '[policy.actions]\nnotice = "mask"\n')

    with pytest.raises(PluginError, match=r'CopyrightNotice cannot mask .* notice = "mask"'):
        make_all(project)


def test_every_text_of_a_record_is_masked_and_one_that_stays_flagged_leaves() -> None:
    everywhere = chat(
        text_message("system", "no shit"),
        Message(role="user", content=(Part(text="shit"), Part(type="image", url="https://x.example/a.png"))),
        Message(role="assistant", content=(Part(text="ok"),), reasoning="shit"),
        id="a",
        candidates=(Candidate(messages=(text_message("assistant", "shit!"),)),),
    )
    stubborn = chat("merde", "ok", id="b")
    review = pl.DataFrame({"id": ["a", "b"], "flag": ["w", "w"], "action": ["mask", "mask"]})

    class Half(WordList):
        """Flags what it cannot mask."""

        def score(self, records: pl.DataFrame) -> pl.Series:
            return records["text"].str.count_matches("shit|merde")

    outcome = mask_flagged(to_batch([everywhere, stubborn, chat("q", "r", id="c")]), {"w": Half()}, review)

    assert outcome.kept["id"].to_list() == ["a", "c"]
    assert "shit" not in str(outcome.kept["messages"].to_list() + outcome.kept["candidates"].to_list())
    assert "a.png" in str(outcome.kept["messages"].to_list())
    assert outcome.exits.select("id", "reason").rows() == [("b", "w")]


def test_a_mask_that_fails_names_the_filter_and_never_the_text() -> None:
    class Torn(WordList):
        """Fails with the text."""

        def mask(self, texts: pl.Series) -> pl.Series:
            raise ValueError(texts[0])

    review = pl.DataFrame({"id": ["a"], "flag": ["w"], "action": ["mask"]})
    with pytest.raises(PluginError, match=r"Torn: mask\(\) failed with ValueError") as caught:
        mask_flagged(to_batch([chat("my secret", "ok", id="a")]), {"w": Torn()}, review)

    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_record_that_another_filter_drops_is_nobodys_to_decide() -> None:
    rows = [("a", DAY, "w", 1.0), ("a", DAY, "length", 0.0), ("b", DAY, "w", 2.0)]
    verdicts = pl.DataFrame(rows, schema=["id", "day", "filter", "score"], orient="row")

    decided = decide(verdicts, actions={"w": "review"}, decisions=read_decisions(Path("none")))

    assert decided.select("id", "flag", "action").rows() == [("b", "w", "review")]


def test_changed_actions_make_what_follows_again(project: Project) -> None:
    changed = write_project(project.settings.root, toml=FILTERS + ACTIONS.replace("review", "mask").replace("notice", "length"))

    assert Plan(changed).stale(1) == {}
    assert Plan(changed).stale(2)[None][0] == "review"


def test_decisions_are_read_back_and_only_their_days_are_made_again(project: Project) -> None:
    annotate(project, **{call_id(2): "keep", call_id(5): "Drop "})

    again = Project(project.settings)
    days = {(name, day) for name, day in make_all(again) if day is not None}

    assert days == {("curated", DAY)}
    kept = set(again.tables.read("curated")["id"])
    assert kept == {call_id(1), call_id(2), call_id(3), call_id(11)}
    assert reasons(again)[call_id(5)] == "notice"
    assert reasons(again)[call_id(12)] == "notice_review"
    table = again.tables.read("review").filter(id=call_id(2)).row(0, named=True)
    assert (table["policy"], table["decision"], table["action"]) == ("review", "keep", "keep")
    assert [row["id"] for row in listed(again)] == [call_id(12)]
    assert make_all(Project(project.settings)) == []
