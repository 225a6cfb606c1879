"""Whether a worked answer calculates right and comes to the known result."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from flywheel.records import Record
from flywheel.synthesize.verification.arithmetic import Malformed, Number, agrees, evaluate, number
from flywheel.synthesize.verification.contract import Judge, Known, one_by_one

_MARK = re.compile(r"<<(.*?)>>", re.DOTALL)
_ANSWER = re.compile(
    r"####\s*(?P<hashes>[^\n]+)|\\boxed\{(?P<boxed>[^{}\n]+)\}"
    r"|\b(?:final )?answer is:?\s*(?P<said>[-−$€£¥.\d]\S*)",
    re.IGNORECASE,
)
_STATED = re.compile(r"\d{1,3}(?:[, ]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+")


@dataclass(frozen=True)
class MathAnswer:
    """Calculations in `<<a+b=c>>` marks are right, and the final number (`#### c`, `\\boxed{c}`, `answer is c`) is the seed's.

    Arithmetic is exact; a result may be rounded or cut off at its last decimal. Reasons: `no_answer`; `not_a_number`;
    `malformed_calculation`; `wrong_calculation`; `unsupported_answer`: where a solution shows its work, its final number is
    nowhere in it (`supported = false` leaves that out); `wrong_answer`: a parent has a final number, and it is another one
    (`same_answer = false` for techniques that change the numbers).

    Source: Cobbe et al. 2021, "Training verifiers to solve math word problems", for the marks.
    """

    supported: bool = True
    same_answer: bool = True

    def judge(self) -> Judge:
        return one_by_one(self._wrong)

    def _wrong(self, child: Record, known: Known) -> str | None:
        try:
            answer = final_number(child.reply)
        except Malformed:
            return "not_a_number"
        if answer is None:
            return "no_answer"
        if reason := wrong_calculation(child.reply):
            return reason
        if self.supported and not _supported(answer, child.reply):
            return "unsupported_answer"
        if self.same_answer and any(not _equal(answer, parent.reply) for parent in known.parents_of(child)):
            return "wrong_answer"
        return None


def final_number(reply: str) -> Number | None:
    """The number that a reply ends with; None where it states no answer.

    Raises:
        Malformed: what it gives as its answer is no number.
    """
    found = list(_ANSWER.finditer(reply))
    if not found:
        return None
    last = next((match for match in reversed(found) if match["hashes"]), found[-1])
    return number(next(text for text in last.groups() if text is not None))


def wrong_calculation(reply: str) -> str | None:
    """What is wrong with a reply's calculator marks, or None."""
    for mark in _MARK.findall(reply):
        asked, equals, stated = mark.rpartition("=")
        try:
            if not equals or not agrees(evaluate(asked), number(stated)):
                return "wrong_calculation"
        except Malformed:
            return "malformed_calculation"
    return None


def _supported(answer: Number, reply: str) -> bool:
    """Whether the answer, its size alone, is among the numbers of the work; as cents for dollars or percent for a share too."""
    work = _MARK.sub("", _ANSWER.sub("", reply))
    stated = set(_numbers(work))
    size = abs(answer.value)
    return not stated or any(value in stated for value in (size, size / 100, size * 100))


def _numbers(text: str) -> Iterator[Fraction]:
    for match in _STATED.finditer(text):
        yield Fraction(re.sub(r"[, ]", "", match.group()))


def _equal(answer: Number, reply: str) -> bool:
    """Whether the answer is that of another reply; True where that one states none."""
    try:
        other = final_number(reply)
    except Malformed:
        return True
    return other is None or answer.value == other.value
