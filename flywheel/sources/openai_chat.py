"""OpenAI Chat Completions, legacy completions and everything that speaks them (Azure, Mistral, Groq, OpenRouter, vLLM, ...).

Source: openai/openai-openapi `openapi.yaml` at f85dbe2 (chat completions, stored completions, batch output lines), plus the
`reasoning_content` and `reasoning` fields that compatible servers add.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.errors import Rejected
from flywheel.records import Candidate, Message, Record
from flywheel.sources.anthropic import Anthropic
from flywheel.sources.bedrock import BedrockConverse
from flywheel.sources.chat import Exchange, candidate, conversation, tool_schemas, usage
from flywheel.sources.cohere import Cohere
from flywheel.sources.gemini import Gemini
from flywheel.sources.ollama import Ollama
from flywheel.sources.openai_responses import OpenAIResponses
from flywheel.sources.shapes import read_call
from flywheel.sources.values import decoded, first, has_any, has_keys, items, mapping, moment, scalar, string

__all__ = ["OpenAIChat", "answers", "read"]

_OTHERS: tuple[str, ...] = ("run_type", "call_type", "traceId", "resourceSpans", "observations", "parent_observation_id")
_OTHERS += ("span_id", "spanId", "custom_id")
_PROVIDERS = (Anthropic(), BedrockConverse(), Cohere(), Gemini(), Ollama(), OpenAIResponses())


@dataclass(frozen=True)
class OpenAIChat:
    """Requests with their responses, streamed or not, in the wrappers of proxies and SDKs.

    Accepts `{timestamp, request, response, metadata}`, OpenPipe's `{input, output, tags}`, HTTP recordings with `body`, and
    both sides flattened into one object. Choices after the first become candidates. An entry that another provider
    answered is read in that provider's shape.
    """

    specificity: ClassVar[int] = 30

    def sniff(self, head: bytes) -> bool:
        """A wrapped call, both sides named or choices beside messages, without another provider's marks."""
        if has_any(head, *_OTHERS) or any(provider.sniff(head) for provider in _PROVIDERS):
            return False
        if has_keys(head, "request", "response") or has_keys(head, "__sse__") or has_keys(head, "request_body"):
            return True
        return has_keys(head, "choices") and has_any(head, "messages", "response", "output", "prompt")

    def parse(self, entry: Any) -> Iterator[Record]:
        """One record, or a reason why there is none."""
        return read_call(entry)


def answers(response: dict[str, Any]) -> bool:
    """Whether this is a chat completion or a legacy completion."""
    return isinstance(response.get("choices"), list)


def read(request: Any, response: dict[str, Any]) -> Exchange:
    """The exchange. A legacy completion's prompt is said by the user, its text by the assistant."""
    asked = mapping(request)
    choices = [mapping(choice) for choice in items(response.get("choices"))]
    choices.sort(key=lambda choice: index if isinstance(index := choice.get("index"), int) else 0)
    return Exchange(
        prompt=_prompt(request),
        replies=tuple(_reply(choice) for choice in choices),
        id=scalar(response.get("id")),
        model=string(response.get("model")) or string(asked.get("model")),
        created_at=moment(response.get("created")),
        usage=usage(response.get("usage")) or usage(response.get("usage_metadata")),
        tools=tool_schemas(first(asked, "tools", "functions") or first(response, "tools")),
    )


def _prompt(request: Any) -> tuple[Message, ...]:
    asked = mapping(request)
    if asked.get("messages") is not None:
        return conversation(asked["messages"])
    if "prompt" in asked:
        prompt = decoded(asked["prompt"]) if isinstance(asked["prompt"], list) else asked["prompt"]
        if isinstance(prompt, list) and len(prompt) > 1 and all(isinstance(one, str) for one in prompt):
            raise Rejected("many_prompts")
        return conversation(prompt)
    if isinstance(request, dict):
        raise Rejected("no_request")
    return conversation(request)


def _reply(choice: dict[str, Any]) -> Candidate:
    reason = choice.get("finish_reason") or choice.get("native_finish_reason")
    if isinstance(choice.get("text"), str):
        return candidate(conversation(choice["text"], "assistant"), reason)
    message = mapping(choice.get("message")) or mapping(choice.get("delta"))
    if not message:
        return Candidate(messages=(Message(role="assistant"),))
    return candidate(conversation([{**message, "role": "assistant"}]), reason)
