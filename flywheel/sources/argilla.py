"""Argilla records, as `to_json`, `to_list` (also flattened) and Hugging Face exports have them, of version 2 and 1.

Source: argilla-io/argilla `argilla/src/argilla/records` (2.x: `responses` by question, each with `value` and `user_id`;
flattened `QUESTION.responses`, `QUESTION.responses.users`) and `FeedbackRecord` (1.x: `responses` with `values`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from flywheel.errors import Rejected
from flywheel.records import Feedback, Record
from flywheel.sources.annotated import WINNER, Shown, annotated_record, is_comment, is_correction, shown
from flywheel.sources.envelope import labels
from flywheel.sources.feedback import CORRECTION
from flywheel.sources.values import decoded, first, has_keys, items, json_text, mapping, scalar, string

__all__ = ["Argilla"]

_OURS = ("id", "_server_id", "status", "metadata", "vectors", "external_id", "inserted_at", "updated_at")


class _Said(NamedTuple):
    question: str
    value: Any
    by: str | None


@dataclass(frozen=True)
class Argilla:
    """One record an Argilla record; every submitted response is feedback under its question's name.

    A text is a `correction` where the question's name says so (`corrected_response`, `rewrite`, `answer`), and a comment
    where it asks for one (`reason`, `comments`); an answer that names one of several shown ones is `winner`; a ranking puts
    the best answer first. Exports do not say of which kind a question is: rules of `[[labels]]` can name the others.

    Args:
        suggestions: take what models suggested to the annotators as feedback too.
    """

    suggestions: bool = False

    specificity: ClassVar[int] = 50

    def sniff(self, head: bytes) -> bool:
        """Fields with responses or suggestions."""
        return (has_keys(head, "fields") and (has_keys(head, "responses") or has_keys(head, "suggestions"))) or (
            b'.responses"' in head and has_keys(head, "status")
        )

    def parse(self, entry: Any) -> Iterator[Record]:
        """One record.

        Raises:
            Rejected: `unmapped`; `no_messages` or `no_response` where the fields show no conversation.
        """
        try:
            row = mapping(entry)
            fields = mapping(decoded(row.get("fields")))
            flat = any(key.endswith(".responses") for key in row)
            if flat:
                fields = {key: value for key, value in row.items() if "." not in key and key not in _OURS}
            if not fields or not (flat or "responses" in row or "suggestions" in row):
                raise Rejected("unmapped")
            seen = shown(fields)
            opinions: list[Feedback] = []
            ranks: list[tuple[int, float]] = []
            for said in _flat(row, self.suggestions) if flat else _nested(row, self.suggestions):
                ranked = [one for item in items(said.value) if (one := _rank(seen, mapping(item)))]
                ranks += ranked
                opinions += [] if ranked else _feedback(said, seen.named(said.value))
            metadata = mapping(decoded(row.get("metadata")))
            yield annotated_record(
                seen,
                opinions,
                ranks,
                id=string(first(row, "_server_id", "id", "external_id")) or "",
                tags=tuple(dict.fromkeys(labels(metadata))),
            )
        except RecursionError:
            raise Rejected("too_deep") from None


def _rank(seen: Shown, item: dict[str, Any]) -> tuple[int, float] | None:
    at, rank = seen.named(item.get("value")), item.get("rank")
    return (at, float(rank)) if at is not None and isinstance(rank, int | float) else None


def _feedback(said: _Said, winner: int | None) -> Iterator[Feedback]:
    question, value, by = said
    if winner is not None:
        yield Feedback(name=WINNER, value=str(winner), by=by)
    elif isinstance(value, str) and is_correction(question) and value not in ("yes", "no", "true", "false"):
        yield Feedback(name=CORRECTION, value=value, by=by)
    elif isinstance(value, str) and is_comment(question):
        yield Feedback(name=question, comment=value, by=by)
    else:
        for one in value if isinstance(value, list) else [value]:
            if text := scalar(one) or (json_text(one) if one else None):
                yield Feedback(name=question, value=text, by=by)


def _nested(row: dict[str, Any], suggestions: bool) -> Iterator[_Said]:
    given = decoded(row.get("responses"))
    for question, answers in mapping(given).items():
        for one in map(mapping, items(answers)):
            if one.get("status") in (None, "submitted"):
                yield _Said(question, one.get("value"), scalar(one.get("user_id")))
    for one in map(mapping, items(given)):
        if one.get("status") in (None, "submitted"):
            for question, answer in mapping(one.get("values")).items():
                yield _Said(question, mapping(answer).get("value"), scalar(one.get("user_id")))
    if suggestions:
        proposed = decoded(row.get("suggestions"))
        listed = [{"question_name": name, **mapping(one)} for name, one in mapping(proposed).items()] + items(proposed)
        for one in map(mapping, listed):
            yield _Said(string(one.get("question_name")) or "suggestion", one.get("value"), string(one.get("agent")) or "MODEL")


def _flat(row: dict[str, Any], suggestions: bool) -> Iterator[_Said]:
    for key, values in row.items():
        if key.endswith(".responses"):
            people = items(row.get(f"{key}.users"))
            statuses = items(row.get(f"{key}.status"))
            for at, value in enumerate(items(values)):
                if at >= len(statuses) or statuses[at] in (None, "submitted"):
                    yield _Said(key.removesuffix(".responses"), value, scalar(people[at]) if at < len(people) else None)
        elif suggestions and key.endswith(".suggestion"):
            yield _Said(key.removesuffix(".suggestion"), values, string(row.get(f"{key}.agent")) or "MODEL")
