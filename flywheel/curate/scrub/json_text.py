"""Edits inside JSON text that leave everything else as it was: white space, order, repeated keys, big numbers."""

import json
import re
from collections.abc import Callable

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[{}\[\]:,]|true|false|null', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_MAXIMUM_DEPTH = 200

Edit = Callable[[str, str | None, bool], str]
"""`edit(value, key, is_number)` gives the new value; `key` is the nearest object key above the value, None for a key itself.

Of a bare `name` the key of the object around it says whose it is: `{"customer": {"name": ...}}` gives `customer_name`.
"""


def is_json(text: str) -> bool:
    """Whether the text is a JSON object or array, not nested beyond 200 levels."""
    stripped = text.strip()
    if not stripped.startswith(("{", "[")) or not stripped.endswith(("}", "]")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def edit_json(text: str, edit: Edit) -> str:
    """The JSON text with every string (keys too) and number passed through `edit`; unchanged ones keep their bytes.

    A number that `edit` changes becomes a string, so the result is valid JSON again.
    """
    pieces: list[str] = []
    keys: list[str | None] = [None]
    objects: list[bool] = []
    position, expects_key = 0, False
    for match in _TOKEN.finditer(text):
        token = match[0]
        pieces.append(text[position : match.start()])
        position = match.end()
        if token[0] in "{[":
            objects.append(token == "{")
            keys.append(keys[-1])
            expects_key = token == "{"
        elif token[0] in "}]":
            objects.pop()
            keys.pop()
            expects_key = False
        elif token == ",":
            expects_key = objects[-1]
        elif token[0] == '"' and expects_key:
            keys[-1] = json.loads(token)
            token = _edit_string(token, None, edit)
            expects_key = False
        elif token[0] == '"':
            token = _edit_string(token, _whose(keys), edit)
        elif token[0] in "-0123456789":
            changed = edit(token, keys[-1], True)
            token = token if changed == token else json.dumps(changed)
        pieces.append(token)
    pieces.append(text[position:])
    return "".join(pieces)


def _whose(keys: list[str | None]) -> str | None:
    key, around = keys[-1], keys[-2] if len(keys) > 1 else None
    return f"{around.removesuffix('s')}_name" if key is not None and around and key.lower() == "name" else key


def _edit_string(token: str, key: str | None, edit: Edit) -> str:
    value = json.loads(token)
    changed = edit(value, key, False)
    if changed == value:
        return token
    written = json.dumps(changed, ensure_ascii=token.isascii())
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", written)
