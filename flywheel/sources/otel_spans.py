"""OpenTelemetry spans out of a log entry, with plain attributes.

Source: opentelemetry.io OTLP 1.x JSON encoding and file exporter (64-bit integers are strings, ids hexadecimal), the Python
SDK's `ReadableSpan.to_json`, Phoenix's REST spans (attributes flat or nested).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flywheel.sources.values import count, decoded, first, items, mapping, scalar

__all__ = ["Event", "Span", "find_spans", "rows"]


@dataclass(frozen=True)
class Event:
    """Something that happened within a span; `body` is a log record's."""

    name: str
    attributes: dict[str, Any]
    body: Any = None


@dataclass(frozen=True)
class Span:
    """One span, attributes flat by dotted name."""

    id: str | None
    trace: str | None
    name: str
    start: Any
    failed: bool
    attributes: dict[str, Any]
    resource: dict[str, Any]
    events: tuple[Event, ...]


def find_spans(entry: Any) -> Iterator[Span]:
    """Every span of an OTLP export (or its log records, as spans of one event), of a list, or the bare span itself."""
    if isinstance(entry, list):
        for one in entry:
            yield from find_spans(mapping(one))
        return
    source = mapping(entry)
    groups = first(source, "resourceSpans", "resource_spans", "resourceLogs", "resource_logs")
    if groups is None:
        for one in items(first(source, "spans", "data")) or [source]:
            yield _span(mapping(one), mapping(mapping(source.get("resource")).get("attributes")))
        return
    for group in map(mapping, items(groups)):
        resource = _plain(mapping(group.get("resource")).get("attributes"))
        scopes = first(group, "scopeSpans", "scope_spans", "instrumentationLibrarySpans", "scopeLogs", "scope_logs")
        for scope in map(mapping, items(scopes)):
            for span in map(mapping, items(scope.get("spans"))):
                yield _span(span, resource)
            for log in map(mapping, items(first(scope, "logRecords", "log_records"))):
                yield _log(log, resource)


def _span(span: dict[str, Any], resource: dict[str, Any]) -> Span:
    context, status = mapping(span.get("context")), mapping(span.get("status"))
    code = first(status, "code", "status_code") or first(span, "status_code", "statusCode")
    return Span(
        id=scalar(first(span, "spanId", "span_id") or context.get("span_id") or context.get("spanId")),
        trace=scalar(first(span, "traceId", "trace_id") or context.get("trace_id") or context.get("traceId")),
        name=str(span.get("name")) if isinstance(span.get("name"), str) else "",
        start=first(span, "startTimeUnixNano", "start_time_unix_nano", "start_time", "startTime", "timestamp"),
        failed=code in (2, "2", "ERROR", "STATUS_CODE_ERROR", "StatusCode.ERROR"),
        attributes=_plain(span.get("attributes")),
        resource=_plain(mapping(span.get("resource")).get("attributes")) or resource,
        events=tuple(_event(mapping(event)) for event in items(decoded(span.get("events")))),
    )


def _event(event: dict[str, Any]) -> Event:
    attributes = _plain(event.get("attributes"))
    name = first(event, "name", "eventName", "event_name") or first(attributes, "event.name")
    return Event(name if isinstance(name, str) else "", attributes, _value(event.get("body")))


def _log(log: dict[str, Any], resource: dict[str, Any]) -> Span:
    return Span(
        id=scalar(first(log, "spanId", "span_id")),
        trace=scalar(first(log, "traceId", "trace_id")),
        name="",
        start=first(log, "timeUnixNano", "time_unix_nano", "observedTimeUnixNano"),
        failed=False,
        attributes={},
        resource=resource,
        events=(_event(log),),
    )


def _plain(attributes: Any) -> dict[str, Any]:
    """Attributes by dotted name, from OTLP's list of pairs or from an object, flat or nested."""
    attributes = decoded(attributes)
    if isinstance(attributes, list):
        pairs = (mapping(pair) for pair in attributes)
        return {pair["key"]: _value(pair.get("value")) for pair in pairs if isinstance(pair.get("key"), str)}
    flat: dict[str, Any] = {}
    pending = [("", mapping(attributes))]
    while pending:
        prefix, branch = pending.pop()
        for key, value in branch.items():
            name = f"{prefix}{key}"
            flat[name] = _value(value)
            if isinstance(value, dict) and len(name) < 200:
                pending.append((f"{name}.", value))
            elif isinstance(value, list) and name in ("llm.input_messages", "llm.output_messages", "llm.tools", "annotations"):
                pending += [(f"{name}.{at}.", one) for at, one in enumerate(value) if isinstance(one, dict)]
    return flat


def _value(value: Any) -> Any:
    """An OTLP `AnyValue` as plain JSON; anything else as it is."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    (kind, inner), *_ = value.items()
    if kind in ("stringValue", "boolValue", "doubleValue", "bytesValue", "string_value", "bool_value", "double_value"):
        return inner
    if kind in ("intValue", "int_value"):
        return found if (found := count(inner)) is not None else inner
    if kind in ("arrayValue", "array_value"):
        return [_value(one) for one in items(mapping(inner).get("values"))]
    if kind in ("kvlistValue", "kvlist_value"):
        pairs = (mapping(one) for one in items(mapping(inner).get("values")))
        return {pair["key"]: _value(pair.get("value")) for pair in pairs if isinstance(pair.get("key"), str)}
    return value


def rows(attributes: dict[str, Any], prefix: str) -> list[dict[str, Any]]:
    """Flattened lists put together again: `PREFIX.0.message.role` is row 0, `{"message": {"role": ...}}`.

    Rows come in the order of their numbers; inner lists stay objects with numbers for keys.
    """
    found: dict[int, dict[str, Any]] = {}
    for name, value in attributes.items():
        number, _, path = name[len(prefix) + 1 :].partition(".")
        if not name.startswith(f"{prefix}.") or not number.isdecimal() or not path or len(number) > 9:
            continue
        branch = found.setdefault(int(number), {})
        *parents, leaf = path.split(".")
        for parent in parents:
            deeper = branch.get(parent)
            if not isinstance(deeper, dict):
                deeper = branch[parent] = {}
            branch = deeper
        if not isinstance(branch.get(leaf), dict):
            branch[leaf] = value
    return [found[number] for number in sorted(found)]
