"""What somebody thought of a reply, under the names that logs give it."""

from collections.abc import Iterator, Mapping
from typing import Any

from flywheel.records import Feedback
from flywheel.sources.values import decoded, first, mapping, moment, scalar, string

__all__ = ["feedback_beside", "feedback_entry"]

_FIELDS = ("feedback", "scores", "annotations", "evaluations", "corrections")
_SCALARS = ("rating", "thumbs", "thumbs_up", "thumb", "score", "reward", "label", "user_feedback", "liked", "vote")


def feedback_beside(entry: Mapping[str, Any], *, scalars: tuple[str, ...] = _SCALARS) -> tuple[Feedback, ...]:
    """Feedback logged beside an exchange: objects and lists under `feedback` or `scores`, and bare ratings."""
    if entry.keys().isdisjoint(_FIELDS) and entry.keys().isdisjoint(scalars):
        return ()
    found = [given for key in _FIELDS for given in _several(key.removesuffix("s"), decoded(entry.get(key)))]
    for key in scalars:
        if value := scalar(entry.get(key)):
            found.append(Feedback(name=key, value=value, comment=_comment(entry), by=None))
        elif isinstance(entry.get(key), dict):
            found += _several(key, entry[key])
    return tuple(found)


def feedback_entry(given: Mapping[str, Any], name: str = "feedback") -> Feedback | None:
    """One piece of feedback as an object (Langfuse score, LangSmith feedback, OpenInference annotation); None without a value."""
    result = mapping(given.get("result"))
    source = {**given, **result}
    value = scalar(first(source, "value", "score", "stringValue", "string_value", "rating", "label", "thumbs", "vote"))
    comment = string(first(source, "comment", "explanation", "reason", "correction", "text"))
    if value is None and comment is None:
        return None
    return Feedback(
        name=string(first(source, "name", "key", "metric", "type")) or name,
        value=value,
        comment=comment,
        by=string(first(source, "source", "annotator_kind", "by", "feedback_source")),
        at=moment(first(source, "timestamp", "created_at", "createdAt", "at")),
    )


def _several(name: str, value: Any) -> Iterator[Feedback]:
    if plain := scalar(value):
        yield Feedback(name=name, value=plain)
    elif isinstance(value, list):
        for one in value:
            if given := feedback_entry(mapping(one), name):
                yield given
    elif isinstance(value, dict):
        if given := feedback_entry(value, name):
            yield given
        else:
            for key, one in value.items():
                if plain := scalar(one):
                    yield Feedback(name=key, value=plain)
                elif given := feedback_entry(mapping(one), key):
                    yield given


def _comment(entry: Mapping[str, Any]) -> str | None:
    return string(first(entry, "feedback_comment", "comment"))
