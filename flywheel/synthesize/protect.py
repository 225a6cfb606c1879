"""The parts of a prompt that noise must leave alone, because the answer depends on their exact form."""

import re
from collections.abc import Callable

_PIECE = re.compile(
    r"(?P<whole>```.*?(?:```|\Z)|`[^`\n]+`|<[^<>\n]{1,80}>)"  # a code block, closed or not; code in a line; a placeholder, a tag
    r"|(?P<word>[^\s`<]+)",
    re.DOTALL,
)
_EXACT = re.compile(
    r"\d|[_/\\@=(){}$#%]"  # numbers, dates, versions, paths, addresses, code
    r"|\w[.:]\w"  # host names, attributes, times
    r"|[a-z][A-Z]"  # camel case
    r"|\[[A-Z]+\]"  # placeholders
)


def outside_protected(text: str, change: Callable[[str], str]) -> str:
    """Apply `change` to what lies between code, links, addresses, numbers, placeholders and identifiers. Linear in the text."""
    changed: list[str] = []
    at = 0
    for match in _PIECE.finditer(text):
        if match["whole"] or _EXACT.search(match["word"]):
            changed += (change(text[at : match.start()]), match.group())
            at = match.end()
    return "".join((*changed, change(text[at:])))
