"""Arithmetic as people write it, evaluated exactly and without `eval`."""

import operator
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple

_LONGEST = 1_000
_LARGEST_POWER = 64
_MOST_DIGITS = 400
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d*)?|\.\d+)|(?P<sign>\*\*|//|[-+*/^()%]|[−–×÷·])|(?P<unit>[$€£¥])|(?P<other>\S))"
)
_PRODUCTS: dict[str, Callable[[Fraction, Fraction], Fraction | int]] = {
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
}
_SAME = {"−": "-", "–": "-", "×": "*", "·": "*", "÷": "/", "**": "^"}


class Malformed(ValueError):
    """The text is no arithmetic, or larger than anyone calculates by hand."""


class Number(NamedTuple):
    """A written number: its exact value, and the unit of its last written digit (1 for `24`, 1/100 for `3.50`)."""

    value: Fraction
    step: Fraction


def evaluate(text: str) -> Fraction:
    """The value of an expression of numbers, `+ - * / // ^ ( )`, percent signs and currency signs.

    `48/2`, `$1,200 × 15%`, `-(3 1/2)` is malformed: two values must have an operator or a bracket between them. A bracket after
    a value multiplies. Division is exact.

    Raises:
        Malformed: it is none, divides by zero, or is absurdly long or large.
    """
    if len(text) > _LONGEST:
        raise Malformed(f"{len(text)} characters are too many")
    parser = _Parser(list(_tokens(text)))
    try:
        value = parser.sum()
    except ZeroDivisionError:
        raise Malformed("division by zero") from None
    except RecursionError:
        raise Malformed("too many brackets") from None
    if parser.left:
        raise Malformed(f"{parser.left[0]!r} is not expected")
    return value


def number(text: str) -> Number:
    """A number as an answer states it: `1,234`, `$3.50`, `-7`, `3/4`, `12%` (a hundredth of 12), `.5`, with a final full stop.

    Raises:
        Malformed: it is no single number.
    """
    bare = text.strip().rstrip(".").strip()
    value = evaluate(bare)
    if not re.fullmatch(r"[-−–+]?\s*[$€£¥]?\s*[-−–]?[\d,]*\.?\d*(\s*/\s*\d+)?\s*%?", bare) or not re.search(r"\d", bare):
        raise Malformed("it is more than a number")
    decimals = len(bare.rstrip("% ").rpartition(".")[2]) if "." in bare else 0
    step = Fraction(1, 10**decimals) / (100 if bare.endswith("%") else 1)
    return Number(value, Fraction(0) if "/" in bare else step)


def agrees(exact: Fraction, stated: Number) -> bool:
    """Whether a stated number is the exact one, rounded or cut off at the last digit that is written."""
    return exact == stated.value or (abs(exact - stated.value) < stated.step and stated.step < 1)


def _tokens(text: str) -> Iterator[str]:
    for match in _TOKEN.finditer(text):
        if match["other"]:
            raise Malformed(f"{match['other']!r} is no arithmetic")
        if match["number"]:
            yield match["number"].replace(",", "")
        elif match["sign"]:
            yield _SAME.get(match["sign"], match["sign"])


class _Parser:
    """Sums of products of powers of signed values; consumes `left` from its start."""

    def __init__(self, left: list[str]) -> None:
        self.left = left

    def _next(self, *expected: str) -> str | None:
        return self.left.pop(0) if self.left and self.left[0] in expected else None

    def sum(self) -> Fraction:
        value = self._product()
        while sign := self._next("+", "-"):
            other = self._product()
            value = value + other if sign == "+" else value - other
        return _bounded(value)

    def _product(self) -> Fraction:
        value = self._signed()
        while True:
            if sign := self._next("*", "/", "//"):
                other = self._signed()
                value = _bounded(Fraction(_PRODUCTS[sign](value, other)))
            elif self.left and self.left[0] == "(":
                value = _bounded(value * self._power())
            else:
                return value

    def _signed(self) -> Fraction:
        if sign := self._next("+", "-"):
            value = self._signed()
            return -value if sign == "-" else value
        return self._power()

    def _power(self) -> Fraction:
        value = self._percent()
        if self._next("^"):
            exponent = self._signed()
            if exponent.denominator != 1 or abs(exponent) > _LARGEST_POWER:
                raise Malformed("the exponent is no small whole number")
            value = _bounded(value ** int(exponent))
        return value

    def _percent(self) -> Fraction:
        value = self._value()
        while self._next("%"):
            value /= 100
        return value

    def _value(self) -> Fraction:
        if self._next("("):
            value = self.sum()
            if not self._next(")"):
                raise Malformed("a bracket is not closed")
            return value
        if not self.left or (not self.left[0][-1].isdigit() and not self.left[0].endswith(".")):
            raise Malformed("a number is missing")
        return _bounded(Fraction(self.left.pop(0)))


def _bounded(value: Fraction) -> Fraction:
    if value.numerator.bit_length() + value.denominator.bit_length() > 3 * _MOST_DIGITS:
        raise Malformed("the number is too large")
    return value
