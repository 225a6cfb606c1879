"""The model that synthesizers ask: any OpenAI-compatible endpoint, with retries, a pace, a purse and a cache in between."""

import asyncio
import os
import random
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from flywheel.errors import ConfigError
from flywheel.synthesize.cache import Answers
from flywheel.synthesize.completion import Answer, Billed, Fault, attempt
from flywheel.synthesize.cost import Cost, Purse, Reserved
from flywheel.synthesize.faults import ModelFailed, ModelUnusable
from flywheel.synthesize.model_settings import ModelSettings
from flywheel.synthesize.pace import Pace

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_GIVE_UP_AFTER = 20
_OWN_OPTIONS = ("messages", "model", "n", "stream")


@dataclass
class Asked:
    """What was asked on behalf of one seed: keys of the requests in order, and their cost."""

    seed: str
    keys: list[str] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)


_asked: ContextVar[Asked | None] = ContextVar("asked", default=None)


@contextmanager
def on_behalf_of(seed: str) -> Iterator[Asked]:
    """Note what is asked inside the block, in this task and those that it starts, as asked for this seed record."""
    asked = Asked(seed)
    token = _asked.set(asked)
    try:
        yield asked
    finally:
        _asked.reset(token)


class _Stored(msgspec.Struct, frozen=True):
    """A paid result: an answer, or the reason why asking again would buy the same failure. `dollars` were paid for it."""

    dollars: float
    answer: Answer | None = None
    failure: str | None = None


_stored = msgspec.json.Decoder(_Stored)


class OpenAIModel:
    """Asks one model. Implements `flywheel.plugins.Model`.

    A question is answered from the cache, or else asked until a whole answer comes or its deadline ends. The same question
    asked twice at once is sent once. Faults are retried with exponential backoff from `backoff` seconds, at most
    `longest_wait`; a longer `Retry-After` is cut to that. When 20 questions in a row got nothing but faults from the
    endpoint, it is taken to be down. For one event loop at a time; `close` before the next.

    Args:
        settings: the endpoint and its limits.
        answers: the cache.
        backoff: seconds before the first retry.
        longest_wait: seconds, the cap of every wait.

    Raises:
        ConfigError: the environment variable with the key is not set.
    """

    def __init__(self, settings: ModelSettings, *, answers: Answers, backoff: float = 0.5, longest_wait: float = 30.0) -> None:
        self.settings = settings
        self.cost = Cost()
        self._answers = answers
        self._backoff = backoff
        self._longest_wait = longest_wait
        self._api_key = _api_key(settings)
        self._pace = Pace(settings.concurrency)
        self._purse = Purse(settings.budget_dollars)
        self._client: AsyncOpenAI | None = None
        self._in_flight: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._failures_in_a_row = 0
        self._unusable: str | None = None

    @property
    def name(self) -> str:
        """The model's name, for provenance."""
        return self.settings.model

    @property
    def license(self) -> str | None:
        """The licence or terms that bind the answers."""
        return self.settings.license

    @property
    def concurrency(self) -> int:
        """Requests that may be in flight now: the configured number, or fewer after 429s."""
        return self._pace.limit

    async def ask(self, prompt: str) -> str:
        """The text that the model answers to one user message; raises as `chat`."""
        return (await self.chat([{"role": "user", "content": prompt}])).text

    async def chat(self, messages: Sequence[Mapping[str, Any]], *, sample: int = 0, **options: Any) -> Answer:
        """The answer to a conversation.

        Args:
            messages: as the OpenAI API takes them.
            sample: 0 or more; another number is another answer to the same messages, which the cache keeps apart.
            options: more of the request's body (`tools`, `response_format`, `temperature`), before the settings' own.

        Raises:
            ModelFailed: no usable answer came before the deadline, or the model declined.
            BudgetSpent: the request could exceed the budget.
            ModelUnusable: the endpoint answers nobody.
            ValueError: an option that this client sets itself.
        """
        request = self._request(messages, sample, options)
        key = self._answers.key({"base_url": self.settings.base_url, "sample": sample, **request})
        if (asked := _asked.get()) is not None:
            asked.keys.append(key)
        async with self._in_flight.setdefault(key, asyncio.Lock()):
            stored = await self._cached_or_bought(key, request)
        if stored.answer is None:
            raise ModelFailed(stored.failure or "unknown")
        return stored.answer

    async def _cached_or_bought(self, key: str, request: dict[str, Any]) -> _Stored:
        asked = _asked.get()
        seed = asked.seed if asked else None
        if (found := self._answers.get(key, seed=seed)) is not None:
            stored = _stored.decode(found)
            self._count(Cost(cached=1, saved_dollars=stored.dollars))
            return stored
        stored = await self._buy(request)
        self._answers.put(key, msgspec.json.encode(stored), seed=seed)
        return stored

    def _request(self, messages: Sequence[Mapping[str, Any]], sample: int, options: dict[str, Any]) -> dict[str, Any]:
        if given := sorted(set(options) & set(_OWN_OPTIONS)):
            raise ValueError(f"`chat` takes no {given[0]!r}: one conversation in, one whole answer out; use `sample` for more")
        settings = self.settings
        at_openai = "://api.openai.com/" in f"{settings.base_url}/"
        request: dict[str, Any] = {"model": settings.model, "messages": [dict(message) for message in messages]}
        request["max_completion_tokens" if at_openai else "max_tokens"] = settings.max_tokens
        if settings.temperature is not None:
            request["temperature"] = settings.temperature
        if settings.seed is not None:
            request["seed"] = settings.seed + sample
        return request | options

    async def _buy(self, request: dict[str, Any]) -> _Stored:
        """Attempts until one is final; raises `ModelFailed` when the deadline ends first."""
        client, most = self._connected(), self._greatest_price(request)
        jitter = random.Random(msgspec.json.encode(request["messages"]))
        deadline: float | None = None
        reason = "timeout"
        for number in range(1_000_000):
            if self._unusable:
                raise ModelUnusable(self._unusable)
            epoch = await self._pace.start(retry=number > 0)
            try:
                async with self._purse.put_aside(most) as reserved:
                    deadline = deadline or time.monotonic() + self.settings.deadline
                    result = await self._attempt(client, request, reserved, deadline)
            finally:
                self._pace.finish()
            if isinstance(result, Answer):
                self._pace.speed_up()
                self._failures_in_a_row = 0
                return _Stored(reserved.spent, answer=result)
            if not result.again:
                return self._final(result, reserved.spent)
            wait = self._wait(
                result, epoch, min(self._longest_wait, self._backoff * 2 ** min(number, 30)) * jitter.uniform(0.5, 1)
            )
            cut_short = result.reason == "timeout" and time.monotonic() >= deadline
            reason = reason if cut_short else result.reason
            if time.monotonic() + wait >= deadline:
                self._give_up(reason)
            await asyncio.sleep(wait)
        raise AssertionError("a deadline ends every question")

    async def _attempt(
        self, client: "AsyncOpenAI", request: dict[str, Any], reserved: Reserved, deadline: float
    ) -> Answer | Fault:
        """One attempt, its cost counted even when it is cancelled."""
        sent = Cost(requests=1, uncertain_dollars=reserved.most)
        try:
            left = max(0.001, deadline - time.monotonic())
            result = await attempt(client, request, timeout=min(self.settings.timeout, left))
            sent = self._bill(result, reserved)
        finally:
            self._count(sent)
        return result

    def _bill(self, result: Answer | Fault, reserved: Reserved) -> Cost:
        """What an attempt cost; `reserved.spent` becomes that. A billed response without a count costs its greatest price."""
        cost = Cost(requests=1, answers=int(isinstance(result, Answer)))
        if isinstance(result, Fault) and result.billed is Billed.NO:
            reserved.spent = 0.0
        elif result.prompt_tokens is None or result.completion_tokens is None:
            cost.uncertain_dollars = reserved.most
        else:
            cost.prompt_tokens, cost.completion_tokens = result.prompt_tokens, result.completion_tokens
            cost.dollars = reserved.spent = self.settings.dollars(result.prompt_tokens, result.completion_tokens)
        return cost

    def _count(self, cost: Cost) -> None:
        self.cost.add(cost)
        if (asked := _asked.get()) is not None:
            asked.cost.add(cost)

    def _greatest_price(self, request: dict[str, Any]) -> float:
        """Dollars that an attempt can cost at most: a token is at least one byte of the request, and the answer is bounded."""
        limits = [value for key in ("max_tokens", "max_completion_tokens") if isinstance(value := request.get(key), int)]
        return self.settings.dollars(len(msgspec.json.encode(request)), max(limits, default=self.settings.max_tokens))

    def _wait(self, fault: Fault, epoch: int, backoff: float) -> float:
        """Seconds until the next attempt; tells everybody else to slow down too where the server asks for it."""
        asked_for = min(fault.after, self._longest_wait) if fault.after is not None else None
        if fault.reason == "rate_limited":
            self._pace.slow_down(epoch)
        if asked_for is not None:
            self._pace.hold(asked_for)
        return backoff if asked_for is None else max(asked_for, min(backoff, self._backoff))

    def _final(self, fault: Fault, dollars: float) -> _Stored:
        """A fault that no retry mends: stored when it was paid for, raised otherwise."""
        if fault.fatal:
            self._stop(
                f"{self._where} refuses every request ({fault.reason}). Check `base_url`, `model`, and the account of the key "
                f"in {self.settings.key_env or 'no environment variable'}."
            )
        if fault.billed is Billed.NO:
            self._give_up(fault.reason)
        self._failures_in_a_row = 0
        return _Stored(dollars, failure=fault.reason)

    def _give_up(self, reason: str) -> NoReturn:
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= _GIVE_UP_AFTER:
            self._stop(f"{self._where} gave {_GIVE_UP_AFTER} questions in a row no answer, the last one for {reason!r}.")
        raise ModelFailed(reason)

    def _stop(self, message: str) -> NoReturn:
        self._unusable = f"{message} Answers so far are kept; run again when it works."
        raise ModelUnusable(self._unusable)

    @property
    def _where(self) -> str:
        return f"[model] {self.settings.model!r} at {self.settings.base_url}"

    def _connected(self) -> "AsyncOpenAI":
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
        """Close the connections, in the event loop that used them. Asking again opens new ones."""
        if self._client is not None:
            await self._client.close()
            self._client = None


def _api_key(settings: ModelSettings) -> str:
    if not settings.key_env:
        return "none"
    if key := os.environ.get(settings.key_env):
        return key
    raise ConfigError(
        f"[model] takes its key from the environment variable {settings.key_env!r}, which is not set. "
        'Set it, name another one by `key_env`, or say `key_env = ""` when the server wants no key.'
    )
