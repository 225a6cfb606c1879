"""Sentences from templates: `[a|b]` picks one, `{slot}` is filled and stays the same within a conversation."""

import random
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_CHOICE = re.compile(r"\[([^\[\]]*\|[^\[\]]*)\]")
_SLOT = re.compile(r"\{([a-z_0-9]+)\}")


def load_grammar() -> dict[str, Any]:
    """The templates of grammar.toml."""
    return tomllib.loads(Path(__file__).with_name("grammar.toml").read_text("utf-8"))


@dataclass
class Speaker:
    """Fills templates for one conversation. `fixed` holds what was filled so far, and slots given beforehand."""

    grammar: dict[str, Any]
    rng: random.Random
    fixed: dict[str, str] = field(default_factory=dict)

    def say(self, template: str) -> str:
        """The template with every choice made and every known slot filled; unknown braces stay as they are."""
        while found := _CHOICE.search(template):
            chosen = self.rng.choice(found[1].split("|"))
            template = template[: found.start()] + chosen + template[found.end() :]
        return _SLOT.sub(self._fill, template)

    def one_of(self, pool: list[str]) -> str:
        return self.say(self.rng.choice(pool))

    def _fill(self, found: "re.Match[str]") -> str:
        name = found[1]
        if name not in self.fixed:
            if name in _MADE:
                self.fixed[name] = _MADE[name](self.rng)
            elif name in self.grammar["slots"]:
                self.fixed[name] = self.rng.choice(self.grammar["slots"][name])
            else:
                return found[0]
        return self.fixed[name]


_MADE: dict[str, Callable[[random.Random], str]] = {
    "amount": lambda rng: (
        f"{rng.choice(['$', '€', '£'])}{rng.randrange(5, 900)}.{rng.choice(['00', '49', '50', '90', '95', '99'])}"
    ),
    "order": lambda rng: f"{rng.choice(['TS', 'VL', 'OR', 'PB'])}-{rng.randrange(100_000, 1_000_000)}",
    "ticket": lambda rng: f"T{rng.randrange(10_000, 100_000)}",
    "serial": lambda rng: f"SN{rng.randrange(10**6, 10**7)}{rng.choice('ABCDEFGH')}",
    "promo": lambda rng: f"{rng.choice(['SPRING', 'WELCOME', 'BUDS', 'LOYAL', 'MARCH'])}{rng.randrange(5, 40)}",
    "code": lambda rng: f"{rng.choice('EFHP')}{rng.randrange(10, 100)}",
    "n": lambda rng: str(rng.randrange(3, 10)),
    "m": lambda rng: str(rng.randrange(2, 7)),
    "line": lambda rng: str(rng.randrange(12, 400)),
    "letter": lambda rng: rng.choice("aeghkmnprst"),
}
