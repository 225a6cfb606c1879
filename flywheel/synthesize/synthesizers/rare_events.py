"""What happens seldom, simulated as often as a training set needs it."""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec

from flywheel.plugins import Model
from flywheel.records import Record, digest, text_message
from flywheel.synthesize.synthesizers.templates import Filled, check_slots


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of event: how often it really `happens` (a share of all conversations, above 0), how its conversation reads.

    `share` is its share among the children; `prompt` and `reply` are templates as of the synthesizer `templates`.
    """

    happens: float
    share: float
    prompt: str
    reply: str


@dataclass(frozen=True)
class RareEvents:
    """Draw `copies` events a seed from the declared distribution `events`, by their `share`, and write their conversations.

    The tag `event=NAME` says which event it is, `importance=W` its real share divided by that among the children: weighting
    by it gives back the real frequencies. Shares that add up to less than 1 leave the rest of the draws without a child.

    Source: Kahn and Marshall 1953, "Methods of reducing sample size in Monte Carlo computations", importance sampling.
    """

    events: dict[str, Event]
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    copies: int = 1

    def __post_init__(self) -> None:
        if not self.events:
            raise ValueError("`events` is empty; declare one at least")
        if self.copies < 1:
            raise ValueError(f"`copies` is at least 1, not {self.copies}")
        for name, event in self.events.items():
            if not (0 < event.happens <= 1 and 0 < event.share <= 1):
                raise ValueError(f"`happens` and `share` of the event {name!r} are shares, above 0 and at most 1")
            check_slots((event.prompt, event.reply), self.lists)
        if (total := sum(event.share for event in self.events.values())) > 1 + 1e-9:
            raise ValueError(f"the shares of the events add up to {total:g}, more than 1")

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:  # noqa: ARG002
        for copy in range(self.copies):
            key = digest(b"rare_events", seed.id.encode(), str(copy).encode())
            left = random.Random(key).random()
            for name, event in self.events.items():
                left -= event.share
                if left < 0:
                    filled = Filled(key, self.lists)
                    turns = [text_message("user", filled(event.prompt)), text_message("assistant", filled(event.reply))]
                    yield seed.child(messages=turns, tags=(f"event={name}", f"importance={event.happens / event.share:.6g}"))
                    break
