"""Conversations in which tools are called in a declared environment, and something comes of it."""

import json
import random
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from flywheel.plugins import Model
from flywheel.records import Message, Record, ToolCall, digest, text_message
from flywheel.synthesize.asked import refuse, unless_failed
from flywheel.synthesize.environments.declared import Environment, Goal, load
from flywheel.synthesize.environments.rollout import Rollout, result, rollout
from flywheel.synthesize.environments.world import Call, act, reached, shortest, value_at, wanted_calls

_SLOT = re.compile(r"\{([^{}]+)\}")


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

    Refused, an attempt each: the reasons of `rollout`, `goal_missed`, and `less_efficient` where it is not the one kept;
    `no_way_found` where the search finds none either.

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

    def most_questions(self, seed: Record) -> Mapping[str, int]:  # noqa: ARG002
        """As of `AsksAtMost`."""
        assert isinstance(self.environment, Environment)
        last = self.search and not all(goal.reply for goal in self.environment.goals)
        return {"generator": self.attempts * (self.longest + 1) + last}

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


class _Played:
    """The state of one attempt, which its calls change."""

    def __init__(self, environment: Environment, goal: Goal) -> None:
        self._environment, self._goal = environment, goal
        self._state = environment.state
        self._called: frozenset[str] = frozenset()

    async def respond(self, call: ToolCall) -> str:
        """Do the call, and say what the tool says."""
        step = Call(call.name, json.loads(call.arguments))
        acted = act(self._environment, self._state, step)
        self._state, self._called = acted.state, wanted_calls(self._goal, acted, step, self._called)
        return json.dumps(acted.result)

    @property
    def won(self) -> bool:
        """Whether the goal is reached now."""
        return reached(self._goal, self._state, self._called)


async def _attempted(
    environment: Environment, goal: Goal, opening: Sequence[Message], model: Model, sample: int, longest: int
) -> Rollout | None:
    """One attempt of the model, or None, with the reason counted."""
    played = _Played(environment, goal)
    way = await rollout(model, opening, environment.offered, played.respond, longest=longest, sample=sample)
    if way is None or played.won:
        return way
    refuse("goal_missed")
    return None


async def _searched(
    environment: Environment, goal: Goal, opening: Sequence[Message], model: Model, longest: int, tries: int
) -> Rollout | None:
    """The shortest way as a conversation: each call an answer of its own, and a last answer in words."""
    if (plan := shortest(environment, goal, longest=longest, tries=tries)) is None:
        return None
    messages, state = list(opening), environment.state
    for number, step in enumerate(plan, 1):
        call = ToolCall(id=f"call_{number}", name=step.name, arguments=json.dumps(step.arguments))
        state, said, _ = act(environment, state, step)
        messages += [Message(role="assistant", tool_calls=(call,)), result(call, json.dumps(said))]
    if goal.reply:
        words = _SLOT.sub(lambda path: str(value_at(state, path[1], {})), goal.reply)
        return Rollout([*messages, text_message("assistant", words)], len(plan))
    last = await unless_failed(model.reply(messages))
    return None if last is None else Rollout([*messages, last], len(plan))
