"""Whether an exported file is what its trainer documents, judged from the file alone."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from flywheel.errors import FlywheelError
from flywheel.format.tools import schema_valid

_OPENAI_KEYS = {
    "system": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "tool_calls", "weight", "function_call", "refusal"},
    "tool": {"role", "content", "tool_call_id"},
    "function": {"role", "content", "name"},
}
_TRL_ROLES = frozenset(("system", "developer", "user", "assistant", "tool"))
_OPENAI_MINIMUM = 10
_HOSTED = ("openai_chat", "openai_preference")
_LOADER_LOOKS_AT = 10 << 20
_KNOWN_KEYS = frozenset(key for keys in _OPENAI_KEYS.values() for key in keys)
_Rules = Callable[[Any], Iterator[str]]


class Problem(NamedTuple):
    """What is wrong: the line (from 1; 0 for the file), a slug, and `error` or `warning`. Never the text of a row."""

    line: int
    reason: str
    level: str = "error"


def check_file(path: Path, format_name: str) -> list[Problem]:
    """Every problem of a file, in the order of its lines; none means that the trainer's documented rules are met.

    Rules for `openai_chat` and `openai_preference` (unknown keys, roles, content, weights, calls and their results, names,
    schemas, at least ten rows as a warning; two different answers), `trl_messages`, `trl_prompt_completion`,
    `trl_preference`, `trl_kto`, `reward`, `trl_text`, `sharegpt`, `alpaca` (shapes, one shape a file, keys that `datasets`
    would meet too late as a warning), `parquet` (readable, with the records' columns). Of another format only that every
    line is a JSON object, or the Parquet readable, and a warning `no_rules_known`. Memory: one line.

    Raises:
        FlywheelError: there is no such file.

    Source: openai/openai-openapi (FineTuneChatRequestInput), the supervised fine-tuning guide, openai-cookbook
        Chat_finetuning_data_prep, the direct preference optimization guide, huggingface/trl dataset_formats.md,
        LLaMA-Factory data/README.md.
    """
    if not path.is_file():
        raise FlywheelError(f"there is no file {path}.")
    if path.suffix == ".parquet":
        return list(_parquet(path, format_name))
    return list(_lines(path, format_name))


def _lines(path: Path, format_name: str) -> Iterator[Problem]:
    rules, rows, keys, at = _RULES.get(format_name), 0, None, 0
    if rules is None:
        yield Problem(0, "no_rules_known", "warning")
    shapes: set[str] = set()
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            early = at < _LOADER_LOOKS_AT
            at += len(line)
            try:
                row = msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                yield Problem(number, "invalid_json" if line.strip() else "blank_line")
                continue
            rows += 1
            if not isinstance(row, dict):
                yield Problem(number, "row_not_an_object")
                continue
            if rules is None:
                continue
            yield from (Problem(number, reason) for reason in rules(row))
            if format_name not in _HOSTED:
                keys = keys or set(row)
                if set(row) != keys:
                    yield Problem(number, "mixed_shapes")
                found = set(_message_keys(row))
                if not early and not found <= shapes:
                    yield Problem(number, "late_key", "warning")
                shapes |= found
    if not rows:
        yield Problem(0, "no_rows")
    elif format_name in _HOSTED and rows < _OPENAI_MINIMUM:
        yield Problem(0, "fewer_than_ten_rows", "warning")


def _message_keys(row: Mapping[str, Any]) -> Iterator[str]:
    """Keys of messages, which `datasets` must meet in the first 10 MB unless it is told the types."""
    for column, messages in row.items():
        if isinstance(messages, list):
            yield from (f"{column}.{key}" for message in messages if isinstance(message, dict) for key in message)


def _openai(row: dict[str, Any]) -> Iterator[str]:
    if set(row) - {"messages", "tools", "functions", "parallel_tool_calls"}:
        yield "unknown_key"
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        yield "no_messages"
        return
    if not all(isinstance(message, dict) for message in messages):
        yield "message_not_an_object"
        return
    for message in messages:
        yield from _openai_message(message)
    replies = [message for message in messages if message.get("role") == "assistant"]
    if not replies:
        yield "no_assistant_message"
    elif all(message.get("weight", 1) == 0 for message in replies):
        yield "nothing_to_train"
    if replies and messages[-1] is not replies[-1]:
        yield "last_message_not_assistant"
    yield from _calls(messages)
    yield from _tools(row.get("tools", []))
    if "parallel_tool_calls" in row and not (isinstance(row["parallel_tool_calls"], bool) and row.get("tools")):
        yield "invalid_parallel_tool_calls"


def _openai_message(message: dict[str, Any]) -> Iterator[str]:
    role = message.get("role")
    if not isinstance(role, str) or role not in _OPENAI_KEYS:
        yield "unknown_role"
        return
    if set(message) - _KNOWN_KEYS:
        yield "unknown_message_key"
    elif "weight" in message and role != "assistant":
        yield "weight_not_on_assistant"
    elif set(message) - _OPENAI_KEYS[role]:
        yield "key_not_of_this_role"
    if message.get("weight", 0) not in (0, 1) or type(message.get("weight", 0)) is not int:
        yield "invalid_weight"
    content = message.get("content")
    instead = role == "assistant" and any(message.get(key) for key in ("tool_calls", "function_call", "refusal"))
    if content is None and not instead:
        yield "missing_content"
    elif content is not None and not isinstance(content, str) and not _parts(content, role):
        yield "invalid_content"
    if not isinstance(message.get("name", "a"), str) or any(c in "<|\\/> \t\n" for c in message.get("name", "a")):
        yield "invalid_name"


def _parts(content: Any, role: str) -> bool:
    """A list of text parts, and for a user of images with a URL."""
    if not isinstance(content, list) or not content:
        return False
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            continue
        url = part.get("image_url") if kind == "image_url" and role == "user" else None
        if not (isinstance(url, dict) and isinstance(url.get("url"), str)):
            return False
    return True


def _calls(messages: list[dict[str, Any]]) -> Iterator[str]:
    """Every result answers a call just made, every call but the last message's is answered, arguments are objects as JSON."""
    waiting: set[str] = set()
    for message in messages:
        if message.get("role") == "tool":
            answered = message.get("tool_call_id")
            if answered not in waiting:
                yield "tool_result_without_call"
            waiting.discard(str(answered))
            continue
        if waiting:
            yield "unanswered_tool_call"
        calls = message.get("tool_calls") or []
        waiting = {str(call.get("id")) for call in calls if isinstance(call, dict)}
        if not all(_call(call) for call in calls):
            yield "invalid_tool_call"


def _call(call: Any) -> bool:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or call.get("type") != "function" or not isinstance(call.get("id"), str):
        return False
    try:
        arguments = msgspec.json.decode(function["arguments"])
    except (msgspec.DecodeError, UnicodeError, RecursionError, TypeError, KeyError):
        return False
    return isinstance(function.get("name"), str) and isinstance(arguments, dict)


def _tools(tools: Any) -> Iterator[str]:
    if not isinstance(tools, list):
        yield "invalid_tools"
        return
    for tool in tools:
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            yield "invalid_tools"
        elif not schema_valid(function.get("parameters", {})):
            yield "invalid_tool_schema"


def _turns(value: Any, last: str | None = None) -> bool:
    """A list of TRL messages: a role, and content unless there are calls; `last` is the role of the last one."""
    if not isinstance(value, list) or not value:
        return False
    for turn in value:
        if not isinstance(turn, dict) or turn.get("role") not in _TRL_ROLES:
            return False
        if not isinstance(turn.get("content"), str) and not turn.get("tool_calls"):
            return False
        calls = turn.get("tool_calls") or []
        if not all(isinstance(c, dict) and isinstance(c.get("function"), dict) and "name" in c["function"] for c in calls):
            return False
    return last is None or value[-1]["role"] == last


def _trl_tools(row: Mapping[str, Any]) -> Iterator[str]:
    tools = row.get("tools")
    try:
        decoded = msgspec.json.decode(tools) if isinstance(tools, str) else tools
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        decoded = 0
    yield from _tools([] if decoded is None else decoded)


def _trl_messages(row: dict[str, Any]) -> Iterator[str]:
    if not _turns(row.get("messages"), "assistant"):
        yield "invalid_messages"
    yield from _trl_tools(row)


def _plain_or_turns(row: dict[str, Any], keys: tuple[str, ...]) -> Iterator[str]:
    """The columns are all text, or all messages of which the answers end with the assistant."""
    if all(isinstance(row.get(key), str) for key in keys):
        return
    for key in keys:
        if not _turns(row.get(key), None if key == "prompt" else "assistant"):
            yield f"invalid_{key}"
    yield from _trl_tools(row)


def _prompt_completion(row: dict[str, Any]) -> Iterator[str]:
    yield from _plain_or_turns(row, ("prompt", "completion"))


def _preference(row: dict[str, Any]) -> Iterator[str]:
    yield from _plain_or_turns(row, ("prompt", "chosen", "rejected") if "prompt" in row else ("chosen", "rejected"))
    if "chosen" in row and _folded(row["chosen"]) == _folded(row.get("rejected")):
        yield "nothing_preferred"


def _folded(answer: Any) -> Any:
    """An answer with white space as one blank each."""
    if isinstance(answer, str):
        return " ".join(answer.split())
    if isinstance(answer, dict):
        return {key: _folded(value) for key, value in answer.items()}
    return [_folded(one) for one in answer] if isinstance(answer, list) else answer


def _kto(row: dict[str, Any]) -> Iterator[str]:
    yield from _prompt_completion(row)
    if not isinstance(row.get("label"), bool):
        yield "invalid_label"


def _reward(row: dict[str, Any]) -> Iterator[str]:
    yield from _trl_messages(row) if "messages" in row else _prompt_completion(row)
    score = row.get("score")
    if isinstance(score, bool) or not isinstance(score, int | float):
        yield "invalid_score"


def _openai_preference(row: dict[str, Any]) -> Iterator[str]:
    if set(row) - {"input", "preferred_output", "non_preferred_output"}:
        yield "unknown_key"
    given = row.get("input")
    if not isinstance(given, dict) or not isinstance(given.get("messages"), list) or not given["messages"]:
        yield "invalid_input"
        return
    answers = [row.get(key) for key in ("preferred_output", "non_preferred_output")]
    found: list[str] = []
    for answer in answers:
        if not isinstance(answer, list) or not answer or not all(_is_answer(turn) for turn in answer):
            yield "invalid_output"
        else:
            found += _openai({**given, "messages": [*given["messages"], *answer]})
    yield from dict.fromkeys(found)
    if answers[0] is not None and _folded(answers[0]) == _folded(answers[1]):
        yield "nothing_preferred"
    if any("weight" in turn or isinstance(turn.get("content"), list) for turn in given["messages"] if isinstance(turn, dict)):
        yield "not_in_a_preference"


def _is_answer(turn: Any) -> bool:
    if not isinstance(turn, dict) or turn.get("role") not in ("assistant", "tool"):
        return False
    return "weight" not in turn and isinstance(turn.get("content", ""), str)


_HEARD, _SAID = ("human", "observation"), ("gpt", "function_call")


def _sharegpt(row: dict[str, Any]) -> Iterator[str]:
    turns = row.get("conversations")
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        yield "invalid_conversations"
        return
    if turns[0].get("from") == "system":
        turns = turns[1:]
    if not all(turn.get("from") in (*_HEARD, *_SAID) and isinstance(turn.get("value"), str) for turn in turns):
        yield "invalid_turn"
    elif len(turns) % 2 or any(turn["from"] not in (_SAID if at % 2 else _HEARD) for at, turn in enumerate(turns)):
        yield "not_alternating"
    if any(turn.get("from") == "function_call" and not _is_call(turn.get("value")) for turn in turns):
        yield "invalid_function_call"
    if not isinstance(row.get("system", ""), str):
        yield "invalid_system"
    tools = _json(row.get("tools") or "[]")
    if not isinstance(tools, list) or not all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in tools):
        yield "invalid_tools"
    elif not all(schema_valid(one.get("parameters", {})) for one in tools):
        yield "invalid_tool_schema"


def _is_call(text: Any) -> bool:
    calls = _json(text)
    listed = calls if isinstance(calls, list) else [calls]
    return bool(listed) and all(isinstance(one, dict) and {"name", "arguments"} <= set(one) for one in listed)


def _json(text: Any) -> Any:
    try:
        return msgspec.json.decode(text) if isinstance(text, str) else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _alpaca(row: dict[str, Any]) -> Iterator[str]:
    if not all(isinstance(row.get(key), str) for key in ("instruction", "input", "output")):
        yield "invalid_row"
    elif not row["instruction"].strip() or not row["output"].strip():
        yield "empty_text"
    if not isinstance(row.get("system", ""), str):
        yield "invalid_system"
    history = row.get("history", [])
    if not isinstance(history, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(one, str) for one in pair) for pair in history
    ):
        yield "invalid_history"


def _text(row: dict[str, Any]) -> Iterator[str]:
    if not isinstance(row.get("text"), str):
        yield "invalid_text"


_RULES: dict[str, _Rules] = {
    "alpaca": _alpaca,
    "openai_chat": _openai,
    "openai_preference": _openai_preference,
    "reward": _reward,
    "sharegpt": _sharegpt,
    "trl_kto": _kto,
    "trl_messages": _trl_messages,
    "trl_prompt_completion": _prompt_completion,
    "trl_preference": _preference,
    "trl_text": _text,
}


def _parquet(path: Path, format_name: str) -> Iterator[Problem]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from flywheel.schema import SCHEMA

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError):
        yield Problem(0, "no_parquet")
        return
    schema = file.schema_arrow
    if format_name != "parquet":
        yield Problem(0, "no_rules_known", "warning")
    elif any(name not in SCHEMA.names or schema.field(name).type != SCHEMA.field(name).type for name in schema.names):
        yield Problem(0, "other_columns")
    if not file.metadata.num_rows:
        yield Problem(0, "no_rows")
