"""What was asked and paid, and the purse that stops before it is empty."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields

from flywheel.synthesize.faults import BudgetSpent


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
    """Dollars that may be spent. For one event loop at a time.

    Before an attempt its greatest possible price is put aside; afterwards what it took is spent and the rest comes back. An
    attempt that does not fit waits while others are on their way, since their rest may be enough, and is refused when none
    are. One refusal closes the purse, so that what is still bought does not depend on which request is small enough.
    """

    def __init__(self, budget: float | None) -> None:
        self._budget = budget
        self._closed = False
        self._put_aside = 0.0
        self._out = 0
        self._returned: asyncio.Future[None] | None = None
        self.spent = 0.0

    @asynccontextmanager
    async def put_aside(self, most: float) -> AsyncIterator[Reserved]:
        """Dollars for one attempt.

        Raises:
            BudgetSpent: they could exceed the budget.
        """
        while not self._closed and not self._fits(most) and self._out:
            if self._returned is None:
                self._returned = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._returned)
        if self._closed or not self._fits(most):
            self._closed = True
            raise BudgetSpent(f"${self.spent:.4f} of ${self._budget:.4f} are spent, and the next request may cost ${most:.4f}")
        self._out += 1
        self._put_aside += most
        reserved = Reserved(most, most)
        try:
            yield reserved
        finally:
            self._out -= 1
            self._put_aside = self._put_aside - most if self._out else 0.0
            self.spent += reserved.spent
            if self._returned is not None:
                self._returned.set_result(None)
                self._returned = None

    def _fits(self, most: float) -> bool:
        return self._budget is None or self.spent + self._put_aside + most <= self._budget
