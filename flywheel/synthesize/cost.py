"""What was asked and paid, and the purse that stops before it is empty."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields

from flywheel.synthesize.faults import BudgetSpent
from flywheel.synthesize.spending import Spending


@dataclass
class Cost:
    """Counts of one run. Every billed response is counted once, whether its answer was usable or not.

    `requests`: attempts sent. `answers`: usable answers received, `cached`: found in the cache. `prompt_tokens`,
    `completion_tokens` and `dollars`: as the server counted them. `uncertain_dollars`: the most that attempts which broke off
    without a count (timeouts, resets, cut bodies) can have cost. `saved_dollars`: what the cached answers cost when bought.
    """

    requests: int = 0
    answers: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float = 0.0
    uncertain_dollars: float = 0.0
    saved_dollars: float = 0.0

    def add(self, other: "Cost") -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


@dataclass
class Reserved:
    """Money put aside for one attempt; `spent` is what it took in the end: all of it unless somebody says less."""

    most: float
    spent: float


class Purse:
    """Dollars that the project may spend, in all its runs and processes together. For one event loop at a time.

    Before an attempt its greatest possible price is put aside; afterwards what it took is spent and the rest comes back. An
    attempt that does not fit waits while others are on their way, since their rest may be enough, and is refused when none
    are. One refusal closes the purse, so that what is still bought does not depend on which request is small enough.
    """

    def __init__(self, budget: float | None, spending: Spending) -> None:
        self._budget = budget
        self._spending = spending
        self._closed = False
        self._out = 0
        self._returned: asyncio.Future[None] | None = None

    @asynccontextmanager
    async def put_aside(self, most: float) -> AsyncIterator[Reserved]:
        """Dollars for one attempt.

        Raises:
            BudgetSpent: they could exceed the budget.
        """
        name = uuid.uuid4().hex
        while not self._closed and not (fits := self.try_to_put_aside(name, most)) and self._out:
            if self._returned is None:
                self._returned = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._returned)
        if self._closed or not fits:
            self._closed = True
            raise BudgetSpent(
                f"${self._spending.total:.4f} of ${self._budget:.4f} are spent or put aside, "
                f"and the next request may cost ${most:.4f}"
            )
        self._out += 1
        reserved = Reserved(most, most)
        try:
            yield reserved
        finally:
            self._out -= 1
            self.settle(name, most, reserved.spent)
            if self._returned is not None:
                self._returned.set_result(None)
                self._returned = None

    def try_to_put_aside(self, name: str, most: float) -> bool:
        """Put the greatest price of a request aside under a name that outlives the process; whether the budget allows it."""
        return most == 0 or self._spending.put_aside(name, most, self._budget)

    def settle(self, name: str, most: float, spent: float) -> None:
        """What was put aside under the name cost so much."""
        if most:
            self._spending.settle(name, spent)
