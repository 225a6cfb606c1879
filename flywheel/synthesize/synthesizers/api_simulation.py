"""Tool calls answered by a model that plays the tools."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from flywheel.plugins import Model
from flywheel.records import Message, Record, ToolCall
from flywheel.synthesize.asked import refuse, unless_failed
from flywheel.synthesize.environments.rollout import rollout
from flywheel.synthesize.reading import question

_SCHEMAS = ("returns", "response", "output_schema", "outputSchema")


class Verdict(msgspec.Struct):
    """What a judge says of an answer."""

    solved: bool


@dataclass(frozen=True)
class ApiSimulation:
    """Answer the seed's prompt anew with the seed's tools, which the role `api` plays.

    A call that the seed's own conversation already holds gets the result that was logged there. Any other is answered by the
    model of `[models.api]`, from the tool's declaration and the arguments alone, so that the same call has the same answer in
    every conversation and every run: the second time it comes from the cache. The answer is a JSON object, under the tool's
    own schema where it declares one (`returns`, `response` or `output_schema`). Seeds without tools have no children.

    Args:
        attempts: how often the model may try; the first conversation that passes is kept.
        longest: calls of one attempt, at most.
        judge: whether the role `judge` has to find that the last answer does what was asked.

    Refused, an attempt each: the reasons of `rollout`, `only_errors` (the tools said nothing else), `unsolved`.

    Source: Guo et al. 2024, "StableToolBench", section 3: a cache, and a simulator behind it.
    """

    attempts: int = 1
    longest: int = 10
    judge: bool = True

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.longest < 1:
            raise ValueError(f"`attempts` and `longest` are at least 1, not {self.attempts} and {self.longest}")

    def most_questions(self, seed: Record) -> Mapping[str, int]:
        """As of `AsksAtMost`."""
        attempts = self.attempts if seed.tools and question(seed) else 0
        return {"generator": attempts * (self.longest + 1), "api": attempts * self.longest, "judge": attempts * self.judge}

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        opening = question(seed)
        if not opening or not seed.tools:
            return
        played = _Played(seed, model.role("api"))
        for sample in range(self.attempts):
            way = await rollout(model, opening, seed.tools, played.respond, longest=self.longest, sample=sample)
            if way is None:
                continue
            added = way.messages[len(opening) :]
            if all(_is_error(message.text) for message in added if message.role == "tool"):
                refuse("only_errors")
            elif not self.judge or await _solved(way.messages, model):
                yield seed.child(messages=way.messages, tags=(f"calls={way.calls}",))
                return


class _Played:
    """Tools played by a model, after what a conversation has logged of them."""

    def __init__(self, seed: Record, api: Model) -> None:
        self._api = api
        self._tools = {tool.get("name"): tool for tool in map(_tool, seed.tools)}
        said = {message.tool_call_id: message.text for message in seed.messages if message.role == "tool"}
        logged = [call for message in seed.messages for call in message.tool_calls if call.id and said.get(call.id)]
        self._logged = {_canonical(call): said[call.id] for call in logged}

    async def respond(self, call: ToolCall) -> str | None:
        """The logged result of this very call, or one that is made up; None where the model makes none."""
        canonical = _canonical(call)
        if canonical in self._logged:
            return self._logged[canonical]
        tool = self._tools[call.name]
        schema = next((tool[name] for name in _SCHEMAS if isinstance(tool.get(name), dict)), {"type": "object"})
        prompt = (
            "Play this API. Answer the call as the API itself would, with the JSON object of a realistic response and nothing "
            'else; with {"error": "..."} where the arguments ask for what cannot be.\n\n'
            f"API:\n{json.dumps(tool, ensure_ascii=False, sort_keys=True)}\n\nArguments:\n{canonical[1]}"
        )
        answer = await unless_failed(self._api.json(prompt, schema, temperature=0.0))
        return None if answer is None else json.dumps(answer, ensure_ascii=False)


async def _solved(messages: list[Message], model: Model) -> bool:
    said = [f"{one.role}: {one.text or [(call.name, call.arguments) for call in one.tool_calls]}" for one in messages]
    prompt = (
        "Read this conversation of a user, an assistant and tools. Does the assistant's last message do what the user asked "
        "for, without anything that the tools did not say?\n\n"
    )
    verdict = await unless_failed(model.role("judge").structured(prompt + "\n\n".join(said), Verdict))
    if verdict is not None and not verdict.solved:
        refuse("unsolved")
    return verdict is not None and verdict.solved


def _canonical(call: ToolCall) -> tuple[str, str]:
    """Name and arguments, the same for the same content in any order of keys; arguments that are no JSON as they stand."""
    try:
        return call.name, json.dumps(json.loads(call.arguments), ensure_ascii=False, sort_keys=True)
    except (ValueError, RecursionError):
        return call.name, call.arguments


def _tool(text: str) -> dict[str, Any]:
    try:
        tool = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return {}
    inner = tool.get("function")
    return inner if isinstance(inner, dict) else tool


def _is_error(said: str) -> bool:
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "error" in found and len(found) == 1
