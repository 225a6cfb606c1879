"""What is declared of an environment: its state, its tools with what they do, and the goals that somebody has in it."""

import random
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from flywheel.synthesize.verification.tool_calls import wrong_call

_CHOSEN = re.compile(r"\$([a-z][a-z0-9_]*)")
_ARGUMENT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that must hold of the value at `path`; all that is given of it must. `otherwise` is what the tool says if not.

    A path is names joined by dots, from the state's root. In paths and values, `{NAME}` stands for the call's argument of that
    name; a value that is nothing else keeps the argument's type. A condition on an argument that was not given holds.
    """

    path: str
    exists: bool | None = None
    equals: Any | UnsetType = UNSET
    differs: Any | UnsetType = UNSET
    at_least: float | str | None = None
    at_most: float | str | None = None
    otherwise: str = "not possible"


class Effect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of the value at `path`: `set` it, `add` a number to it, `subtract` one, `append` to a list, or `remove` it.

    An effect that names an argument that was not given does not take place.
    """

    op: Literal["set", "add", "subtract", "append", "remove"]
    path: str
    value: Any = None


class Tool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool: the JSON Schema of its arguments, what it requires, what it changes, and the paths whose values it `returns`."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}
    require: tuple[Condition, ...] = ()
    effects: tuple[Effect, ...] = ()
    returns: dict[str, str] = {}


class Goal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a user wants: `requests` are ways to say it, `require` holds of the state at the end.

    `calls` names tools that must have succeeded when `require` already held, so that what is told is the state at the end.
    `values` are, by argument name, what a search may try where the schema has no `enum`. `reply` is the last answer of what
    the search finds, with `{PATH}` for values of the state at the end; a model writes it where it is empty.
    """

    requests: tuple[str, ...]
    require: tuple[Condition, ...] = ()
    calls: tuple[str, ...] = ()
    values: dict[str, tuple[Any, ...]] = {}
    reply: str = ""


class Environment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """State, tools and goals. `$NAME` anywhere in state and goals stands for one of the values of `choose.NAME`."""

    state: dict[str, Any]
    tools: tuple[Tool, ...]
    goals: tuple[Goal, ...]
    system: str = ""
    choose: dict[str, tuple[Any, ...]] = {}

    def __post_init__(self) -> None:
        names = [tool.name for tool in self.tools]
        if not names or len(set(names)) < len(names):
            raise ValueError("an environment has tools, one of each name")
        if not self.goals or not all(goal.requests and (goal.require or goal.calls) for goal in self.goals):
            raise ValueError("an environment has goals, each with `requests` and something to `require` or `calls`")
        if lost := sorted({call for goal in self.goals for call in goal.calls} - set(names)):
            raise ValueError(f"a goal wants a call of {lost[0]!r}, which is no tool; there is {', '.join(names)}")
        if empty := [name for name, values in self.choose.items() if not values]:
            raise ValueError(f"there is nothing to choose for {empty[0]!r}")
        for tool in self.tools:
            _check(tool)

    @property
    def schemas(self) -> dict[str, Any]:
        """Parameter schemas by tool name, for `wrong_call`."""
        return {tool.name: tool.parameters for tool in self.tools}

    @property
    def offered(self) -> tuple[str, ...]:
        """The tools as a record holds them."""
        rows = [{"name": one.name, "description": one.description, "parameters": _object(one.parameters)} for one in self.tools]
        return tuple(msgspec.json.encode(row).decode() for row in rows)

    def chosen(self, dice: random.Random) -> tuple["Environment", Goal]:
        """The environment with its choices made, and one of its goals."""
        made = {name: dice.choice(values) for name, values in self.choose.items()}
        goal = _filled(msgspec.to_builtins(dice.choice(self.goals)), made)
        return msgspec.structs.replace(self, state=_filled(self.state, made), choose={}), msgspec.convert(goal, Goal)


def load(path: str) -> Environment:
    """An environment from a TOML or JSON file.

    Raises:
        ValueError: it cannot be read, or declares no environment.
    """
    try:
        text = Path(path).read_bytes()
        read = msgspec.json.decode(text) if path.endswith(".json") else tomllib.loads(text.decode("utf-8"))
        return msgspec.convert(read, Environment)
    except (OSError, msgspec.DecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"the environment {path!r} cannot be read: {error}") from None


def named_arguments(text: Any) -> set[str]:
    """The arguments that a path or a value of a rule names."""
    return set(_ARGUMENT.findall(text)) if isinstance(text, str) else set()


def with_arguments(value: Any, arguments: Mapping[str, Any]) -> Any:
    """A rule's value with the call's arguments in their places."""
    if not isinstance(value, str):
        return value
    if whole := _ARGUMENT.fullmatch(value):
        return arguments[whole[1]]
    return _ARGUMENT.sub(lambda name: str(arguments[name[1]]), value)


def _check(tool: Tool) -> None:
    if wrong_call(tool.name, "{}", {tool.name: tool.parameters}) == "bad_tool_schema":
        raise ValueError(f"`parameters` of the tool {tool.name!r} is no JSON Schema")
    rules = [
        *(text for rule in tool.require for text in (rule.path, rule.equals, rule.differs, rule.at_least, rule.at_most)),
        *(text for effect in tool.effects for text in (effect.path, effect.value)),
        *tool.returns.values(),
    ]
    named = {name for text in rules for name in named_arguments(text)}
    if unknown := sorted(named - set(tool.parameters.get("properties", {}))):
        raise ValueError(f"a rule of the tool {tool.name!r} names the argument {unknown[0]!r}, which it has not")


def _object(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {}, **schema}


def _filled(value: Any, made: Mapping[str, Any]) -> Any:
    """The value with `$NAME` replaced, keys included; a text that is nothing else becomes the chosen value itself."""
    if isinstance(value, dict):
        return {str(_filled(key, made)): _filled(one, made) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(one, made) for one in value]
    if not isinstance(value, str):
        return value
    whole = _CHOSEN.fullmatch(value)
    if whole and whole[1] in made:
        return made[whole[1]]
    return _CHOSEN.sub(lambda name: str(made.get(name[1], name[0])), value)
