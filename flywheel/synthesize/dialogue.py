"""Dialogues in which models play both sides."""

import re
from collections.abc import Sequence

import msgspec

from flywheel.records import Message, text_message
from flywheel.synthesize.reading import same_words

_ASSISTANT = re.compile(
    r"\s*(as an ai\b|(sure|certainly|of course|absolutely)[,!.] (here|i can|i'd|i'll)|(i'd|i'll|i would) be (happy|glad) to\b"
    r"|how (can|may) i (help|assist)\b|here (is|are|'s) (a|an|the|some) )",
    re.IGNORECASE,
)


def seen_by_user(messages: Sequence[Message], instruction: str, start: str) -> list[Message]:
    """A dialogue as the model sees it that plays the user: its own turns are the assistant's, and `start` asks for the first."""
    others = {"user": "assistant", "assistant": "user"}
    turns = [msgspec.structs.replace(one, role=others[one.role]) for one in messages if one.role in others]
    return [text_message("system", instruction), text_message("user", start), *turns]


def repeats(messages: Sequence[Message], said: Message) -> bool:
    """Whether the same side has said the same before, case, punctuation and white space aside."""
    return any(one.role == said.role and same_words(one.text, said.text) for one in messages)


def sounds_like_assistant(text: str) -> bool:
    """Whether a user's turn begins as only an assistant's would: the model that plays the user has lost its role."""
    return _ASSISTANT.match(text) is not None
