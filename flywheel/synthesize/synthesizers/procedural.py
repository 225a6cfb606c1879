"""Problems made by rules, with a worked solution that is right by construction and is checked again."""

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from flywheel.plugins import Model
from flywheel.records import Record, digest, text_message
from flywheel.synthesize.verification.math_answer import final_number, wrong_calculation

KINDS = ("arithmetic", "geometry")
_PEOPLE = ("Ada", "Ben", "Chloe", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Keiko", "Mateo")
_THINGS = ("apples", "stamps", "marbles", "stickers", "books", "coins", "shells", "cards")


class Problem(NamedTuple):
    """A question, its worked solution, and the answer that the solution must come to."""

    question: str
    solution: str
    answer: Fraction


@dataclass(frozen=True)
class Procedural:
    """Word problems of `steps` steps, and angle problems solved by forward deduction; `copies` of each of `kinds` a seed.

    Solutions show each step as a calculator mark (`<<3*4=12>>`) and end with `#### answer`, as GSM8K's do. A problem is only
    passed on when the marks, evaluated anew, are right and end at the answer. Of its seed a child has only the lineage.

    Source: Trinh et al. 2024 (AlphaGeometry), for deducing facts from random premises and asking for one that needed several;
    Cobbe et al. 2021 (GSM8K), for the form.
    """

    kinds: tuple[str, ...] = KINDS
    steps: int = 3
    copies: int = 1

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.kinds) - set(KINDS)):
            raise ValueError(f"there is no kind {unknown[0]!r}; there is {', '.join(KINDS)}")
        if not 1 <= self.steps <= 8:
            raise ValueError(f"`steps` is 1 to 8, not {self.steps}")
        if self.copies < 1:
            raise ValueError(f"`copies` is at least 1, not {self.copies}")

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:  # noqa: ARG002
        for kind in dict.fromkeys(self.kinds):
            for copy in range(self.copies):
                dice = random.Random(digest(b"procedural", kind.encode(), seed.id.encode(), str(copy).encode()))
                problem = arithmetic(dice, self.steps) if kind == "arithmetic" else geometry(dice)
                if holds(problem):
                    turns = [text_message("user", problem.question), text_message("assistant", problem.solution)]
                    yield seed.child(messages=turns, tags=(f"kind={kind}",))


def holds(problem: Problem) -> bool:
    """Whether every calculation of the solution is right and it states the answer."""
    stated = final_number(problem.solution)
    return stated is not None and stated.value == problem.answer and wrong_calculation(problem.solution) is None


def arithmetic(dice: random.Random, steps: int) -> Problem:
    """A story in which a number of things changes `steps` times; it stays a whole number above 0."""
    person, things = dice.choice(_PEOPLE), dice.choice(_THINGS)
    have = dice.randint(4, 40)
    told, work = [f"{person} has {have} {things}."], []
    for _ in range(steps):
        sentence, sign, other = dice.choice([step for step in _changes(have, dice) if step[1] != "/" or have % step[2] == 0])
        new = {"+": have + other, "-": have - other, "*": have * other, "/": have // other}[sign]
        told.append(sentence.format(other=other, things=things, person=person))
        work.append(f"{have} {sign} {other} = <<{have}{sign}{other}={new}>>{new} {things}.")
        have = new
    question = " ".join((*told, f"How many {things} does {person} have now?"))
    return Problem(question, "\n".join((*work, f"#### {have}")), Fraction(have))


def _changes(have: int, dice: random.Random) -> list[tuple[str, str, int]]:
    found = [("{person} buys {other} more {things}.", "+", dice.randint(2, 60))]
    if have > 2:
        found.append(("{person} gives {other} {things} to a friend.", "-", dice.randint(1, have - 1)))
    if have < 500:
        found.append(("An aunt makes it {other} times as many.", "*", dice.randint(2, 5)))
    return [*found, ("{person} shares them evenly among {other} people, and keeps one share.", "/", dice.choice((2, 3, 4, 5)))]


class Rule(NamedTuple):
    """From the values of `needs` follows that of `gives`; `reason` says why, `formula` how, with `{0}` for the first value."""

    needs: tuple[str, ...]
    gives: str
    formula: str
    value: Callable[..., Fraction]
    reason: str


def deduce(facts: dict[str, Fraction], rules: list[Rule]) -> dict[str, tuple[Rule, int]]:
    """Every fact that follows, with the rule that gave it first and its depth, by breadth: no shorter deduction is overlooked."""
    known: dict[str, Fraction] = dict(facts)
    found: dict[str, tuple[Rule, int]] = {}
    depth = 0
    while True:
        depth += 1
        ready = [rule for rule in rules if rule.gives not in known and all(need in known for need in rule.needs)]
        if not ready:
            return found
        values = {rule.gives: (rule, rule.value(*(known[need] for need in rule.needs))) for rule in reversed(ready)}
        for name, (rule, value) in values.items():
            known[name], found[name] = value, (rule, depth)


def geometry(dice: random.Random) -> Problem:
    """An isosceles triangle, a point on its base's extension, a parallel: find the angle that is deduced last."""
    a, b, c, d, e = dice.sample("ABCDEFGHKLMNPQRST", 5)
    apex, base, other = f"{b}{a}{c}", f"{a}{b}{c}", f"{a}{c}{b}"
    outside, beside, half = f"{a}{c}{d}", f"{d}{c}{e}", f"half of {apex}"
    rules = [
        Rule((base,), other, "{0}", lambda x: x, f"{a}{b} = {a}{c}, so the angles at the base are equal"),
        Rule((base, other), apex, "180-{0}-{1}", lambda x, y: 180 - x - y, f"the angles of triangle {a}{b}{c} add up to 180"),
        Rule((apex,), base, "(180-{0})/2", lambda x: (180 - x) / 2, "the two angles at the base share the rest of 180"),
        Rule((other,), outside, "180-{0}", lambda x: 180 - x, f"{b}, {c} and {d} are on one line"),
        Rule((base,), beside, "{0}", lambda x: x, f"{c}{e} is parallel to {b}{a}, so corresponding angles are equal"),
        Rule((apex,), half, "{0}/2", lambda x: x / 2, f"the bisector at {a} halves the angle {apex}"),
    ]
    given = dice.choice((base, apex))
    facts = {given: Fraction(dice.randrange(20, 80) if given == base else 2 * dice.randrange(10, 80))}
    found = deduce(facts, rules)
    deepest = max(depth for _, depth in found.values())
    wanted = dice.choice(sorted(name for name, (_, depth) in found.items() if depth == deepest))
    told = (
        f"In triangle {a}{b}{c}, {a}{b} = {a}{c}. {d} lies on the extension of {b}{c} beyond {c}, and {c}{e} is parallel "
        f"to {b}{a}, with {e} on the same side of {b}{d} as {a}. The angle {given} is {facts[given]} degrees."
    )
    asked = f"the angle {wanted}" if wanted != half else f"each of the angles into which the bisector at {a} divides {apex}"
    lines, values = _worked(wanted, facts, found)
    return Problem(
        f"{told} How many degrees is {asked}?", "\n".join((*lines, f"#### {_written(values[wanted])}")), values[wanted]
    )


def _worked(wanted: str, facts: dict[str, Fraction], found: dict[str, tuple[Rule, int]]) -> tuple[list[str], dict[str, Fraction]]:
    """The steps that lead to the wanted fact and no others, in order, and the values on the way."""
    needed, stack = set[str](), [wanted]
    while stack:
        name = stack.pop()
        if name in found and name not in needed:
            needed.add(name)
            stack += found[name][0].needs
    values, lines = dict(facts), []
    for name, (rule, _) in sorted(found.items(), key=lambda item: item[1][1]):
        if name in needed:
            used = [values[need] for need in rule.needs]
            values[name] = rule.value(*used)
            mark = rule.formula.format(*map(_written, used))
            lines.append(
                f"The angle {name} is <<{mark}={_written(values[name])}>>{_written(values[name])} degrees: {rule.reason}."
            )
    return lines, values


def _written(value: Fraction) -> str:
    """A whole number or a half as people write it."""
    return str(int(value)) if value.denominator == 1 else f"{float(value):g}"
