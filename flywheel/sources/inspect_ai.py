"""Inspect evaluation logs in JSON: every sample is a conversation with its scores.

Source: UKGovernmentBEIS/inspect_ai `src/inspect_ai/log/_log.py`, log version 2 (2025). The zipped `.eval` form is not read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.errors import Rejected
from flywheel.records import Feedback, Record
from flywheel.sources.chat import Exchange, candidate, conversation, usage
from flywheel.sources.envelope import labels, to_record
from flywheel.sources.several import several
from flywheel.sources.values import first, has_keys, items, mapping, moment, scalar, string

__all__ = ["InspectAI"]

_REFERENCE = "attachment://"


@dataclass(frozen=True)
class InspectAI:
    """One record a sample, scores as feedback. Long texts that the log keeps once under `attachments` are put back."""

    specificity: ClassVar[int] = 55

    def sniff(self, head: bytes) -> bool:
        """A log's header, or a sample with its scores."""
        return has_keys(head, "eval", "eval_id") or has_keys(head, "epoch", "scores", "messages", "target")

    def parse(self, entry: Any) -> Iterator[Record]:
        """The samples' records, in order.

        Raises:
            Rejected: `no_samples`; where every sample failed to map, the first one's reason.
        """
        log = mapping(entry)
        spec = mapping(log.get("eval"))
        samples = items(log.get("samples")) if "samples" in log or spec else [log]
        return several(map(mapping, samples), lambda sample: _record(sample, spec), none="no_samples")


def _record(sample: dict[str, Any], spec: dict[str, Any]) -> Record:
    turns = [_restored(mapping(turn), mapping(sample.get("attachments"))) for turn in items(sample.get("messages"))]
    messages = conversation(turns)
    output = mapping(sample.get("output"))
    if not messages or messages[-1].role != "assistant":
        raise Rejected("no_response" if messages else "no_messages")
    reason = mapping(next(iter(items(output.get("choices"))), None)).get("stop_reason")
    exchange = Exchange(
        prompt=messages[:-1],
        replies=(candidate(messages[-1:], reason),),
        model=string(output.get("model")) or string(spec.get("model")),
        usage=usage(output.get("usage")),
    )
    started = next((at for event in items(sample.get("events")) if (at := moment(mapping(event).get("timestamp")))), None)
    task = f"task={spec['task']}" if string(spec.get("task")) else None
    return to_record(
        exchange,
        {},
        id=string(sample.get("uuid")) or "",
        created_at=started or moment(spec.get("created")),
        session=string(first(spec, "run_id", "eval_id")),
        app=string(spec.get("task")),
        feedback=tuple(_scores(mapping(sample.get("scores")))),
        tags=(*filter(None, (task,)), *labels(sample.get("metadata"))),
    )


def _scores(scores: dict[str, Any]) -> Iterator[Feedback]:
    for name, score in scores.items():
        if value := scalar(mapping(score).get("value")):
            yield Feedback(name=name, value=value, comment=string(mapping(score).get("explanation")), by="scorer")


def _restored(turn: dict[str, Any], attachments: dict[str, Any]) -> dict[str, Any]:
    """The turn with its references to attachments replaced by the texts."""
    content = turn.get("content")
    if isinstance(content, list):
        return {**turn, "content": [_restored_part(mapping(part), attachments) for part in content]}
    return {**turn, "content": _text(content, attachments)}


def _restored_part(part: dict[str, Any], attachments: dict[str, Any]) -> dict[str, Any]:
    return {key: _text(value, attachments) for key, value in part.items()}


def _text(value: Any, attachments: dict[str, Any]) -> Any:
    if isinstance(value, str) and value.startswith(_REFERENCE):
        return attachments.get(value.removeprefix(_REFERENCE), value)
    return value
