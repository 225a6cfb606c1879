"""Amazon Bedrock Converse, and the InvokeModel bodies of Nova, Titan, Llama and Mistral.

Source: AWS `bedrock-runtime` API reference, 2023-09-30 (`Converse`, `ConverseStream`); model bodies as in its user guide.
Streams that were recorded as binary event streams are not decoded (`binary_response`); decoded events are folded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.records import Candidate, Message, Record
from flywheel.sources.chat import Exchange, candidate, conversation, tool_schemas, usage
from flywheel.sources.shapes import read_call
from flywheel.sources.values import first, has_keys, items, mapping, string

__all__ = ["BedrockConverse", "answers", "read"]


@dataclass(frozen=True)
class BedrockConverse:
    """Converse requests with their responses."""

    specificity: ClassVar[int] = 40

    def sniff(self, head: bytes) -> bool:
        """A wrapped call with Bedrock's own spelling of the stop reason."""
        return has_keys(head, "request") and (has_keys(head, "stopReason") or has_keys(head, "inferenceConfig", "messages"))

    def parse(self, entry: Any) -> Iterator[Record]:
        """One record, or a reason why there is none."""
        return read_call(entry)


def answers(response: dict[str, Any]) -> bool:
    """Whether this is Converse's output or a bare model's body."""
    if isinstance(mapping(response.get("output")).get("message"), dict) or isinstance(response.get("generation"), str):
        return True
    outputs = items(response.get("outputs")) or items(response.get("results"))
    return bool(outputs) and bool({"text", "outputText"} & set(mapping(outputs[0])))


def read(request: Any, response: dict[str, Any]) -> Exchange:
    """The exchange."""
    asked = mapping(request)
    prompt: tuple[Message, ...] = ()
    if asked.get("system"):
        prompt = conversation([{"role": "system", "content": asked["system"]}])
    prompt += conversation(first(asked, "messages", "prompt", "inputText") or request)
    replies: tuple[Candidate, ...]
    output = mapping(mapping(response.get("output")).get("message"))
    if output:
        replies = (candidate(conversation([{**output, "role": "assistant"}]), response.get("stopReason")),)
    else:
        bodies = [mapping(one) for one in items(response.get("outputs")) or items(response.get("results"))] or [response]
        replies = tuple(
            candidate(
                conversation(string(first(one, "text", "outputText", "generation")) or "", "assistant"),
                first(one, "stop_reason", "completionReason"),
            )
            for one in bodies
        )
    counts = {"input": response.get("prompt_token_count"), "output": response.get("generation_token_count")}
    return Exchange(
        prompt=prompt,
        replies=replies,
        model=string(first(asked, "modelId", "model")),
        usage=usage(response.get("usage")) or usage(counts),
        tools=tool_schemas(asked["toolConfig"]) if asked.get("toolConfig") else (),
    )
