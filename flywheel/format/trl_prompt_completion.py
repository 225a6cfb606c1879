"""TRL's conversational prompt-completion: loss on the final reply only."""

from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.format import chat, trl
from flywheel.records import Record


@dataclass(frozen=True)
class TrlPromptCompletion:
    """`{"prompt": [...], "completion": [the final assistant message], "tools": "[...]"}`.

    Settings, and why `tools` is JSON text: see `TrlMessages`. Weights of earlier turns need no expression, they are prompt.

    Source: huggingface/trl docs/source/dataset_formats.md, "Prompt-completion".
    """

    reasoning: trl.Reasoning = "drop"
    system_prompt: str | None = None
    arguments: trl.Arguments = "object"
    suffix: ClassVar[str] = "jsonl"

    def render(self, record: Record) -> dict[str, Any]:
        """One line of the file.

        Raises:
            Rejected: the reasons of `chat.conversation`, `trl.message`, `chat.weights`, `trl.tools`; of the weights
                only the last counts.
        """
        messages = chat.conversation(record, system_prompt=self.system_prompt, tool_name=chat.ANY_NAME)
        chat.weights(messages, "last")
        rendered = [trl.message(one, reasoning=self.reasoning, arguments=self.arguments) for one in messages]
        return {"prompt": rendered[:-1], "completion": rendered[-1:], "tools": trl.tools(record)}

    def features(self) -> list[dict[str, Any]]:
        """The columns' types for the dataset card."""
        turns = [trl.turns(name, self.reasoning, self.arguments) for name in ("prompt", "completion")]
        return [*turns, {"name": "tools", "dtype": "string"}]
