"""Code blocks of a Markdown text."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_FENCE = re.compile(r"^[ >]{0,6}(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^\n`]*)$")
_ALIASES = {
    **{"py": "python", "python3": "python", "pycon": "python", "js": "javascript", "node": "javascript", "mjs": "javascript"},
    **{"sh": "bash", "shell": "bash", "zsh": "bash", "pl": "perl", "rb": "ruby", "ts": "typescript"},
}


class Block(NamedTuple):
    """A fenced block: its language in lower case by its usual name (empty where none is given), and its text."""

    language: str
    code: str


def code_blocks(text: str) -> list[Block]:
    """The fenced blocks of a text, in order; one that is not closed ends with the text. Indentation of the fence is removed.

    A fence is closed by one of the same character that is at least as long, so that a block may quote a shorter fence.
    """
    return list(_blocks(text.splitlines()))


def code_of(text: str, language: str) -> str:
    """All code of a language in a text, joined; blocks without a language count where no block names it."""
    blocks = code_blocks(text)
    wanted = language if any(block.language == language for block in blocks) else ""
    return "\n\n".join(block.code for block in blocks if block.language == wanted)


def _blocks(lines: list[str]) -> Iterator[Block]:
    opened: re.Match[str] | None = None
    inside: list[str] = []
    for line in lines:
        match = _FENCE.match(line)
        if opened is None:
            opened, inside = match, []
        elif match and not match["info"].strip() and match["fence"].startswith(opened["fence"]):
            yield _block(opened, inside)
            opened = None
        else:
            inside.append(line)
    if opened is not None:
        yield _block(opened, inside)


def _block(opened: re.Match[str], inside: list[str]) -> Block:
    indent = len(opened.group()) - len(opened.group().lstrip())
    words = opened["info"].strip().strip("{}.").split()
    language = words[0].lower().lstrip(".") if words else ""
    lines = [line[min(indent, len(line) - len(line.lstrip())) :] for line in inside]
    return Block(_ALIASES.get(language, language), "\n".join(lines))
