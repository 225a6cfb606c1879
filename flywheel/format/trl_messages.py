"""TRL's conversational language modelling: whole conversations for `SFTTrainer`."""

from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.errors import Rejected
from flywheel.format import chat, trl
from flywheel.records import Record


@dataclass(frozen=True)
class TrlMessages:
    """`{"messages": [...], "tools": "[...]"}`: `tools` always there, as JSON text, because schemas have no common Arrow type.

    Arguments are objects, which chat templates expect; `datasets` from 4.7 loads them whatever their types (its `Json`
    type). TRL has no weight per message, so a conversation with a masked turn is dropped as `masked_turn`, rather than
    trained on after all: `trl_prompt_completion` can express those whose last turn counts. Images, audio, files are refused.

    Args:
        reasoning: `drop`, `inline` (`<think>` before the text), or the key to write it under: `thinking` (gpt-oss) or
            `reasoning_content` (Qwen3 and others).
        system_prompt: for conversations without a system message.
        arguments: `text` writes arguments as JSON text, for `datasets` before 4.7; templates may then quote them twice.

    Source: huggingface/trl docs/source/dataset_formats.md, "Language modeling" and "Tool Calling".
    """

    reasoning: trl.Reasoning = "drop"
    system_prompt: str | None = None
    arguments: trl.Arguments = "object"
    suffix: ClassVar[str] = "jsonl"

    def render(self, record: Record) -> dict[str, Any]:
        """One line of the file.

        Raises:
            Rejected: `masked_turn`, and the reasons of `chat.conversation`, `trl.message`, `chat.weights`, `trl.tools`.
        """
        messages = chat.conversation(record, system_prompt=self.system_prompt, tool_name=chat.ANY_NAME)
        if 0 in chat.weights(messages, "all"):
            raise Rejected("masked_turn")
        rendered = [trl.message(one, reasoning=self.reasoning, arguments=self.arguments) for one in messages]
        return {"messages": rendered, "tools": trl.tools(record)}

    def features(self) -> list[dict[str, Any]]:
        """The columns' types for the dataset card."""
        return [trl.turns("messages", self.reasoning, self.arguments), {"name": "tools", "dtype": "string"}]
