"""What people were shown in an annotation tool, as a conversation, and what they answered, as feedback.

Annotation projects choose their own field names; these are the ones in common use (`prompt`, `response`, `answer_1`,
`response_b`, ...). With other names, export to CSV or Parquet and give a column mapping.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flywheel.errors import Rejected
from flywheel.records import Candidate, Feedback, Message, Record
from flywheel.sources.chat import Exchange, conversation, has_messages, tool_schemas
from flywheel.sources.envelope import to_record
from flywheel.sources.feedback import CORRECTION
from flywheel.sources.values import decoded, first, string

__all__ = ["WINNER", "Shown", "annotated_record", "is_comment", "is_correction", "shown"]

WINNER = "\0winner"
"""The name of feedback whose value is the number of the better answer; `annotated_record` gives it its proper name."""

_CHATS = ("messages", "conversation", "conversations", "chat", "dialogue", "dialog", "input_chat", "history", "thread")
_PROMPTS = ("prompt", "question", "instruction", "input", "query", "user", "user_message", "request", "context", "text")
_REPLIES = ("response", "reply", "answer", "output", "completion", "assistant", "generation", "model_output", "llm_output")
_SEVERAL = re.compile(
    r"(?:model_)?(?:answer|response|completion|output|reply|generation|candidate|option|text)s?_?(\d|[a-h]|left|right)"
)
_COMMENTS = re.compile(r"comment|note|reason|explan|why|justif|rationale|remark|feedback")
_CORRECTIONS = re.compile(r"correct|rewrit|rewrote|edit|improve|revis|better|ideal|gold|reference|new_|fixed")


@dataclass
class Shown:
    """What an annotator saw. `names` are those of the answers' fields, in the order of the answers."""

    prompt: tuple[Message, ...] = ()
    answers: list[tuple[Message, ...]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def named(self, value: Any) -> int | None:
        """Which of several answers a value names: `left`, `Response B`, `answer_2`, `b`, ...; None when it names none."""
        called = _slug(value) if isinstance(value, str) else ""
        if len(self.answers) < 2 or not called:
            return None
        if called in ("left", "right") and len(self.answers) == 2:
            return ("left", "right").index(called)
        for at, name in enumerate(self.names):
            short = _SEVERAL.fullmatch(name)
            if called.replace("_", "") == name.replace("_", "") or (short and called == short[1]):
                return at
        return None


def shown(fields: dict[str, Any]) -> Shown:
    """The conversation in a task's fields, and the answers to it; both may be empty."""
    found = Shown()
    by_name = {_slug(name): decoded(value) for name, value in fields.items()}
    for name in (*_CHATS, *by_name):
        if has_messages(by_name.get(name)):
            found.prompt = conversation(by_name[name])
            break
    if not found.prompt and (asked := first(by_name, *_PROMPTS)) is not None:
        found.prompt = conversation(asked) if isinstance(asked, str | list) else ()
    if found.prompt and (system := string(first(by_name, "system", "system_prompt"))):
        found.prompt = (*conversation(system, "system"), *found.prompt)
    several = [name for name in by_name if _SEVERAL.fullmatch(name) and string(by_name[name])]
    replies = several if len(several) > 1 else [name for name in _REPLIES if string(by_name.get(name))][:1]
    for name in replies:
        found.names.append(name)
        found.answers.append(conversation([{"role": "assistant", "content": by_name[name]}]))
    if not found.answers and found.prompt and found.prompt[-1].role == "assistant":
        found.answers, found.names, found.prompt = [found.prompt[-1:]], ["messages"], found.prompt[:-1]
    return found


def is_comment(question: str) -> bool:
    """Whether a question of this name asks for a remark, not for a better answer."""
    return _COMMENTS.search(_slug(question)) is not None and not _CORRECTIONS.search(_slug(question))


def is_correction(question: str) -> bool:
    """Whether a question of this name asks for a better answer."""
    return _CORRECTIONS.search(_slug(question)) is not None or _slug(question) in _REPLIES


def annotated_record(seen: Shown, opinions: Iterable[Feedback], ranks: Sequence[tuple[int, float]] = (), **given: Any) -> Record:
    """The record of a task.

    The first answer shown is the reply, unless they were ranked: then the best by mean rank. The others are candidates, with
    ids that feedback can name (`winner@ID`). Where no answer was shown, the annotators' own texts are the answers.

    Args:
        seen: what was shown.
        opinions: feedback about all of it, also `WINNER`.
        ranks: for each ranking, the answer's number and its rank, 1 the best.
        given: fields of the record; `id` is needed where there are several answers.

    Raises:
        Rejected: `no_messages`; `no_response` where nobody answered.
    """
    said = list(opinions)
    if not seen.prompt:
        raise Rejected("no_messages")
    if not seen.answers:
        written = [one for one in said if one.name == CORRECTION and one.value]
        said = [one for one in said if one not in written]
        seen = replace(seen, answers=[conversation(str(one.value), "assistant") for one in written], names=[])
    if not seen.answers:
        raise Rejected("no_response")
    order = _order(len(seen.answers), ranks)
    ids = {at: f"{given.get('id') or 'answer'}:{at + 1}" for at in order[1:]}
    feedback = [one if one.name != WINNER else _winner(one, ids.get(int(one.value or 0))) for one in said]
    if ranks and len({rank for at, rank in _means(ranks).items() if at in order[:2]}) == 2:
        feedback.append(Feedback(name="rank", value="1", by="HUMAN"))
    replies = tuple(Candidate(id=ids.get(at), messages=seen.answers[at]) for at in order)
    tools = given.pop("tools", None)
    exchange = Exchange(prompt=seen.prompt, replies=replies, tools=tool_schemas(tools) if tools else ())
    return to_record(exchange, {}, feedback=tuple(feedback), **given)


def _winner(said: Feedback, candidate: str | None) -> Feedback:
    return Feedback(name=f"winner@{candidate}" if candidate else "winner", value="true", by=said.by, at=said.at)


def _order(count: int, ranks: Sequence[tuple[int, float]]) -> list[int]:
    means = _means(ranks)
    return sorted(range(count), key=lambda at: means.get(at, float("inf")))


def _means(ranks: Sequence[tuple[int, float]]) -> dict[int, float]:
    by_answer: dict[int, list[float]] = {}
    for at, rank in ranks:
        by_answer.setdefault(at, []).append(rank)
    return {at: sum(values) / len(values) for at, values in by_answer.items()}


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
