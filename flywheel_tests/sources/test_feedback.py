import hmac
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flywheel.records import Feedback
from flywheel.sections import Logs
from flywheel.sources.feedback import feedback_beside
from flywheel.sources.files import find_files
from flywheel.sources.langfuse import Langfuse
from flywheel.sources.langsmith import LangSmith
from flywheel.sources.read import Reading


def generation(*scores: dict[str, Any]) -> dict[str, Any]:
    said = {
        "input": [{"role": "user", "content": "Capital of Australia?"}],
        "output": {"role": "assistant", "content": "Sydney."},
    }
    return {
        "id": "o-1",
        "traceId": "t-1",
        "type": "GENERATION",
        "startTime": "2026-03-04T05:06:07Z",
        **said,
        "scores": list(scores),
    }


def test_a_langfuse_correction_is_feedback_of_that_name_with_the_text_as_its_value() -> None:
    thumb = {"name": "helpful", "value": 0, "dataType": "BOOLEAN", "source": "ANNOTATION", "authorUserId": "ann", "comment": "no"}
    corrected = {"name": "output", "dataType": "CORRECTION", "stringValue": "Canberra.", "authorUserId": "bob"}

    (record,) = Langfuse().parse(generation(thumb, corrected))

    assert record.feedback == (
        Feedback(name="helpful", value="0", comment="no", by="ann"),
        Feedback(name="correction", value="Canberra.", by="bob"),
    )
    assert record.reply == "Sydney."


@pytest.mark.parametrize(
    "correction",
    ["Canberra.", {"output": "Canberra."}, {"role": "assistant", "content": "Canberra."}, {"right": "Canberra."}, '"Canberra."'],
)
def test_a_langsmith_correction_stands_beside_its_score(correction: Any) -> None:
    given = {"key": "correctness", "score": 0.0, "correction": correction, "feedback_source": {"type": "app", "user_id": "u-9"}}
    run: dict[str, Any] = {"id": "r-1", "run_type": "llm", "inputs": {"messages": [{"role": "user", "content": "?"}]}}
    run |= {"outputs": {"role": "assistant", "content": "Sydney."}, "feedback": [given]}

    (record,) = LangSmith().parse(run)

    assert record.feedback == (
        Feedback(name="correctness", value="0.0", by="u-9"),
        Feedback(name="correction", value="Canberra.", by="u-9"),
    )


def test_corrections_beside_a_plain_call_are_found_as_text_and_as_lists() -> None:
    assert feedback_beside({"correction": "Canberra."}) == (Feedback(name="correction", value="Canberra."),)
    assert feedback_beside({"corrections": ["a", {"value": "b", "by": "EVAL"}]}) == (
        Feedback(name="correction", value="a"),
        Feedback(name="correction", value="b", by="EVAL"),
    )
    assert feedback_beside({"correction": None, "request": {}}) == ()


def test_annotators_stay_apart_as_pseudonyms_and_kinds_of_source_stay_readable(tmp_path: Path) -> None:
    scores = [{"name": f"s{at}", "value": 1, **who} for at, who in enumerate(({"authorUserId": "ann@example.com"},) * 2)]
    scores += [{"name": "s2", "value": 1, "authorUserId": "bob"}, {"name": "s3", "value": 1, "source": "EVAL"}]
    (tmp_path / "a.jsonl").write_text(json.dumps(generation(*scores)))
    logs = Logs(url="*")
    files = find_files(logs, root=tmp_path, start="2026-01-01")

    (chunk,) = Reading(files, logs=logs, root=tmp_path, sources={"langfuse": Langfuse()}, key=b"k")

    by = pl.Series([given["by"] for given in chunk.records["feedback"][0].to_list()])
    ann, bob = (hmac.digest(b"k", who, "sha256").hex()[:32] for who in (b"ann@example.com", b"bob"))
    assert by.to_list() == [ann, ann, bob, "EVAL"]
