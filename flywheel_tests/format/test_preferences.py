"""Preference, KTO, reward, ShareGPT and Alpaca files of real data sets, against the data sets themselves."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flywheel.curate.label_rules import LabelRule
from flywheel.curate.labels import Origin
from flywheel.errors import Rejected
from flywheel.format.alpaca import Alpaca
from flywheel.format.check import Problem, check_file
from flywheel.format.export import Exported, Renders, export
from flywheel.format.openai_preference import OpenaiPreference
from flywheel.format.reward import Reward
from flywheel.format.sharegpt import Sharegpt
from flywheel.format.tokens import Estimate
from flywheel.format.trl_kto import TrlKto
from flywheel.format.trl_preference import TrlPreference
from flywheel.records import Candidate, Feedback, Message, Part, Record, Source, ToolCall, text_message, to_batch
from flywheel.sections import Set
from flywheel.sources.oasst import Oasst
from flywheel.sources.preference import Preference
from flywheel.testing import chat, check_format
from flywheel_tests.format.real import lines
from flywheel_tests.format.test_check import written
from flywheel_tests.format.test_datasets import compact, load
from flywheel_tests.readings import read_records
from flywheel_tests.shared import shared_data

__all__ = ["load"]

ROLES = {"human": "user", "gpt": "assistant", "system": "system"}
FORMATS: dict[str, Renders] = {
    "trl_preference": TrlPreference(),
    "openai_preference": OpenaiPreference(),
    "trl_kto": TrlKto(),
    "reward": Reward(labels=True),
    "sharegpt": Sharegpt(),
    "alpaca": Alpaca(),
}


def array(name: str) -> list[dict[str, Any]]:
    """The distinct rows of a demo file, as the reader takes an equal row for the same one."""
    with gzip.open(shared_data("llamafactory_demo") / name) as file:
        rows = json.load(file)
    return list({json.dumps(row): row for row in rows}.values())


def turn(given: dict[str, str]) -> dict[str, str]:
    return {"role": ROLES[given["from"]], "content": given["value"]}


def write(records: list[Record], folder: Path, name: str, format_: Renders | None = None) -> Exported:
    chosen = Set(name="x", format=name)
    batches = (to_batch(records[at : at + 100]) for at in range(0, len(records), 100))
    return export(batches, format_ or FORMATS[name], folder=folder, set=chosen, token_counter=Estimate(), provenance={})


def answer(text: str) -> Candidate:
    return Candidate(id="o", messages=(text_message("assistant", text),))


def test_a_preference_data_set_goes_through_and_comes_out_the_same(load: Any, tmp_path: Path) -> None:
    rows = array("dpo_en_demo.json.gz")
    expected = [
        {
            "prompt": [turn(one) for one in row["conversations"]],
            "chosen": [turn(row["chosen"])],
            "rejected": [turn(row["rejected"])],
            "tools": "[]",
        }
        for row in rows
    ]

    made = write(
        read_records("llamafactory_demo", "dpo_en_demo.json.gz", tmp_path, dialect="preference"), tmp_path, "trl_preference"
    )

    assert len(rows) == 294
    assert made.exits.height == 0
    assert check_file(made.path / "train.jsonl", "trl_preference") == []
    assert compact(list(load(str(made.path), split="train"))) == expected
    assert compact(list(load("json", data_files=str(made.path / "train.jsonl"), split="train"))) == expected


def test_the_implicit_form_repeats_the_prompt_in_both(load: Any, tmp_path: Path) -> None:
    row = array("dpo_en_demo.json.gz")[0]
    records = [record for given in array("dpo_en_demo.json.gz")[:20] for record in Preference().parse(given)]
    records = [msgspec.structs.replace(one, id=str(at), source=Source(dialect="preference")) for at, one in enumerate(records)]

    made = write(records, tmp_path, "trl_preference", TrlPreference(prompt="implicit"))
    loaded = compact(load(str(made.path), split="train")[0])

    prompt = [turn(one) for one in row["conversations"]]
    assert loaded == {"chosen": [*prompt, turn(row["chosen"])], "rejected": [*prompt, turn(row["rejected"])], "tools": "[]"}
    assert check_file(made.path / "train.jsonl", "trl_preference") == []


def test_openais_preference_file_of_a_data_set_is_valid_and_the_same(tmp_path: Path) -> None:
    rows = array("dpo_en_demo.json.gz")
    records = read_records("llamafactory_demo", "dpo_en_demo.json.gz", tmp_path, dialect="preference")

    made = write(records, tmp_path, "openai_preference")

    assert check_file(made.path / "train.jsonl", "openai_preference") == []
    with (made.path / "train.jsonl").open("rb") as file:
        for line, row in zip(file, rows, strict=True):
            assert json.loads(line) == {
                "input": {"messages": [turn(one) for one in row["conversations"]]},
                "preferred_output": [turn(row["chosen"])],
                "non_preferred_output": [turn(row["rejected"])],
            }


def test_a_kto_data_set_goes_through_and_comes_out_the_same(load: Any, tmp_path: Path) -> None:
    rows = array("kto_en_demo.json.gz")

    made = write(read_records("llamafactory_demo", "kto_en_demo.json.gz", tmp_path, dialect="messages"), tmp_path, "trl_kto")
    loaded = compact(list(load(str(made.path), split="train")))

    assert made.exits.height == 0
    assert check_file(made.path / "train.jsonl", "trl_kto") == []
    assert [([*one["prompt"], *one["completion"]], one["label"]) for one in loaded] == [
        ([{"role": one["role"], "content": one["content"]} for one in row["messages"]], row["label"]) for row in rows
    ]


def test_the_rewards_of_support_agents_are_their_kto_labels_and_scores(load: Any, tmp_path: Path) -> None:
    records = read_records("tau_bench", "gpt-4o-airline.trajectories.jsonl.gz", tmp_path, dialect="tau_bench")
    rewards = [row["reward"] for row in lines("tau_bench", "gpt-4o-airline.trajectories.jsonl.gz")]

    kto = write(records, tmp_path / "kto", "trl_kto")
    reward = write(records, tmp_path / "reward", "reward", Reward())

    left = set(kto.exits["id"])
    assert Counter(kto.exits["reason"]) == Counter(reward.exits["reason"])
    assert len(left) < 10
    wanted = [given for record, given in zip(records, rewards, strict=True) if record.id not in left]
    assert list(load(str(kto.path), split="train")["label"]) == [given == 1 for given in wanted]
    assert list(load(str(reward.path), split="train")["score"]) == wanted
    assert check_file(kto.path / "train.jsonl", "trl_kto") == check_file(reward.path / "train.jsonl", "reward") == []


def test_ranked_answers_of_people_are_pairs_in_the_order_of_their_ranks() -> None:
    ranks: dict[str, Any] = {}

    def walk(node: dict[str, Any]) -> None:
        ranks[node["message_id"]] = node.get("rank")
        for reply in node["replies"]:
            walk(reply)

    pairs = 0
    for tree in lines("oasst_en100", "en_100_tree.jsonl.gz"):
        walk(tree["prompt"])
        try:
            records = list(Oasst().parse(tree))
        except Rejected:
            continue
        for record in records:
            named = msgspec.structs.replace(record, source=Source(dialect="oasst"))
            if not record.candidates:
                with pytest.raises(Rejected, match="no_pair"):
                    TrlPreference().render(named)
                continue
            for against, other in (("next_best", record.candidates[0]), ("worst", record.candidates[-1])):
                row = TrlPreference(against=against).render(named)  # type: ignore[arg-type]
                assert row["chosen"][0]["content"] == record.reply
                assert row["rejected"][0]["content"] == other.messages[0].text
                if ranks[other.id or ""] is not None:
                    assert ranks[record.id] < ranks[other.id or ""]
                pairs += 1
    assert pairs == 2 * 166


def test_two_models_answers_become_a_pair_once_somebody_preferred_one(tmp_path: Path) -> None:
    answers = [lines("arena_hard", f"answer_{model}.jsonl.gz") for model in ("gpt-4-0314", "gpt-3.5-turbo-0125")]
    by_id = {row["uid"]: row for row in answers[1]}
    records, expected = [], []
    for number, row in zip(range(60), answers[0], strict=False):
        question = row["messages"][0]["content"]
        first, second = (one["messages"][1]["content"]["answer"] for one in (row, by_id[row["uid"]]))
        better = number % 3 == 0
        said = Feedback(name="winner" if better else "winner@b", value="true")
        records.append(
            chat(
                question,
                first,
                id=row["uid"],
                candidates=(Candidate(id="b", messages=(text_message("assistant", second),)),),
                feedback=(said,),
            )
        )
        expected.append((first, second) if better else (second, first))

    made = write(records, tmp_path, "trl_preference", TrlPreference(origins=("ab_winner",)))

    rows = [json.loads(line) for line in (made.path / "train.jsonl").read_bytes().splitlines()]
    assert [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows] == expected
    with pytest.raises(Rejected, match="other_origin"):
        TrlPreference(origins=("correction",)).render(records[0])


def test_the_most_reliable_origin_is_written() -> None:
    said = (Feedback(name="correction", value="Best."),)
    record = chat("How?", "So.", candidates=(answer("No."),), feedback=said)

    for origins, chosen, rejected in (((), "Best.", "So."), (("regenerated",), "So.", "No.")):
        wanted: tuple[Origin, ...] = origins  # type: ignore[assignment]
        row = TrlPreference(origins=wanted).render(record)
        assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == (chosen, rejected)


def test_calls_and_system_prompts_are_part_of_the_prompt_of_both_answers() -> None:
    call = Message(role="assistant", tool_calls=(ToolCall(name="rain", arguments='{"city": "Oslo"}'),))
    turns = (call, text_message("tool", "none"), text_message("assistant", "Dry.", weight=0))
    tool = '{"name": "rain", "parameters": {"type": "object"}}'
    again = Candidate(id="o", messages=(Message(role="assistant", tool_calls=(ToolCall(name="rain"),)),))
    record = chat("Rain?", *turns, candidates=(again,), tools=(tool,))

    trl = TrlPreference(system_prompt="Be short.").render(record)
    openai = OpenaiPreference(parallel_tool_calls=False).render(record)

    assert [one["role"] for one in trl["prompt"]] == ["system", "user", "assistant", "tool"]
    assert trl["chosen"] == [{"role": "assistant", "content": "Dry."}]
    assert trl["rejected"][0]["tool_calls"][0]["function"] == {"name": "rain", "arguments": {}}
    assert openai["input"]["parallel_tool_calls"] is False
    assert openai["input"]["tools"][0]["function"]["name"] == "rain"
    assert openai["preferred_output"] == [{"role": "assistant", "content": "Dry."}]
    assert openai["non_preferred_output"][0]["tool_calls"][0]["function"]["arguments"] == "{}"


@pytest.mark.parametrize("format_", [TrlPreference(), OpenaiPreference(), TrlKto(), Reward()])
def test_without_a_pair_or_a_label_there_is_no_row(format_: Renders) -> None:
    reasons = []
    both = tuple(Feedback(name="thumbs", value=value) for value in ("up", "down"))
    for record in (
        chat("How?", "So."),
        chat("How?", "So.", feedback=both),
        chat("How?", "So.", candidates=(answer("So.\n"),)),
        chat(
            "How?",
            "So.",
            candidates=(Candidate(id="o", messages=(text_message("user", "Why?"), text_message("assistant", "No."))),),
        ),
    ):
        with pytest.raises(Rejected) as caught:
            format_.render(record)
        reasons.append(caught.value.reason)

    assert (
        reasons
        == {
            TrlPreference: ["no_pair", "no_pair", "equal_pair", "prompts_differ"],
            OpenaiPreference: ["no_pair", "no_pair", "equal_pair", "prompts_differ"],
            TrlKto: ["no_feedback", "conflict", "no_feedback", "no_feedback"],
            Reward: ["no_score"] * 4,
        }[type(format_)]
    )


def test_pairs_whose_prompts_part_are_refused_where_they_are_read() -> None:
    row = {
        "chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d",
        "rejected": "\n\nHuman: a\n\nAssistant: x\n\nHuman: y\n\nAssistant: z",
    }

    with pytest.raises(Rejected, match="prompts_differ"):
        list(Preference().parse(row))


def test_rules_of_a_set_decide_what_stars_mean() -> None:
    record = chat("How?", "So.", feedback=(Feedback(name="rating", value="4"),))
    scale = LabelRule(name="stars", feedback="rating", says="score", scale=(1, 5))
    good = LabelRule(name="many", feedback="rating", says="good", at_least=4)

    assert Reward(rules=(scale,), shape="messages").render(record) == {
        "messages": [{"role": "user", "content": "How?"}, {"role": "assistant", "content": "So."}],
        "score": 0.75,
        "tools": "[]",
    }
    assert TrlKto(rules=(good,)).render(record)["label"] is True
    with pytest.raises(Rejected, match="no_feedback"):
        TrlKto().render(record)
    assert Reward(labels=True, rules=(good,)).render(record)["score"] == 1.0


def test_sharegpt_function_calls_come_out_as_they_were_read(load: Any, tmp_path: Path) -> None:
    rows = array("glaive_toolcall_en_demo.json.gz")
    records = read_records("llamafactory_demo", "glaive_toolcall_en_demo.json.gz", tmp_path, dialect="sharegpt")

    made = write(records, tmp_path, "sharegpt")
    loaded = list(load(str(made.path), split="train"))

    assert check_file(made.path / "train.jsonl", "sharegpt") == []
    left = set(made.exits["id"])
    kept = [row for record, row in zip(records, rows, strict=True) if record.id not in left]
    assert made.exits.height < 20
    for one, row in zip(loaded, kept, strict=True):
        assert [(said["from"], _value(said)) for said in one["conversations"]] == [
            (said["from"], _value(said)) for said in row["conversations"]
        ]
        assert [tool["name"] for tool in json.loads(one["tools"] or "[]")] == [
            tool["name"] for tool in json.loads(row["tools"] or "[]")
        ]


def _value(said: dict[str, str]) -> Any:
    if said["from"] != "function_call":
        return said["value"]
    call = json.loads(said["value"])
    return call | {"arguments": json.loads(call["arguments"]) if isinstance(call["arguments"], str) else call["arguments"]}


def test_alpaca_rows_come_out_as_they_were_read(load: Any, tmp_path: Path) -> None:
    rows = array("alpaca_en_demo.json.gz")
    records = read_records("llamafactory_demo", "alpaca_en_demo.json.gz", tmp_path, dialect="alpaca")

    made = write(records, tmp_path, "alpaca", Alpaca(history="none"))

    assert check_file(made.path / "train.jsonl", "alpaca") == []
    assert dict(made.exits.group_by("reason").len().rows()) == {}
    assert [(one["instruction"], one["output"]) for one in load(str(made.path), split="train")] == [
        (row["instruction"] + ("\n" + row["input"] if row["input"] else ""), row["output"]) for row in rows
    ]


def test_earlier_turns_are_alpacas_history(load: Any, tmp_path: Path) -> None:
    record = chat(text_message("system", "Count."), text_message("user", "1+1?"), "2", "And 2+2?", "4", id="a")
    row = {"instruction": "And 2+2?", "input": "", "output": "4", "system": "Count.", "history": [["1+1?", "2"]]}

    made = write([record, chat("Hi", "Hello", id="b")], tmp_path, "alpaca")

    loaded = list(load(str(made.path), split="train"))
    assert loaded == [row, {"instruction": "Hi", "input": "", "output": "Hello", "system": "", "history": []}]


@pytest.mark.parametrize(
    ("format_", "reason", "record"),
    [
        (
            Sharegpt(),
            "not_alternating",
            chat(text_message("user", "a"), text_message("user", "b"), text_message("assistant", "c")),
        ),
        (Sharegpt(), "late_system_message", chat("a", "b", text_message("system", "c"), text_message("user", "d"), "e")),
        (Sharegpt(), "masked_turn", chat("a", text_message("assistant", "b", weight=0), "c", "d")),
        (
            Sharegpt(),
            "text_beside_calls",
            chat("a", Message(role="assistant", content=(Part(text="b"),), tool_calls=(ToolCall(name="f"),))),
        ),
        (Alpaca(), "tools", chat("a", Message(role="assistant", tool_calls=(ToolCall(name="f"),)))),
        (Alpaca(), "tools", chat("a", "b", tools=('{"name": "f"}',))),
        (Alpaca(history="none"), "several_turns", chat("a", "b", "c", "d")),
        (Alpaca(history="none"), "system_message", chat(text_message("system", "s"), text_message("user", "a"), "b")),
    ],
)
def test_what_plain_turns_cannot_say_is_refused(format_: Renders, reason: str, record: Record) -> None:
    with pytest.raises(Rejected, match=f"^{reason}$"):
        format_.render(record)


def test_every_format_keeps_the_contract_of_formats() -> None:
    for format_ in FORMATS.values():
        check_format(format_)


TOOL_CALL = {"from": "function_call", "value": "f()"}
PARTS = [{"type": "text", "text": "a"}]
ASKED, YES, NO = ({"role": role, "content": text} for role, text in (("user", "a"), ("assistant", "y"), ("assistant", "n")))
PREFERENCE: dict[str, Any] = {"input": {"messages": [ASKED]}, "preferred_output": [YES], "non_preferred_output": [NO]}
SHARED: dict[str, Any] = {
    "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}],
    "system": "",
    "tools": "",
}


@pytest.mark.parametrize(
    ("name", "good", "change", "reason"),
    [
        ("openai_preference", PREFERENCE, {"id": 1}, "unknown_key"),
        ("openai_preference", PREFERENCE, {"input": {"messages": []}}, "invalid_input"),
        ("openai_preference", PREFERENCE, {"input": {"messages": [ASKED], "n": 1}}, "unknown_key"),
        ("openai_preference", PREFERENCE, {"preferred_output": []}, "invalid_output"),
        ("openai_preference", PREFERENCE, {"preferred_output": [ASKED]}, "invalid_output"),
        ("openai_preference", PREFERENCE, {"preferred_output": [YES | {"content": "n  "}]}, "nothing_preferred"),
        ("openai_preference", PREFERENCE, {"input": {"messages": [ASKED | {"content": PARTS}]}}, "not_in_a_preference"),
        ("trl_preference", {"chosen": [YES], "rejected": [NO]}, {"rejected": [YES | {"content": " y"}]}, "nothing_preferred"),
        ("trl_kto", {"prompt": [ASKED], "completion": [YES], "label": True}, {"label": 1}, "invalid_label"),
        ("trl_kto", {"prompt": [ASKED], "completion": [YES], "label": True}, {"completion": [ASKED]}, "invalid_completion"),
        ("reward", {"prompt": [ASKED], "completion": [YES], "score": 0.5}, {"score": "0.5"}, "invalid_score"),
        ("reward", {"messages": [ASKED, YES], "score": 1}, {"messages": [ASKED]}, "invalid_messages"),
        ("sharegpt", SHARED, {"conversations": SHARED["conversations"][::-1]}, "not_alternating"),
        ("sharegpt", SHARED, {"conversations": []}, "invalid_conversations"),
        ("sharegpt", SHARED, {"conversations": [SHARED["conversations"][0], TOOL_CALL]}, "invalid_function_call"),
        ("sharegpt", SHARED, {"tools": "[1]"}, "invalid_tools"),
        ("alpaca", {"instruction": "a", "input": "", "output": "b"}, {"output": " "}, "empty_text"),
        ("alpaca", {"instruction": "a", "input": "", "output": "b"}, {"input": None}, "invalid_row"),
        ("alpaca", {"instruction": "a", "input": "", "output": "b", "history": []}, {"history": [["q"]]}, "invalid_history"),
    ],
)  # fmt: skip
def test_each_rule_of_these_files_is_checked(
    name: str, good: dict[str, Any], change: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    rows = [good] * 10
    path = written(tmp_path / "x.jsonl", *rows)
    assert check_file(path, name) == []

    rows[6] = good | change
    assert check_file(written(path, *rows), name) == [Problem(7, reason)]
