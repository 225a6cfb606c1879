from typing import Any

import msgspec
import pytest

from flywheel.errors import Rejected
from flywheel.records import Feedback, Usage
from flywheel.sources.langsmith import LangSmith
from flywheel_tests.shared import shared_data


def test_a_batchs_patch_completes_the_run_that_its_post_began() -> None:
    paths = sorted((shared_data("trace_exports") / "langsmith").glob("*.json"))
    assert len(paths) == 5
    for path in paths:
        (record,) = LangSmith().parse(msgspec.json.decode(path.read_bytes()))
        assert record.prompt == "howdy"
        assert record.reply.startswith("Howdy! ")
        assert (record.model or "").startswith("gpt-4o-mini")
        assert record.created_at is not None
        assert record.created_at.year == 2024
        assert record.finish_reason == "stop"


def run(**fields: Any) -> dict[str, Any]:
    human = {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "messages", "HumanMessage"],
        "kwargs": {"content": "Hi"},
    }
    told = {"content": "", "tool_calls": [{"id": "c1", "name": "now", "args": {}}]}
    answer = {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "AIMessage"], "kwargs": told}
    base = {"id": "r-1", "trace_id": "t-1", "run_type": "llm", "start_time": "2026-03-04T05:06:07.123456"}
    outputs = {"generations": [[{"text": "", "message": answer}]], "llm_output": {"token_usage": {"prompt_tokens": 3}}}
    extra = {"metadata": {"ls_model_name": "gpt-5", "thread_id": "s-1"}, "invocation_params": {"tools": [{"name": "now"}]}}
    return {**base, "inputs": {"messages": [[human]]}, "outputs": outputs, "extra": extra, **fields}


def test_langchain_runs_nested_in_a_chain_are_found_with_their_calls_tools_and_feedback() -> None:
    chain = {
        "id": "r-0",
        "run_type": "chain",
        "inputs": {},
        "child_runs": [run(feedback_stats={"helpful": {"n": 2, "avg": 0.5}})],
    }

    (record,) = LangSmith().parse([chain])

    assert [(m.role, m.text) for m in record.messages] == [("user", "Hi"), ("assistant", "")]
    assert [(c.id, c.name, c.arguments) for c in record.messages[1].tool_calls] == [("c1", "now", "{}")]
    assert (record.session, record.model, record.usage) == ("s-1", "gpt-5", Usage(prompt_tokens=3))
    assert record.feedback == (Feedback(name="helpful", value="0.5"),)
    assert len(record.tools) == 1


@pytest.mark.parametrize(
    ("entry", "slug"),
    [
        ({"id": "r-0", "run_type": "tool", "inputs": {}}, "no_llm_run"),
        (run(error="boom", outputs=None), "http_error"),
        (run(outputs={}), "no_response"),
        ([], "no_llm_run"),
    ],
)
def test_runs_without_a_conversation_say_why(entry: Any, slug: str) -> None:
    with pytest.raises(Rejected, match=slug):
        list(LangSmith().parse(entry))
