"""ShareGPT: `from`/`value` turns, as FastChat, LLaMA-Factory and others read them."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import msgspec

from flywheel.errors import Rejected
from flywheel.format import chat
from flywheel.format.tools import functions
from flywheel.format.turns import plain, text
from flywheel.records import Message, Record


@dataclass(frozen=True)
class Sharegpt:
    """`{"conversations": [{"from", "value"}], "system": "...", "tools": "..."}`, the last two always there and mostly empty.

    `human` and `observation` take turns with `gpt` and `function_call`, as LLaMA-Factory demands. A call's value is the JSON
    of its name and arguments, of several calls a list; several results at once, and words beside a call, have no place there.
    `tools` is the JSON text of a list of `{name, description, parameters}`.

    Args:
        reasoning: `inline` puts it before the reply in `<think>`.
        system_prompt: for conversations without a system message.

    Source: LLaMA-Factory data/README.md (ShareGPT format); lm-sys/FastChat data/dummy_conversation.json.
    """

    reasoning: Literal["drop", "inline"] = "drop"
    system_prompt: str | None = None
    suffix: ClassVar[str] = "jsonl"

    def render(self, record: Record) -> dict[str, Any]:
        """One line of the file.

        Raises:
            Rejected: `text_beside_calls`, and the reasons of `turns.plain`, `chat.content` and `tools.functions`.
        """
        said = plain(record, system_prompt=self.system_prompt)
        offered = [tool["function"] for tool in functions(record, tool_name=chat.ANY_NAME)]
        return {
            "conversations": [self._turn(message) for message in said.turns],
            "system": said.system,
            "tools": msgspec.json.encode(offered).decode() if offered else "",
        }

    def _turn(self, message: Message) -> dict[str, str]:
        value = text(message)
        if message.tool_calls:
            if value.strip():
                raise Rejected("text_beside_calls")
            calls = [{"name": c.name, "arguments": msgspec.json.decode(c.arguments)} for c in message.tool_calls]
            return {"from": "function_call", "value": msgspec.json.encode(calls[0] if len(calls) == 1 else calls).decode()}
        if message.reasoning and message.role == "assistant" and self.reasoning == "inline":
            value = chat.with_reasoning(message.reasoning, value)
        return {"from": {"user": "human", "assistant": "gpt", "tool": "observation"}[message.role], "value": value}

    def features(self) -> list[dict[str, Any]]:
        """The columns' types for the dataset card."""
        turn = [{"name": key, "dtype": "string"} for key in ("from", "value")]
        return [{"name": "conversations", "list": turn}, *({"name": key, "dtype": "string"} for key in ("system", "tools"))]
