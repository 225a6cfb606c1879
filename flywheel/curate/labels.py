"""Feedback to labels: whether a reply is good, how it scores, and which of two answers is better, each with its reasons."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec
import polars as pl

from flywheel.curate.label_rules import LabelRule, in_order, number
from flywheel.records import Candidate, Feedback, Message, Record, from_batch, text_message

Label = Literal["good", "bad"]
Origin = Literal["correction", "edited", "ab_winner", "ranked", "feedback", "regenerated"]
ORIGINS: tuple[Origin, ...] = ("correction", "edited", "ab_winner", "ranked", "feedback", "regenerated")
"""Where a preference comes from, the most reliable first."""

NO_PAIR = ("conflict", "equal_pair", "prompts_differ", "ambiguous_prompt", "no_pair")
_EMPTY = ("true", "false", "yes", "no")
_ANSWERS = ("assistant", "tool")


class Evidence(NamedTuple):
    """Why a label is what it is: the feedback's name as logged, and the rule that spoke."""

    feedback: str
    rule: str


class Pair(NamedTuple):
    """Two answers to one prompt. `chosen_first` is whether the better one was made or shown first, None where unknown."""

    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    origin: Origin
    rule: str
    chosen_first: bool | None


class Labels(NamedTuple):
    """What a record's feedback says.

    `label` is None with the reason `no_feedback` (no rule spoke) or `conflict` (both good and bad were said). `score` is the
    mean over the feedback that the first scoring rule matched. `pairs` come most reliable origin first, then in the order of
    the candidates; where there are none, `no_pair` says why (one of `NO_PAIR`).
    """

    label: Label | None
    score: float | None
    reason: str | None
    bad_share: float | None
    evidence: tuple[Evidence, ...]
    pairs: tuple[Pair, ...]
    no_pair: str | None


class _Opinion(NamedTuple):
    """What was said of one answer. `scores` are of the rule `scored_by`; `winners` maps ids of answers that it calls the
    best to the rule that says so; `texts` are better answers.
    """

    goods: int
    bads: int
    labelled_by: str | None
    scores: tuple[float, ...]
    scored_by: str | None
    winners: Mapping[str, str]
    texts: tuple[tuple[Origin, str, str], ...]
    evidence: tuple[Evidence, ...]

    @property
    def label(self) -> Label | None:
        if bool(self.goods) == bool(self.bads):
            return None
        return "good" if self.goods else "bad"

    @property
    def score(self) -> float | None:
        return sum(self.scores) / len(self.scores) if self.scores else None


_NOTHING = _Opinion(0, 0, None, (), None, {}, (), ())


def label(record: Record, rules: tuple[LabelRule, ...] = ()) -> Labels:
    """Apply the rules, and after them the default ones, to one record.

    Feedback is about the reply, or, called `NAME@ID`, about the candidate with that id. What was said of an earlier turn
    (`NAME@ID` with any other id, see `sources.threads`) counts for nothing here. Missing is not negative: without feedback,
    or with feedback that contradicts itself, there is no label.

    Pairs: a correction or an edit over the answer that it corrects; a winner over every other answer; the reply over
    candidates that a rule calls worse; of two answers one labelled good over one labelled bad, else the one that the same
    rule scores higher. Where these contradict each other there is no pair (`conflict`). That the reply is better than a
    regenerated answer is inferred, not said: the stitched record keeps the reply that the conversation went on with, else
    the last one made. Feedback that says otherwise of the two outweighs it, and it is no pair where somebody disliked the
    reply or liked the candidate.

    Args:
        rules: the project's `[[labels]]`; see `label_rules.in_order`.
    """
    ordered = in_order(rules)
    dialect = _dialect(record)
    said = _by_answer(record)
    answers = (record.id, *(other.id for other in record.candidates if other.id))
    about = {key: _opinion(given, ordered, dialect, answers) for key, given in said.items()}
    reply = about.get(None, _NOTHING)
    rated = reply.goods + reply.bads
    reason = None if reply.label else "conflict" if rated else "no_feedback"
    pairs, no_pair = _pairs(record, about, ordered, dialect)
    bad_share = reply.bads / rated if rated else None
    return Labels(reply.label, reply.score, reason, bad_share, reply.evidence, pairs, no_pair)


def _dialect(record: Record) -> str:
    return (record.source and record.source.dialect) or record.origin.partition(":")[2]


def _by_answer(record: Record) -> Mapping[str | None, list[Feedback]]:
    """Feedback by the answer it is about: None for the reply, else a candidate's id."""
    known = {other.id for other in record.candidates if other.id}
    found: dict[str | None, list[Feedback]] = {}
    for one in record.feedback:
        _, scoped, id = one.name.partition("@")
        key = None if not scoped or id == record.id else id
        if key is None or key in known:
            found.setdefault(key, []).append(one)
    return found


def _opinion(given: Sequence[Feedback], rules: tuple[LabelRule, ...], dialect: str, answers: tuple[str, ...]) -> _Opinion:
    goods = bads = 0
    labelled_by: str | None = None
    scores: dict[int, list[float]] = {}
    winners: dict[str, str] = {}
    texts: list[tuple[Origin, str, str]] = []
    evidence: list[Evidence] = []
    for one in given:
        for at, rule in _speaking(one, rules, dialect):
            if rule.says in ("good", "bad"):
                goods, bads = goods + (rule.says == "good"), bads + (rule.says == "bad")
                labelled_by = labelled_by or rule.name
            elif rule.says == "winner":
                if (best := _best(one, answers)) is None:
                    continue
                winners[best] = rule.name
            elif rule.says in ("correction", "edited"):
                if not (text := _text(one)):
                    continue
                texts.append(("correction" if rule.says == "correction" else "edited", text, rule.name))
            elif (score := rule.score(one.value)) is not None:
                scores.setdefault(at, []).append(score)
            evidence.append(Evidence(one.name, rule.name))
    first = min(scores, default=None)
    scored, scored_by = ((), None) if first is None else (tuple(scores[first]), rules[first].name)
    return _Opinion(goods, bads, labelled_by, scored, scored_by, winners, tuple(texts), tuple(evidence))


def _speaking(one: Feedback, rules: tuple[LabelRule, ...], dialect: str) -> list[tuple[int, LabelRule]]:
    """The first rule of each kind that matches a feedback, up to the first that says to ignore it."""
    found: dict[str, tuple[int, LabelRule]] = {}
    for at in _matching(rules, one.name.partition("@")[0], one.value, one.by, dialect):
        says = rules[at].says
        if says == "ignore":
            break
        kind = "label" if says in ("good", "bad") else "score" if not isinstance(says, str) else says
        found.setdefault(kind, (at, rules[at]))
    return list(found.values())


@functools.lru_cache(maxsize=4096)
def _matching(rules: tuple[LabelRule, ...], name: str, value: str | None, by: str | None, dialect: str) -> tuple[int, ...]:
    return tuple(at for at, rule in enumerate(rules) if rule.matches(name, value, by, dialect))


def _best(one: Feedback, answers: tuple[str, ...]) -> str | None:
    """The answer that a winner's feedback names, or that it is about when it says yes."""
    value = (one.value or "").strip()
    if value in answers:
        return value
    mine = one.name.partition("@")[2] or answers[0]
    return mine if value.casefold() in ("true", "yes", "1", "1.0") else None


def _text(one: Feedback) -> str | None:
    value = (one.value or "").strip()
    told = value if value and value.casefold() not in _EMPTY and number(value) is None else (one.comment or "").strip()
    return told or None


def _pairs(
    record: Record, about: Mapping[str | None, _Opinion], rules: tuple[LabelRule, ...], dialect: str
) -> tuple[tuple[Pair, ...], str | None]:
    if len(record.messages) < 2 or record.messages[-1].role != "assistant":
        return (), "no_pair"
    found: list[Pair] = []
    reasons: set[str] = set()

    def add(made: "Pair | str") -> None:
        if isinstance(made, str):
            reasons.add(made)
        elif _spoken(made.chosen) == _spoken(made.rejected):
            reasons.add("equal_pair")
        else:
            found.append(made)

    reply = about.get(None, _NOTHING)
    for made in _corrected(record.messages[:-1], record.messages[-1:], reply):
        add(made)
    winners = {id: rule for opinion in about.values() for id, rule in opinion.winners.items()}
    for candidate in record.candidates:
        opinion = about.get(candidate.id, _NOTHING) if candidate.id else _NOTHING
        split = _split(record, candidate, dialect)
        if opinion.texts and not isinstance(split, str):
            for made in _corrected(split[0], split[2], opinion):
                add(made)
        verdict: _Verdict | str | None = "conflict"
        if len(winners) < 2:
            won = [
                _Verdict(id == record.id, "ab_winner", rule) for id, rule in winners.items() if id in (record.id, candidate.id)
            ]
            verdict = _compare(reply, opinion, won, _worse(record, candidate, rules, dialect))
        if verdict is None or isinstance(verdict, str):
            add(verdict or "no_pair")
        elif isinstance(split, str):
            add(split)
        else:
            prompt, mine, other = split
            chosen, rejected = (mine, other) if verdict.reply_is_better else (other, mine)
            reply_first = _reply_first(record, candidate, verdict.origin)
            first = None if reply_first is None else reply_first is verdict.reply_is_better
            add(Pair(prompt, chosen, rejected, verdict.origin, verdict.rule, first))
    found.sort(key=lambda pair: ORIGINS.index(pair.origin))
    return tuple(found), None if found else min(reasons | {"no_pair"}, key=NO_PAIR.index)


def _corrected(prompt: tuple[Message, ...], answer: tuple[Message, ...], opinion: _Opinion) -> Iterable[Pair]:
    """The corrections of an answer's words. One that only calls tools has none to correct."""
    if not answer[-1].text.strip():
        return
    for origin, text, rule in opinion.texts:
        better = (*answer[:-1], text_message("assistant", text))
        yield Pair(prompt, better, answer, origin, rule, False)


def _number(record: Record, candidate: Candidate) -> int | None:
    """The place in which an answer of this record was shown, from 1, where its id says: `ID:2`."""
    owner, colon, place = (candidate.id or "").rpartition(":")
    return int(place) if colon and owner in (record.id, "answer") and place.isascii() and place.isdigit() else None


def _reply_first(record: Record, candidate: Candidate, origin: Origin) -> bool | None:
    """Whether the reply came before the candidate: by the numbers in their ids, else as choices of one response."""
    numbers = [_number(record, other) for other in record.candidates]
    mine = _number(record, candidate)
    if mine is not None and None not in numbers:
        own = min(set(range(1, len(numbers) + 2)) - set(numbers))
        return own < mine
    return True if candidate.id is None and origin in ("feedback", "ab_winner") else None


class _Verdict(NamedTuple):
    reply_is_better: bool
    origin: Origin
    rule: str


def _compare(reply: _Opinion, other: _Opinion, won: list[_Verdict], worse: tuple[Origin, str] | None) -> _Verdict | str | None:
    """Which of two answers is better; None where nothing says, `conflict` where what is said disagrees."""
    said = list(won)
    if worse and worse[0] == "ranked":
        said.append(_Verdict(True, *worse))
    if reply.label and other.label and reply.label != other.label:
        better = reply if reply.label == "good" else other
        said.append(_Verdict(better is reply, "feedback", better.labelled_by or ""))
    elif reply.scored_by and reply.scored_by == other.scored_by and reply.score != other.score:
        said.append(_Verdict((reply.score or 0) > (other.score or 0), "feedback", reply.scored_by))
    if len({one.reply_is_better for one in said}) > 1:
        return "conflict"
    if said:
        return min(said, key=lambda one: ORIGINS.index(one.origin))
    if worse is None:
        return None
    return "conflict" if reply.bads or other.goods else _Verdict(True, *worse)


def _worse(record: Record, candidate: Candidate, rules: tuple[LabelRule, ...], dialect: str) -> tuple[Origin, str] | None:
    """What the first rule about such candidates says."""
    ranked = any(one.name == "rank" for one in record.feedback)
    regenerated = candidate.id is not None and not ranked and _number(record, candidate) is None
    kinds = {"all"} | ({"ranked"} if ranked else set()) | ({"regenerated"} if regenerated else set())
    for rule in rules:
        if rule.candidates in kinds and rule.fits(dialect):
            origin: Origin = "regenerated" if rule.candidates == "regenerated" else "ranked"
            return None if rule.says == "ignore" else (origin, rule.name)
    return None


_Split = tuple[tuple[Message, ...], tuple[Message, ...], tuple[Message, ...]]


def _split(record: Record, candidate: Candidate, dialect: str) -> _Split | str:
    """The prompt that both answers share, the reply, and the candidate; or the reason why that cannot be known.

    Where several messages follow the last user message, the answer is the last of them or all: a logged response is one
    message; a row of a preference data set, or a candidate of several messages, does not tell.
    """
    if not candidate.messages or any(message.role not in _ANSWERS for message in candidate.messages):
        return "prompts_differ"
    if candidate.messages[-1].role != "assistant":
        return "ambiguous_prompt"
    answered = 1
    while answered < len(record.messages) and record.messages[-answered - 1].role in _ANSWERS:
        answered += 1
    if answered > 1 and (dialect == "preference" or len(candidate.messages) > 1):
        return "ambiguous_prompt"
    return record.messages[:-1], record.messages[-1:], candidate.messages


def _spoken(answer: Iterable[Message]) -> list[tuple[object, ...]]:
    """An answer less what makes no difference: white space, ids and reasoning."""
    return [
        (
            m.role,
            " ".join(m.text.split()),
            [(part.type, part.url) for part in m.content if part.url],
            [(call.name, _arguments(call.arguments)) for call in m.tool_calls],
        )
        for m in answer
    ]


def _arguments(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text


def length(answer: Iterable[Message]) -> int:
    """Characters of an answer: its texts, and the names and arguments of its calls."""
    return sum(len(m.text) + sum(len(call.name) + len(call.arguments) for call in m.tool_calls) for m in answer)


TABLE: dict[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,
    "label": pl.String,
    "score": pl.Float64,
    "reason": pl.String,
    "bad_share": pl.Float64,
    "evidence": pl.List(pl.String),
    "pairs": pl.Int64,
    "no_pair": pl.String,
}


def label_table(records: pl.DataFrame, rules: tuple[LabelRule, ...] = ()) -> pl.DataFrame:
    """What `label` says of every record of a batch, in its order.

    Returns:
        `id`, `label`, `score`, `reason` (why there is no label), `bad_share` (of the feedback that labels the reply),
        `evidence` (`FEEDBACK:RULE`), `pairs` (how many), `no_pair` (why there is none). Records without feedback and
        candidates cost next to nothing.
    """
    speaking = (pl.col("feedback").list.len() > 0) | (pl.col("candidates").list.len() > 0)
    told = from_batch(records.filter(speaking.fill_null(False)))
    rows = []
    for record in told:
        found = label(record, rules)
        because = [f"{one.feedback}:{one.rule}" for one in found.evidence]
        rows.append((record.id, *found[:4], because, len(found.pairs), found.no_pair))
    said = pl.DataFrame(rows, schema=TABLE, orient="row").unique("id", keep="first")
    return (
        records.select("id")
        .join(said, on="id", how="left", maintain_order="left")
        .with_columns(
            pl.when(pl.col("label").is_null()).then(pl.col("reason").fill_null("no_feedback")).alias("reason"),
            pl.col("evidence").fill_null([]),
            pl.col("pairs").fill_null(0),
        )
        .with_columns(no_pair=pl.when(pl.col("pairs") == 0).then(pl.col("no_pair").fill_null("no_pair")))
    )
