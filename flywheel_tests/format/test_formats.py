"""What each format writes, and what it refuses and why."""

import json
from typing import Any

import msgspec
import pytest

from flywheel.errors import Rejected
from flywheel.format import chat
from flywheel.format.openai_chat import OpenaiChat
from flywheel.format.parquet import Parquet
from flywheel.format.tools import functions, schema_valid
from flywheel.format.trl_messages import TrlMessages
from flywheel.format.trl_prompt_completion import TrlPromptCompletion
from flywheel.records import Message, Part, Record, ToolCall, text_message
from flywheel_tests.format.real import function_calls, lines, support_agents

WEATHER = (
    '{"name": "weather", "description": "Now", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}'
)
USER = text_message("user", "Is it raining in Oslo?")
CALL = Message(role="assistant", tool_calls=(ToolCall(id="c1", name="weather", arguments='{"city": "Oslo"}'),))
RESULT = text_message("tool", "rain", tool_call_id="c1")
REPLY = text_message("assistant", "Yes.", reasoning="It says rain.")
TOOLED = Record(id="t", messages=(text_message("developer", "Be short."), USER, CALL, RESULT, REPLY), tools=(WEATHER,))
DEEP = '{"not":' * 101 + "{}" + "}" * 101
FORMATS = (OpenaiChat(), TrlMessages(), TrlPromptCompletion())


def said(*messages: Message, **rest: Any) -> Record:
    return Record(id="x", messages=messages, **rest)


def test_openai_chat_writes_documented_keys_only() -> None:
    assert OpenaiChat(parallel_tool_calls=False).render(TOOLED) == {
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "Is it raining in Oslo?"},
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
                ],
            },
            {"role": "tool", "content": "rain", "tool_call_id": "c1"},
            {"role": "assistant", "content": "Yes."},
        ],
        "tools": [{"type": "function", "function": json.loads(WEATHER)}],
        "parallel_tool_calls": False,
    }


def test_trl_messages_writes_arguments_as_objects_and_tools_as_text() -> None:
    row = TrlMessages(reasoning="thinking").render(TOOLED)

    assert row["messages"][2]["tool_calls"][0]["function"] == {"name": "weather", "arguments": {"city": "Oslo"}}
    assert row["messages"][2]["content"] == ""
    assert row["messages"][3] == {"role": "tool", "content": "rain", "name": "weather", "tool_call_id": "c1"}
    assert row["messages"][4] == {"role": "assistant", "content": "Yes.", "thinking": "It says rain."}
    assert json.loads(row["tools"]) == [{"type": "function", "function": json.loads(WEATHER)}]
    assert TrlMessages().render(said(USER, REPLY))["tools"] == "[]"


def test_trl_prompt_completion_completes_with_the_final_message_alone() -> None:
    row = TrlPromptCompletion(reasoning="inline", arguments="text").render(TOOLED)

    assert [turn["role"] for turn in row["prompt"]] == ["system", "user", "assistant", "tool"]
    assert row["completion"] == [{"role": "assistant", "content": "<think>\nIt says rain.\n</think>\n\nYes."}]
    assert row["prompt"][2]["tool_calls"][0]["function"]["arguments"] == '{"city": "Oslo"}'


def test_a_final_call_is_a_reply() -> None:
    for format_ in FORMATS:
        assert chat.lost_text(said(USER, CALL), format_.render(said(USER, CALL))) == []


@pytest.mark.parametrize(
    ("reason", "record"),
    [
        ("no_messages", said()),
        ("no_assistant_reply", said(USER)),
        ("no_assistant_reply", said(USER, CALL, RESULT)),
        ("no_prompt", said(REPLY)),
        ("unknown_role", said(text_message("critic", "Hm."), REPLY)),
        ("unknown_role", said(msgspec.structs.replace(USER, tool_calls=CALL.tool_calls), REPLY)),
        ("empty_message", said(USER, text_message("assistant", None))),
        ("empty_message", said(USER, text_message("assistant", " \n"))),
        ("empty_message", said(text_message("user", None), REPLY)),
        ("tool_result_without_call", said(USER, RESULT, REPLY)),
        ("tool_result_without_call", said(USER, CALL, RESULT, RESULT, REPLY)),
        ("tool_result_without_call", said(USER, CALL, text_message("tool", "rain", tool_call_id="c2"), REPLY)),
        ("unanswered_tool_call", said(USER, CALL, USER, REPLY)),
        ("repeated_tool_call_id", said(USER, msgspec.structs.replace(CALL, tool_calls=CALL.tool_calls * 2))),
        ("invalid_tool_arguments", said(USER, Message(role="assistant", tool_calls=(ToolCall(name="f", arguments="{'a': 1}"),)))),
        ("invalid_tool_arguments", said(USER, Message(role="assistant", tool_calls=(ToolCall(name="f", arguments="[1]"),)))),
        (
            "invalid_tool_arguments",
            said(USER, Message(role="assistant", tool_calls=(ToolCall(name="f", arguments='"\\ud800"'),))),
        ),
        ("invalid_tool_arguments", said(USER, Message(role="assistant", tool_calls=(ToolCall(name="f", arguments=DEEP),)))),
        (
            "invalid_tool_arguments",
            said(USER, Message(role="assistant", tool_calls=(ToolCall(name="f", arguments="[" * 9_000 + "]" * 9_000),))),
        ),
        ("invalid_tool_schema", said(USER, REPLY, tools=('{"name": "f", "parameters": ' + DEEP + "}",))),
        ("invalid_tool_name", said(USER, Message(role="assistant", tool_calls=(ToolCall(name="get weather"),)))),
        ("invalid_tool_schema", said(USER, REPLY, tools=("{}",))),
        ("invalid_tool_schema", said(USER, REPLY, tools=('{"name": "f", "parameters": {"type": "matrix"}}',))),
        ("image_content", said(Message(role="user", content=(Part(type="image", url="https://x/y.png"),)), REPLY)),
        ("audio_content", said(Message(role="user", content=(Part(type="audio", url="https://x/y"), Part(text="a"))), REPLY)),
        ("file_content", said(Message(role="user", content=(Part(text="a"), Part(type="file"))), REPLY)),
        ("unknown_content", said(Message(role="user", content=(Part(text="a"), Part(type="hologram"))), REPLY)),
        ("nothing_to_train", said(USER, msgspec.structs.replace(REPLY, weight=0))),
        ("fractional_weight", said(USER, msgspec.structs.replace(REPLY, weight=0.5))),
    ],
)
def test_what_cannot_be_trained_on_is_refused_with_a_reason(reason: str, record: Record) -> None:
    for format_ in FORMATS:
        with pytest.raises(Rejected, match=f"^{reason}$"):
            format_.render(record)


def test_weights_are_written_for_openai_and_refused_where_they_would_be_lost() -> None:
    first = text_message("assistant", "Wait.", weight=0)
    record = said(USER, first, USER, msgspec.structs.replace(REPLY, weight=1))

    row = OpenaiChat().render(record)

    assert [turn.get("weight") for turn in row["messages"]] == [None, 0, None, None]
    assert type(row["messages"][1]["weight"]) is int
    with pytest.raises(Rejected, match="masked_turn"):
        TrlMessages().render(record)
    assert TrlPromptCompletion().render(record)["completion"][0]["content"] == "Yes."
    with pytest.raises(Rejected, match="nothing_to_train"):
        TrlPromptCompletion().render(said(USER, REPLY, USER, msgspec.structs.replace(REPLY, weight=0)))


def test_training_on_the_last_reply_masks_the_earlier_ones() -> None:
    row = OpenaiChat(train_on="last").render(said(USER, REPLY, USER, REPLY))

    assert [turn.get("weight") for turn in row["messages"]] == [None, 0, None, None]


def test_calls_without_ids_are_matched_by_name_then_by_order() -> None:
    both = Message(role="assistant", tool_calls=(ToolCall(name="rain"), ToolCall(name="wind", arguments="")))
    record = said(USER, both, text_message("tool", "7 m/s", name="wind"), text_message("tool", "none"), REPLY)

    row = OpenaiChat().render(record)

    assert [call["id"] for call in row["messages"][1]["tool_calls"]] == ["call_0", "call_1"]
    assert row["messages"][1]["tool_calls"][1]["function"]["arguments"] == "{}"
    assert [turn["tool_call_id"] for turn in row["messages"][2:4]] == ["call_1", "call_0"]


def test_an_id_may_come_again_in_a_later_turn() -> None:
    row = OpenaiChat().render(said(USER, CALL, RESULT, CALL, RESULT, REPLY))

    assert len(row["messages"]) == 6


def test_images_are_kept_on_request_in_a_users_message_only() -> None:
    image = Part(type="image", url="https://example.com/a.png")
    record = said(Message(role="user", content=(Part(text="What is this?"), image)), REPLY)

    parts = OpenaiChat(images="keep").render(record)["messages"][0]["content"]

    assert parts == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    with pytest.raises(Rejected, match="image_content"):
        OpenaiChat(images="keep").render(said(USER, Message(role="assistant", content=(image,))))


def test_refusals_are_text_and_names_are_made_valid() -> None:
    refusal = Message(role="assistant", content=(Part(type="refusal", text="I cannot help with that."),))
    named = text_message("user", "Hello", name="<PERSON 1>")

    row = OpenaiChat().render(said(named, refusal))

    assert row["messages"] == [
        {"role": "user", "content": "Hello", "name": "_PERSON_1_"},
        {"role": "assistant", "content": "I cannot help with that."},
    ]


def test_a_system_prompt_is_given_to_those_that_have_none() -> None:
    format_ = OpenaiChat(system_prompt="Be kind.")

    assert format_.render(said(USER, REPLY))["messages"][0] == {"role": "system", "content": "Be kind."}
    assert format_.render(TOOLED)["messages"][0] == {"role": "system", "content": "Be short."}
    assert format_.render(said(text_message("system", None), USER, REPLY))["messages"][0]["content"] == "Be kind."


def test_reasoning_is_left_out_unless_asked_for() -> None:
    assert "It says rain." not in json.dumps([format_.render(TOOLED) for format_ in FORMATS])
    assert OpenaiChat(include_reasoning=True).render(TOOLED)["messages"][4]["content"].startswith("<think>\nIt says rain.\n")


def test_lost_text_finds_what_a_format_dropped() -> None:
    row = OpenaiChat().render(TOOLED)
    row["messages"][4]["content"] = "No."
    row["messages"][2]["tool_calls"][0]["function"]["arguments"] = "{}"

    assert chat.lost_text(TOOLED, row) == ["messages[2].tool_calls[0]", "messages[4]"]


def test_no_word_of_real_tool_conversations_is_lost_by_any_format() -> None:
    records = support_agents(40) + function_calls()

    lost = [(record.id, chat.lost_text(record, f.render(record))) for f in (*FORMATS, Parquet()) for record in records]

    assert [one for one in lost if one[1]] == []
    assert len(records) == 340


def test_parquet_names_an_unknown_column_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no column is called 'txt'; there is id, parents"):
        Parquet(columns=("id", "txt"))


@pytest.mark.parametrize(
    ("valid", "schema"),
    [
        (True, {"type": "object", "properties": {"type": {"type": ["string", "null"]}}}),
        (True, {"anyOf": [{"type": "integer"}, True]}),
        (False, {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "float"}}}}),
        (False, {"anyOf": [{"type": "tuple"}]}),
        (False, {"properties": []}),
    ],
)
def test_schemas_with_types_that_do_not_exist_are_found_at_any_depth(valid: bool, schema: dict[str, Any]) -> None:
    assert schema_valid(schema) is valid


def test_type_names_of_other_dialects_become_json_schemas_own() -> None:
    inner = {
        "a": {"type": "STRING"},
        "b": {"type": "tuple", "items": {"type": "float"}},
        "c": {"type": "any"},
        "type": {"type": "int"},
    }
    given = {"name": "f", "parameters": {"type": "dict", "properties": inner, "required": ["a"]}}
    wanted = {"a": {"type": "string"}, "b": {"type": "array", "items": {"type": "number"}}, "c": {}, "type": {"type": "integer"}}

    (made,) = functions(said(tools=(json.dumps(given),)))

    assert made["function"]["parameters"] == {"type": "object", "properties": wanted, "required": ["a"]}


def test_real_function_schemas_of_every_dialect_become_valid() -> None:
    found = [json.dumps(tool) for entry in lines("bfcl", "BFCL_v4_simple_python.jsonl.gz") for tool in entry["function"]]
    made = [functions(said(tools=(text,)))[0]["function"] for text in found if chat.TOOL_NAME.fullmatch(json.loads(text)["name"])]

    assert len(made) > 100
    assert not any(schema_valid(json.loads(text)["parameters"]) for text in found)
    assert all(schema_valid(tool["parameters"]) for tool in made)


def test_dotted_tool_names_pass_where_only_openai_refuses_them() -> None:
    dotted = Message(role="assistant", tool_calls=(ToolCall(name="math.hypot", arguments='{"x": 3, "y": 4}'),))
    record = said(USER, dotted, tools=('{"name": "math.hypot"}',))

    assert TrlMessages().render(record)["messages"][1]["tool_calls"][0]["function"]["name"] == "math.hypot"
    assert TrlPromptCompletion().render(record)["tools"].count("math.hypot") == 1
    with pytest.raises(Rejected, match="invalid_tool_name"):
        OpenaiChat().render(record)
