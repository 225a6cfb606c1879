"""The one reader of messages, whoever's shape they have."""

from typing import Any

import pytest

from flywheel.errors import Rejected
from flywheel.sources.chat import conversation, finish_reason, pair_tools, tool_schemas, usage


def test_two_calls_of_one_name_are_answered_in_order() -> None:
    calls = [{"function": {"name": "roll", "arguments": "{}"}} for _ in range(2)]
    results = [{"role": "tool", "name": "roll", "content": text} for text in ("4", "6")]

    asking, *answers = pair_tools(conversation([{"role": "assistant", "tool_calls": calls}, *results]))

    assert [answer.tool_call_id for answer in answers] == [call.id for call in asking.tool_calls]
    assert len({call.id for call in asking.tool_calls}) == 2


def test_logged_ids_are_never_changed_and_a_call_may_stay_unanswered() -> None:
    calls = [{"id": f"c{n}", "function": {"name": "f"}} for n in range(2)]
    turns = conversation([{"role": "assistant", "tool_calls": calls}, {"role": "tool", "tool_call_id": "c1", "content": "x"}])

    assert pair_tools(turns) == turns


def test_a_call_named_in_a_block_and_again_in_tool_calls_is_one_call() -> None:
    block = {"type": "tool_use", "id": "c1", "name": "f", "input": {}}
    call = {"id": "c1", "name": "f", "args": {}}

    (message,) = conversation([{"role": "assistant", "content": [{"type": "text", "text": "So:"}, block], "tool_calls": [call]}])

    assert [one.id for one in message.tool_calls] == ["c1"]
    assert message.text == "So:"


@pytest.mark.parametrize("role", ["human", "HumanMessage", "prompter", "User", "USER"])
def test_every_name_of_the_user_is_the_user(role: str) -> None:
    assert [message.role for message in conversation([{"role": role, "content": "x"}])] == ["user"]


def test_an_unknown_part_is_a_reason_and_not_a_silent_gap() -> None:
    with pytest.raises(Rejected, match="unknown_part"):
        conversation([{"role": "user", "content": [{"type": "hologram", "cube": [1]}]}])


def test_a_users_pieces_stay_apart_and_an_assistants_are_one_text() -> None:
    pieces = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]

    user, assistant = conversation([{"role": role, "content": pieces} for role in ("user", "assistant")])

    assert [part.text for part in user.content] == ["a", "b"]
    assert [part.text for part in assistant.content] == ["ab"]


@pytest.mark.parametrize(
    ("logged", "expected"),
    [
        ("end_turn", "stop"),
        ("MAX_TOKENS", "length"),
        ("tool-calls", "tool_calls"),
        ("SAFETY", "content_filter"),
        ("ERROR", "error"),
        (2, "length"),
        ("Pause_Turn", "pause_turn"),
        ({"finish_reason": "stop"}, "stop"),
        (None, None),
        ("", None),
    ],
)
def test_finish_reasons_have_five_names_and_others_stay(logged: Any, expected: str | None) -> None:
    assert finish_reason(logged) == expected


def test_tools_of_every_provider_have_one_form() -> None:
    schema = {"type": "object"}
    shapes: list[Any] = [
        [{"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}}],
        [{"type": "function", "name": "f", "description": "d", "parameters": schema}],
        [{"name": "f", "description": "d", "input_schema": schema}],
        [{"functionDeclarations": [{"name": "f", "description": "d", "parameters": schema}]}],
        {"tools": [{"toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": schema}}}]},
        '[{"name":"f","description":"d","parameters":{"type":"object"}}]',
    ]
    for shape in shapes:
        assert tool_schemas(shape) == ('{"name":"f","description":"d","parameters":{"type":"object"}}',)


def test_a_count_that_is_zero_or_missing_is_not_guessed() -> None:
    spent = usage({"prompt_tokens": 0, "completion_tokens": "7"})
    assert spent is not None
    assert (spent.prompt_tokens, spent.completion_tokens) == (0, 7)
    assert usage({"total_tokens": 9}) is None


def test_a_plain_message_is_read_as_one_with_an_unknown_key_is() -> None:
    plain: list[dict[str, Any]] = [
        {"role": "user", "content": "Hi", "name": "ann"},
        {"role": "assistant", "content": "", "refusal": "No.", "tool_calls": None},
        {"role": "assistant", "content": "x", "reasoning": "why"},
        {"role": "developer", "content": ""},
    ]
    for message in plain:
        assert conversation([message]) == conversation([{**message, "unknown": 1}])
