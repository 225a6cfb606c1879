"""ShareGPT conversations: `from`/`value` turns, with LLaMA-Factory's tool turns.

Source: lm-sys/FastChat `data/dummy_conversation.json`; LLaMA-Factory `data/README.md` at ff6d4d1 (`function_call`,
`observation`, `system`, `tools` as a JSON string).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.errors import Rejected
from flywheel.records import Message, Record
from flywheel.sources.chat import conversation
from flywheel.sources.messages import dataset_record
from flywheel.sources.values import decoded, first, has_keys, items, json_text, mapping, string

__all__ = ["ShareGPT", "sharegpt_messages"]


@dataclass(frozen=True)
class ShareGPT:
    """A `function_call` turn becomes the assistant's tool calls, an `observation` the tool's message that answers them."""

    specificity: ClassVar[int] = 15

    def sniff(self, head: bytes) -> bool:
        """Turns with `from` and `value`."""
        return has_keys(head, "from", "value") and not has_keys(head, "chosen") and not has_keys(head, "resourceSpans")

    def parse(self, entry: Any) -> Iterator[Record]:
        """One record.

        Raises:
            Rejected: `no_messages` or `unmapped`.
        """
        try:
            row = {"conversations": entry} if isinstance(entry, list) else mapping(entry)
            said = decoded(first(row, "conversations", "conversation", "items"))
            if not isinstance(said, list):
                raise Rejected("unmapped")
            messages = sharegpt_messages(said)
            if (system := string(first(row, "system", "system_prompt"))) and (not messages or messages[0].role != "system"):
                messages = (*conversation(system, "system"), *messages)
            yield dataset_record(row, messages)
        except RecursionError:
            raise Rejected("too_deep") from None


def sharegpt_messages(turns: list[Any]) -> tuple[Message, ...]:
    """The turns as messages; turns in OpenAI's shape pass through."""
    read: list[Any] = []
    for turn in turns:
        who = mapping(turn).get("from") or mapping(turn).get("role")
        calls = _function_calls(mapping(turn)) if who in ("function_call", "tool_call") else []
        if calls and read and mapping(read[-1]).get("role", mapping(read[-1]).get("from")) in ("gpt", "assistant"):
            previous = mapping(read[-1])
            read[-1] = {**previous, "tool_calls": items(previous.get("tool_calls")) + calls}
        elif calls:
            read.append({"role": "assistant", "tool_calls": calls})
        else:
            read.append(turn)
    return conversation(read)


def _function_calls(turn: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls in a turn's JSON text; none where it is no call, so that the text itself stays."""
    value = decoded(first(turn, "value", "content"))
    calls = [mapping(call) for call in (value if isinstance(value, list) else [value])]
    if not all(isinstance(mapping(call.get("function") or call).get("name"), str) for call in calls):
        return []
    return [{**call, "arguments": json_text(call["arguments"])} if "arguments" in call else call for call in calls]
