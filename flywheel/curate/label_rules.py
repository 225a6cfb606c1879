"""`[[labels]]`: rules that say what a piece of feedback, or another answer beside the reply, means for training."""

import functools
import math
import re
import typing
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

import msgspec

from flywheel import plugins

Says = Literal["good", "bad", "score", "winner", "correction", "edited", "worse", "ignore"]
Scalar = bool | int | float | str
_CONDITIONS = ("equals", "among", "at_least", "at_most", "glob", "scale")
_SEPARATORS = re.compile(r"[\s\-.:/]+")


class LabelRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[labels]]`: which feedback it matches, and what that says of the answer that the feedback is about.

    `feedback`, `dialect` (of the source) and `by` (who gave it, as logged) are globs, several joined by `|`. They are
    compared in lower case, with blanks and `-`, `.`, `:`, `/` as `_`. The value must hold every condition that is given;
    `equals` and `in` compare numbers as numbers, words as globs' names are. `at_least` and `at_most` never hold for words.

    `says`:
    - `good` or `bad` labels the answer.
    - `score` scores it with the value, from 0 to 1 when a `scale` such as [1, 5] is given, whose outside is no score;
      `true` is 1 and `false` 0. A number scores it with that number.
    - `winner`: it is better than every other answer of its record.
    - `correction` or `edited`: the value is a better answer, or the comment where the value is only a number or true/false.
    - `worse`, of `candidates` in place of `feedback`: `all`, `ranked` (of a record with feedback `rank`, whose answers come
      best first) or `regenerated` (answers that the application's user had made again): the reply is better than these.
    - `ignore` says nothing and keeps later rules from saying something.

    Of the rules that match a feedback the first that labels it and the first that scores it count.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]*$")]
    says: Says | float
    feedback: str | None = None
    candidates: Literal["all", "ranked", "regenerated"] | None = None
    dialect: str = "*"
    by: str = "*"
    equals: Scalar | None = None
    among: tuple[Scalar, ...] = msgspec.field(default=(), name="in")
    at_least: float | None = None
    at_most: float | None = None
    glob: str | None = None
    scale: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        where = f"rule {self.name!r}"
        if (self.feedback is None) == (self.candidates is None):
            raise ValueError(f"{where} needs either `feedback`, a glob of feedback names, or `candidates`")
        if self.candidates is not None and self.says not in ("worse", "ignore"):
            raise ValueError(f"{where} is about candidates: it can say 'worse' or 'ignore', not {self.says!r}")
        if self.candidates is None and self.says == "worse":
            raise ValueError(f"{where} says 'worse', which is said of `candidates`; of feedback say 'bad'")
        if self.candidates is not None and (self.by != "*" or any(getattr(self, one) not in (None, ()) for one in _CONDITIONS)):
            raise ValueError(f"{where} is about candidates, which have no value and nobody who gave it")
        if self.scale is not None and (self.says != "score" or self.scale[0] >= self.scale[1]):
            raise ValueError(f"{where}: `scale` is the lowest and the highest value of a rule that says 'score'")

    def matches(self, name: str, value: str | None, by: str | None, dialect: str) -> bool:
        """Whether this rule speaks about a feedback; never of a rule about candidates."""
        if self.feedback is None or not (_any(self.feedback, name) and self.fits(dialect) and _any(self.by, by or "")):
            return False
        return _holds(self, value)

    def fits(self, dialect: str) -> bool:
        """Whether it speaks about records of this dialect."""
        return _any(self.dialect, dialect)

    def score(self, value: str | None) -> float | None:
        """The score that it gives to a feedback that it matches; None when it gives none."""
        if isinstance(self.says, int | float):
            return float(self.says)
        found = _score_of(value) if self.says == "score" else None
        if found is None or self.scale is None:
            return found
        low, high = self.scale
        return (found - low) / (high - low) if low <= found <= high else None


def _any(globs: str, text: str) -> bool:
    return any(fnmatchcase(_folded(text), one) for one in _folded(globs).split("|"))


@functools.lru_cache(maxsize=4096)
def _folded(text: str) -> str:
    return _SEPARATORS.sub("_", text.strip().casefold())


def number(value: str | None) -> float | None:
    """The value as a finite number, or None."""
    try:
        found = float(value or "")
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _score_of(value: str | None) -> float | None:
    return {"true": 1.0, "false": 0.0}.get((value or "").casefold(), number(value))


def _holds(rule: LabelRule, value: str | None) -> bool:
    if rule.says == "score" and rule.score(value) is None:
        return False
    wanted = (*rule.among, *(() if rule.equals is None else (rule.equals,)))
    if wanted and not any(_equal(value, one) for one in wanted):
        return False
    if rule.glob is not None and (value is None or not _any(rule.glob, value)):
        return False
    if rule.at_least is None and rule.at_most is None:
        return True
    found = number(value)
    lowest = -math.inf if rule.at_least is None else rule.at_least
    return found is not None and lowest <= found <= (math.inf if rule.at_most is None else rule.at_most)


def _equal(value: str | None, wanted: Scalar) -> bool:
    if value is None:
        return False
    if isinstance(wanted, bool):
        return _folded(value) == str(wanted).lower()
    mine, other = number(value), number(str(wanted))
    return mine == other if mine is not None and other is not None else _folded(value) == _folded(str(wanted))


_YES = "up thumbs_up thumbsup 👍 positive good like liked upvote yes helpful correct accept accepted approve approved"
_NO = "down thumbs_down thumbsdown 👎 negative bad dislike disliked downvote no unhelpful not_helpful incorrect wrong"
_NO += " reject rejected"
_UP: tuple[Scalar, ...] = (True, *_YES.split())
_DOWN: tuple[Scalar, ...] = (False, *_NO.split())
_ABOUT_THUMBS = "thumb*|*_thumb*|vote|like|liked|likes|upvote*|feedback|user_feedback|user_score|label|helpful"
_ABOUT_THUMBS += "|accept|accepted|approve|approved|correct|resolved|solved|success|passed"
_ABOUT_WORDS = "rating|user_rating|score|quality|helpfulness|correctness"
_AGAINST = "*dislike*|*downvote*|*thumb*down*|flag|flagged|report|reported"

DEFAULT_RULES = (
    LabelRule(name="against", feedback=_AGAINST, among=(*_UP, 1), says="bad"),
    LabelRule(name="not_against", feedback=_AGAINST, says="ignore"),
    LabelRule(name="thumbs_up", feedback=_ABOUT_THUMBS, among=(*_UP, 1), says="good"),
    LabelRule(name="thumbs_down", feedback=_ABOUT_THUMBS, among=(*_DOWN, 0, -1), says="bad"),
    LabelRule(name="words_good", feedback=_ABOUT_WORDS, among=_UP, says="good"),
    LabelRule(name="words_bad", feedback=_ABOUT_WORDS, among=_DOWN, says="bad"),
    LabelRule(name="reward_score", feedback="reward", says="score"),
    LabelRule(name="reward_good", feedback="reward", among=(True, 1), says="good"),
    LabelRule(name="reward_bad", feedback="reward", among=(False, 0), says="bad"),
    LabelRule(name="inspect_correct", feedback="*", dialect="inspect_ai", equals="C", says="good"),
    LabelRule(name="inspect_incorrect", feedback="*", dialect="inspect_ai", equals="I", says="bad"),
    LabelRule(name="correction", feedback="correction|corrections|corrected|corrected_*|human_correction", says="correction"),
    LabelRule(name="edited", feedback="edit|edited|edited_*|user_edit", says="edited"),
    LabelRule(name="winner", feedback="winner|*_winner|preferred|is_preferred", says="winner"),
    LabelRule(name="chosen", candidates="all", dialect="preference", says="worse"),
    LabelRule(name="ranked", candidates="ranked", says="worse"),
    LabelRule(name="regenerated", candidates="regenerated", says="worse"),
)
"""What holds where no rule of the project's matches first. Star ratings and other scales need a rule of their own."""


@functools.lru_cache(maxsize=64)
def in_order(rules: tuple[LabelRule, ...]) -> tuple[LabelRule, ...]:
    """The given rules, then the defaults; one with a default's name takes its place away."""
    own = {rule.name for rule in rules}
    return (*rules, *(rule for rule in DEFAULT_RULES if rule.name not in own))


def takes_rules(kind: str, name: str) -> bool:
    """Whether a plugin's settings have `rules`, a tuple of `LabelRule`. Imports it.

    Raises:
        PluginError: it is unknown or broken.
    """
    cls = plugins.find(kind, name).load()
    try:
        return bool(typing.get_type_hints(cls).get("rules") == tuple[LabelRule, ...])
    except NameError:  # a type that is not defined: `plugins.build` says so
        return False


def with_rules(kind: str, name: str, settings: Mapping[str, Any], rules: tuple[LabelRule, ...]) -> dict[str, Any]:
    """A plugin's settings with the project's `[[labels]]`, where it takes rules and was given none of its own.

    Raises:
        PluginError: it is unknown or broken.
    """
    given = dict(settings)
    return given | {"rules": rules} if rules and "rules" not in given and takes_rules(kind, name) else given
