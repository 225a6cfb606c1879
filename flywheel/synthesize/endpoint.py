"""One endpoint: sends a request until its result is final, at a pace, within a budget and a deadline."""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from flywheel.errors import ConfigError
from flywheel.synthesize.asked import questions
from flywheel.synthesize.completion import Answer, Billed, Fault, Paid, Vectors
from flywheel.synthesize.cost import Cost, Purse, Reserved
from flywheel.synthesize.faults import ModelFailed, ModelUnusable
from flywheel.synthesize.model_settings import ModelSettings
from flywheel.synthesize.pace import Pace

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_GIVE_UP_AFTER = 20
R = TypeVar("R", bound=Answer | Vectors)


@dataclass(frozen=True)
class Call(Generic[R]):
    """A request: how it is sent once with a timeout in seconds, the dollars that it may cost, and a seed for its backoff."""

    send: "Callable[[AsyncOpenAI, float], Awaitable[R | Fault]]"
    most: float
    seed: bytes


class Endpoint:
    """Sends requests. Faults are retried with exponential backoff from `backoff` seconds, at most `longest_wait`.

    A longer `Retry-After` is cut to that. When 20 requests in a row got nothing but faults, the endpoint is taken to be down.
    For one event loop at a time; `close` before the next.

    Raises:
        ConfigError: the environment variable with the key is not set.
    """

    def __init__(self, settings: ModelSettings, *, section: str, purse: Purse, backoff: float, longest_wait: float) -> None:
        self.settings = settings
        self.cost = Cost()
        self.purse = purse
        self._section = section
        self._backoff = backoff
        self._longest_wait = longest_wait
        self._api_key = _api_key(settings, section)
        self._pace = Pace(settings.concurrency)
        self._client: AsyncOpenAI | None = None
        self._failures_in_a_row = 0
        self._unusable: str | None = None

    @property
    def concurrency(self) -> int:
        """Requests that may be in flight now."""
        return self._pace.limit

    async def final(self, call: Call[R]) -> tuple[R | Fault, float]:
        """The result that no further attempt would better, and the dollars paid for it: a fault only when it was billed.

        Raises:
            ModelFailed, BudgetSpent, ModelUnusable: as `flywheel.synthesize.model.OpenAIModel.next_message`.
        """
        client = self.client
        jitter = random.Random(call.seed)
        deadline: float | None = None
        reason = "timeout"
        for number in range(1_000_000):
            self.check_usable()
            epoch = await self._pace.start(retry=number > 0)
            try:
                async with self.purse.put_aside(call.most) as reserved:
                    deadline = deadline or time.monotonic() + self.settings.deadline
                    result = await self._attempt(client, call, reserved, deadline)
            finally:
                self._pace.finish()
            if not isinstance(result, Fault):
                self._pace.speed_up()
            if not isinstance(result, Fault) or not result.again:
                return self.ended(result), reserved.spent
            wait = self._wait(result, epoch, number, jitter)
            cut_short = result.reason == "timeout" and time.monotonic() >= deadline
            reason = reason if cut_short else result.reason
            if time.monotonic() + wait >= deadline:
                self.give_up(reason)
            await asyncio.sleep(wait)
        raise AssertionError("a deadline ends every request")

    async def _attempt(self, client: "AsyncOpenAI", call: Call[R], reserved: Reserved, deadline: float) -> R | Fault:
        """One attempt, its cost counted even when it is cancelled."""
        sent = Cost(requests=1, uncertain_dollars=reserved.most)
        try:
            left = max(0.001, deadline - time.monotonic())
            result = await call.send(client, min(self.settings.timeout, left))
            sent, reserved.spent = self.bill(result, reserved.most)
        finally:
            self.count(sent)
        return result

    def bill(self, result: Paid | Fault, most: float, *, price: float = 1.0) -> tuple[Cost, float]:
        """What a response cost, and what it takes from the budget. A billed one without a count costs its greatest price.

        Args:
            price: what a token costs in proportion to the settings' price.
        """
        cost = Cost(requests=1, answers=int(not isinstance(result, Fault)))
        if isinstance(result, Fault) and result.billed is Billed.NO:
            return cost, 0.0
        if result.prompt_tokens is None or result.completion_tokens is None:
            cost.uncertain_dollars = most
            return cost, most
        cost.prompt_tokens, cost.completion_tokens = result.prompt_tokens, result.completion_tokens
        cost.dollars = price * self.settings.dollars(result.prompt_tokens, result.completion_tokens)
        return cost, cost.dollars

    def count(self, cost: Cost) -> None:
        """Add a cost to the endpoint's and to that of the seed at work."""
        self.cost.add(cost)
        if (asked := questions()) is not None:
            asked.cost.add(cost)

    def _wait(self, fault: Fault, epoch: int, number: int, jitter: random.Random) -> float:
        """Seconds until the next attempt; tells everybody else to slow down too where the server asks for it."""
        backoff = min(self._longest_wait, self._backoff * 2.0 ** min(number, 30)) * jitter.uniform(0.5, 1)
        asked_for = min(fault.after, self._longest_wait) if fault.after is not None else None
        if fault.reason == "rate_limited":
            self._pace.slow_down(epoch)
        if asked_for is not None:
            self._pace.hold(asked_for)
        return backoff if asked_for is None else max(asked_for, min(backoff, self._backoff))

    def ended(self, result: R | Fault) -> R | Fault:
        """An answer, or a fault that was paid for and that no retry mends; any other fault is raised."""
        if isinstance(result, Fault) and result.fatal:
            self.stop(
                f"refuses every request ({result.reason}). Check `base_url`, `model`, and the account of the key "
                f"in {self.settings.key_env or 'no environment variable'}."
            )
        if isinstance(result, Fault) and result.billed is Billed.NO:
            self.give_up(result.reason)
        self._failures_in_a_row = 0
        return result

    def give_up(self, reason: str) -> NoReturn:
        """One request failed for good.

        Raises:
            ModelFailed: always, unless it is one of too many in a row.
            ModelUnusable: it is.
        """
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= _GIVE_UP_AFTER:
            self.stop(f"gave {_GIVE_UP_AFTER} questions in a row no answer, the last one for {reason!r}.")
        raise ModelFailed(reason)

    def stop(self, why: str) -> NoReturn:
        """No request can be answered, this one and all others."""
        where = f"[{self._section}] {self.settings.model!r} at {self.settings.base_url}"
        self._unusable = f"{where} {why} Answers so far are kept; run again when it works."
        raise ModelUnusable(self._unusable)

    def check_usable(self) -> None:
        """Raise `ModelUnusable` again when it was raised before."""
        if self._unusable:
            raise ModelUnusable(self._unusable)

    @property
    def client(self) -> "AsyncOpenAI":
        """The connected client of this event loop."""
        if self._client is None:
            import httpx2
            from openai import AsyncOpenAI, DefaultAsyncHttpx2Client

            most = self.settings.concurrency
            http = DefaultAsyncHttpx2Client(limits=httpx2.Limits(max_connections=most, max_keepalive_connections=most))
            self._client = AsyncOpenAI(
                api_key=self._api_key, base_url=self.settings.base_url, max_retries=0, timeout=None, http_client=http
            )
        return self._client

    async def close(self) -> None:
        """Close the connections, in the event loop that used them. Sending again opens new ones."""
        if self._client is not None:
            await self._client.close()
            self._client = None


def _api_key(settings: ModelSettings, section: str) -> str:
    if not settings.key_env:
        return "none"
    if key := os.environ.get(settings.key_env):
        return key
    raise ConfigError(
        f"[{section}] takes its key from the environment variable {settings.key_env!r}, which is not set. "
        'Set it, name another one by `key_env`, or say `key_env = ""` when the server wants no key.'
    )
