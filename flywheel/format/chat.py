"""What every chat format asks of a conversation before it writes it, and the pieces it writes."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from flywheel.errors import Rejected
from flywheel.records import Message, Part, Record, ToolCall, text_message

TrainOn = Literal["last", "all"]
Images = Literal["reject", "keep"]
ROLES = ("system", "user", "assistant", "tool")
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
ANY_NAME = re.compile(r"\S+")
_NOT_IN_A_NAME = re.compile(r"[\s<|\\/>]")
_DEPTH = 100
_MEDIA = ("image", "audio", "file")


def conversation(record: Record, *, system_prompt: str | None = None, tool_name: re.Pattern[str] = TOOL_NAME) -> list[Message]:
    """The record's messages as a trainer accepts them, or the reason why none would.

    `developer` becomes `system`; empty system messages go; calls and results without ids get them (`call_0`, `call_1`, ...;
    a result without an id answers the first open call of its name, else the first open one); empty arguments become `{}`.
    `system_prompt` is put before conversations that have no system message.

    Raises:
        Rejected: `no_messages`, `unknown_role`, `no_prompt` (nothing before the first reply), `no_assistant_reply` (somebody
            else has the last word), `empty_message`, `tool_result_without_call`, `unanswered_tool_call` (in the middle; a
            final message may be calls), `repeated_tool_call_id`, `invalid_tool_arguments` (no JSON object, or over 100 deep),
            `invalid_tool_name` (unlike `tool_name`: 1 to 64 letters, digits, `_`, `-`).
    """
    messages = [msgspec.structs.replace(m, role="system") if m.role == "developer" else m for m in record.messages]
    messages = [m for m in messages if m.role != "system" or m.content]
    if not messages:
        raise Rejected("no_messages")
    if any(m.role not in ROLES for m in messages):
        raise Rejected("unknown_role")
    if messages[-1].role != "assistant":
        raise Rejected("no_assistant_reply")
    if system_prompt and messages[0].role != "system":
        messages.insert(0, text_message("system", system_prompt))
    if messages[0].role == "assistant":
        raise Rejected("no_prompt")
    if any(_empty(m) for m in messages):
        raise Rejected("empty_message")
    return _linked(messages, tool_name)


def _empty(message: Message) -> bool:
    """Nothing to read. Tools may answer with nothing."""
    told = any((part.text and part.text.strip()) or part.type in _MEDIA for part in message.content)
    return message.role != "tool" and not told and not message.tool_calls


def _linked(messages: Sequence[Message], tool_name: re.Pattern[str]) -> list[Message]:
    """Messages in which every result answers a call just made, by id and by name."""
    linked: list[Message] = []
    waiting: list[ToolCall] = []
    made = 0
    for message in messages:
        if message.role == "tool":
            call = _answered(message, waiting)
            waiting.remove(call)
            linked.append(msgspec.structs.replace(message, tool_call_id=call.id, name=call.name))
            continue
        if waiting:
            raise Rejected("unanswered_tool_call")
        if message.role != "assistant" and message.tool_calls:
            raise Rejected("unknown_role")
        waiting = [_checked(call, f"call_{made + at}", tool_name) for at, call in enumerate(message.tool_calls)]
        if len({call.id for call in waiting}) < len(waiting):
            raise Rejected("repeated_tool_call_id")
        made += len(waiting)
        linked.append(msgspec.structs.replace(message, tool_calls=tuple(waiting)))
    return linked


def _answered(result: Message, waiting: Sequence[ToolCall]) -> ToolCall:
    if result.tool_call_id:
        fitting = [call for call in waiting if call.id == result.tool_call_id]
    else:
        fitting = [call for call in waiting if call.name == result.name] or list(waiting)
    if not fitting:
        raise Rejected("tool_result_without_call")
    return fitting[0]


def _checked(call: ToolCall, spare: str, tool_name: re.Pattern[str]) -> ToolCall:
    if not tool_name.fullmatch(call.name):
        raise Rejected("invalid_tool_name")
    text = call.arguments.strip() or "{}"
    if not isinstance(decoded(text, "invalid_tool_arguments"), dict):
        raise Rejected("invalid_tool_arguments")
    return msgspec.structs.replace(call, id=call.id or spare, arguments=text)


def decoded(text: str, reason: str) -> Any:
    """The JSON value, refused when it is none or nests deeper than `_DEPTH`, which would break encoders and trainers."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Rejected(reason) from None
    level = [value]
    for _ in range(_DEPTH):
        if not level:
            return value
        level = [
            inner for one in level if isinstance(one, (dict, list)) for inner in (one.values() if isinstance(one, dict) else one)
        ]
    raise Rejected(reason)


def weights(messages: Sequence[Message], train_on: TrainOn) -> list[int | None]:
    """The loss weight of each message: 0 or 1 for the assistant's, None for others'. A message without one counts as 1.

    Raises:
        Rejected: `fractional_weight`, or `nothing_to_train` when every weight is 0.
    """
    found: list[int | None] = []
    for at, message in enumerate(messages):
        if message.role != "assistant":
            found.append(None)
            continue
        if message.weight not in (None, 0, 1):
            raise Rejected("fractional_weight")
        skipped = message.weight == 0 or (train_on == "last" and at < len(messages) - 1)
        found.append(0 if skipped else 1)
    if not any(found):
        raise Rejected("nothing_to_train")
    return found


def content(message: Message, *, images: Images) -> str | list[dict[str, Any]]:
    """The message's text parts joined by newlines, refusals included; a list of parts where images are kept.

    Raises:
        Rejected: `image_content` (unless kept, in a user's message, with a URL), `audio_content`, `file_content`,
            `unknown_content` (a part of another kind without text).
    """
    kept = [_part(part, message.role, images) for part in message.content if part.type in _MEDIA or part.text is not None]
    if any(part.type not in ("text", "refusal", *_MEDIA) and part.text is None for part in message.content):
        raise Rejected("unknown_content")
    if any(part["type"] == "image_url" for part in kept):
        return kept
    return "\n".join(part["text"] for part in kept if part["text"])


def _part(part: Part, role: str, images: Images) -> dict[str, Any]:
    if part.type not in _MEDIA:
        return {"type": "text", "text": part.text}
    if part.type == "image" and images == "keep" and role == "user" and part.url:
        return {"type": "image_url", "image_url": {"url": part.url}}
    raise Rejected(f"{part.type}_content")


def with_reasoning(reasoning: str, text: str) -> str:
    """Reasoning in `<think>` tags before the text, as DeepSeek-R1 and Qwen3 write it."""
    return f"<think>\n{reasoning}\n</think>\n\n{text}"


def author(name: str | None) -> str | None:
    """A participant's name with what OpenAI refuses (white space and `<|\\/>`) replaced by `_`, at most 64 characters."""
    return _NOT_IN_A_NAME.sub("_", name)[:64] if name else None


def lost_text(record: Record, row: Mapping[str, Any]) -> list[str]:
    """Where the record says something that the rendered row does not: `messages[3]`, `messages[4].tool_calls[0]`.

    Every part's text must be within some string of the row, and every call's arguments among its values, as JSON text or
    as objects. Reasoning is left out by policy and not looked for. For formats' tests and conformance runs.
    """
    strings, objects = _leaves(row)
    lost = []
    for at, message in enumerate(record.messages):
        if any(part.text and not any(part.text in string for string in strings) for part in message.content):
            lost.append(f"messages[{at}]")
        for number, call in enumerate(message.tool_calls):
            wanted = call.arguments.strip() or "{}"
            if call.name not in strings or not (wanted in strings or msgspec.json.decode(wanted) in objects):
                lost.append(f"messages[{at}].tool_calls[{number}]")
    return lost


def _leaves(value: Any) -> tuple[list[str], list[dict[str, Any]]]:
    strings: list[str] = []
    objects: list[dict[str, Any]] = []
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, str):
            strings.append(one)
        elif isinstance(one, dict):
            objects.append(one)
            stack.extend(one.values())
        elif isinstance(one, (list, tuple)):
            stack.extend(one)
    return strings, objects
