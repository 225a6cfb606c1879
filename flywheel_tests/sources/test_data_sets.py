"""Data sets as logs: messages, ShareGPT, Alpaca, preferences, trees, trajectories."""

import gzip
from collections import Counter
from typing import Any

import msgspec
import pytest

from flywheel.errors import Rejected
from flywheel.records import Feedback, Record
from flywheel.sources.alpaca import Alpaca
from flywheel.sources.messages import Messages
from flywheel.sources.oasst import Oasst
from flywheel.sources.preference import Preference
from flywheel.sources.sharegpt import ShareGPT
from flywheel.sources.tau_bench import TauBench
from flywheel_tests.shared import shared_data
from flywheel_tests.sources.provider_logs import lines


def array(name: str) -> list[Any]:
    with gzip.open(shared_data("llamafactory_demo") / name) as file:
        rows: list[Any] = msgspec.json.decode(file.read())
    return rows


def one(dialect: Any, row: Any) -> Record:
    (record,) = dialect.parse(row)
    assert isinstance(record, Record)
    return record


def shown(record: Record) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in record.messages]


def test_every_alpaca_row_is_one_exchange_with_its_input_under_its_instruction() -> None:
    rows = array("alpaca_en_demo.json.gz") + array("alpaca_zh_demo.json.gz") + array("identity.json.gz")
    assert len(rows) == 999 + 1000 + 91
    for row in rows:
        asked = row["instruction"] + ("\n" + row["input"] if row["input"] else "")
        assert shown(one(Alpaca(), row)) == [("user", asked), ("assistant", row["output"])]


def test_alpacas_system_and_history_come_before_the_instruction() -> None:
    row = {"instruction": "And 2+2?", "output": "4", "system": "Count.", "history": [["1+1?", "2"]]}
    assert shown(one(Alpaca(), row)) == [
        ("system", "Count."),
        ("user", "1+1?"),
        ("assistant", "2"),
        ("user", "And 2+2?"),
        ("assistant", "4"),
    ]


def test_every_function_call_of_the_sharegpt_rows_is_answered_by_the_observation_after_it() -> None:
    calls = results = 0
    for row in array("glaive_toolcall_en_demo.json.gz"):
        record = one(ShareGPT(), row)
        assert len(record.tools) == len(msgspec.json.decode(row["tools"]))
        for before, message in zip(record.messages, record.messages[1:], strict=False):
            calls += len(message.tool_calls)
            if message.role == "tool":
                results += 1
                assert message.tool_call_id == before.tool_calls[0].id
        written = [turn["value"] for turn in row["conversations"] if turn["from"] in ("human", "gpt", "observation")]
        assert [message.text for message in record.messages if not message.tool_calls or message.text] == written
    assert (calls, results) == (211, 211)


def test_of_a_preference_row_the_chosen_answer_is_the_reply_and_the_rejected_one_a_candidate() -> None:
    rows = array("dpo_en_demo.json.gz")
    assert len(rows) == 299
    for row in rows:
        record = one(Preference(), row)
        assert record.reply == row["chosen"]["value"]
        assert [candidate.messages[0].text for candidate in record.candidates] == [row["rejected"]["value"]]
        assert len(record.messages) == len(row["conversations"]) + 1


USER, GOOD, BAD = ({"role": role, "content": text} for role, text in (("user", "2+2?"), ("assistant", "4"), ("assistant", "5")))


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "2+2?", "chosen": "4", "rejected": "5"},
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": "2+2?", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"chosen": "\n\nHuman: 2+2?\n\nAssistant: 4", "rejected": "\n\nHuman: 2+2?\n\nAssistant: 5"},
        {"instruction": "2+2?", "input": "", "chosen": "4", "rejected": "5"},
        {"input": {"messages": [USER]}, "preferred_output": [GOOD], "non_preferred_output": [BAD]},
    ],
    ids=["text", "messages", "repeated prompt", "implicit prompt", "HH-RLHF", "Alpaca", "OpenAI"],
)
def test_all_preference_layouts_say_the_same(row: dict[str, Any]) -> None:
    assert Preference().sniff(msgspec.json.encode(row))
    record = one(Preference(), row)
    assert shown(record) == [("user", "2+2?"), ("assistant", "4")]
    assert record.candidates[0].messages[0].text == "5"


def test_preferences_that_part_before_their_last_turn_are_rejected() -> None:
    row = {"chosen": [USER, GOOD, {"role": "user", "content": "Sure?"}, GOOD], "rejected": [USER, BAD, USER, BAD]}
    with pytest.raises(Rejected, match="prompts_differ"):
        list(Preference().parse(row))


def test_a_kto_label_is_feedback() -> None:
    rows = array("kto_en_demo.json.gz")
    given = [one(Messages(), row).feedback for row in rows]
    assert given == [(Feedback(name="label", value="true" if row["label"] else "false"),) for row in rows]


def test_rows_whose_parts_say_value_keep_text_reasoning_and_calls_apart() -> None:
    rows = lines("llamafactory_demo", "reason_tool_use_demo_50.jsonl.gz")
    found: Counter[str] = Counter()
    for row in rows:
        record = one(Messages(), row)
        for message in record.messages:
            found["reasoning"] += message.reasoning is not None
            found["calls"] += len(message.tool_calls)
            found["texts"] += len(message.content)
            found["paired"] += message.role == "tool" and message.tool_call_id is not None
        assert len(record.tools) == len(msgspec.json.decode(row["tools"]))
    # 112 reasoning parts, 68 calls, and 59 + 70 + 50 + 42 texts, as counted in the file
    assert found == {"reasoning": 112, "calls": 68, "texts": 221, "paired": 42}


def test_messages_keep_tools_names_weights_and_hosted_fine_tuning_fields() -> None:
    row = {
        "messages": [
            {"role": "user", "content": "Hi", "name": "ada"},
            {"role": "assistant", "content": "Hello", "weight": 0},
            {"role": "user", "content": "Time?"},
            {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "now", "arguments": {}}}]},
            {"role": "tool", "name": "now", "content": "noon"},
            {"role": "assistant", "content": "Noon.", "thinking": "Read the clock."},
        ],
        "tools": '[{"type":"function","function":{"name":"now","description":"Clock","parameters":{}}}]',
    }
    record = one(Messages(), row)
    assert (record.messages[0].name, record.messages[1].weight) == ("ada", 0.0)
    assert record.messages[4].tool_call_id == record.messages[3].tool_calls[0].id
    assert record.messages[5].reasoning == "Read the clock."
    assert record.tools == ('{"name":"now","description":"Clock","parameters":{}}',)


def test_prompt_completion_rows_and_bare_lists_are_conversations() -> None:
    expected = [("user", "2+2?"), ("assistant", "4")]
    for row in ({"prompt": "2+2?", "completion": "4"}, {"prompt": [USER], "completion": [GOOD]}, [USER, GOOD]):
        assert shown(one(Messages(), row)) == expected


def test_trees_and_message_files_give_the_same_threads() -> None:
    threads = []
    for name in ("en_100_tree.jsonl.gz", "en_100_message.jsonl.gz"):
        found = []
        for tree in lines("oasst_en100", name):
            try:
                records = list(Oasst().parse(tree))
            except Rejected:
                continue
            found += [(r.id, shown(r), [c.id for c in r.candidates], r.session) for r in records]
        threads.append(found)
    assert threads[0] == threads[1]
    assert len(threads[0]) == 241


def test_no_assistant_message_of_a_tree_is_lost_and_siblings_come_best_first() -> None:
    def nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
        return [node, *(inner for reply in node["replies"] for inner in nodes(reply))]

    for tree in lines("oasst_en100", "en_100_tree.jsonl.gz"):
        listed = nodes(tree["prompt"])
        ranks = {node["message_id"]: node.get("rank") for node in listed}
        texts = {node["text"] for node in listed if node["role"] == "assistant" and not node["deleted"]}
        try:
            records = list(Oasst().parse(tree))
        except Rejected:
            assert not texts
            continue
        said = {
            m.text
            for r in records
            for m in (*r.messages, *(m for c in r.candidates for m in c.messages))
            if m.role == "assistant"
        }
        assert said == texts
        for record in records:
            order = [rank for key in (record.id, *(c.id for c in record.candidates)) if (rank := ranks[key or ""]) is not None]
            assert order == sorted(order)


def test_a_tau_bench_trajectory_keeps_its_outcome_and_ends_with_the_agent() -> None:
    rows = lines("tau_bench", "gpt-4o-airline.trajectories.jsonl.gz")
    assert len(rows) == len({one(TauBench(), row).session for row in rows}) == 112
    for row in rows:
        record = one(TauBench(), row)
        last = max(at for at, message in enumerate(row["traj"]) if message["role"] == "assistant")
        assert [m.role for m in record.messages] == [message["role"] for message in row["traj"][: last + 1]]
        assert record.feedback == (Feedback(name="reward", value=str(row["reward"])),)
        assert record.user == row["info"]["task"]["user_id"]
        assert record.tags == (f"task_id={row['task_id']}", f"trial={row['trial']}")
        known = {call.id for message in record.messages for call in message.tool_calls}
        assert all(message.tool_call_id in known for message in record.messages if message.role == "tool")


def test_displayed_dialogues_whose_calls_were_printed_as_none_are_rejected() -> None:
    for row in lines("tau_bench", "retail_few_shot.jsonl.gz"):
        with pytest.raises(Rejected, match="lossy_display"):
            list(TauBench().parse(row))
