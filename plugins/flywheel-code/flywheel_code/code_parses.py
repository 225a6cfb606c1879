"""Does the code in the reply parse?"""

import ast
import json
import re
import textwrap
import tomllib
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

_BLOCK = re.compile(r"^([ \t>]*)(`{3,}|~{3,})[ \t]*([\w+-]+)[^\n]*\n(.*?)^[ \t>]*\2[`~]*[ \t]*$", re.MULTILINE | re.DOTALL)
_LONGEST = 20_000
_NAMES = {"py": "python", "python3": "python", "pycon": "python", "jsonc": "json", "json5": ""}


@dataclass(frozen=True)
class CodeParses:
    """Drop conversations in whose reply too few fenced code blocks parse.

    `languages` are those looked at, of `python`, `json` and `toml`. Nothing is run. A block that is not closed belongs to
    `truncated_reply`. Python is that of the interpreter that runs this, so newer syntax may fail on an older one.
    """

    minimum: float = 0.5
    languages: tuple[str, ...] = ("python", "json", "toml")

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.languages) - set(_PARSERS)):
            raise ValueError(f"unknown language {unknown[0]!r}; known: {', '.join(_PARSERS)}")

    def score(self, records: pl.DataFrame) -> pl.Series:
        """Share of the measured blocks that parse: 0 to 1; null without any."""
        return pl.Series([self._share(reply) for reply in records["reply"]], dtype=pl.Float64)

    def keep(self, score: pl.Series) -> pl.Series:
        return score >= self.minimum

    def _share(self, reply: str) -> float | None:
        if "```" not in reply and "~~~" not in reply:
            return None
        parsed = [
            _parses(language, code.replace(f"\n{lead}", "\n").removeprefix(lead) if lead else code)
            for lead, _, name, code in _BLOCK.findall(reply)
            if (language := _NAMES.get(name.lower(), name.lower())) in self.languages and len(code) <= _LONGEST
        ]
        return sum(parsed) / len(parsed) if parsed else None


def _parses(language: str, code: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _PARSERS[language](code)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False
    return True


def _python(code: str) -> None:
    lines = code.split("\n")
    if any(line.lstrip().startswith(">>> ") for line in lines):
        lines = [line.lstrip()[4:] for line in lines if line.lstrip().startswith((">>> ", "... "))]
    ast.parse(textwrap.dedent("\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))))


def _json(code: str) -> None:
    json.loads(re.sub(r"(?m)^\s*//.*$|^\s*\.\.\.\s*$", "", code))


_PARSERS: dict[str, Callable[[str], object]] = {"python": _python, "json": _json, "toml": tomllib.loads}
