"""Answers as JSON: the schema that a model is given, and what of its answer is believed."""

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")

_FENCED = re.compile(r"\A\s*```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```\s*\Z", re.DOTALL)
_MOST_WORDS = 300
_DEEP = 6


class InvalidAnswer(Exception):
    """An answer is not JSON, or not of the schema; the message is for the model and may quote its answer."""


class Shape(Generic[T]):
    """A JSON schema and the function that reads an answer of it, raising `InvalidAnswer`."""

    def __init__(self, schema: dict[str, Any], read: Callable[[str], T]) -> None:
        self.schema = schema
        self.read = read

    @property
    def instruction(self) -> str:
        """Tells a model in words what an endpoint without schemas cannot enforce."""
        schema = msgspec.json.encode(self.schema).decode()
        return f"Answer with JSON only, without any other words, valid under this JSON schema:\n{schema}"


def shape_of(answer: type[T]) -> Shape[T]:
    """The shape of a Python type. Objects are closed and all their fields required, as strict endpoints want them.

    Raises:
        TypeError: msgspec knows no schema of the type.
    """
    decoder = msgspec.json.Decoder(answer)

    def read(text: str) -> T:
        try:
            return decoder.decode(_bare(text))
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidAnswer(str(error)[:_MOST_WORDS]) from None

    (schema,), definitions = msgspec.json.schema_components([answer], ref_template="#/$defs/{name}")
    root = definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema  # an endpoint wants an object there
    return Shape(_strict({**root, "$defs": definitions} if "$ref" in str(root) else root), read)


def shape_of_schema(schema: Mapping[str, Any]) -> Shape[Any]:
    """The shape of a JSON schema as it stands.

    Raises:
        ValueError: it is no schema.
    """
    from jsonschema import Draft202012Validator, SchemaError

    own = copy.deepcopy(dict(schema))
    try:
        Draft202012Validator.check_schema(own)
    except SchemaError as error:
        raise ValueError(f"this is no JSON schema: {error.message}") from None
    validator = Draft202012Validator(own)

    def read(text: str) -> Any:
        try:
            value = msgspec.json.decode(_bare(text))
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidAnswer(str(error)) from None
        if (wrong := next(validator.iter_errors(value), None)) is not None:
            raise InvalidAnswer(f"{wrong.message[:_MOST_WORDS]} at {wrong.json_path}")
        return value

    return Shape(own, read)


def _bare(text: str) -> str:
    """Without the code fence that many models put around JSON."""
    fenced = _FENCED.match(text)
    return fenced[1] if fenced else text


def _strict(schema: Any) -> Any:
    """Every object closed and complete, no defaults; a reference to a type stays a reference."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    own = {key: _strict(value) for key, value in schema.items() if key not in ("default", "title")}
    if isinstance(schema.get("properties"), dict):
        own["properties"] = {name: _strict(value) for name, value in schema["properties"].items()}
        own["required"] = list(schema["properties"])
        own["additionalProperties"] = False
    return own


def example(schema: Mapping[str, Any], *, text: str = "text") -> Any:
    """A small value that fits a schema of ordinary types: for trying a synthesizer without a model. Patterns are ignored."""
    return _Examples(schema.get("$defs", {}), text).of(schema)


class _Examples:
    def __init__(self, definitions: Mapping[str, Any], text: str) -> None:
        self._definitions = definitions
        self._text = text

    def of(self, schema: Mapping[str, Any], depth: int = 0) -> Any:
        if "$ref" in schema:
            return self.of(self._definitions[schema["$ref"].rpartition("/")[2]], depth)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        if alternatives := schema.get("anyOf") or schema.get("oneOf"):
            return self.of(alternatives[0], depth)
        kind = schema.get("type", "object" if "properties" in schema else "string")
        return self._typed(kind[0] if isinstance(kind, list) else kind, schema, depth + 1)

    def _typed(self, kind: str, schema: Mapping[str, Any], depth: int) -> Any:
        if kind == "object":
            return {name: self.of(value, depth) for name, value in schema.get("properties", {}).items()}
        if kind == "array":
            if each := schema.get("prefixItems"):
                return [self.of(item, depth) for item in each]
            count = max(depth < _DEEP, schema.get("minItems", 0))  # a tree must end
            return [self.of(schema.get("items", {}), depth) for _ in range(count)]
        if kind in ("integer", "number"):
            return schema.get("minimum", schema.get("maximum", 1))
        if kind == "boolean":
            return True
        return None if kind == "null" else self._text.ljust(schema.get("minLength", 0), "x")
