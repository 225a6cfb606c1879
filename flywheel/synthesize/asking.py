"""Ways to ask a model that all come down to one: the next message of a conversation, under a schema or not."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from flywheel.plugins import Options
from flywheel.records import Message, text_message
from flywheel.synthesize.faults import ModelFailed
from flywheel.synthesize.structured import InvalidAnswer, Shape, shape_of, shape_of_schema

if TYPE_CHECKING:
    from flywheel.plugins import Prompt

T = TypeVar("T")

_TRIES = 3


class Asking(ABC):
    """The methods of `flywheel.plugins.Model` that are made of `next_message`."""

    @abstractmethod
    async def next_message(
        self, messages: Sequence[Message], *, tools: Sequence[str], shape: Shape[Any] | None, options: Options
    ) -> Message:
        """The assistant's message after these, which the `system` of the options already is one of.

        Raises:
            ModelFailed: no usable answer came.
        """

    async def ask(self, prompt: "Prompt", **options: Unpack[Options]) -> str:
        return (await self.reply(prompt, **options)).text

    async def samples(self, prompt: "Prompt", count: int, **options: Unpack[Options]) -> list[str]:
        first = options.get("sample", 0)

        async def one(sample: int) -> str | ModelFailed:
            try:
                own: Options = {**options, "sample": sample}
                return await self.ask(prompt, **own)
            except ModelFailed as failed:
                return failed

        ends = await asyncio.gather(*(one(sample) for sample in range(first, first + count)))
        texts = [end for end in ends if isinstance(end, str)]
        failures = [end for end in ends if isinstance(end, ModelFailed)]
        if failures and not texts:
            raise failures[0]
        return texts

    async def reply(self, prompt: "Prompt", *, tools: Sequence[str] = (), **options: Unpack[Options]) -> Message:
        return await self.next_message(_conversation(prompt, options), tools=tools, shape=None, options=options)

    async def structured(self, prompt: "Prompt", answer: type[T], **options: Unpack[Options]) -> T:
        return await self._shaped(prompt, shape_of(answer), options)

    async def json(self, prompt: "Prompt", schema: Mapping[str, Any], **options: Unpack[Options]) -> Any:
        return await self._shaped(prompt, shape_of_schema(schema), options)

    async def _shaped(self, prompt: "Prompt", shape: Shape[T], options: Options) -> T:
        messages = _conversation(prompt, options)
        for _ in range(_TRIES):
            answer = await self.next_message(messages, tools=(), shape=shape, options=options)
            try:
                return shape.read(answer.text)
            except InvalidAnswer as wrong:
                correction = f"That answer is not valid: {wrong}. Answer again, with nothing but the corrected JSON."
                messages = [*messages, answer, text_message("user", correction)]
        raise ModelFailed("invalid_answer")


def _conversation(prompt: "Prompt", options: Options) -> list[Message]:
    messages = [text_message("user", prompt)] if isinstance(prompt, str) else list(prompt)
    return [text_message("system", options["system"]), *messages] if "system" in options else messages
