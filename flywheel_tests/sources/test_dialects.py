"""What holds for every dialect, whatever it is fed."""

import gzip
import json
import pickle
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flywheel.errors import Rejected
from flywheel.records import Record, from_batch, to_batch
from flywheel.sources.openai_chat import OpenAIChat
from flywheel_tests.shared import shared_data
from flywheel_tests.sources.dialects import DIALECTS
from flywheel_tests.sources.provider_logs import calls, lines

SLUG = re.compile(r"[a-z][a-z0-9_]*")
KEYS = re.findall(
    r"\S+",
    """
    request response input output messages role content parts type text tool_calls function name arguments id choices message
    finish_reason usage tools delta index candidates contents resourceSpans scopeSpans spans attributes key value stringValue
    intValue kvlistValue values events body trace observations data scores gen_ai.input.messages gen_ai.output.messages
    gen_ai.prompt.0.content llm.input_messages.0.message.role gen_ai.request.model gen_ai.operation.name history system traj
    openinference.span.kind conversations from chosen rejected prompt completion instruction info task reward replies post patch
    message_id run_type inputs outputs extra metadata generations call_type kwargs feedback label timestamp created_at status
    error __sse__ __ndjson__ event done chat_history tool_results toolUse toolResult functionCall functionResponse inlineData
    image_url source url generation_id stop_reason reasoning thinking tool_use_id tool_call_id output.value input.value model
    created user session_id tags
    """,
)
WORDS = re.findall(
    r"\S+",
    """
    user assistant tool system function_call reasoning text tool_use tool_result image GENERATION llm LLM chat acompletion
    message_start content_block_start content_block_delta message_delta response.completed message-start content-delta response
    function_call_output chat.completion.chunk web_search_call human gpt observation data: {} [] 2024-01-01T00:00:00 1e99
    function server_tool_call gen_ai.choice gen_ai.user.message tool_call json AIMessage
    """,
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(WORDS)
    | st.text(max_size=6)
    | st.sampled_from(["\ud800", '{"a":', '[{"role":"user","content":"x"}]', '{"messages":[]}', "9" * 30, 10**40, -1, 2**63])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=4),
    max_leaves=25,
)


def outcome(dialect: Any, entry: Any) -> str:
    records = []
    try:
        records = list(dialect.parse(entry))
    except Rejected as rejected:
        reason = rejected.reason
    if not records:
        assert SLUG.fullmatch(reason)
        return reason
    assert all(isinstance(record, Record) and record.messages for record in records)
    return "record"


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(values)
def test_any_json_value_ends_as_records_or_as_a_reason(value: Any) -> None:
    for dialect in DIALECTS:
        outcome(dialect, value)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, one in inner for found in paths(one, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    key, *rest = path
    if isinstance(value, dict):
        return {**value, key: replaced(value[key], tuple(rest), new)}
    return [*value[:key], replaced(value[key], tuple(rest), new), *value[key + 1 :]]


@cache
def _samples() -> list[Any]:
    logs = calls()
    traces = sorted((shared_data("trace_exports")).glob("l*/*.json"))
    found = [msgspec.json.decode(path.read_bytes()) for path in traces if "chatml" not in path.name]
    for name in ("glaive_toolcall", "dpo", "kto", "alpaca"):
        with gzip.open(shared_data("llamafactory_demo") / f"{name}_en_demo.json.gz") as file:
            found += msgspec.json.decode(file.read())[:2]
    found += lines("llamafactory_demo", "reason_tool_use_demo_50.jsonl.gz")[:2]
    found += lines("tau_bench", "gpt-4o-airline.trajectories.jsonl.gz")[:1]
    with gzip.open(next((shared_data("trace_exports") / "inspect_ai").glob("*.json.gz"))) as file:
        found.append(msgspec.json.decode(file.read()))
    found += lines("oasst_en100", "en_100_tree.jsonl.gz")[:2]
    return found + logs[::9]


def test_a_real_entry_with_any_one_value_replaced_still_ends_as_records_or_a_reason() -> None:
    odd: list[Any] = [None, True, -1, 1e308, "x", [], {}, [None], [[]], {"a": {}}, 10**30, "\ud800"]
    for number, entry in enumerate(_samples()):
        found = paths(entry)
        for at in range(0, len(found), max(1, len(found) // 40)):
            broken = replaced(entry, found[at], odd[(number + at) % len(odd)])
            for dialect in DIALECTS:
                outcome(dialect, broken)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_real_entry_with_several_values_replaced_still_ends_as_records_or_a_reason(data: st.DataObject) -> None:
    entry = data.draw(st.sampled_from(_samples()))
    for _ in range(3):
        entry = replaced(entry, data.draw(st.sampled_from(paths(entry))), data.draw(values))
    for dialect in DIALECTS:
        outcome(dialect, entry)


def test_deep_nesting_is_a_reason_and_no_crash() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    for dialect in DIALECTS:
        for entry in (
            deep,
            {"messages": [{"role": "user", "content": deep}]},
            {
                "request": {"messages": [{"role": "tool", "content": deep}]},
                "response": {"choices": [{"message": {"content": deep}}]},
            },
            {"attributes": {"gen_ai.input.messages": deep, "gen_ai.request.model": "m"}, "spanId": "1"},
            {"type": "GENERATION", "input": deep, "output": deep},
            {"conversations": deep, "chosen": deep, "rejected": deep, "traj": deep, "text": "x", "replies": deep},
        ):
            outcome(dialect, entry)
    while isinstance(deep, list):  # freed step by step: the interpreter itself would recurse
        deep = deep.pop()


@given(st.binary(max_size=300))
def test_sniffing_never_raises(head: bytes) -> None:
    for dialect in DIALECTS:
        assert dialect.sniff(head) in (True, False)


@pytest.mark.parametrize(
    ("dialect", "folder", "name"),
    [
        ("Alpaca", "llamafactory_demo", "alpaca_en_demo.json.gz"),
        ("Alpaca", "llamafactory_demo", "alpaca_zh_demo.json.gz"),
        ("Alpaca", "llamafactory_demo", "identity.json.gz"),
        ("Preference", "llamafactory_demo", "dpo_en_demo.json.gz"),
        ("Messages", "llamafactory_demo", "kto_en_demo.json.gz"),
        ("ShareGPT", "llamafactory_demo", "glaive_toolcall_en_demo.json.gz"),
        ("Messages", "llamafactory_demo", "reason_tool_use_demo_50.jsonl.gz"),
        ("TauBench", "tau_bench", "gpt-4o-airline.trajectories.jsonl.gz"),
        ("Oasst", "oasst_en100", "en_100_tree.jsonl.gz"),
        ("Oasst", "oasst_en100", "en_100_message.jsonl.gz"),
    ],
)
def test_of_every_row_of_a_data_set_exactly_its_own_dialect_knows_the_start(dialect: str, folder: str, name: str) -> None:
    raw = gzip.decompress((shared_data(folder) / name).read_bytes())
    rows = msgspec.json.decode(raw) if name.endswith(".json.gz") else [msgspec.json.decode(line) for line in raw.splitlines()]
    for spaced in (None, (",", ":")):
        for row in rows[:100]:
            head = json.dumps(row, separators=spaced).encode()[: 64 * 1024]
            assert [type(one).__name__ for one in DIALECTS if one.sniff(head)] == [dialect]


def test_of_every_recorded_call_exactly_one_dialect_knows_the_start_and_reads_it_as_all_others_would() -> None:
    known: Counter[str] = Counter()
    for call in calls():
        (dialect,) = [one for one in DIALECTS if one.sniff(msgspec.json.encode(call))]
        known[type(dialect).__name__] += 1
        assert outcome(dialect, call) == outcome(OpenAIChat(), call)
    assert known["OpenAIChat"] > 150
    assert set(known) == {"OpenAIChat", "OpenAIResponses", "Anthropic", "BedrockConverse", "Cohere", "Gemini", "Ollama"}


def test_records_of_every_kind_survive_the_arrow_schema() -> None:
    records = []
    for entry in _samples():
        written = msgspec.json.encode(entry)
        head = written[: 64 * 1024]
        dialect = next(one for one in DIALECTS if one.sniff(head))
        if outcome(dialect, entry) == "record":
            records += list(dialect.parse(entry))
        assert msgspec.json.encode(entry) == written, "parsing changed its input"

    assert len(records) > 40
    assert from_batch(to_batch(records)) == records


def test_dialects_pickle_and_their_repr_is_their_provenance() -> None:
    for dialect in DIALECTS:
        assert pickle.loads(pickle.dumps(dialect)) == dialect
        assert repr(dialect).startswith(type(dialect).__name__ + "(")


def test_importing_every_dialect_loads_neither_dagster_nor_a_vendors_sdk() -> None:
    program = "import sys, flywheel_tests.sources.dialects; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"dagster", "openai", "anthropic", "duckdb", "deltalake", "spacy"} & set(loaded) == set()
