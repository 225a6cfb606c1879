"""Trajectories of tau-bench: tool-calling support agents with an outcome.

Source: sierra-research/tau-bench at 59a200c (`historical_trajectories/*.json`, `few_shot_data/*`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.errors import Rejected
from flywheel.records import Feedback, Message, Record
from flywheel.sources.chat import conversation, has_messages
from flywheel.sources.messages import dataset_record
from flywheel.sources.values import has_keys, mapping, scalar, string

__all__ = ["TauBench"]


@dataclass(frozen=True)
class TauBench:
    """`traj` is the conversation, `reward` the feedback, task and trial are tags; the task's customer is the user.

    Each trial is a session of its own: four trials of one task are four talks with the same customer, not one.
    The record ends with the agent's last message: what the simulated customer (`###STOP###`) or a tool says after it has no
    reply to learn from.

    Few-shot rows hold a flattened dialogue whose calls were printed as `None`: they cannot be rebuilt (`lossy_display`).
    """

    specificity: ClassVar[int] = 50

    def sniff(self, head: bytes) -> bool:
        """A trajectory or a displayed dialogue."""
        return has_keys(head, "traj") or has_keys(head, "messages_display")

    def parse(self, entry: Any) -> Iterator[Record]:
        """One record.

        Raises:
            Rejected: `unmapped`; `lossy_display` for a displayed dialogue whose tool calls are lost.
        """
        row = mapping(entry)
        if display := string(row.get("messages_display")):
            yield _displayed(display)
            return
        if not has_messages(row.get("traj")):
            raise Rejected("unmapped")
        task = mapping(mapping(row.get("info")).get("task"))
        reward = scalar(row.get("reward"))
        tags = [f"{key}={value}" for key in ("task_id", "trial") if (value := scalar(row.get(key)))]
        yield dataset_record(
            {},
            _until_reply(conversation(row["traj"])),
            session=" ".join(tags) or None,
            user=string(task.get("user_id")),
            feedback=(Feedback(name="reward", value=reward),) if reward else (),
            tags=tuple(tags),
        )


def _until_reply(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    last = max((at for at, message in enumerate(messages) if message.role == "assistant"), default=len(messages) - 1)
    return messages[: last + 1]


def _displayed(display: str) -> Record:
    turns = re.split(r"(?:^|\n)(user|assistant|tool|system): ", display)
    pairs = list(zip(turns[1::2], turns[2::2], strict=False))
    if any(said.strip() == "None" for _, said in pairs) or any(who == "tool" for who, _ in pairs):
        raise Rejected("lossy_display")
    return dataset_record({}, conversation([{"role": who, "content": said.rstrip("\n")} for who, said in pairs]))
