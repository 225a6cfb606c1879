"""Dialogues that models play: games with hidden goals, and talk about topics."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from flywheel import plugins
from flywheel.errors import PluginError
from flywheel.plugins import Synthesizer
from flywheel.records import Record, from_batch, to_batch
from flywheel.synthesize.dialogue import sounds_like_assistant
from flywheel.synthesize.driver import Synthesized, synthesize
from flywheel.synthesize.synthesizers.self_play import SelfPlay
from flywheel.synthesize.synthesizers.ultrachat import UltraChat
from flywheel.synthesize.verify import verify
from flywheel_tests.synthesize.conftest import Connect, Serve
from flywheel_tests.synthesize.conversations import chat
from flywheel_tests.synthesize.scripted_server import Reply, Request, completion

SEED = chat("My parcel has not come.", "Where is it going?")
SALE = {
    "about": "A used bicycle is for sale.",
    "user": {"goal": "Buy it for as little as possible, 900 at most.", "secrets": ["900"], "limit": 900},
    "assistant": {"goal": "Sell it for as much as possible, 700 at least.", "limit": 700},
}
DEAL = {"agreed": True, "value": 850, "user": 3, "assistant": 8}


def run(plugin: Synthesizer, model: Any, seeds: Sequence[Record] = (SEED,)) -> tuple[list[Record], Synthesized]:
    made = synthesize([to_batch(seeds)], plugin, name="talk", model=model)
    return [child for batch in made for child in from_batch(batch)], made


def game(user: Sequence[str], assistant: Sequence[str], outcome: Mapping[str, Any]) -> Callable[[Request], Reply]:
    """Each side says its turns in order, by how many it has said in the conversation that it is shown."""

    def answer(request: Request) -> Reply:
        rows = request.body["messages"]
        if any(row["content"].startswith("Read how this conversation ended") for row in rows):
            return completion(json.dumps(outcome))
        said = sum(row["role"] == "assistant" for row in rows)
        return completion((user if "[END]" in rows[0]["content"] else assistant)[said])

    return answer


def sale(**settings: object) -> SelfPlay:
    plugin = plugins.build("synthesizer", "self_play", {"scenarios": [SALE], **settings})
    assert isinstance(plugin, SelfPlay)
    return plugin


def test_a_negotiation_is_scored_by_the_share_that_the_assistant_won(serve: Serve, connect: Connect) -> None:
    server = serve(game(["Would you take 750?", "Then 850. Deal! [END]"], ["I want 880.", "Agreed, 850."], DEAL))

    (child,), made = run(sale(), connect(server))
    outcome = verify(to_batch([child]), to_batch([SEED]))

    shown = [json.dumps(request.body) for request in server.requests]
    as_user = [request.body["messages"] for request in server.requests if "[END]" in request.body["messages"][0]["content"]]
    assert [message.role for message in child.messages] == ["system", *["user", "assistant"] * 2]
    assert [message.text for message in child.messages[1:4]] == ["Would you take 750?", "I want 880.", "Then 850. Deal!"]
    assert "score=0.75" in child.tags
    assert [row["role"] for row in as_user[1]] == ["system", "user", "assistant", "user"]
    assert [row["content"] for row in as_user[1][2:]] == ["Would you take 750?", "I want 880."]
    assert not any("900 at most" in one and "700 at least" in one for one in shown if "Read how" not in one)
    assert (made.reasons, outcome.exits.height) == ({}, 0)


@pytest.mark.parametrize(
    ("user", "assistant", "outcome", "reason"),
    [
        (["Would you take 750? [END]"], ["Yes, 750."], {"value": 750}, "low_score"),
        (["No. [END]"], ["Fine."], {"agreed": False, "value": None}, "low_score"),
        (["Would you take 750? [END]"], ["Yes, 750."], {"value": 840}, "invented_outcome"),
        (["I give you 990. [END]"], ["Yes, 990."], {"value": 990}, "beyond_limit"),
        (["I can pay 900 at most."], ["Good."], {}, "secret_told"),
        (["750?", "750."], ["More.", "More!"], {}, "repeats_itself"),
        (["750?", "760?"], ["More.", "more"], {}, "repeats_itself"),
        ([f"{n}?" for n in range(700, 720)], [f"No, not {n}." for n in range(700, 720)], {}, "too_long"),
        (["Sure, I can help you with that."], ["Good."], {}, "user_sounds_like_assistant"),
        (["[END]"], [], {}, "no_conversation"),
        (["800 [END]"], ["Yes, 800."], {"user": 11}, "model_failed:invalid_answer"),
    ],
)
def test_a_game_that_breaks_a_rule_or_scores_low_is_refused_by_reason(
    user: list[str], assistant: list[str], outcome: dict[str, Any], reason: str, serve: Serve, connect: Connect
) -> None:
    children, made = run(sale(), connect(serve(game(user, assistant, {**DEAL, **outcome}))))

    assert children == []
    assert made.reasons == {reason: 1, "no_children": 1}


def test_without_scenarios_the_seed_is_a_case_for_the_support_desk(serve: Serve, connect: Connect) -> None:
    outcome = {"agreed": True, "value": None, "user": 9, "assistant": 8}
    server = serve(game(["It has not come.", "Thanks. [END]"], ["Which number?", "It comes on Monday."], outcome))

    (child,), _ = run(SelfPlay(), connect(server))
    children, made = run(SelfPlay(least=0.9), connect(server))

    assert "score=0.85" in child.tags
    assert [SEED.prompt in message.text for message in child.messages] == [False] * 5
    assert SEED.prompt in server.requests[0].body["messages"][0]["content"]
    assert (children, made.reasons) == ([], {"low_score": 1, "no_children": 1})


@pytest.mark.parametrize(
    "wrong", [{"scenarios": []}, {"games": 0}, {"least": 2}, {"scenarios": [{**SALE, "user": {"goal": "x"}}]}]
)
def test_senseless_games_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PluginError, match=r"scenario|games|least"):
        plugins.build("synthesizer", "self_play", wrong)


# Topics.


def topics(listed: str, follow_up: Callable[[int], str] = lambda n: f"And the cost of {n}?") -> Callable[[Request], Reply]:
    def answer(request: Request) -> Reply:
        rows = request.body["messages"]
        if request.prompt.startswith("Name the topic"):
            return completion('"Parcels"')
        if request.prompt.startswith("List "):
            assert "'Parcels'" in request.prompt
            return completion(listed)
        if not rows[0]["content"].startswith("You are somebody"):
            return completion(f"An answer to: {request.prompt}")
        about = rows[0]["content"].partition("about ")[2].partition(" (")[0]
        return completion(f"What of {about}?" if len(rows) == 2 else follow_up(len(rows)))

    return answer


def test_each_subtopic_becomes_a_dialogue_of_its_own(serve: Serve, connect: Connect) -> None:
    server = serve(topics("1. lost ones\n2. customs\n3. Lost ones.\n4. returns"))

    children, made = run(plugins.build("synthesizer", "ultrachat", {"subtopics": 3}), connect(server))
    outcome = verify(to_batch(children), to_batch([SEED]))

    assert [child.messages[0].text for child in children] == ["What of lost ones?", "What of customs?", "What of returns?"]
    assert [message.text for message in children[1].messages][1:] == [
        "An answer to: What of customs?",
        "And the cost of 4?",
        "An answer to: And the cost of 4?",
    ]
    assert (made.reasons, outcome.exits.height) == ({}, 0)


@pytest.mark.parametrize(
    ("said", "reason"),
    [("What of customs?!", "repeats_itself"), ("Here is a list of carriers:", "user_sounds_like_assistant")],
)
def test_a_dialogue_ends_before_a_question_that_is_none(said: str, reason: str, serve: Serve, connect: Connect) -> None:
    (child,), made = run(UltraChat(subtopics=1, turns=4), connect(serve(topics("1. customs", lambda _: said))))

    assert [message.role for message in child.messages] == ["user", "assistant"]
    assert made.reasons == {reason: 1}


def test_an_answer_without_a_list_makes_no_child(serve: Serve, connect: Connect) -> None:
    children, made = run(UltraChat(), connect(serve(topics("I cannot think of any."))))

    assert children == []
    assert made.reasons == {"too_few_subtopics": 1, "no_children": 1}


@pytest.mark.parametrize(
    ("text", "assistant"),
    [
        *[("As an AI, I cannot", True), ("Sure, here is a list", True), ("How can I help you today?", True)],
        *[
            ("I'd be happy to pay more", True),
            ("Sure, but why?", False),
            ("How can I reset it?", False),
            ("Here it is again", False),
        ],
    ],
)
def test_the_words_of_an_assistant_are_known(text: str, assistant: bool) -> None:
    assert sounds_like_assistant(text) is assistant
