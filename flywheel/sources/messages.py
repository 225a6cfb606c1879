"""Hugging Face `messages` rows: what TRL, Axolotl and OpenAI fine-tuning read.

Source: huggingface.co/docs/trl `dataset_formats` (0.24) and openai/openai-openapi at f85dbe2 (fine-tuning input); tool calls
with arguments as objects or as text; content parts with `text`, or with LLaMA-Factory's `value`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.errors import Rejected
from flywheel.records import Candidate, Message, Record
from flywheel.sources.chat import Exchange, conversation, finish_reason, has_messages, tool_schemas, usage
from flywheel.sources.envelope import to_record
from flywheel.sources.values import decoded, first, has_any, has_keys, mapping, string

__all__ = ["Messages", "dataset_record"]

_OTHERS = (
    *("request", "response", "choices", "resourceSpans", "run_type", "call_type", "observations", "chosen", "traceId"),
    *("traj", "message_id", "span_id", "spanId", "parent_observation_id", "custom_id", "preferred_output"),
)


@dataclass(frozen=True)
class Messages:
    """Rows of `messages` with optional `tools`, `label` (KTO) and metadata, and prompt-completion rows."""

    specificity: ClassVar[int] = 10

    def sniff(self, head: bytes) -> bool:
        """Messages with roles, or a prompt with its completion, and no sign of another dialect."""
        if has_any(head, *_OTHERS):
            return False
        return has_keys(head, "messages", "role") or has_keys(head, "prompt", "completion") or has_keys(head, "role", "content")

    def parse(self, entry: Any) -> Iterator[Record]:
        """One record; a bare list of messages is one too.

        Raises:
            Rejected: `no_messages` or `unmapped`.
        """
        try:
            row = {"messages": entry} if isinstance(entry, list) else mapping(entry)
            said = decoded(first(row, "messages", "conversation", "conversations", "dialogue"))
            if said is None and first(row, "prompt") is not None and first(row, "completion") is not None:
                messages = (*conversation(row["prompt"]), *conversation(row["completion"], "assistant"))
            elif has_messages(said):
                messages = conversation(said)
            else:
                raise Rejected("no_messages" if said == [] else "unmapped")
            if system := string(row.get("system")):
                messages = (*conversation(system, "system"), *messages)
            yield dataset_record(row, messages)
        except RecursionError:
            raise Rejected("too_deep") from None


def dataset_record(
    row: dict[str, Any], messages: tuple[Message, ...], others: tuple[Candidate, ...] = (), **given: Any
) -> Record:
    """The record of a data set's row. It need not end with a reply: a prompt alone can still be a seed.

    Args:
        row: where the tools, ids, labels and metadata are.
        messages: the whole conversation.
        others: answers other than the last message.
        given: fields that the dialect knows better.

    Raises:
        Rejected: `no_messages`.
    """
    prompt, reply = messages, messages[:0]
    if messages and messages[-1].role == "assistant" and len(messages) > 1:
        prompt, reply = messages[:-1], messages[-1:]
    exchange = Exchange(
        prompt=prompt,
        replies=(Candidate(messages=reply, finish_reason=finish_reason(row.get("finish_reason"))), *others),
        model=string(row.get("model")),
        usage=usage(row.get("usage")),
        tools=tool_schemas(first(row, "tools", "functions")) if first(row, "tools", "functions") is not None else (),
    )
    return to_record(exchange, row, **given)
