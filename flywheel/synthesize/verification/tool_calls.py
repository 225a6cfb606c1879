"""Whether every tool call fits the schema of the tool that it calls."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from flywheel.records import Record
from flywheel.synthesize.verification.contract import Judge, Known, one_by_one

_TYPES = {
    **{"dict": "object", "hashmap": "object", "map": "object", "list": "array", "tuple": "array", "set": "array"},
    **{"float": "number", "double": "number", "int": "integer", "long": "integer", "short": "integer"},
    **{"str": "string", "char": "string", "text": "string", "bool": "boolean", "none": "null", "nonetype": "null"},
}
_HOLDS_ONE = ("items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames")
_HOLDS_LIST = ("anyOf", "oneOf", "allOf", "prefixItems")
_HOLDS_MAP = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_OPEN = ("additionalProperties", "patternProperties", "unevaluatedProperties", "allOf", "anyOf", "oneOf", "$ref")


@dataclass(frozen=True)
class ToolCalls:
    """Each call names a tool that is on offer, and its arguments are what the tool's JSON Schema asks for.

    Schemas may use Python's names of types (`dict`, `float`, `tuple`, `any`), as BFCL's do. An argument that is not declared
    is wrong unless the schema has `additionalProperties` (`undeclared = true` allows it). Nothing is fetched for a `$ref`.

    Reasons: `undeclared_tool`, `bad_tool_arguments` (no JSON object), `arguments_against_schema`, `bad_tool_schema`;
    `no_tool_call` where there is no call and `required` says that there must be one.

    Source: Patil et al. 2025, "The Berkeley Function Calling Leaderboard", for the types.
    """

    required: bool = False
    undeclared: bool = False

    def judge(self) -> Judge:
        return one_by_one(self._wrong)

    def _wrong(self, child: Record, known: Known) -> str | None:  # noqa: ARG002
        calls = [call for message in child.messages for call in message.tool_calls]
        if not calls:
            return "no_tool_call" if self.required else None
        tools = declared(child.tools)
        found = (wrong_call(call.name, call.arguments, tools, undeclared=self.undeclared) for call in calls)
        return next((reason for reason in found if reason), None)


def declared(tools: tuple[str, ...]) -> dict[str, Any]:
    """Parameter schemas by tool name; a tool without one takes anything, a tool that is not JSON is left out."""
    found = {}
    for text in tools:
        try:
            tool = msgspec.json.decode(text, type=dict)
        except (msgspec.DecodeError, RecursionError):
            continue
        tool = tool["function"] if isinstance(tool.get("function"), dict) else tool
        schema: Any = next((tool[key] for key in ("parameters", "input_schema", "inputSchema") if tool.get(key) is not None), {})
        found[str(tool.get("name"))] = schema
    return found


def wrong_call(name: str, arguments: str, tools: Mapping[str, Any], *, undeclared: bool = False) -> str | None:
    """What is wrong with a call, as a reason slug, or None."""
    if name not in tools:
        return "undeclared_tool"
    try:
        given = msgspec.json.decode(arguments, type=dict)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return "bad_tool_arguments"
    try:
        validator = _validator(msgspec.json.encode(tools[name]), undeclared)
        return None if validator.is_valid(given) else "arguments_against_schema"
    except (SchemaError, Unresolvable, RecursionError, TypeError, ValueError):
        return "bad_tool_schema"


@lru_cache(maxsize=1024)
def _validator(schema: bytes, undeclared: bool) -> Draft202012Validator:
    translated = _translated(msgspec.json.decode(schema), closed=not undeclared)
    if not isinstance(translated, dict):
        raise TypeError("a parameter schema is an object")
    translated = {"type": "object", **translated}
    Draft202012Validator.check_schema(translated)
    return Draft202012Validator(translated, registry=Registry())


def _translated(schema: Any, *, closed: bool) -> Any:
    """The schema with JSON Schema's names of types; an object with declared properties takes no others where `closed`."""
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    if "type" in made:
        kinds = made["type"] if isinstance(made["type"], list) else [made["type"]]
        kinds = [_TYPES.get(str(kind).lower(), str(kind).lower()) for kind in kinds]
        if "any" in kinds:
            del made["type"]
        else:
            made["type"] = kinds if isinstance(schema["type"], list) else kinds[0]
    if not isinstance(made.get("required", []), list):
        del made["required"]  # draft 3's boolean beside a property
    for key in _HOLDS_ONE:
        if key in made:
            made[key] = _translated(made[key], closed=closed)
    for key in _HOLDS_LIST:
        if isinstance(made.get(key), list):
            made[key] = [_translated(one, closed=closed) for one in made[key]]
    for key in _HOLDS_MAP:
        if isinstance(made.get(key), dict):
            made[key] = {name: _translated(one, closed=closed) for name, one in made[key].items()}
    if closed and made.get("properties") and not any(key in made for key in _OPEN):
        made["additionalProperties"] = False
    return made
