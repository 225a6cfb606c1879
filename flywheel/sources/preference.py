"""Preference rows: a prompt with a chosen and a rejected answer.

Source: huggingface.co/docs/trl `dataset_formats` (0.24: explicit and implicit prompt, text and conversational),
LLaMA-Factory `data/README.md` at ff6d4d1 (ShareGPT and Alpaca with `chosen`/`rejected`), openai/openai-openapi at f85dbe2
(`preferred_output`/`non_preferred_output`), HH-RLHF's `Human:`/`Assistant:` text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.errors import Rejected
from flywheel.records import Candidate, Message, Record
from flywheel.sources.chat import conversation
from flywheel.sources.messages import dataset_record
from flywheel.sources.sharegpt import sharegpt_messages
from flywheel.sources.values import decoded, first, has_keys, mapping, scalar, string

__all__ = ["Preference"]


@dataclass(frozen=True)
class Preference:
    """The chosen answer becomes the reply, the rejected one a candidate."""

    specificity: ClassVar[int] = 25

    def sniff(self, head: bytes) -> bool:
        """Two answers, one of them preferred."""
        return has_keys(head, "chosen", "rejected") or has_keys(head, "preferred_output", "non_preferred_output")

    def parse(self, entry: Any) -> Iterator[Record]:
        """One record.

        Raises:
            Rejected: `unmapped`, `no_messages`, or `prompts_differ` where the two conversations part before their last turn.
        """
        try:
            row = mapping(entry)
            chosen = _answer(first(row, "chosen", "preferred_output"))
            rejected = _answer(first(row, "rejected", "non_preferred_output"))
            if not chosen or not rejected:
                raise Rejected("unmapped")
            prompt = _prompt(row)
            if not prompt:
                prompt, chosen, rejected = _part(chosen, rejected)
            elif chosen[: len(prompt)] == prompt and len(chosen) > len(prompt):
                chosen, rejected = chosen[len(prompt) :], rejected[len(prompt) :]
            given = {"tags": [f"{key}={value}" for key in row if key.startswith("score_") and (value := scalar(row[key]))]}
            row = {**row, **mapping(row.get("input"))}
            yield dataset_record({"tags": given["tags"], **row}, (*prompt, *chosen), (Candidate(messages=rejected),))
        except RecursionError:
            raise Rejected("too_deep") from None


def _answer(value: Any) -> tuple[Message, ...]:
    value = decoded(value)
    if isinstance(value, str):
        turns = re.split(r"(?:^|\n\n)(Human|Assistant): ?", value)
        if len(turns) > 2 and not turns[0].strip():
            pairs = zip(turns[1::2], turns[2::2], strict=True)
            return conversation([{"from": who.replace("Assistant", "gpt"), "value": said.strip()} for who, said in pairs])
        return conversation(value, "assistant")
    if isinstance(value, dict):
        value = [value]
    return sharegpt_messages(value) if isinstance(value, list) else ()


def _prompt(row: dict[str, Any]) -> tuple[Message, ...]:
    said = decoded(first(row, "conversations", "messages", "prompt", "question", "input", "instruction"))
    if isinstance(said, dict):
        said = said.get("messages")
    if string(row.get("instruction")):
        said = "\n".join(text for key in ("instruction", "input") if (text := string(row.get(key))))
    messages = sharegpt_messages(said) if isinstance(said, list) else conversation(said) if isinstance(said, str) else ()
    if (system := string(row.get("system"))) and messages:
        messages = (*conversation(system, "system"), *messages)
    return messages


_Parted = tuple[tuple[Message, ...], tuple[Message, ...], tuple[Message, ...]]


def _part(chosen: tuple[Message, ...], rejected: tuple[Message, ...]) -> _Parted:
    """Whole conversations: their common beginning is the prompt, which must end where only the answers remain."""
    common = 0
    while common < min(len(chosen), len(rejected)) and chosen[common] == rejected[common]:
        common += 1
    if common == len(chosen) or common == len(rejected):
        common -= 1
    prompt, kept, other = chosen[: max(common, 0)], chosen[max(common, 0) :], rejected[max(common, 0) :]
    if not prompt or any(message.role == "user" for message in (*kept, *other)):
        raise Rejected("prompts_differ")
    return prompt, kept, other
