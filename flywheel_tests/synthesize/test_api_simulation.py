"""Tools played by a model: the same call has the same answer, and what breaks a schema or solves nothing becomes no child."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from flywheel import plugins
from flywheel.records import Message, Record, ToolCall, from_batch, text_message, to_batch
from flywheel.synthesize.driver import Synthesized, synthesize
from flywheel.synthesize.synthesizers.api_simulation import ApiSimulation
from flywheel.synthesize.verify import verify
from flywheel_tests.synthesize.conftest import Connect, Serve
from flywheel_tests.synthesize.conversations import chat
from flywheel_tests.synthesize.scripted_server import Reply, Request, completion

WEATHER = {
    "name": "weather",
    "description": "Weather of a city",
    "parameters": {"properties": {"city": {"type": "string"}, "day": {"type": "string"}}, "required": ["city"]},
    "returns": {"type": "object", "properties": {"celsius": {"type": "number"}}, "required": ["celsius"]},
}
OSLO = {"city": "Oslo", "day": "Friday"}


def seed(id: str = "s1", **rest: Any) -> Record:
    return chat(f"How cold is it in Oslo on Friday, for {id}?", "3 degrees.", id=id, tools=(json.dumps(WEATHER),), **rest)


def calling(arguments: object, name: str = "weather") -> Reply:
    given = arguments if isinstance(arguments, str) else json.dumps(arguments)
    call = {"id": "x", "type": "function", "function": {"name": name, "arguments": given}}
    return completion(None, finish="tool_calls", tool_calls=[call])


def script(
    *, first: Callable[[int], Reply], api: Sequence[str] = ('{"celsius": 3}',), solved: bool = True
) -> Callable[[Request], Reply]:
    """The assistant calls as `first` says for its nth question, the API answers in turn, the judge always the same."""
    left = list(api)
    asked = 0

    def answer(request: Request) -> Reply:
        nonlocal asked
        if request.prompt.startswith("Play this API") or "is not valid" in request.prompt:
            return completion(left.pop(0))
        if request.prompt.startswith("Read this conversation"):
            return completion(json.dumps({"solved": solved}))
        if request.body["messages"][-1]["role"] == "tool":
            return completion("It will be 3 degrees.")
        asked += 1
        return first(asked - 1)

    return answer


def run(plugin: ApiSimulation, model: Any, seeds: Sequence[Record]) -> tuple[list[Record], Synthesized]:
    made = synthesize([to_batch(seeds)], plugin, name="api", model=model, concurrency=1)
    return [child for batch in made for child in from_batch(batch)], made


def test_the_same_call_has_the_same_answer_in_every_conversation_and_is_played_once(serve: Serve, connect: Connect) -> None:
    server = serve(script(first=lambda n: calling(json.dumps(OSLO if n % 2 else dict(reversed(OSLO.items()))))))
    seeds = [seed(f"s{n}") for n in range(4)]

    children, made = run(plugins.build("synthesizer", "api_simulation", {}), connect(server), seeds)
    outcome = verify(to_batch(children), to_batch(seeds))

    assert len(children) == 4
    assert [[message.text for message in child.messages if message.role == "tool"] for child in children] == [
        ['{"celsius": 3}']
    ] * 4
    assert sum(prompt.startswith("Play this API") for prompt in server.prompts) == 1
    assert [message.role for message in children[0].messages] == ["user", "assistant", "tool", "assistant"]
    assert (made.reasons, outcome.exits.height) == ({}, 0)


def test_an_answer_against_the_tools_own_schema_is_asked_again_and_then_refused(serve: Serve, connect: Connect) -> None:
    mended = serve(script(first=lambda _: calling(OSLO), api=['{"celsius": "cold"}', '{"celsius": -4}']))
    stubborn = serve(script(first=lambda _: calling(OSLO), api=["cold", "cold", "cold"]))

    (child,), _ = run(ApiSimulation(), connect(mended), [seed()])
    children, made = run(ApiSimulation(), connect(stubborn), [seed()])

    assert child.messages[2].text == '{"celsius": -4}'
    assert children == []
    assert made.reasons == {"model_failed:invalid_answer": 1, "no_children": 1}


def test_a_call_that_was_logged_gets_the_logged_result(serve: Serve, connect: Connect) -> None:
    call = ToolCall(id="c9", name="weather", arguments='{"day":"Friday","city":"Oslo"}')
    logged = (
        text_message("user", "How cold is it in Oslo on Friday?"),
        Message(role="assistant", tool_calls=(call,)),
        text_message("tool", '{"celsius": 7.5}', tool_call_id="c9"),
        text_message("assistant", "7.5 degrees."),
    )
    server = serve(script(first=lambda _: calling(OSLO), api=[]))

    (child,), _ = run(ApiSimulation(), connect(server), [msgspec.structs.replace(seed(), messages=logged)])

    assert child.messages[2].text == '{"celsius": 7.5}'


@pytest.mark.parametrize(
    ("first", "more", "reason"),
    [
        (calling({"day": "Friday"}), {}, "arguments_against_schema"),
        (calling({"city": 7}), {}, "arguments_against_schema"),
        (calling(OSLO, "tides"), {}, "undeclared_tool"),
        (calling("{city"), {}, "bad_tool_arguments"),
        (completion("It is cold."), {}, "no_tool_call"),
        (calling(OSLO), {"solved": False}, "unsolved"),
    ],
)
def test_an_attempt_that_breaks_a_rule_is_refused_by_reason(
    first: Reply, more: dict[str, Any], reason: str, serve: Serve, connect: Connect
) -> None:
    children, made = run(ApiSimulation(), connect(serve(script(first=lambda _: first, **more))), [seed()])

    assert children == []
    assert made.reasons == {reason: 1, "no_children": 1}


def test_tools_that_say_nothing_but_errors_make_no_child(serve: Serve, connect: Connect) -> None:
    own = msgspec.structs.replace(seed(), tools=(json.dumps({**WEATHER, "returns": None}),))
    server = serve(script(first=lambda _: calling(OSLO), api=['{"error": "no such city"}']))

    children, made = run(ApiSimulation(), connect(server), [own])

    assert children == []
    assert made.reasons == {"only_errors": 1, "no_children": 1}


def test_an_endless_series_of_calls_ends_and_the_next_attempt_may_do_better(serve: Serve, connect: Connect) -> None:
    def answer(request: Request) -> Reply:
        if request.prompt.startswith("Play this API"):
            return completion('{"celsius": 3}')
        if request.prompt.startswith("Read this conversation"):
            return completion('{"solved": true}')
        turns = len(request.body["messages"])
        if turns == 1 and request.nth == 1:
            return calling(OSLO)
        second = any(
            row["role"] == "assistant" and "Friday" in row["tool_calls"][0]["function"]["arguments"]
            for row in request.body["messages"]
        )
        return completion("3 degrees.") if second else calling({"city": f"Oslo {turns}"})

    (child,), made = run(ApiSimulation(attempts=2, longest=4), connect(serve(answer)), [seed()])

    assert child.reply == "3 degrees."
    assert made.reasons == {"too_many_calls": 1}


def test_a_seed_without_tools_has_no_children_and_costs_nothing(serve: Serve, connect: Connect) -> None:
    server = serve(script(first=lambda _: calling(OSLO)))

    children, made = run(ApiSimulation(), connect(server), [chat()])

    assert (children, made.reasons, server.requests) == ([], {"no_children": 1}, [])
