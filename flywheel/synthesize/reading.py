"""What a model's answer says: lists, final answers, and whether the work before one can be trusted."""

import re
from decimal import Decimal
from fractions import Fraction

from flywheel.records import Message, Record, text_message
from flywheel.synthesize.verification.arithmetic import Malformed, number
from flywheel.synthesize.verification.contract import Known
from flywheel.synthesize.verification.math_answer import MathAnswer, final_number
from flywheel.synthesize.verification.rouge import words

WORK = "Work it out step by step. End with a line `#### ANSWER` that holds nothing but the answer."

_NUMBERED = re.compile(r"^[ \t]*\d{1,3}[.):][ \t]+", re.MULTILINE)
_BULLETED = re.compile(r"^[ \t]*[-*•][ \t]+", re.MULTILINE)
_QUOTED = re.compile(r"(?P<open>[\"'“«`])(?P<inside>[^\"“”«»`]+)(?P<close>[\"'”»`])")
_CHOICE = re.compile(r"(?:####|\banswer is:?)[ \t*]*\(?(?P<choice>[A-H]|(?i:yes|no|true|false))\)?[*.]*(?=\s|\Z)")
_WHOLE = re.compile(r"\(?(?P<choice>[A-H]|(?i:yes|no|true|false))\)?\.?")
_LAST_LINE = re.compile(r"\s*####[^\n]*\s*\Z")
_LEAST_WORK = 3  # words beside the answer
_CALCULATES = MathAnswer(same_answer=False).judge()

Final = Fraction | str


def bare(answer: str) -> str:
    """An answer without the white space and the one pair of quotation marks around it."""
    text = answer.strip()
    quoted = _QUOTED.fullmatch(text)
    return quoted["inside"].strip() if quoted else text


def items(answer: str) -> list[str]:
    """The items of a numbered list, or of one with bullets where nothing is numbered; what stands before the first is no item."""
    mark = _NUMBERED if _NUMBERED.search(answer) else _BULLETED
    return [text for part in mark.split(answer)[1:] if (text := part.strip())]


def same_words(one: str, other: str) -> bool:
    """Whether two texts differ in case, punctuation and white space at most."""
    return words(one) == words(other) and bool(words(one) or one.strip() == other.strip())


def question(seed: Record) -> tuple[Message, ...]:
    """The conversation up to its last user message; empty where that says nothing."""
    last = max((at for at, message in enumerate(seed.messages) if message.role == "user"), default=-1)
    return seed.messages[: last + 1] if seed.prompt.strip() else ()


def restated(seed: Record, prompt: str) -> tuple[Message, ...]:
    """The conversation up to its last user message, whose text is `prompt` instead."""
    return seed.child(messages=question(seed), prompt=prompt).messages


def final_answer(reply: str) -> Final | None:
    """What a reply ends with: a number, or a choice (`a` to `h`, `yes`, `no`, `true`, `false`) in lower case.

    It is stated (`#### c`, `\\boxed{c}`, `answer is c`), the last one counts; or it is the whole reply. None where there is none.
    """
    try:
        if (stated := final_number(reply)) is not None:
            return stated.value
    except Malformed:
        pass
    choices = [match["choice"] for match in _CHOICE.finditer(reply)]
    if whole := _WHOLE.fullmatch(reply.strip()):
        choices.append(whole["choice"])
    if choices:
        return choices[-1].lower()
    try:
        return number(reply).value
    except Malformed:
        return None


def written(answer: Final) -> str:
    """An answer as one writes it: `72`, `3.5`, `1/3`, `B`, `yes`."""
    if isinstance(answer, str):
        return answer.upper() if len(answer) == 1 else answer
    decimal = format(Decimal(answer.numerator) / Decimal(answer.denominator), "f")
    return decimal if Fraction(decimal) == answer else str(answer)


def without_answer(worked: str) -> str:
    """A worked answer less its last line `#### c`."""
    return _LAST_LINE.sub("", worked).strip()


def wrong_work(worked: str, answer: Final) -> str | None:
    """Why a worked answer is not to be trusted, as a reason slug, or None where it comes to the known one.

    `no_answer`, `wrong_answer`, `no_work`, and for a number whatever `math_answer` finds in the calculations.
    """
    found = final_answer(worked)
    if found is None:
        return "no_answer"
    if found != answer:
        return "wrong_answer"
    if len(words(without_answer(worked))) < _LEAST_WORK:
        return "no_work"
    if isinstance(answer, str):
        return None
    return _CALCULATES([Record(id="", messages=(text_message("assistant", worked),))], Known())[0]
