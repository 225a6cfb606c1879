"""What the formats of plain turns (ShareGPT, Alpaca) share: a leading system prompt, then turns that alternate."""

from collections.abc import Sequence
from typing import NamedTuple

from flywheel.errors import Rejected
from flywheel.format import chat
from flywheel.records import Message, Record


class Plain(NamedTuple):
    """A conversation in alternation: `turns` are at even places said to the model, at odd ones by it."""

    system: str
    turns: Sequence[Message]


def plain(record: Record, *, system_prompt: str | None) -> Plain:
    """The conversation for a trainer that reads turns by their place and knows no weights.

    Raises:
        Rejected: `masked_turn`, `late_system_message`, `not_alternating` (two turns of one side in a row), and the reasons of
            `chat.conversation` and `chat.weights`.
    """
    messages = chat.conversation(record, system_prompt=system_prompt, tool_name=chat.ANY_NAME)
    if 0 in chat.weights(messages, "all"):
        raise Rejected("masked_turn")
    start = next(at for at, message in enumerate(messages) if message.role != "system")
    turns = messages[start:]
    if any(message.role == "system" for message in turns):
        raise Rejected("late_system_message")
    if any((message.role == "assistant") != (at % 2 == 1) for at, message in enumerate(turns)):
        raise Rejected("not_alternating")
    return Plain("\n".join(text(message) for message in messages[:start]), turns)


def text(message: Message) -> str:
    """The message's text.

    Raises:
        Rejected: the reasons of `chat.content`.
    """
    said = chat.content(message, images="reject")
    assert isinstance(said, str)  # only kept images make parts
    return said
