"""Tool schemas as trainers accept them: JSON Schema, with the type names of other dialects translated."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from flywheel.errors import Rejected
from flywheel.format.chat import TOOL_NAME, decoded
from flywheel.records import Record

_TYPES = frozenset(("string", "number", "integer", "boolean", "object", "array", "null"))
_OTHER_NAMES = {
    "dict": "object",
    "float": "number",
    "double": "number",
    "int": "integer",
    "long": "integer",
    "str": "string",
    "char": "string",
    "bool": "boolean",
    "list": "array",
    "tuple": "array",
    "none": "null",
}
_NAMED = ("properties", "$defs", "definitions", "patternProperties")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "not")


def functions(record: Record, *, tool_name: re.Pattern[str] = TOOL_NAME) -> list[dict[str, Any]]:
    """The tools on offer, each as `{"type": "function", "function": {name, description?, parameters?, strict?}}`.

    Type names that mean one of JSON Schema's are translated: Gemini's `STRING`, Python's `dict`, `float`, `tuple`, Java's
    `double`; `any` is left out. Nothing else changes.

    Raises:
        Rejected: `invalid_tool_schema`: no JSON, over 100 levels deep, no valid name, or parameters that are no schema even so.
    """
    return [_function(text, tool_name) for text in record.tools]


def _function(text: str, tool_name: re.Pattern[str]) -> dict[str, Any]:
    tool = decoded(text, "invalid_tool_schema")
    inner = tool.get("function", tool) if isinstance(tool, dict) else None
    if not isinstance(inner, dict) or not tool_name.fullmatch(str(inner.get("name", ""))):
        raise Rejected("invalid_tool_schema")
    kept = {key: inner[key] for key in ("name", "description", "parameters", "strict") if inner.get(key) is not None}
    if "parameters" in kept:
        kept["parameters"] = _translated(kept["parameters"])
        if not schema_valid(kept["parameters"]):
            raise Rejected("invalid_tool_schema")
    return {"type": "function", "function": kept}


def _translated(schema: Any) -> Any:
    """The same schema with JSON Schema's own type names; what is no schema is handed back for `schema_valid` to refuse."""
    if not isinstance(schema, dict):
        return schema
    made = {key: value for key, value in schema.items() if not (key == "type" and str(value).lower() == "any")}
    if isinstance(kind := made.get("type"), str):
        made["type"] = _name(kind)
    elif isinstance(kind, list):
        made["type"] = [_name(one) if isinstance(one, str) else one for one in kind]
    for key in _NAMED:
        if isinstance(inner := made.get(key), dict):
            made[key] = {name: _translated(one) for name, one in inner.items()}
    for key in (*_LISTED, *_SINGLE):
        if key in made:
            inner = made[key]
            made[key] = [_translated(one) for one in inner] if isinstance(inner, list) else _translated(inner)
    return made


def _name(kind: str) -> str:
    lower = kind.lower()
    return _OTHER_NAMES.get(lower, lower if lower in _TYPES else kind)


def schema_valid(schema: Any) -> bool:
    """Whether this is a JSON Schema as far as its types go: no unknown `type`, subschemas where they belong."""
    if isinstance(schema, bool):
        return True
    if not isinstance(schema, Mapping):
        return False
    kind = schema.get("type", [])
    kinds = [kind] if isinstance(kind, str) else kind
    if not isinstance(kinds, list) or not all(isinstance(one, str) and one in _TYPES for one in kinds):
        return False
    return all(schema_valid(inner) for inner in _inner(schema))


def _inner(schema: Mapping[str, Any]) -> Iterator[Any]:
    for key in _NAMED:
        inner = schema.get(key, {})
        yield from inner.values() if isinstance(inner, Mapping) else (None,)
    for key in _LISTED:
        inner = schema.get(key, [])
        yield from inner if isinstance(inner, list) else (None,)
    for key in _SINGLE:
        if key in schema:
            inner = schema[key]
            yield from inner if isinstance(inner, list) else (inner,)
