"""What feedback says of a reply, and what it does not."""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from flywheel.curate.judge import judge
from flywheel.curate.label_rules import DEFAULT_RULES, LabelRule
from flywheel.curate.labels import Labels, Pair, label, label_table
from flywheel.filters.feedback import Disliked
from flywheel.records import Candidate, Feedback, Message, Record, Source, ToolCall, text_message, to_batch
from flywheel.sources.threads import stitch
from flywheel.testing import chat, check_filter
from flywheel_tests.readings import read_records


def rated(*feedback: tuple[str, str | None], **rest: Any) -> Record:
    return chat("How?", "So.", id="r", feedback=tuple(Feedback(name=name, value=value) for name, value in feedback), **rest)


def other(text: str, id: str | None = None) -> Candidate:
    return Candidate(id=id, messages=(text_message("assistant", text),))


def texts(pair: Pair) -> tuple[str, str, str]:
    return pair.chosen[-1].text, pair.rejected[-1].text, pair.origin


def only(found: Labels) -> tuple[str, str, str]:
    (pair,) = found.pairs
    return texts(pair)


def rule(**given: Any) -> LabelRule:
    return msgspec.convert({"name": "own", **given}, LabelRule)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("thumbs", "up", "good"),
        ("thumbs", "down", "bad"),
        ("thumbs", "1", "good"),
        ("thumbs", "1.0", "good"),
        ("thumbs", "-1", "bad"),
        ("thumbs", "👎", "bad"),
        ("thumbs-up", "true", "good"),
        ("thumbsUp", "True", "good"),
        ("thumbs_up", "false", "bad"),
        ("thumbs_down", "true", "bad"),
        ("thumbs_down", "false", None),
        ("user-feedback", "positive", "good"),
        ("user feedback", "Thumbs Down", "bad"),
        ("label", "true", "good"),
        ("label", "false", "bad"),
        ("reward", "1.0", "good"),
        ("reward", "0", "bad"),
        ("reward", "0.5", None),
        ("accepted", "true", "good"),
        ("accepted", "false", "bad"),
        ("helpful", "bad", "bad"),
        ("score", "good", "good"),
        ("score", "1", None),
        ("rating", "5", None),
        ("rating", "1", None),
        ("relevance", "0.3", None),
        ("toxicity", "no", None),
        ("tone", "positive", None),
        ("thumbs", None, None),
        ("thumbs", "0.5", None),
        ("thumbs", "sideways", None),
    ],
)
def test_common_feedback_is_a_label_and_what_could_mean_either_is_none(name: str, value: str | None, wanted: str | None) -> None:
    found = label(rated((name, value)))

    assert found.label == wanted
    assert found.reason == (None if wanted else "no_feedback")


def test_a_label_says_which_feedback_and_which_rule_it_comes_from() -> None:
    found = label(rated(("relevance", "0.9"), ("thumbs", "up")))

    assert found.evidence == (("thumbs", "thumbs_up"),)


def test_feedback_that_contradicts_itself_is_no_label() -> None:
    found = label(rated(("helpful", "good"), ("helpful", "bad"), ("helpful", "good")))

    assert (found.label, found.reason, found.bad_share) == (None, "conflict", 1 / 3)


def test_stars_need_a_scale_and_get_label_and_score_from_it() -> None:
    stars = (
        rule(name="stars", feedback="rating", says="score", scale=[1, 5]),
        rule(name="many", feedback="rating", says="good", at_least=4),
        rule(name="few", feedback="rating", says="bad", at_most=2),
    )

    found = {value: label(rated(("rating", value)), stars) for value in ("5", "4", "3", "1", "9", "nan", "great")}

    assert {value: (one.label, one.score) for value, one in found.items()} == {
        "5": ("good", 1.0),
        "4": ("good", 0.75),
        "3": (None, 0.5),
        "1": ("bad", 0.0),
        "9": ("good", None),
        "nan": (None, None),
        "great": (None, None),
    }


def test_a_score_is_the_mean_over_the_first_rule_that_scores() -> None:
    rules = (rule(name="a", feedback="grade_*", says="score"), rule(name="b", feedback="other", says="score"))

    assert label(rated(("other", "100"), ("grade_x", "0.5"), ("grade_y", "1")), rules).score == 0.75
    assert label(rated(("liked_it", "yes")), (rule(feedback="liked_it", glob="y*", says=0.9),)).score == 0.9


def test_a_rule_of_ones_own_goes_before_the_defaults_and_ignore_keeps_them_quiet() -> None:
    assert label(rated(("thumbs", "up")), (rule(feedback="thumb*", says="ignore"),)).label is None
    assert label(rated(("thumbs", "up")), (rule(feedback="thumb*", equals="up", says="bad"),)).label == "bad"
    assert label(rated(("thumbs", "up")), (rule(feedback="*", by="EVAL|LLM", says="ignore"),)).label == "good"
    assert label(rated(("thumbs", "up")), (rule(name="thumbs_up", feedback="x", says="good"),)).label is None


def test_a_rule_can_be_limited_to_who_said_it_and_to_a_dialect() -> None:
    said = (Feedback(name="q", value="1", by="EVAL"), Feedback(name="q", value="0", by="ann-1"))
    record = chat("How?", "So.", feedback=said, source=Source(dialect="langfuse"))
    rules = (rule(name="g", feedback="q", by="ann*", **{"in": [0]}, says="bad"),)

    assert label(record, rules).label == "bad"
    assert label(record, (rule(feedback="q", dialect="lang*", equals=1, says="good"),)).label == "good"
    assert label(record, (rule(feedback="q", dialect="otel*", equals=1, says="good"),)).label is None


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"says": "good"}, "needs either `feedback`"),
        ({"says": "worse", "feedback": "a"}, "says 'worse'"),
        ({"says": "good", "candidates": "all"}, "can say 'worse' or 'ignore'"),
        ({"says": "good", "feedback": "a", "scale": [1, 5]}, "`scale` is"),
        ({"says": "score", "feedback": "a", "scale": [5, 1]}, "`scale` is"),
        ({"says": "worse", "candidates": "all", "equals": 1}, "have no value"),
        ({"says": "splendid", "feedback": "a"}, "splendid"),
        ({"says": "good", "feedback": "a", "equal": 1}, "equal"),
    ],
)
def test_a_rule_that_cannot_mean_anything_is_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=complaint):
        rule(**given)


def test_what_was_said_of_an_earlier_turn_does_not_count_for_the_final_reply() -> None:
    first = chat("How?", "So.", id="turn1", session="s", feedback=(Feedback(name="thumbs", value="down"),))
    whole = chat("How?", "So.", "And then?", "Done.", id="turn2", session="s")

    (row,) = stitched(first, whole)

    assert [said.name for said in row.feedback] == ["thumbs@turn1"]
    assert (label(row).label, label(row).reason) == (None, "no_feedback")


def stitched(*records: Record) -> list[Record]:
    from flywheel.records import from_batch

    return from_batch(stitch(to_batch(records)).kept)


def test_the_answer_that_the_user_went_on_with_is_preferred_over_the_regenerated_one() -> None:
    old = chat("How?", "Badly.", id="a", session="s")
    new = chat("How?", "Well.", id="b", session="s")
    longer = chat("How?", "Badly.", "Thanks, and?", "Done.", id="c", session="s")

    (kept, _) = stitched(old, new, longer)

    assert only(label(kept)) == ("Badly.", "Well.", "regenerated")
    assert label(kept, (rule(name="regenerated", candidates="regenerated", says="ignore"),)).no_pair == "no_pair"


def test_feedback_on_both_answers_outweighs_which_one_was_kept() -> None:
    record = chat("How?", "New.", id="n", candidates=(other("Old.", "o"),))

    def said(*given: tuple[str, str]) -> Record:
        return msgspec.structs.replace(record, feedback=tuple(Feedback(name=name, value=value) for name, value in given))

    assert only(label(said(("thumbs@o", "up"), ("thumbs", "down")))) == ("Old.", "New.", "feedback")
    assert only(label(said(("thumbs@o", "down"), ("thumbs", "up")))) == ("New.", "Old.", "feedback")
    assert only(label(said(("thumbs@o", "down")))) == ("New.", "Old.", "regenerated")
    assert label(said(("thumbs", "down"))).no_pair == "conflict"
    assert label(said(("thumbs@o", "up"))).no_pair == "conflict"
    assert only(label(said(("reward@o", "0.9"), ("reward", "0.4")))) == ("Old.", "New.", "feedback")
    assert only(label(said(("thumbs@elsewhere", "down")))) == ("New.", "Old.", "regenerated")


def test_other_choices_of_one_response_are_no_preference_until_somebody_says() -> None:
    record = chat("How?", "First.", id="r", candidates=(other("Second."), other("Third.")))

    assert label(record).no_pair == "no_pair"
    told = msgspec.structs.replace(record, feedback=(Feedback(name="winner", value="true"),))
    assert [(texts(pair), pair.chosen_first) for pair in label(told).pairs] == [
        (("First.", "Second.", "ab_winner"), True),
        (("First.", "Third.", "ab_winner"), True),
    ]


def test_a_winner_beats_every_other_answer_and_two_winners_none() -> None:
    record = chat("How?", "First.", id="r", candidates=(other("Second.", "r:2"), other("Third.", "r:3")))

    def won(*given: tuple[str, str]) -> Labels:
        return label(msgspec.structs.replace(record, feedback=tuple(Feedback(name=name, value=value) for name, value in given)))

    assert [texts(pair) for pair in won(("winner@r:3", "true")).pairs] == [("Third.", "First.", "ab_winner")]
    assert won(("ab_winner", "r:2")).pairs[0].chosen_first is False
    assert won(("winner", "true")).pairs[1].chosen_first is True
    assert won(("winner", "true"), ("winner@r:2", "true")).no_pair == "conflict"
    assert won(("winner", "false")).no_pair == "no_pair"
    assert [pair.origin for pair in won(("winner", "true"), ("winner@earlier", "true")).pairs] == ["ab_winner"] * 2


def test_a_correction_is_chosen_over_the_models_reply() -> None:
    asked = Feedback(name="correction", value="Like this.", comment="too vague")
    scored = Feedback(name="correction", value="0", comment="Like that.")
    empty = Feedback(name="edited", value="true")

    found = label(chat("How?", "So.", id="r", feedback=(asked, scored, empty)))

    assert [texts(pair) for pair in found.pairs] == [("Like this.", "So.", "correction"), ("Like that.", "So.", "correction")]
    assert found.label is None
    assert [pair.chosen_first for pair in found.pairs] == [False, False]
    assert only(label(rated(("edited_reply", "So!")))) == ("So!", "So.", "edited")


def test_a_correction_of_a_regenerated_answer_is_paired_with_that_answer() -> None:
    said = (Feedback(name="correction@o", value="Better."),)
    record = chat("How?", "New.", id="n", candidates=(other("Old.", "o"),), feedback=said)

    assert [texts(pair) for pair in label(record).pairs] == [("Better.", "Old.", "correction"), ("New.", "Old.", "regenerated")]


def test_the_same_answer_but_for_white_space_is_no_pair() -> None:
    assert label(rated(("correction", " So. \n"))).no_pair == "equal_pair"
    call = Message(role="assistant", tool_calls=(ToolCall(id="1", name="f", arguments='{"a":1}'),))
    same = Message(role="assistant", tool_calls=(ToolCall(id="2", name="f", arguments='{ "a": 1 }'),))
    record = chat("How?", call, id="r", candidates=(Candidate(id="o", messages=(same,)),))
    assert label(record).no_pair == "equal_pair"


def test_an_answer_with_turns_of_its_own_is_no_pair() -> None:
    whole = Candidate(id="o", messages=(text_message("user", "How?"), text_message("assistant", "No.")))

    assert label(chat("How?", "So.", candidates=(whole,))).no_pair == "prompts_differ"


def test_where_the_answers_begin_must_be_known() -> None:
    call = Message(role="assistant", tool_calls=(ToolCall(id="1", name="f"),))
    result = text_message("tool", "r", tool_call_id="1")
    turns = (call, result, text_message("assistant", "So."))
    data_set = Source(dialect="preference")

    logged = chat("How?", *turns, candidates=(other("No.", "o"),))
    row = chat("How?", *turns, candidates=(other("No."),), source=data_set)
    longer = chat(
        "How?", "So.", candidates=(Candidate(messages=(*turns[:2], text_message("assistant", "No."))),), source=data_set
    )

    assert [len(label(logged).pairs[0].prompt), label(row).no_pair] == [3, "ambiguous_prompt"]
    assert [len(part) for part in label(longer).pairs[0][:3]] == [1, 1, 3]


def test_the_default_rules_have_names_of_their_own() -> None:
    assert max(Counter(one.name for one in DEFAULT_RULES).values()) == 1


def test_a_batchs_labels_equal_those_of_its_records() -> None:
    records = [
        rated(("thumbs", "up")),
        chat("Silent?", "Yes.", id="silent"),
        chat("Twice?", "Yes.", id="c", feedback=(Feedback(name="thumbs", value="up"), Feedback(name="thumbs", value="down"))),
        chat("How?", "New.", id="n", candidates=(other("Old.", "o"),)),
    ]

    table = label_table(to_batch(records))

    assert table.select("id", "label", "reason", "evidence", "pairs", "no_pair").rows() == [
        ("r", "good", None, ["thumbs:thumbs_up"], 0, "no_pair"),
        ("silent", None, "no_feedback", [], 0, "no_pair"),
        ("c", None, "conflict", ["thumbs:thumbs_up", "thumbs:thumbs_down"], 0, "no_pair"),
        ("n", None, "no_feedback", [], 1, None),
    ]
    assert label_table(to_batch([])).schema == table.schema


def test_conversations_that_were_called_bad_leave_and_unrated_ones_stay() -> None:
    batch = to_batch(
        [
            chat("1", "Good.", id="good", feedback=(Feedback(name="thumbs", value="up"),)),
            chat("2", "Bad.", id="bad", feedback=(Feedback(name="thumbs", value="down"),)),
            chat("3", "Both.", id="both", feedback=tuple(Feedback(name="thumbs", value=value) for value in ("up", "down"))),
            chat("4", "Silent.", id="silent"),
            chat("5", "Earlier.", id="earlier", feedback=(Feedback(name="thumbs@x", value="down"),)),
        ]
    )

    def kept(plugin: Disliked) -> list[str]:
        return judge(batch, plugin).filter(pl.col("keep"))["id"].to_list()

    assert judge(batch, Disliked())["score"].to_list() == [0.0, 1.0, 0.5, None, None]
    assert kept(Disliked()) == ["good", "both", "silent", "earlier"]
    assert kept(Disliked(minimum=0.5)) == ["good", "silent", "earlier"]
    assert kept(Disliked(require_good=True)) == ["good"]


def test_the_filter_keeps_the_contract_of_filters() -> None:
    check_filter(Disliked())
    check_filter(Disliked(require_good=True, rules=(rule(feedback="x", says="bad"),)))


def test_two_outcomes_of_real_support_agents_are_their_labels(tmp_path: Path) -> None:
    records = read_records("tau_bench", "gpt-4o-airline.trajectories.jsonl.gz", tmp_path, dialect="tau_bench")

    found = [label(record) for record in records]

    # the file's rewards: 45 times 1.0, 67 times 0.0
    assert Counter((one.label, one.score) for one in found) == {("good", 1.0): 45, ("bad", 0.0): 67}
    assert {one.evidence for one in found} == {
        (("reward", "reward_score"), ("reward", "reward_good")),
        (("reward", "reward_score"), ("reward", "reward_bad")),
    }
