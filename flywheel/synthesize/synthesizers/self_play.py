"""Two models that talk, each with a goal that the other does not know, and how it ended."""

import random
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

from flywheel.errors import Rejected
from flywheel.plugins import Model
from flywheel.records import Message, Record, digest, text_message
from flywheel.synthesize.asked import refuse
from flywheel.synthesize.dialogue import repeats, seen_by_user, sounds_like_assistant
from flywheel.synthesize.faults import ModelFailed

_END = "[END]"
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


class Side(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One side: its `goal`, which the other does not see, and `secrets` that it must not say.

    `limit` is the last value that it would agree to, where the two negotiate about a number.
    """

    goal: str
    secrets: tuple[str, ...] = ()
    limit: float | None = None


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What both sides know (`about`), and what each wants. `{request}` stands for the seed's prompt."""

    about: str
    user: Side
    assistant: Side

    def __post_init__(self) -> None:
        limits = (self.user.limit, self.assistant.limit)
        if (limits[0] is None) != (limits[1] is None) or (limits[0] is not None and limits[0] == limits[1]):
            raise ValueError("either both sides of a scenario have a `limit`, and not the same one, or neither has")


SUPPORT = Scenario(
    about="A customer writes to the support desk of a company.",
    user=Side(
        goal="You are the customer. You need help with what stands below. Tell it bit by bit in your own words, answer what you "
        "are asked, and do not give in before it is solved.\n\n{request}"
    ),
    assistant=Side(
        goal="You are the agent. Find out what the customer needs, solve it, and promise nothing that you cannot know."
    ),
)


class Outcome(msgspec.Struct):
    """How a dialogue ended, as a judge reads it: the number agreed on, if any, and how far each side got."""

    agreed: bool
    value: float | None
    user: Annotated[int, msgspec.Meta(ge=0, le=10)]
    assistant: Annotated[int, msgspec.Meta(ge=0, le=10)]


@dataclass(frozen=True)
class SelfPlay:
    """Play one of `scenarios` (by default a support desk, about the seed's prompt), `games` times, and keep what scores well.

    The role `user` plays the user, the model itself the assistant; neither sees the other's goal. A game ends when the user
    says so. The role `judge` reads how it ended. Where the sides have limits, the score is the assistant's share of what lies
    between them, and 0 without an agreement; else the mean of how far both got, in tenths. Children have the tag `score=`; the
    assistant's side of the scenario is their system prompt.

    Args:
        longest: turns of the user, at most.
        least: the score of a child, at least, 0 to 1.

    Refused, a game each: `too_long`, `repeats_itself`, `secret_told`, `user_sounds_like_assistant`, `no_conversation`,
    `invented_outcome` (the judge reports a number that nobody said), `beyond_limit`, `low_score`.

    Source: Li et al. 2023 (CAMEL), for role play with hidden instructions; Silver et al. 2017, "Mastering the game of Go
    without human knowledge", for learning from self-play by outcome; Lewis et al. 2017, "Deal or no deal?", for negotiation.
    """

    scenarios: tuple[Scenario, ...] = (SUPPORT,)
    games: int = 1
    longest: int = 8
    least: float = 0.5

    def __post_init__(self) -> None:
        if not self.scenarios:
            raise ValueError("`scenarios` is empty; declare one at least")
        if self.games < 1 or self.longest < 1 or not 0 <= self.least <= 1:
            raise ValueError("`games` and `longest` are at least 1, and `least` is 0 to 1")

    def most_questions(self, seed: Record) -> Mapping[str, int]:
        """As of `AsksAtMost`."""
        games = self.games if seed.prompt.strip() else 0
        return {"generator": games * self.longest, "user": games * self.longest, "judge": games}

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        if not seed.prompt.strip():
            return
        dice = random.Random(digest(b"self_play", seed.id.encode()))
        scenario = dice.choice(self.scenarios)
        for game in range(self.games):
            try:
                messages = await _game(scenario, seed.prompt, model, game, self.longest)
                score = await _score(scenario, messages, model)
            except Rejected as rejected:
                refuse(rejected.slug)
                continue
            except ModelFailed as failed:
                refuse(f"model_failed:{failed.reason}")
                continue
            if score < self.least:
                refuse("low_score")
            else:
                yield seed.child(messages=messages, tags=(f"score={score:.2f}", f"game={game}"))


async def _game(scenario: Scenario, request: str, model: Model, game: int, longest: int) -> list[Message]:
    """A game to its end.

    Raises:
        Rejected: somebody broke a rule, or it did not end.
    """
    about, wanted, offered = (
        text.replace("{request}", request) for text in (scenario.about, scenario.user.goal, scenario.assistant.goal)
    )
    instruction = (
        f"{about}\n\n{wanted}\n\nWrite one turn at a time, as this person would. When it is over for you, end with {_END}"
    )
    start = "(The conversation begins. Write your first turn.)"
    messages = [text_message("system", f"{about}\n\n{offered}")]
    for _ in range(longest):
        said = await model.role("user").ask(seen_by_user(messages, instruction, start), sample=game)
        words, over, _ = said.partition(_END)
        if words.strip():
            messages.append(_turn(messages, "user", words, scenario.user))
            answer = await model.ask(messages, sample=game)
            messages.append(_turn(messages, "assistant", answer, scenario.assistant))
        if over and len(messages) > 1:
            return messages
        if over:
            raise Rejected("no_conversation")
    raise Rejected("too_long")


def _turn(messages: Sequence[Message], role: str, text: str, side: Side) -> Message:
    """A side's next turn, when it breaks no rule."""
    turn = text_message(role, text.strip())
    if role == "user" and sounds_like_assistant(turn.text):
        raise Rejected("user_sounds_like_assistant")
    if any(secret.casefold() in turn.text.casefold() for secret in side.secrets):
        raise Rejected("secret_told")
    if repeats(messages, turn):
        raise Rejected("repeats_itself")
    return turn


async def _score(scenario: Scenario, messages: Sequence[Message], model: Model) -> float:
    """The score of a game, 0 to 1.

    Raises:
        Rejected: what the judge says cannot be believed.
    """
    said = "\n\n".join(f"{one.role}: {one.text}" for one in messages if one.role != "system")
    wanted = f"The user wanted: {scenario.user.goal}\nThe assistant wanted: {scenario.assistant.goal}"
    prompt = (
        "Read how this conversation ended. Did the two agree at its end, on which number if it was about one (null if not), and "
        f"how far did each get what it wanted, from 0 to 10?\n\n{wanted}\n\n{said}"
    )
    outcome = await model.role("judge").structured(prompt, Outcome)
    low, high = scenario.assistant.limit, scenario.user.limit
    if low is None or high is None:
        return (outcome.user + outcome.assistant) / 20
    if not outcome.agreed or outcome.value is None:
        return 0.0
    if outcome.value not in {float(number.replace(",", "")) for number in _NUMBER.findall(said)}:
        raise Rejected("invented_outcome")
    share = (outcome.value - low) / (high - low)
    if not 0 <= share <= 1:
        raise Rejected("beyond_limit")
    return share
