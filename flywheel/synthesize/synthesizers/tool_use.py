"""Conversations in which tools are called in a declared environment, and something comes of it."""

import json
import random
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from flywheel.plugins import Model
from flywheel.records import Message, Record, ToolCall, digest, text_message
from flywheel.synthesize.asked import refuse, unless_failed
from flywheel.synthesize.environments.declared import Environment, Goal, load
from flywheel.synthesize.environments.world import Call, act, reached, shortest, value_at, wanted_calls
from flywheel.synthesize.verification.tool_calls import wrong_call

_SLOT = re.compile(r"\{([^{}]+)\}")


class _Way(NamedTuple):
    """A way to the goal: the conversation, and how many calls it took."""

    messages: list[Message]
    calls: int


@dataclass(frozen=True)
class ToolUse:
    """Let a model reach a goal with the tools of `environment`, `attempts` times, and keep the way with the fewest calls.

    Every call must fit the schema of its tool; it then changes the environment's state by the declared rules, and the model
    sees the result. An attempt counts when the goal's conditions hold at its end. Where `search` finds a shorter way than the
    model did, or with `attempts = 0`, that one is kept. Which goal a seed has, in which words and with which of the values in
    `choose`, follows from its id. Of its seed a child has only the lineage; its tags say the number of `calls` and who found
    the `way` (`model`, `search`).

    Args:
        environment: an `Environment`, as a table or as the path of a TOML or JSON file with one.
        longest: calls of one attempt, at most.
        tries: calls that the search does in all, at most.

    Refused, an attempt each: `undeclared_tool`, `bad_tool_arguments`, `arguments_against_schema`, `too_many_calls`,
    `goal_missed`, and `less_efficient` where it is not the one kept; `no_way_found` where the search finds none either.

    Source: Patil et al. 2025, "The Berkeley Function Calling Leaderboard" (multi-turn), for success as a state that is
        compared; Yao et al. 2024, tau-bench, section 3, for goals and tools over a declared state.
    """

    environment: Environment | str
    attempts: int = 2
    longest: int = 10
    search: bool = True
    tries: int = 20_000

    def __post_init__(self) -> None:
        if isinstance(self.environment, str):
            object.__setattr__(self, "environment", load(self.environment))
        if self.attempts < 0 or self.longest < 1 or not (self.attempts or self.search):
            raise ValueError("`attempts` is at least 0, `longest` at least 1, and `search` is on where `attempts` is 0")

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        assert isinstance(self.environment, Environment)
        dice = random.Random(digest(b"tool_use", seed.id.encode()))
        environment, goal = self.environment.chosen(dice)
        system = [text_message("system", environment.system)] if environment.system else []
        opening = [*system, text_message("user", dice.choice(goal.requests))]
        ways = [
            way
            for sample in range(self.attempts)
            if (way := await _attempted(environment, goal, opening, model, sample, self.longest)) is not None
        ]
        best = min(ways, key=lambda way: way.calls, default=None)
        author = "model"
        if self.search:
            limit = self.longest if best is None else best.calls - 1
            if (found := await _searched(environment, goal, opening, model, limit, self.tries)) is not None:
                best, author = found, "search"
        if best is None:
            if self.search:
                refuse("no_way_found")
            return
        for _ in range(len(ways) - (author == "model")):
            refuse("less_efficient")
        child = seed.child(messages=best.messages, tags=(f"calls={best.calls}", f"way={author}"))
        yield msgspec.structs.replace(child, tools=environment.offered)


async def _attempted(
    environment: Environment, goal: Goal, opening: Sequence[Message], model: Model, sample: int, longest: int
) -> _Way | None:
    """One attempt of the model, or None, with the reason counted."""
    messages, state = list(opening), environment.state
    called: frozenset[str] = frozenset()
    calls = 0
    while True:
        answer = await unless_failed(model.reply(messages, tools=environment.offered, sample=sample))
        if answer is None:
            return None
        if not answer.tool_calls:
            messages.append(answer)
            break
        if calls + len(answer.tool_calls) > longest:
            refuse("too_many_calls")
            return None
        numbered = [msgspec.structs.replace(call, id=f"call_{calls + n}") for n, call in enumerate(answer.tool_calls, 1)]
        messages.append(msgspec.structs.replace(answer, tool_calls=tuple(numbered)))
        calls += len(numbered)
        for call in numbered:
            if reason := wrong_call(call.name, call.arguments, environment.schemas):
                refuse(reason)
                return None
            step = Call(call.name, json.loads(call.arguments))
            acted = act(environment, state, step)
            state, called = acted.state, wanted_calls(goal, acted, step, called)
            messages.append(_result(call, acted.result))
    if not calls or not reached(goal, state, called):
        refuse("goal_missed")
        return None
    return _Way(messages, calls)


async def _searched(
    environment: Environment, goal: Goal, opening: Sequence[Message], model: Model, longest: int, tries: int
) -> _Way | None:
    """The shortest way as a conversation: each call an answer of its own, and a last answer in words."""
    if (plan := shortest(environment, goal, longest=longest, tries=tries)) is None:
        return None
    messages, state = list(opening), environment.state
    for number, step in enumerate(plan, 1):
        call = ToolCall(id=f"call_{number}", name=step.name, arguments=json.dumps(step.arguments))
        state, result, _ = act(environment, state, step)
        messages += [Message(role="assistant", tool_calls=(call,)), _result(call, result)]
    if goal.reply:
        words = _SLOT.sub(lambda path: str(value_at(state, path[1], {})), goal.reply)
        return _Way([*messages, text_message("assistant", words)], len(plan))
    last = await unless_failed(model.reply(messages))
    return None if last is None else _Way([*messages, last], len(plan))


def _result(call: ToolCall, result: dict[str, object]) -> Message:
    return text_message("tool", json.dumps(result), tool_call_id=call.id, name=call.name)
