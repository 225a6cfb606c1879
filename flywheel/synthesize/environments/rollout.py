"""A model at work with tools: it calls, something answers, until it says something to the user."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import msgspec

from flywheel.plugins import Model
from flywheel.records import Message, ToolCall, text_message
from flywheel.synthesize.asked import refuse, unless_failed
from flywheel.synthesize.verification.tool_calls import declared, wrong_call

Respond = Callable[[ToolCall], Awaitable[str | None]]


class Rollout(NamedTuple):
    """A conversation that ends with words to the user, and how many calls were made on the way."""

    messages: list[Message]
    calls: int


async def rollout(
    model: Model, opening: Sequence[Message], tools: tuple[str, ...], respond: Respond, *, longest: int, sample: int
) -> Rollout | None:
    """Let the model go on from `opening` until it calls no more tools, one call at least.

    Args:
        tools: as in `Record.tools`.
        respond: what a tool says to a call that fits its schema; None ends the attempt.
        longest: calls, at most.

    Returns:
        None where the attempt breaks a rule, which is counted as refused: `undeclared_tool`, `bad_tool_arguments`,
        `arguments_against_schema`, `bad_tool_schema`, `too_many_calls`, `no_tool_call`.
    """
    messages, schemas, calls = list(opening), declared(tools), 0
    while True:
        answer = await unless_failed(model.reply(messages, tools=tools, sample=sample))
        if answer is None:
            return None
        if not answer.tool_calls:
            break
        if calls + len(answer.tool_calls) > longest:
            refuse("too_many_calls")
            return None
        numbered = [msgspec.structs.replace(call, id=f"call_{calls + n}") for n, call in enumerate(answer.tool_calls, 1)]
        messages.append(msgspec.structs.replace(answer, tool_calls=tuple(numbered)))
        calls += len(numbered)
        for call in numbered:
            if reason := wrong_call(call.name, call.arguments, schemas):
                refuse(reason)
                return None
            if (said := await respond(call)) is None:
                return None
            messages.append(result(call, said))
    if not calls:
        refuse("no_tool_call")
        return None
    return Rollout([*messages, answer], calls)


def result(call: ToolCall, said: str) -> Message:
    """The message with what a tool says to a call."""
    return text_message("tool", said, tool_call_id=call.id, name=call.name)
