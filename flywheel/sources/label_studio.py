"""Label Studio exports (JSON): tasks with their annotations.

Source: HumanSignal/label-studio-sdk, `tests/custom/converter/data`, and labelstud.io/guide/export (2025). The flattened
JSON_MIN and CSV exports are read with a column mapping.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.errors import Rejected
from flywheel.records import Feedback, Record
from flywheel.sources.annotated import WINNER, Shown, annotated_record, is_comment, shown
from flywheel.sources.chat import conversation
from flywheel.sources.feedback import CORRECTION
from flywheel.sources.values import decoded, first, has_keys, items, json_text, mapping, moment, scalar, string

__all__ = ["LabelStudio"]


@dataclass(frozen=True)
class LabelStudio:
    """One record a task, with what every annotator said as feedback; one an annotation where annotators held the chat.

    Choices, ratings and numbers are feedback under their control's name. A text is a `correction`, or a comment where the
    control's name says so, or the answer itself where the task shows none. Pairwise comparisons and choices that name an
    answer are `winner`. Annotations that were skipped or rejected by a reviewer do not count; regions of images, audio and
    text are no conversation (`not_chat`).
    """

    specificity: ClassVar[int] = 50

    def sniff(self, head: bytes) -> bool:
        """A task with its data and annotations."""
        return has_keys(head, "data") and (
            has_keys(head, "annotations", "completed_by") or (has_keys(head, "annotations", "id") and has_keys(head, "drafts"))
        )

    def parse(self, entry: Any) -> Iterator[Record]:
        """The records of a task.

        Raises:
            Rejected: `unmapped`; `no_annotation`; `not_chat`, `no_messages` or `no_response` where no conversation was shown.
        """
        try:
            task = mapping(entry)
            fields = mapping(task.get("data"))
            if not fields or not isinstance(task.get("annotations"), list):
                raise Rejected("unmapped")
            counted = [one for one in map(mapping, task["annotations"]) if _counts(one)]
            if not counted:
                raise Rejected("no_annotation")
            project = scalar(task.get("project"))
            number = f"label_studio:{project}:{scalar(task.get('id'))}" if project else ""  # ids are a project's own
            held = [one for one in counted if any(_chat(result) for result in items(one.get("result")))]
            for annotation in held:
                yield _held(fields, number, annotation)
            if not held:
                yield _judged(fields, number, counted)
        except RecursionError:
            raise Rejected("too_deep") from None


def _counts(annotation: dict[str, Any]) -> bool:
    skipped = annotation.get("was_cancelled") is True or annotation.get("last_action") == "rejected"
    return not skipped and bool(items(annotation.get("result")))


def _chat(result: Any) -> dict[str, Any]:
    return mapping(mapping(mapping(result).get("value")).get("chatmessage"))


def _held(fields: dict[str, Any], number: str, annotation: dict[str, Any]) -> Record:
    """A chat that the annotator held; a message may have been judged by other controls."""
    before = shown({"input_chat": fields.get("input_chat") or fields.get("messages") or []})
    turns = [chat for result in items(annotation.get("result")) if (chat := _chat(result))]
    messages = (*before.prompt, *(turn for answer in before.answers for turn in answer), *conversation(turns))
    last = max((at for at, message in enumerate(messages) if message.role == "assistant"), default=None)
    if last is None:
        raise Rejected("no_response")
    seen = Shown(messages[:last], [messages[last:][:1]], ["messages"])
    return annotated_record(
        seen,
        _opinions(seen, annotation),
        id=string(annotation.get("unique_id")) or (f"{number}:{scalar(annotation.get('id'))}" if number else ""),
        created_at=moment(annotation.get("created_at")),
        user=_person(annotation),
    )


def _judged(fields: dict[str, Any], number: str, annotations: list[dict[str, Any]]) -> Record:
    seen = shown(fields)
    opinions = [one for annotation in annotations for one in _opinions(seen, annotation)]
    if not opinions:
        raise Rejected("not_chat")
    times = [at for annotation in annotations if (at := moment(annotation.get("created_at")))]
    return annotated_record(seen, opinions, id=number, created_at=min(times, default=None))


def _opinions(seen: Shown, annotation: dict[str, Any]) -> Iterator[Feedback]:
    person, at = _person(annotation), moment(first(annotation, "updated_at", "created_at"))
    for result in map(mapping, items(annotation.get("result"))):
        name = string(result.get("from_name")) or "label"
        value = mapping(result.get("value"))
        kind = string(result.get("type")) or ""
        if "start" in value or "points" in value or "x" in value:  # a region
            continue
        if kind == "textarea":
            for text in (one for one in items(value.get("text")) or [value.get("text")] if string(one)):
                if is_comment(name):
                    yield Feedback(name=name, comment=text, by=person, at=at)
                else:
                    yield Feedback(name=CORRECTION, value=text, by=person, at=at)
        elif kind in ("pairwise", "choices"):
            chosen = [value["selected"]] if "selected" in value else items(value.get("choices"))
            for one in filter(None, map(scalar, chosen)):
                winner = seen.named(one)
                yield Feedback(
                    name=name if winner is None else WINNER, value=one if winner is None else str(winner), by=person, at=at
                )
        elif kind in ("rating", "number", "datetime"):
            if (given := scalar(value.get(kind))) is not None:
                yield Feedback(name=name, value=given, by=person, at=at)
        elif kind in ("taxonomy", "ranker") and value.get(kind):
            yield Feedback(name=name, value=json_text(value[kind]), by=person, at=at)


def _person(annotation: dict[str, Any]) -> str | None:
    """The annotator's mail address or number; the reader makes a pseudonym of it."""
    person = decoded(annotation.get("completed_by"))
    return scalar(first(mapping(person), "email", "id")) or scalar(person)
