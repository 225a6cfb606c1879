"""How many requests may be in flight: additive increase, multiplicative decrease, as TCP does it."""

import asyncio
import time
from collections import deque


class Pace:
    """A semaphore whose size follows the server's 429s.

    It starts at `most`. A burst of 429s halves it once: those of requests that started before the last halving tell nothing
    new. Each answer then adds `1 / limit`, which is one more request in flight for every `limit` answers. Source: Chiu and
    Jain, "Analysis of the increase and decrease algorithms for congestion avoidance in computer networks", 1989.

    Waiters go in turn; a retry goes before new requests, because its deadline is running. For one event loop at a time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._running = 0
        self._epoch = 0
        self._held_until = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """Requests that may be in flight now: 1 to `most`."""
        return int(self._limit)

    async def start(self, *, retry: bool = False) -> int:
        """Wait for a place, and for the end of a hold; returns the epoch to give to `slow_down`. Pair it with `finish`."""
        if self._running < self.limit and not self._waiting:
            self._running += 1
        else:
            await self._turn(first=retry)
        try:
            while (left := self._held_until - time.monotonic()) > 0:
                await asyncio.sleep(left)
        except BaseException:
            self.finish()
            raise
        return self._epoch

    async def _turn(self, *, first: bool) -> None:
        turn = asyncio.get_running_loop().create_future()
        if first:
            self._waiting.appendleft(turn)
        else:
            self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.finish()
            raise

    def finish(self) -> None:
        """Give the place back."""
        self._running -= 1
        self._admit()

    def speed_up(self) -> None:
        """The server answered."""
        self._limit = min(float(self._most), self._limit + 1 / self._limit)
        self._admit()

    def slow_down(self, epoch: int) -> None:
        """The server said 429 to a request that started in `epoch`."""
        if epoch == self._epoch:
            self._limit = max(1.0, self._limit / 2)
            self._epoch += 1

    def hold(self, seconds: float) -> None:
        """Nobody starts for so long: the server said when to come back."""
        self._held_until = max(self._held_until, time.monotonic() + seconds)

    def _admit(self) -> None:
        while self._waiting and self._running < self.limit:
            turn = self._waiting.popleft()
            if not turn.cancelled():
                self._running += 1
                turn.set_result(None)
