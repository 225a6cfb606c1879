"""What calls do in an environment, and the shortest sequence of them that reaches a goal."""

import copy
import itertools
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from flywheel.synthesize.environments.declared import Condition, Effect, Environment, Goal, Tool, named_arguments, with_arguments
from flywheel.synthesize.verification.tool_calls import wrong_call

State = dict[str, Any]
_WIDEST = 20  # integers between a minimum and a maximum that a search tries


class _Missing:
    """What stands at a path without a value."""

    def __repr__(self) -> str:
        return "nothing"


_MISSING = _Missing()


class Acted(NamedTuple):
    """What a call came to: the state after it, what the tool says, and whether it did anything."""

    state: State
    result: dict[str, Any]
    succeeded: bool


class Call(NamedTuple):
    """A call of a tool with its arguments."""

    name: str
    arguments: dict[str, Any]


def act(environment: Environment, state: State, call: Call) -> Acted:
    """Do a call whose arguments fit the tool's schema. A call whose conditions do not hold changes nothing and says why."""
    tool = next(one for one in environment.tools if one.name == call.name)
    for rule in tool.require:
        if not holds(rule, state, call.arguments):
            return Acted(state, {"error": rule.otherwise}, False)
    after = copy.deepcopy(state)
    try:
        for effect in tool.effects:
            _apply(effect, after, call.arguments)
    except (TypeError, AttributeError):
        return Acted(state, {"error": "not possible"}, False)
    return Acted(after, _returned(tool, after, call.arguments), True)


def wanted_calls(goal: Goal, acted: Acted, call: Call, before: frozenset[str]) -> frozenset[str]:
    """The goal's `calls` that have succeeded with its conditions fulfilled, after one more call."""
    if not _fulfilled(goal, acted.state):
        return frozenset()
    return before | {call.name} & set(goal.calls) if acted.succeeded else before


def reached(goal: Goal, state: State, called: frozenset[str]) -> bool:
    """Whether the goal's conditions hold, and the calls that it wants then have succeeded."""
    return called >= set(goal.calls) and _fulfilled(goal, state)


def _fulfilled(goal: Goal, state: State) -> bool:
    return all(holds(rule, state, {}) for rule in goal.require)


def holds(rule: Condition, state: State, arguments: Mapping[str, Any]) -> bool:
    """Whether a condition holds of a state."""
    if not _given((rule.path, rule.equals, rule.differs, rule.at_least, rule.at_most), arguments):
        return True
    found = value_at(state, rule.path, arguments)
    there = found is not _MISSING
    low, high = (with_arguments(limit, arguments) for limit in (rule.at_least, rule.at_most))
    return (
        (rule.exists is None or rule.exists == there)
        and (rule.equals is UNSET or found == with_arguments(rule.equals, arguments))
        and (rule.differs is UNSET or found != with_arguments(rule.differs, arguments))
        and (low is None or (_is_number(found) and found >= low))
        and (high is None or (_is_number(found) and found <= high))
    )


def value_at(state: State, path: str, arguments: Mapping[str, Any]) -> Any:
    """The value at a path; where there is none, an object like no value, written `nothing`."""
    found: Any = state
    for name in _names(path, arguments):
        if not isinstance(found, dict) or name not in found:
            return _MISSING
        found = found[name]
    return found


def shortest(environment: Environment, goal: Goal, *, longest: int, tries: int) -> list[Call] | None:
    """The fewest calls that reach a goal, by breadth-first search; of several ways that whose tools are declared first.

    Args:
        longest: calls, at most.
        tries: how many calls the search may do in all.

    Returns:
        None where none is found within these limits.
    """
    actions = [Call(tool.name, arguments) for tool in environment.tools for arguments in _arguments(tool, goal, environment)]
    start: tuple[State, frozenset[str], tuple[Call, ...]] = (environment.state, frozenset(), ())
    if reached(goal, environment.state, frozenset()):
        return None
    waiting, seen = deque([start]), {_key(environment.state, frozenset())}
    while waiting:
        state, done, way = waiting.popleft()
        for action in actions if len(way) < longest else ():
            if tries == 0:
                return None
            tries -= 1
            acted = act(environment, state, action)
            called = wanted_calls(goal, acted, action, done)
            if acted.succeeded and reached(goal, acted.state, called):
                return [*way, action]
            if acted.succeeded and (key := _key(acted.state, called)) not in seen:
                seen.add(key)
                waiting.append((acted.state, called, (*way, action)))
    return None


def _arguments(tool: Tool, goal: Goal, environment: Environment) -> Iterator[dict[str, Any]]:
    """The argument sets that a search tries: those that fit the schema, of values that schema or goal name."""
    properties = tool.parameters.get("properties", {})
    required = tool.parameters.get("required", [])
    options = [
        [*_values(goal.values.get(name), schema), *([] if name in required else [UNSET])] for name, schema in properties.items()
    ]
    for values in itertools.product(*options):
        given = {name: value for name, value in zip(properties, values, strict=True) if value is not UNSET}
        if wrong_call(tool.name, json.dumps(given), environment.schemas) is None:
            yield given


def _values(named: Sequence[Any] | None, schema: Mapping[str, Any]) -> list[Any]:
    if "const" in schema:
        return [schema["const"]]
    if "enum" in schema:
        return list(schema["enum"])
    if named is not None:
        return list(named)
    if schema.get("type") == "boolean":
        return [True, False]
    low, high = schema.get("minimum"), schema.get("maximum")
    if schema.get("type") == "integer" and isinstance(low, int) and isinstance(high, int) and high - low < _WIDEST:
        return list(range(low, high + 1))
    return list(schema.get("examples", ()))


def _key(state: State, called: frozenset[str]) -> bytes:
    return msgspec.json.encode((state, sorted(called)), order="sorted")


def _given(texts: Sequence[Any], arguments: Mapping[str, Any]) -> bool:
    return all(named_arguments(text) <= arguments.keys() for text in texts)


def _names(path: str, arguments: Mapping[str, Any]) -> list[str]:
    return [str(with_arguments(name, arguments)) for name in path.split(".")]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _apply(effect: Effect, state: State, arguments: Mapping[str, Any]) -> None:
    if not _given((effect.path, effect.value), arguments):
        return
    *above, last = _names(effect.path, arguments)
    place = state
    for name in above:
        place = place.setdefault(name, {})
    if effect.op == "remove":
        place.pop(last, None)
    else:
        place[last] = _CHANGES[effect.op](place.get(last), with_arguments(effect.value, arguments))


_CHANGES: Mapping[str, Callable[[Any, Any], Any]] = {
    "set": lambda old, value: value,  # noqa: ARG005
    "add": lambda old, value: (old or 0) + value,
    "subtract": lambda old, value: (old or 0) - value,
    "append": lambda old, value: [*(old or []), value],
}


def _returned(tool: Tool, state: State, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The values at the paths that the tool returns, null where there is none; `{"ok": true}` where it returns none."""
    found = {
        name: value_at(state, path, arguments) if _given((path,), arguments) else None for name, path in tool.returns.items()
    }
    return {name: None if value is _MISSING else value for name, value in found.items()} or {"ok": True}
