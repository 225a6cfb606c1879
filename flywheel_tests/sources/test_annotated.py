"""What annotators said, out of Label Studio and Argilla."""

import json
from collections import Counter
from typing import Any

import msgspec
import pytest

from flywheel.curate.labels import label
from flywheel.errors import Rejected
from flywheel.records import Feedback, Record
from flywheel.sources.argilla import Argilla
from flywheel.sources.label_studio import LabelStudio
from flywheel_tests.shared import shared_data
from flywheel_tests.sources.dialects import DIALECTS


def said(record: Record) -> list[tuple[str, str | None, str | None]]:
    return [(one.name, one.value or one.comment, one.by) for one in record.feedback]


def result(kind: str, name: str, **value: Any) -> dict[str, Any]:
    return {"id": "r", "type": kind, "value": value, "origin": "manual", "to_name": "text", "from_name": name}


def annotation(*results: dict[str, Any], by: str = "ann@example.com", **rest: Any) -> dict[str, Any]:
    person = {"id": 1, "email": by}
    return {"id": 7, "completed_by": person, "result": list(results), "created_at": "2026-03-04T05:06:07Z", **rest}


def task(*annotations: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {"id": 3, "project": 9, "data": data, "annotations": list(annotations), "drafts": [], "predictions": []}


def test_the_exported_chat_is_the_annotators_talk_up_to_the_last_answer() -> None:
    (entry,) = msgspec.json.decode((shared_data("label_studio") / "chat_data.json").read_bytes())
    told = [one["value"]["chatmessage"] for one in entry["annotations"][0]["result"]]

    (record,) = LabelStudio().parse(entry)

    assert [(m.role, m.text) for m in record.messages] == [(one["role"], one["content"]) for one in told]
    assert record.user == "test@example.com"
    assert record.created_at is not None
    assert record.created_at.isoformat() == "2025-10-28T05:34:18.522508+00:00"


def test_of_the_exports_the_chat_is_read_and_regions_and_plain_classification_say_why_they_are_not() -> None:
    ends: Counter[str] = Counter()
    for path in sorted(shared_data("label_studio").glob("*.json")):
        if path.name == "label_config_repeater.json":
            continue
        for entry in msgspec.json.decode(path.read_bytes()):
            known = [one for one in DIALECTS if one.sniff(json.dumps(entry).encode())]
            assert [type(one).__name__ for one in known][:1] == (["LabelStudio"] if entry["annotations"] else [])
            try:
                ends["record"] += len(list(LabelStudio().parse(entry)))
            except Rejected as rejected:
                ends[rejected.reason] += 1
    assert ends == {"record": 1, "not_chat": 2, "no_messages": 1, "no_response": 3, "no_annotation": 3}


def test_every_annotators_choice_rating_comment_and_correction_is_feedback_of_one_record() -> None:
    first = annotation(result("choices", "quality", choices=["Bad"]), result("textarea", "better_answer", text=["Canberra."]))
    second = annotation(
        result("rating", "stars", rating=2), result("textarea", "why", text=["Wrong city."]), by="bob@example.com"
    )
    skipped = annotation(result("rating", "stars", rating=5), was_cancelled=True)
    refused = annotation(result("rating", "stars", rating=5), last_action="rejected")

    (record,) = LabelStudio().parse(task(first, second, skipped, refused, prompt="Capital of Australia?", response="Sydney."))

    assert [(m.role, m.text) for m in record.messages] == [("user", "Capital of Australia?"), ("assistant", "Sydney.")]
    assert said(record) == [
        ("quality", "Bad", "ann@example.com"),
        ("correction", "Canberra.", "ann@example.com"),
        ("stars", "2", "bob@example.com"),
        ("why", "Wrong city.", "bob@example.com"),
    ]
    assert label(record).pairs[0].chosen[0].text == "Canberra."


@pytest.mark.parametrize("judged", [result("pairwise", "pw", selected="right"), result("choices", "best", choices=["Answer 2"])])
def test_a_comparison_makes_the_chosen_answer_the_better_one_of_a_pair(judged: dict[str, Any]) -> None:
    (record,) = LabelStudio().parse(task(annotation(judged), prompt="Capital?", answer1="Sydney.", answer2="Canberra."))

    assert (record.reply, record.candidates[0].messages[0].text) == ("Sydney.", "Canberra.")
    assert said(record) == [("winner@label_studio:9:3:2", "true", "ann@example.com")]
    (pair,) = label(record).pairs
    assert (pair.chosen[0].text, pair.rejected[0].text, pair.origin) == ("Canberra.", "Sydney.", "ab_winner")


def test_where_no_answer_was_shown_the_annotators_texts_are_the_answers() -> None:
    written = [annotation(result("textarea", "answer", text=[text])) for text in ("Canberra.", "It is Canberra.")]

    (record,) = LabelStudio().parse(task(*written, question="Capital of Australia?"))

    assert record.reply == "Canberra."
    assert [one.messages[0].text for one in record.candidates] == ["It is Canberra."]
    assert record.feedback == ()


def argilla(**rest: Any) -> dict[str, Any]:
    fields = {"prompt": "Capital of Australia?", "response": "Sydney."}
    return {"id": "a-1", "_server_id": "6f1c", "status": "completed", "fields": fields, "metadata": {"source": "forum"}, **rest}


VERSION_2 = argilla(
    responses={
        "helpful": [{"value": "no", "user_id": "u1"}, {"value": "yes", "user_id": "u2"}],
        "stars": [{"value": 2, "user_id": "u1"}, {"value": 5, "user_id": "u3", "status": "discarded"}],
        "topics": [{"value": ["geo", "city"], "user_id": "u1"}],
        "corrected_response": [{"value": "Canberra.", "user_id": "u1"}],
        "reason": [{"value": "Wrong city.", "user_id": "u1"}],
    },
    suggestions={"helpful": {"value": "no", "score": 0.9, "agent": "judge-1"}},
    vectors={},
)
VERSION_1 = argilla(
    responses=[
        {"user_id": "u1", "status": "submitted", "values": {"helpful": {"value": "no"}, "stars": {"value": 2}}},
        {"user_id": "u3", "status": "draft", "values": {"stars": {"value": 5}}},
    ],
    suggestions=[{"question_name": "helpful", "value": "no", "agent": "judge-1"}],
)
FLAT = {
    **{"id": "a-1", "_server_id": "6f1c", "status": "completed", "prompt": "Capital of Australia?", "response": "Sydney."},
    **{"helpful.responses": ["no"], "helpful.responses.users": ["u1"], "helpful.responses.status": ["submitted"]},
    **{"stars.responses": [2, 5], "stars.responses.users": ["u1", "u3"], "stars.responses.status": ["submitted", "draft"]},
    **{"helpful.suggestion": "no", "helpful.suggestion.score": 0.9, "helpful.suggestion.agent": "judge-1"},
}


@pytest.mark.parametrize("entry", [VERSION_2, VERSION_1, FLAT])
def test_argilla_responses_of_every_export_are_feedback_of_their_annotators(entry: dict[str, Any]) -> None:
    assert [type(one).__name__ for one in DIALECTS if one.sniff(json.dumps(entry).encode())] == ["Argilla"]

    (record,) = Argilla().parse(entry)

    assert [(m.role, m.text) for m in record.messages] == [("user", "Capital of Australia?"), ("assistant", "Sydney.")]
    assert {("helpful", "no", "u1"), ("stars", "2", "u1")} <= set(said(record))
    assert "5" not in [one.value for one in record.feedback]
    assert record.id == "6f1c"
    suggested = [one for one in next(Argilla(suggestions=True).parse(entry)).feedback if one not in record.feedback]
    assert suggested == [Feedback(name="helpful", value="no", by="judge-1")]


def test_argilla_texts_are_corrections_or_comments_by_their_questions_name() -> None:
    (record,) = Argilla().parse(VERSION_2)

    assert said(record)[-4:] == [
        ("topics", "geo", "u1"),
        ("topics", "city", "u1"),
        ("correction", "Canberra.", "u1"),
        ("reason", "Wrong city.", "u1"),
    ]
    assert record.tags == ("source=forum",)


def test_an_argilla_ranking_puts_the_best_answer_first_by_its_mean_rank() -> None:
    fields = {"instruction": "Capital?", "response_a": "Sydney.", "response_b": "Canberra.", "response_c": "Perth."}
    ranks = [[("response_a", 2), ("response_b", 1), ("response_c", 3)], [("response_a", 3), ("response_b", 1), ("response_c", 1)]]
    given = [
        {"value": [{"value": name, "rank": rank} for name, rank in one], "user_id": f"u{at}"} for at, one in enumerate(ranks)
    ]

    (record,) = Argilla().parse({"id": "a-2", "fields": fields, "responses": {"order": given}, "suggestions": {}})

    assert record.reply == "Canberra."
    assert [one.messages[0].text for one in record.candidates] == ["Perth.", "Sydney."]
    assert [pair.origin for pair in label(record).pairs] == ["ranked", "ranked"]
