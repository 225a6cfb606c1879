"""What was asked on behalf of one seed, whichever models of the project answered."""

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

from flywheel.synthesize.cost import Cost
from flywheel.synthesize.faults import ModelFailed
from flywheel.synthesize.model_settings import Terms

T = TypeVar("T")

_WRITES_NOTHING = ("judge", "embedder")


@dataclass(frozen=True)
class Asked:
    """One model in one role, with the parameters of the request as `key=value` pairs in the order of their keys."""

    role: str
    model: str
    license: str | None
    terms: Terms
    parameters: str = ""

    @property
    def tag(self) -> str:
        """For a child's provenance: `asked=judge:gpt-5(max_tokens=500,temperature=0)`."""
        return f"asked={self.role}:{self.model}({self.parameters})"


@dataclass
class Questions:
    """The questions of one seed: keys of the requests in order, the models that were asked, and the cost of it all.

    `refused`: why answers became no child, a slug each.
    """

    seed: str
    keys: list[str] = field(default_factory=list)
    asked: dict[Asked, None] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)
    refused: list[str] = field(default_factory=list)

    def add(self, asked: Asked, *keys: str) -> None:
        self.keys += keys
        self.asked.setdefault(asked)

    @property
    def author(self) -> str | None:
        """The model that writes: the first one asked that is no judge and no embedder."""
        return next((asked.model for asked in self.asked if asked.role not in _WRITES_NOTHING), None)


_questions: ContextVar[Questions | None] = ContextVar("questions", default=None)


def questions() -> Questions | None:
    """Those of the seed at work in this task, or None outside of one."""
    return _questions.get()


@contextmanager
def on_behalf_of(seed: str) -> Iterator[Questions]:
    """Note what is asked inside the block, in this task and those that it starts, as asked for this seed record."""
    asked = Questions(seed)
    token = _questions.set(asked)
    try:
        yield asked
    finally:
        _questions.reset(token)


def refuse(reason: str) -> None:
    """Count, for the seed at work, an answer that its synthesizer makes no child of.

    Args:
        reason: a slug (`wrong_answer`); it stands among the reasons of the node's rejected children.
    """
    if (asked := questions()) is not None:
        asked.refused.append(reason)


async def unless_failed(answer: Awaitable[T]) -> T | None:
    """What a model answers; None, counted as refused, where this one question got no usable answer."""
    try:
        return await answer
    except ModelFailed as failed:
        refuse(f"model_failed:{failed.reason}")
        return None
