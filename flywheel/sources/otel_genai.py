"""OpenTelemetry GenAI spans, in OTLP JSON lines or as bare spans, of any instrumentation's naming.

Source: open-telemetry/semantic-conventions at 953276f (May 2026, `docs/gen-ai`); see `otel_names` for the other schemes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from flywheel.errors import Rejected
from flywheel.records import Feedback, Record
from flywheel.sources.chat import Exchange, usage
from flywheel.sources.envelope import labels, to_record
from flywheel.sources.feedback import feedback_entries
from flywheel.sources.otel_names import READERS
from flywheel.sources.otel_spans import Span, find_spans, rows
from flywheel.sources.several import several
from flywheel.sources.values import decoded, first, has_any, has_keys, mapping, moment, scalar, string

__all__ = ["OTelGenAI"]

_OTHER_OPERATIONS = {"embeddings", "execute_tool", "invoke_agent", "create_agent", "invoke_workflow", "rerank", "retrieval"}

_CALLS = {"gen_ai.request.model", "gcp.vertex.agent.llm_request", "ai.prompt.messages"}
_CONTENTS = ("gen_ai.prompt", "gen_ai.completion", "gen_ai.input.messages", "gen_ai.output.messages", "llm.input_messages")
_LANGFUSE = ("observations", "parentObservationId", "parent_observation_id", "modelParameters", "provided_model_name", "run_type")


@dataclass(frozen=True)
class OTelGenAI:
    """One record a model call. An export holds many spans; those of tools, agents and plain services are skipped.

    Also reads OpenLLMetry, OpenInference (Phoenix), Vercel AI SDK and Google ADK attributes, and the deprecated events.
    """

    specificity: ClassVar[int] = 60

    def sniff(self, head: bytes) -> bool:
        """An OTLP export, or a span with attributes of a model call."""
        if has_keys(head, "resourceSpans") or has_keys(head, "resourceLogs") or has_keys(head, "resource_spans"):
            return True
        span = has_keys(head, "attributes") and has_any(head, "spanId", "span_id", "traceId", "trace_id")
        return span and not has_any(head, *_LANGFUSE)

    def parse(self, entry: Any) -> Iterator[Record]:
        """The records of the entry's model calls, in its order.

        Raises:
            Rejected: `no_llm_span`; where every model call failed to map, the first one's reason: `no_content` when its
                content was not recorded (the conventions' default), `http_error`, `no_response`, `unmapped`.
        """
        return several(filter(_is_model_call, find_spans(entry)), _record, none="no_llm_span")


def _is_model_call(span: Span) -> bool:
    """The instrumentation's own word for it, where it has one; else whether a prompt, a reply or their events are there."""
    attributes = span.attributes
    operation, kind = attributes.get("gen_ai.operation.name"), first(attributes, "openinference.span.kind", "span_kind")
    request, vercel = attributes.get("llm.request.type"), attributes.get("ai.operationId")
    if isinstance(kind, str) and kind.isupper():
        return kind == "LLM"
    if isinstance(vercel, str):
        return vercel.endswith((".doGenerate", ".doStream"))
    if isinstance(operation, str) or isinstance(request, str):
        return operation not in _OTHER_OPERATIONS and request not in ("embedding", "rerank")
    return (
        bool(_CALLS & set(attributes))
        or any(name.startswith(_CONTENTS) for name in attributes)
        or any(event.name.startswith("gen_ai.") and event.name != "gen_ai.evaluation.result" for event in span.events)
    )


def _record(span: Span) -> Record:
    for event in span.events:
        if event.name == "gen_ai.client.inference.operation.details":
            span = replace(span, attributes={**span.attributes, **event.attributes, **mapping(event.body)})
    exchange = next((found for read in READERS if (found := read(span)) is not None), None)
    if span.failed and (exchange is None or not exchange.replies):
        raise Rejected("http_error")
    if exchange is None:
        raise Rejected("no_content")
    attributes = span.attributes
    metadata = decoded(attributes.get("metadata"))
    sessions = ("gen_ai.conversation.id", "session.id", "ai.telemetry.metadata.sessionId")
    people = ("user.id", "enduser.id", "gen_ai.user.id", "gen_ai.request.user", "ai.telemetry.metadata.userId")
    return to_record(
        _described(exchange, attributes),
        {},
        id=span.id or scalar(attributes.get("gen_ai.response.id")) or "",
        created_at=moment(span.start),
        session=scalar(first(attributes, *sessions)) or span.trace,
        user=scalar(first(attributes, *people, "llm.user")),
        app=scalar(span.resource.get("service.name")),
        feedback=tuple(_feedback(span)),
        tags=tuple(dict.fromkeys(labels(metadata, decoded(attributes.get("tag.tags"))))),
    )


def _described(exchange: Exchange, attributes: dict[str, Any]) -> Exchange:
    names: tuple[str, ...] = ("gen_ai.response.model", "llm.response.model_name", "ai.response.model", "gen_ai.request.model")
    names += ("llm.model_name", "llm.request.model_name", "ai.model.id")
    asked = first(attributes, "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt")
    told = first(attributes, "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion")
    counts = {
        "input": asked if asked is not None else first(attributes, "llm.usage.prompt_tokens", "ai.usage.promptTokens"),
        "output": told if told is not None else first(attributes, "llm.usage.completion_tokens", "ai.usage.completionTokens"),
    }
    return replace(exchange, model=string(first(attributes, *names)) or exchange.model, usage=usage(counts) or exchange.usage)


def _feedback(span: Span) -> Iterator[Feedback]:
    for event in span.events:
        if event.name == "gen_ai.evaluation.result":
            prefix = "gen_ai.evaluation."
            told = {key.removeprefix(prefix): value for key, value in event.attributes.items() if key.startswith(prefix)}
            value = scalar(first(told, "score.value", "score.label"))
            name = string(told.get("name")) or "evaluation"
            yield Feedback(name=name, value=value, comment=string(told.get("explanation")), at=None)
    for prefix in ("annotations", "evaluations"):
        for row in rows(span.attributes, prefix):
            yield from feedback_entries(mapping(row.get(prefix.removesuffix("s"))))
