"""What somebody thought of a reply, under the names that logs give it.

A correction, the text that a person put in the reply's place, is feedback of its own: `Feedback(name="correction",
value=text)`, beside the score that it came with. Whether it becomes the reply or the better one of a pair is for the rules
that make labels; a source never changes what the model said.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from flywheel.records import Feedback
from flywheel.sources.values import decoded, first, json_text, mapping, moment, scalar, string

__all__ = ["CORRECTION", "feedback_beside", "feedback_entries"]

CORRECTION = "correction"
_FIELDS = ("feedback", "scores", "annotations", "evaluations", "corrections")
_SCALARS = ("rating", "thumbs", "thumbs_up", "thumb", "score", "reward", "label", "user_feedback", "liked", "vote")
_VALUES = ("value", "score", "stringValue", "string_value", "longStringValue", "rating", "label", "thumbs", "vote")
_PEOPLE = ("authorUserId", "author_user_id", "annotator", "created_by", "reviewer", "user_id", "identifier")
_SAID = ("output", "content", "text", "answer", "response", "completion", "reply")


def feedback_beside(entry: Mapping[str, Any], *, scalars: tuple[str, ...] = _SCALARS) -> tuple[Feedback, ...]:
    """Feedback logged beside an exchange: objects and lists under `feedback` or `scores`, bare ratings, a `correction`."""
    if entry.keys().isdisjoint(_FIELDS) and entry.keys().isdisjoint(scalars) and CORRECTION not in entry:
        return ()
    found = [given for key in _FIELDS for given in _several(key.removesuffix("s"), decoded(entry.get(key)))]
    if text := _corrected(entry.get(CORRECTION)):
        found.append(Feedback(name=CORRECTION, value=text))
    for key in scalars:
        if value := scalar(entry.get(key)):
            found.append(Feedback(name=key, value=value, comment=_comment(entry), by=None))
        elif isinstance(entry.get(key), dict):
            found += _several(key, entry[key])
    return tuple(found)


def feedback_entries(given: Mapping[str, Any], name: str = "feedback") -> Iterator[Feedback]:
    """One logged object (Langfuse score, LangSmith feedback, OpenInference annotation): its score, then its correction.

    `by` is the person where the log names one, so that annotators stay apart, else the kind of source (`ANNOTATION`, `EVAL`).
    """
    source = {**given, **mapping(given.get("result"))}
    value = scalar(first(source, *_VALUES))
    origin = mapping(source.get("feedback_source"))
    by = scalar(first(source, *_PEOPLE)) or scalar(mapping(source.get("created_by")).get("id")) or scalar(origin.get("user_id"))
    by = by or string(first(source, "source", "annotator_kind", "by", "feedback_source")) or string(origin.get("type"))
    at = moment(first(source, "timestamp", "created_at", "createdAt", "at"))
    comment = string(first(source, "comment", "explanation", "reason", "text"))
    called = string(first(source, "name", "key", "metric", "type")) or name
    if name == CORRECTION or first(source, "dataType", "data_type") == "CORRECTION":  # Langfuse keeps one as a score
        text = _corrected(source.get(CORRECTION)) or value or _corrected(source)
        if text:
            yield Feedback(name=CORRECTION, value=text, comment=comment if comment != text else None, by=by, at=at)
        return
    if value is not None or comment is not None:
        yield Feedback(name=called, value=value, comment=comment, by=by, at=at)
    if text := _corrected(source.get(CORRECTION)):
        yield Feedback(name=CORRECTION, value=text, by=by, at=at)


def _corrected(value: Any) -> str | None:
    """The right answer's text: a string, a message, or an object with one text under any key; else the object as JSON."""
    value = decoded(value)
    if isinstance(value, str):
        return value or None
    said = mapping(value)
    text = string(first(said, *_SAID))
    if text is None and len(said) == 1:
        text = string(next(iter(said.values())))
    return text or (json_text(said) if said else None)


def _several(name: str, value: Any) -> Iterator[Feedback]:
    if plain := scalar(value):
        yield Feedback(name=name, value=plain)
    elif isinstance(value, list):
        for one in value:
            if name == CORRECTION and isinstance(one, str) and one:
                yield Feedback(name=name, value=one)
            else:
                yield from feedback_entries(mapping(one), name)
    elif isinstance(value, dict):
        found = list(feedback_entries(value, name))
        yield from found
        for key, one in value.items() if not found else ():
            if plain := scalar(one):
                yield Feedback(name=key, value=plain)
            else:
                yield from feedback_entries(mapping(one), key)


def _comment(entry: Mapping[str, Any]) -> str | None:
    return string(first(entry, "feedback_comment", "comment"))
