"""OpenAI's supervised fine-tuning file, which Azure, Fireworks, Together and others read too."""

from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.format import chat
from flywheel.format.tools import functions
from flywheel.records import Message, Record


@dataclass(frozen=True)
class OpenaiChat:
    """`{"messages": [...], "tools"?, "parallel_tool_calls"?}`, with no other key.

    Arguments are JSON text. Refusals are written as ordinary text, so that no word is lost. Reasoning has no field there:
    it is left out, or put before the text as `<think>...</think>`. Names are made valid. Audio and files are refused.

    Args:
        train_on: `last` sets `weight` 0 on all assistant messages but the last; `all` keeps the record's own weights.
        include_reasoning: put reasoning before the text.
        system_prompt: for conversations without a system message.
        images: `keep` writes a user's images as `image_url` parts; `reject` drops such conversations.
        parallel_tool_calls: written beside `tools` when given.

    Source: `FineTuneChatCompletionRequestAssistantMessage` and `FineTuneChatRequestInput` in openai/openai-openapi.
    """

    train_on: chat.TrainOn = "all"
    include_reasoning: bool = False
    system_prompt: str | None = None
    images: chat.Images = "reject"
    parallel_tool_calls: bool | None = None
    suffix: ClassVar[str] = "jsonl"

    def render(self, record: Record) -> dict[str, Any]:
        """One line of the file.

        Raises:
            Rejected: the reasons of `chat.conversation`, `chat.content`, `chat.weights` and `tools.functions`.
        """
        messages = chat.conversation(record, system_prompt=self.system_prompt)
        weights = chat.weights(messages, self.train_on)
        row: dict[str, Any] = {"messages": [self._message(m, w) for m, w in zip(messages, weights, strict=True)]}
        if tools := functions(record):
            row["tools"] = tools
            if self.parallel_tool_calls is not None:
                row["parallel_tool_calls"] = self.parallel_tool_calls
        return row

    def _message(self, message: Message, weight: int | None) -> dict[str, Any]:
        row: dict[str, Any] = {"role": message.role}
        text = chat.content(message, images=self.images)
        if self.include_reasoning and message.reasoning and message.role == "assistant":
            assert isinstance(text, str)  # only a user's images become parts
            text = chat.with_reasoning(message.reasoning, text)
        if text or not message.tool_calls:
            row["content"] = text
        if message.role == "tool":
            row["tool_call_id"] = message.tool_call_id
        elif name := chat.author(message.name):
            row["name"] = name
        if message.tool_calls:
            row["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in message.tool_calls
            ]
        if weight == 0:
            row["weight"] = 0
        return row
