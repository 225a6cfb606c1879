"""What was asked on behalf of one seed, whichever models of the project answered."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from flywheel.synthesize.cost import Cost
from flywheel.synthesize.model_settings import Terms

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
    """The questions of one seed: keys of the requests in order, the models that were asked, and the cost of it all."""

    seed: str
    keys: list[str] = field(default_factory=list)
    asked: dict[Asked, None] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)

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
