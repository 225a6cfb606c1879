"""The models that synthesizers ask: any OpenAI-compatible endpoint, behind a cache, and others beside it for other roles."""

import asyncio
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from flywheel.errors import ConfigError
from flywheel.plugins import Options
from flywheel.records import Message, text_message
from flywheel.synthesize.asked import Asked, questions
from flywheel.synthesize.asking import Asking
from flywheel.synthesize.batch import Batches
from flywheel.synthesize.cache import Answers
from flywheel.synthesize.completion import Answer, Fault, attempt
from flywheel.synthesize.cost import Cost, Purse
from flywheel.synthesize.endpoint import Call, Endpoint
from flywheel.synthesize.faults import ModelFailed
from flywheel.synthesize.model_settings import ModelSettings
from flywheel.synthesize.spending import Spending
from flywheel.synthesize.structured import Shape
from flywheel.synthesize.wire import wire_messages, wire_tools

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from openai import AsyncOpenAI

GENERATOR, EMBEDDER = "generator", "embedder"
_NO_SCHEMAS = ("http_400", "http_415", "http_422")


class _Stored(msgspec.Struct, frozen=True):
    """A paid result: an answer, or the reason why asking again would buy the same failure. `dollars` were paid for it."""

    dollars: float
    answer: Answer | None = None
    failure: str | None = None


_stored = msgspec.json.Decoder(_Stored)


class OpenAIModel(Asking):
    """Asks one model. Implements `flywheel.plugins.Model`.

    A question is answered from the cache, or else asked until a whole answer comes or its deadline ends. The same question
    asked twice at once is sent once. For one event loop at a time; `close` before the next.

    Args:
        settings: the endpoint and its limits.
        answers: the cache.
        role: which of the project's models this is; `generator` for `[model]`.
        purse: what may be spent, when other models spend from it too.
        backoff: seconds before the first retry.
        longest_wait: seconds, the cap of every wait.

    Raises:
        ConfigError: the environment variable with the key is not set.
    """

    def __init__(
        self,
        settings: ModelSettings,
        *,
        answers: Answers,
        role: str = GENERATOR,
        purse: Purse | None = None,
        backoff: float = 0.5,
        longest_wait: float = 30.0,
    ) -> None:
        self.settings = settings
        self.roles: dict[str, OpenAIModel] = {role: self}
        self._role = role
        self._answers = answers
        self._endpoint = Endpoint(
            settings,
            section="model" if role == GENERATOR else f"models.{role}",
            purse=purse or Purse(settings.budget_dollars, Spending(answers)),
            backoff=backoff,
            longest_wait=longest_wait,
        )
        self._batches = Batches(self._endpoint, answers) if settings.batch else None
        self._in_flight: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._takes_schemas: bool | None = None

    @property
    def name(self) -> str:
        """The model's name, for provenance."""
        return self.settings.model

    @property
    def cost(self) -> Cost:
        """What was asked of this model, and paid for it, since it was made; other roles apart."""
        return self._endpoint.cost

    @property
    def in_batches(self) -> bool:
        """Whether any role gathers questions into batches, which more seeds at once make larger."""
        return any(model.settings.batch for model in self.roles.values())

    @property
    def concurrency(self) -> int:
        """Requests that may be in flight now: the configured number, or fewer after 429s."""
        return self._endpoint.concurrency

    def role(self, name: str) -> "OpenAIModel":
        return self.roles.get(name) or self.roles.get(GENERATOR, self)

    async def next_message(
        self, messages: Sequence[Message], *, tools: Sequence[str], shape: Shape[Any] | None, options: Options
    ) -> Message:
        """The assistant's message after these.

        Raises:
            ModelFailed: no usable answer came before the deadline, or the model declined.
            BudgetSpent: the request could exceed the budget.
            ModelUnusable: the endpoint answers nobody.
        """
        own: dict[str, Any] = {"tools": wire_tools(tools)} if tools else {}
        if shape is None:
            answer = await self._answer(messages, own, options)
        elif self._takes_schemas is not None:
            answer = await self._by_schema(messages, shape, options)
        else:
            async with self._lock("schemas"):  # one question finds out
                answer = await self._by_schema(messages, shape, options)
        return Message(role="assistant", content=text_message("", answer.text).content, tool_calls=answer.tool_calls)

    async def _by_schema(self, messages: Sequence[Message], shape: Shape[Any], options: Options) -> Answer:
        """An answer under a schema, by the endpoint where it can do that and by the prompt where it refuses."""
        if self._takes_schemas is not False:
            schema = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": shape.schema}}
            try:
                answer = await self._answer(messages, {"response_format": schema}, options)
            except ModelFailed as failed:
                if self._takes_schemas or not failed.reason.startswith(_NO_SCHEMAS):
                    raise
            else:
                self._takes_schemas = True
                return answer
        answer = await self._answer(_told(messages, shape.instruction), {}, options)
        self._takes_schemas = False
        return answer

    async def _answer(self, messages: Sequence[Message], own: dict[str, Any], options: Options) -> Answer:
        """The answer from the cache, or bought."""
        sample = options.get("sample", 0)
        request = {"model": self.settings.model, "messages": wire_messages(messages), **self._parameters(options), **own}
        key = self._answers.key({"base_url": self.settings.base_url, "sample": sample, **request})
        self._note(key, request)
        async with self._lock(key):
            stored = await self._cached_or_bought(key, request)
        if stored.answer is None:
            raise ModelFailed(stored.failure or "unknown")
        return stored.answer

    def _lock(self, name: str) -> asyncio.Lock:
        return self._in_flight.setdefault(name, asyncio.Lock())

    def _note(self, key: str, request: dict[str, Any]) -> None:
        if (asked := questions()) is not None:
            others = sorted((name, value) for name, value in request.items() if isinstance(value, int | float))
            parameters = ",".join(f"{name}={value}" for name, value in others)
            asked.add(Asked(self._role, self.name, self.settings.license, self.settings.terms, parameters), key)

    async def _cached_or_bought(self, key: str, request: dict[str, Any]) -> _Stored:
        asked = questions()
        seed = asked.seed if asked else None
        if (found := self._answers.get(key, seed=seed)) is not None:
            stored = _stored.decode(found)
            self._endpoint.count(Cost(cached=1, saved_dollars=stored.dollars))
            return stored
        call = self._call(request)
        if self._batches is not None:
            result, dollars = await self._batches.final(key, request, call.most)
        else:
            result, dollars = await self._endpoint.final(call)
        stored = _Stored(dollars, failure=result.reason) if isinstance(result, Fault) else _Stored(dollars, answer=result)
        self._answers.put(key, msgspec.json.encode(stored), seed=seed)
        if self._batches is not None:
            self._batches.forget(key)
        return stored

    def _parameters(self, options: Options) -> dict[str, Any]:
        settings = self.settings
        at_openai = "://api.openai.com/" in f"{settings.base_url}/"
        most = options.get("max_tokens", settings.max_tokens)
        parameters: dict[str, Any] = {"max_completion_tokens" if at_openai else "max_tokens": most}
        if (temperature := options.get("temperature", settings.temperature)) is not None:
            parameters["temperature"] = temperature
        if (seed := options.get("seed", settings.seed)) is not None:
            parameters["seed"] = seed + options.get("sample", 0)
        return parameters

    def _call(self, request: dict[str, Any]) -> Call[Answer]:
        """A token is at least one byte of the request, and the answer is bounded: so much can it cost."""
        limit = request.get("max_tokens") or request["max_completion_tokens"]

        async def send(client: "AsyncOpenAI", timeout: float) -> Answer | Fault:
            return await attempt(client, request, timeout=timeout)

        body = msgspec.json.encode(request)
        return Call(send, self.settings.dollars(len(body), limit), body)

    async def embed(self, texts: Sequence[str], *, seeds: Sequence[str] | None = None) -> "NDArray[np.float32]":
        """As `flywheel.plugins.Model.embed`.

        Args:
            seeds: the record of each text, so that erasing it erases the vector; the seed at work when None.
        """
        from flywheel.synthesize.embedding import Embedder

        embedder = self.roles.get(EMBEDDER)
        if embedder is None:
            raise ConfigError("texts are to be embedded, and there is no [models.embedder] in the configuration that does it")
        if (asked := questions()) is not None:
            asked.add(Asked(EMBEDDER, embedder.name, embedder.settings.license, embedder.settings.terms))
        async with embedder._lock(self._answers.key({"embed": list(texts)})):
            return await Embedder(embedder._endpoint, self._answers).embed(texts, seeds)

    async def close(self) -> None:
        """Close the connections of all roles, in the event loop that used them. Asking again opens new ones."""
        for model in self.roles.values():
            await model._endpoint.close()


def _told(messages: Sequence[Message], instruction: str) -> list[Message]:
    """The conversation with the instruction as its system prompt, or at the end of that."""
    if messages and messages[0].role == "system":
        return [text_message("system", f"{messages[0].text}\n\n{instruction}"), *messages[1:]]
    return [text_message("system", instruction), *messages]
