from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flywheel.errors import Rejected
from flywheel.records import Feedback, Message, Record, Usage
from flywheel.sources.langfuse import Langfuse
from flywheel_tests.shared import shared_data


def traces() -> list[Path]:
    return sorted((shared_data("trace_exports") / "langfuse").glob("*.trace.json"))


def normalised(message: dict[str, Any]) -> tuple[str, str, list[tuple[str, str, Any]], str | None]:
    """Langfuse's own normalisation of one message, reduced to what training needs."""
    message = message.get("json", {}).get("message") or message
    content = message.get("content") or ""
    if isinstance(content, list):
        content = "\n".join(part["text"] for part in content)
    calls = [(call["id"], call["name"], msgspec.json.decode(call["arguments"])) for call in message.get("tool_calls", [])]
    return message["role"], content, calls, message.get("tool_call_id")


def canonical(message: Message) -> tuple[str, str, list[tuple[str, str, Any]], str | None]:
    calls = [(call.id or "", call.name, msgspec.json.decode(call.arguments)) for call in message.tool_calls]
    return message.role, message.text, calls, message.tool_call_id


def test_generations_equal_langfuses_own_normalisation_and_the_others_are_rejected() -> None:
    ends: Counter[str] = Counter()
    for path in traces():
        trace = msgspec.json.decode(path.read_bytes())
        expected = msgspec.json.decode(path.with_name(path.name.replace(".trace.", ".chatml.")).read_bytes())
        for observation in trace["observations"]:
            if observation["type"] != "GENERATION":
                continue
            asked, told = expected[observation["id"]]["input"], expected[observation["id"]]["output"]
            try:
                (record,) = Langfuse().parse(observation)
            except Rejected as rejected:
                assert not (asked["success"] and told["success"])
                ends[rejected.reason] += 1
                continue
            instructions = [message for message in record.messages if message.text == "You are a helpful agent."]
            mine = [canonical(message) for message in record.messages if message not in instructions]
            assert mine == [normalised(message) for message in asked["data"] + told["data"]]
            offered = {tool["name"] for message in asked["data"] + told["data"] for tool in message.get("tools", [])}
            assert {msgspec.json.decode(tool)["name"] for tool in record.tools} == offered
            ends["record"] += 1
    assert ends == {"record": 6, "plain_text": 2, "unmapped": 1}


def test_a_trace_with_both_kinds_yields_the_mappable_generations() -> None:
    (path,) = [path for path in traces() if path.name.startswith("vercel")]

    (record,) = Langfuse().parse(msgspec.json.decode(path.read_bytes()))

    assert record.id == "91a17a2274bfd23f"
    assert record.prompt == "What is the weather like today in San Francisco?"
    assert record.messages[-1].tool_calls[0].name == "getWeather"
    assert record.finish_reason == "tool_calls"


def test_plain_text_is_read_where_the_user_asks_for_it() -> None:
    (path,) = [path for path in traces() if path.name.startswith("crewai")]

    (record,) = Langfuse(plain_text=True).parse(msgspec.json.decode(path.read_bytes()))

    assert record.reply.startswith("I now can give a great answer")
    assert record.usage == Usage(prompt_tokens=190, completion_tokens=164)
    assert [(given.name, given.value, given.by) for given in record.feedback] == [
        ("toxicity", "0.8", "EVAL"),
        ("hallucination", "1", "EVAL"),
    ]


def observation(**fields: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "id": "o-1",
        "traceId": "t-1",
        "type": "GENERATION",
        "startTime": "2026-03-04T05:06:07.000Z",
        "model": "gpt-5",
    }
    base |= {"input": [{"role": "user", "content": "Weather?"}], "output": {"role": "assistant", "content": "Rain."}}
    return {**base, **fields}


def records(entry: Any) -> list[Record]:
    assert Langfuse().sniff(msgspec.json.encode(entry)) is True
    return list(Langfuse().parse(entry))


def test_a_traces_score_goes_to_its_last_generation_and_an_observations_to_itself() -> None:
    scores = [
        {"id": "s1", "name": "helpful", "value": 1, "source": "ANNOTATION", "comment": "yes", "observationId": None},
        {"id": "s2", "name": "tone", "stringValue": "curt", "observationId": "o-1"},
    ]
    late = observation(id="o-2", startTime="2026-03-04T05:07:00.000Z")
    entry = {"id": "t-1", "userId": "ada", "sessionId": "s-7", "tags": ["prod"], "name": "desk", "scores": scores}
    entry["observations"] = [late, observation()]

    second, one = records(entry)

    assert second.feedback == (Feedback(name="helpful", value="1", comment="yes", by="ANNOTATION"),)
    assert one.feedback == (Feedback(name="tone", value="curt"),)
    assert (one.user, one.session, one.app, one.tags) == ("ada", "s-7", "desk", ("prod",))


def test_lists_pages_and_blob_rows_are_read_alike() -> None:
    row = {
        "id": "o-1",
        "trace_id": "t-1",
        "type": "GENERATION",
        "start_time": "2026-03-04 05:06:07.000",
        "parent_observation_id": "",
    }
    row |= {"provided_model_name": "gpt-5", "input": '[{"role":"user","content":"Weather?"}]'}
    row |= {"output": '{"role":"assistant","content":"Rain."}', "usage_details": '{"input":4,"output":2}'}
    for entry in (observation(), {"data": [observation()], "meta": {"page": 1}}, [observation()], row):
        (record,) = records(entry)
        assert (record.id, record.model, record.session) == ("o-1", "gpt-5", "t-1")
        assert [(m.role, m.text) for m in record.messages] == [("user", "Weather?"), ("assistant", "Rain.")]
        assert record.created_at is not None
        assert record.created_at.isoformat() == "2026-03-04T05:06:07+00:00"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            {"messages": [{"role": "user", "content": "Weather?"}]},
            {"choices": [{"message": {"role": "assistant", "content": "Rain."}}]},
        ),
        ([[{"type": "human", "content": "Weather?"}]], {"type": "ai", "content": "Rain."}),
        ([{"type": "human", "data": {"content": "Weather?"}}], [{"role": "assistant", "content": "Rain."}]),
        (
            {"contents": [{"role": "user", "parts": [{"text": "Weather?"}]}]},
            {"candidates": [{"content": {"role": "model", "parts": [{"text": "Rain."}]}}]},
        ),
        (
            [{"role": "user", "parts": [{"type": "text", "content": "Weather?"}]}],
            [{"role": "assistant", "parts": [{"type": "text", "content": "Rain."}]}],
        ),
        (
            {
                "messages": [
                    [{"lc": 1, "type": "constructor", "id": ["langchain", "HumanMessage"], "kwargs": {"content": "Weather?"}}]
                ]
            },
            {"generations": [[{"message": {"lc": 1, "id": ["langchain", "AIMessage"], "kwargs": {"content": "Rain."}}}]]},
        ),
    ],
    ids=["OpenAI", "LangChain batch", "LangChain data", "Gemini", "GenAI parts", "LangChain serialised"],
)
def test_any_frameworks_input_and_output_are_read(asked: Any, told: Any) -> None:
    (record,) = records(observation(input=asked, output=told))

    assert [(m.role, m.text) for m in record.messages] == [("user", "Weather?"), ("assistant", "Rain.")]


@pytest.mark.parametrize(
    ("entry", "slug"),
    [
        (observation(type="SPAN"), "no_generation"),
        ({"data": []}, "no_generation"),
        (observation(input=None), "no_content"),
        (observation(output=None), "no_response"),
        (observation(output=None, level="ERROR"), "http_error"),
        (observation(output="Rain."), "plain_text"),
        (observation(input={"args": ["Weather?"]}), "unmapped"),
    ],
)
def test_what_cannot_be_mapped_says_why(entry: Any, slug: str) -> None:
    with pytest.raises(Rejected, match=f"^{slug}$"):
        list(Langfuse().parse(entry))
