"""Langfuse traces and observations, from the API, the UI's download or the blob export.

Source: langfuse/langfuse at 6275144, `fern/apis/server/definition/commons.yml` and `domain/observation-field-groups.ts`
(the blob export's snake_case columns).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from flywheel.errors import Rejected
from flywheel.records import Feedback, Record
from flywheel.sources.anything import read_anything
from flywheel.sources.chat import tool_schemas, usage
from flywheel.sources.envelope import labels, to_record
from flywheel.sources.feedback import feedback_entries
from flywheel.sources.several import several
from flywheel.sources.values import decoded, first, has_keys, items, mapping, moment, scalar, string

__all__ = ["Langfuse"]


@dataclass(frozen=True)
class Langfuse:
    """One record a generation. A trace's spans, events and tools are skipped: generations repeat what they held.

    Scores of an observation are its feedback; a trace's own scores judge its outcome and go to its last generation.

    Args:
        plain_text: read bare text as a user's prompt and an assistant's reply. Langfuse's own normalisation calls such
            inputs and outputs not mappable, and so does this by default (`plain_text`).
    """

    plain_text: bool = False

    specificity: ClassVar[int] = 55

    def sniff(self, head: bytes) -> bool:
        """A trace with observations, or observations with Langfuse's ids."""
        if has_keys(head, "resourceSpans"):
            return False
        api = has_keys(head, "traceId", "startTime", "type") or has_keys(head, "observations")
        return api or has_keys(head, "trace_id", "parent_observation_id") or has_keys(head, "trace_id", "provided_model_name")

    def parse(self, entry: Any) -> Iterator[Record]:
        """The records of the entry's generations, in its order.

        Raises:
            Rejected: `no_generation`; where every generation failed to map, the first one's reason.
        """
        return several(_generations(entry), lambda found: self._record(*found), none="no_generation")

    def _record(self, trace: dict[str, Any], observation: dict[str, Any], scores: list[Feedback]) -> Record:
        told = observation.get("output")
        if observation.get("level") == "ERROR" and told in (None, "", {}):
            raise Rejected("http_error")
        exchange = read_anything(observation.get("input"), told, plain_text=self.plain_text)
        spent = first(observation, "usageDetails", "usage_details", "usage")
        model = first(observation, "model", "providedModelName", "provided_model_name")
        metadata = mapping(decoded(observation.get("metadata")))
        owned = {**trace, **{key: value for key, value in observation.items() if value is not None}}
        names = ("sessionId", "session_id", "traceId", "trace_id")
        return to_record(
            replace(
                exchange,
                model=exchange.model or string(model),
                usage=usage(spent) or exchange.usage,
                tools=exchange.tools or _tools(observation, metadata),
            ),
            {},
            id=scalar(observation.get("id")) or "",
            created_at=moment(first(observation, "startTime", "start_time")) or moment(trace.get("timestamp")),
            session=scalar(first(owned, *names)),
            user=scalar(first(owned, "userId", "user_id")),
            app=scalar(first(trace, "name") or first(owned, "traceName", "trace_name")),
            feedback=tuple(scores),
            tags=tuple(dict.fromkeys(labels(decoded(trace.get("metadata")), metadata, decoded(owned.get("tags"))))),
        )


def _generations(entry: Any) -> Iterator[tuple[dict[str, Any], dict[str, Any], list[Feedback]]]:
    """Every generation with its trace and its scores."""
    if isinstance(entry, list):
        for one in entry:
            yield from _generations(mapping(one))
        return
    source = mapping(entry)
    if isinstance(source.get("data"), list):
        yield from _generations([mapping(one) for one in source["data"]])
        return
    trace = mapping(source.get("trace"))
    listed = source.get("observations") if isinstance(source.get("observations"), list) else trace.get("observations")
    if not isinstance(listed, list):
        if _is_generation(source):
            yield {}, source, _scores(source.get("scores"))
        return
    trace = trace or source
    found = [mapping(one) for one in listed if _is_generation(mapping(one))]
    last = max(found, key=lambda one: string(first(one, "startTime", "start_time")) or "", default=None)
    given = items(decoded(trace.get("scores"))) + (items(decoded(source.get("scores"))) if source is not trace else [])
    for observation in found:
        own = [one for one in given if _target(one) == observation.get("id") or (_target(one) is None and observation is last)]
        yield trace, observation, _scores(own) + _scores(observation.get("scores"))


def _is_generation(observation: dict[str, Any]) -> bool:
    return observation.get("type") == "GENERATION"


def _target(score: Any) -> Any:
    return first(mapping(score), "observationId", "observation_id")


def _scores(listed: Any) -> list[Feedback]:
    return [given for one in items(decoded(listed)) for given in feedback_entries(mapping(one), "score")]


def _tools(observation: dict[str, Any], metadata: dict[str, Any]) -> tuple[str, ...]:
    """Tools on offer, where they were logged beside the input: Langfuse's own column, or the SDK's span attributes."""
    attributes = mapping(metadata.get("attributes"))
    listed = decoded(first(observation, "toolDefinitions", "tool_definitions") or attributes.get("ai.prompt.tools"))
    if isinstance(listed, dict):
        listed = [{"name": name, **mapping(decoded(tool))} for name, tool in listed.items()]
    return tool_schemas([decoded(tool) for tool in listed]) if isinstance(listed, list) and listed else ()
