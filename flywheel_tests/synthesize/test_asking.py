"""Everything that a synthesizer can ask for, against a real server: roles, samples, schemas, tools, vectors."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np
import pytest

from flywheel.errors import ConfigError
from flywheel.plugins import Model
from flywheel.records import Message, Part, Record, ToolCall, from_batch, text_message, to_batch
from flywheel.synthesize.asked import on_behalf_of
from flywheel.synthesize.cache import Answers
from flywheel.synthesize.driver import synthesize
from flywheel.synthesize.faults import BudgetSpent, ModelFailed
from flywheel.synthesize.model import OpenAIModel
from flywheel.synthesize.structured import example, shape_of
from flywheel.testing import ScriptedModel
from flywheel_tests.synthesize.conftest import Connect, Serve
from flywheel_tests.synthesize.conversations import chat
from flywheel_tests.synthesize.scripted_server import (
    BAD_JSON,
    RESET,
    Reply,
    Request,
    completion,
    embeddings,
    html,
    status,
)

T = TypeVar("T")


def run(model: OpenAIModel, work: Coroutine[Any, Any, T]) -> T:
    async def closing() -> T:
        try:
            return await work
        finally:
            await model.close()

    return asyncio.run(closing())


class Verdict(msgspec.Struct):
    grade: Literal["good", "bad"]
    points: Annotated[int, msgspec.Meta(ge=1, le=10)]
    why: str | None = None


GOOD = '{"grade": "good", "points": 7, "why": null}'


def test_a_role_has_its_own_model_endpoint_price_and_parameters(serve: Serve, connect: Connect) -> None:
    ours, theirs = serve(lambda _: completion("Written.")), serve(lambda _: completion("Judged."))
    judge = {"model": "judge-1", "base_url": theirs.url, "temperature": 0.0, "dollars_per_million_input": 100.0}
    model = connect(ours, roles={"judge": judge})

    async def both() -> tuple[str, str]:
        return await model.ask("Say it."), await model.role("judge").ask("Say it.")

    assert run(model, both()) == ("Written.", "Judged.")
    assert [request.body["model"] for request in theirs.requests] == ["judge-1"]
    assert theirs.requests[0].body["temperature"] == 0.0
    assert model.cost.dollars == pytest.approx(20e-6)
    assert model.role("judge").cost.dollars == pytest.approx(1010e-6)


def test_a_role_that_is_not_configured_is_the_generator(serve: Serve, connect: Connect) -> None:
    model = connect(serve(lambda _: completion()), roles={"teacher": {"model": "teacher-1"}})

    assert model.role("judge") is model
    assert model.role("teacher").role("judge") is model
    assert model.role("teacher").role("teacher").name == "teacher-1"


def test_one_budget_is_for_all_roles_and_all_runs(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _: completion(usage=(400, 0)))
    roles = {"judge": {"model": "judge-1"}}

    run(first := connect(server, budget_dollars=1000e-6, roles=roles), first.ask("One."))
    run(second := connect(server, budget_dollars=1000e-6, roles=roles), second.role("judge").ask("Two."))
    third = connect(server, budget_dollars=1000e-6, roles=roles)
    with pytest.raises(BudgetSpent, match=r"\$0\.0008 of \$0\.0010"):
        run(third, third.ask("Three."))

    assert len(server.requests) == 2


def test_a_system_prompt_and_parameters_of_one_question(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _: completion())
    model = connect(server, temperature=0.1)

    run(model, model.ask("Say it.", system="Be brief.", temperature=0.9, seed=3, max_tokens=5, sample=2))
    run(model, model.ask("Say it."))

    first, second = (request.body for request in server.requests)
    assert first["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say it."}]
    assert (first["temperature"], first["seed"], first["max_tokens"]) == (0.9, 5, 5)
    assert (second["temperature"], second.get("seed"), second["max_tokens"]) == (0.1, None, 100)


def test_a_conversation_is_asked_as_it_stands(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _: completion())
    call = ToolCall(id="t1", name="weather", arguments='{"city": "Oslo"}')
    image = Message(role="user", content=(Part(text="What is this?"), Part(type="image", url="https://example.org/a.png")))
    turns = [
        text_message("user", "Weather?", name="Ann"),
        Message(role="assistant", tool_calls=(call,), reasoning="hidden", weight=0.0),
        text_message("tool", "5 degrees", tool_call_id="t1"),
        image,
    ]
    model = connect(server)
    server.requests.clear()

    async def asked() -> None:
        with pytest.raises(ModelFailed, match="unsupported_part"):
            await model.ask([Message(role="user", content=(Part(type="audio", url="data:x"),))])
        await model.ask([*turns[:3], text_message("user", "Thanks.")])

    run(model, asked())

    assert server.requests[0].body["messages"] == [
        {"role": "user", "content": "Weather?", "name": "Ann"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}],
        },
        {"role": "tool", "content": "5 degrees", "tool_call_id": "t1"},
        {"role": "user", "content": "Thanks."},
    ]


def test_samples_are_kept_apart_and_the_failed_ones_left_out(serve: Serve, connect: Connect) -> None:
    def script(request: Request) -> Reply:
        seed = request.body["seed"]
        return completion("half", finish="length") if seed == 11 else completion(f"Seed {seed}.")

    server = serve(script)
    model = connect(server, seed=10)

    assert run(model, model.samples("Say it.", 3)) == ["Seed 10.", "Seed 12."]
    assert run(model, model.samples("Say it.", 2, sample=2)) == ["Seed 12.", "Seed 13."]
    with pytest.raises(ModelFailed, match="length"):
        run(model, model.samples("Say it.", 1, sample=1))
    assert len(server.requests) == 4


def test_an_endpoint_with_schemas_is_given_a_closed_one(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _: completion(GOOD))
    model = connect(server)

    assert run(model, model.structured("Judge it.", Verdict)) == Verdict("good", 7)

    given = server.requests[0].body["response_format"]["json_schema"]
    assert given["strict"] is True
    assert given["schema"]["required"] == ["grade", "points", "why"]
    assert given["schema"]["additionalProperties"] is False
    assert given["schema"]["type"] == "object"


def test_an_endpoint_without_schemas_is_told_in_words_and_asked_so_from_then_on(serve: Serve, connect: Connect) -> None:
    server = serve(lambda r: status(400) if "response_format" in r.body else completion(f"```json\n{GOOD}\n```"))
    model = connect(server)

    async def many() -> list[Verdict]:
        return await asyncio.gather(*(model.structured(f"Judge {n}.", Verdict, system="Be fair.") for n in range(30)))

    assert run(model, many()) == [Verdict("good", 7)] * 30
    assert sum("response_format" in request.body for request in server.requests) == 1
    told = server.requests[1].body["messages"]
    assert [message["role"] for message in told] == ["system", "user"]
    assert told[0]["content"].startswith("Be fair.\n\nAnswer with JSON only")
    assert '"points"' in told[0]["content"]


WRONG = {
    "no JSON": "I would say it is good.",
    "another label": '{"grade": "fine", "points": 7, "why": null}',
    "a number out of range": '{"grade": "good", "points": 11, "why": null}',
    "a number as text": '{"grade": "good", "points": "7", "why": null}',
    "a field missing": '{"points": 7, "why": null}',
    "cut in the middle": '{"grade": "good", "poi',
    "words around it": f"Sure! {GOOD}",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_invalid_answer_is_asked_again_with_what_is_wrong(wrong: str, serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: completion(GOOD if "not valid" in request.prompt else WRONG[wrong]))
    model = connect(server)

    assert run(model, model.structured("Judge it.", Verdict)) == Verdict("good", 7)

    assert len(server.requests) == 2
    assert [m["role"] for m in server.requests[1].body["messages"]] == ["user", "assistant", "user"]
    assert run(model, model.structured("Judge it.", Verdict)) == Verdict("good", 7)
    assert len(server.requests) == 2


@pytest.mark.parametrize("wrong", WRONG)
def test_an_answer_that_stays_invalid_is_a_reason_and_never_a_label(wrong: str, serve: Serve, connect: Connect) -> None:
    server = serve(lambda _: completion(WRONG[wrong]))
    model = connect(server)

    with pytest.raises(ModelFailed, match="invalid_answer"):
        run(model, model.structured("Judge it.", Verdict))

    assert len(server.requests) == 3


def test_an_answer_follows_a_json_schema(serve: Serve, connect: Connect) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 2}}, "required": ["n"]}
    server = serve(lambda request: completion('{"n": 5}' if "minimum of 2" in request.prompt else '{"n": 1}'))
    model = connect(server)

    assert run(model, model.json("A number.", schema)) == {"n": 5}
    with pytest.raises(ValueError, match="no JSON schema"):
        run(model, model.json("A number.", {"type": "whatever"}))


class Node(msgspec.Struct):
    name: str
    children: list["Node"] = []


def test_an_example_fits_its_schema() -> None:
    for kind in (Verdict, Node, list[Verdict], dict[str, int], tuple[int, str]):
        shape = shape_of(kind)
        shape.read(json.dumps(example(shape.schema)))


def test_texts_become_unit_vectors_in_their_order_each_paid_for_once(serve: Serve, connect: Connect) -> None:
    vectors = {"east": [3.0, 0.0], "north": [0.0, 0.5], "north east": [1.0, 1.0]}
    server = serve(lambda request: embeddings(*(vectors[text] for text in request.body["input"])))
    model = connect(server, roles={"embedder": {"model": "vectors-1"}})

    first = run(model, model.embed(["north", " ", "east", "north"]))
    second = run(model, model.embed(["east", "north east"]))

    assert first.dtype == np.float32
    assert first.tolist() == [[0.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    assert second[0] @ second[1] == pytest.approx(0.5**0.5)
    assert [request.body["input"] for request in server.requests] == [["north", "east"], ["north east"]]
    cost = model.role("embedder").cost
    assert (cost.answers, cost.cached, cost.prompt_tokens) == (2, 1, 14)
    assert cost.dollars == pytest.approx(14e-6)
    assert run(model, model.embed([])).shape == (0, 0)


@pytest.mark.parametrize("fault", [status(429), RESET, BAD_JSON, html(), embeddings([1.0]), embeddings([1.0], [1.0, 2.0])])
def test_vectors_are_believed_only_when_they_are_whole(fault: Reply, serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: embeddings([1.0, 0.0], [0.0, 1.0]) if request.nth else fault)
    model = connect(server, roles={"embedder": {"model": "vectors-1"}})

    assert run(model, model.embed(["a", "b"])).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert len(server.requests) == 2


def test_one_text_too_long_spoils_no_other(serve: Serve, connect: Connect) -> None:
    def script(request: Request) -> Reply:
        texts = request.body["input"]
        return status(400) if any(len(text) > 50 for text in texts) else embeddings(*([1.0, 0.0] for _ in texts))

    server = serve(script)
    model = connect(server, roles={"embedder": {"model": "vectors-1"}})
    texts = [f"text {number}" for number in range(300)]

    with pytest.raises(ModelFailed, match="http_400"):
        run(model, model.embed([*texts, "long " * 20]))
    sent = len(server.requests)

    assert run(model, model.embed(texts)).shape == (300, 2)
    assert len(server.requests) == sent


def test_vectors_are_erased_with_their_records(serve: Serve, connect: Connect, answers: Answers) -> None:
    model = connect(serve(lambda r: embeddings(*([1.0] for _ in r.body["input"]))), roles={"embedder": {"model": "v"}})

    async def asked() -> None:
        await model.embed(["a", "b"], seeds=["r1", "r2"])
        with on_behalf_of("r3"):
            await model.embed(["c"])

    run(model, asked())

    assert answers.erase(["r1", "r3"]) == 2
    assert len(answers) == 1


def test_embedding_without_an_embedder_is_a_configuration_error(serve: Serve, connect: Connect) -> None:
    model = connect(serve(lambda _: completion()))

    with pytest.raises(ConfigError, match=r"\[models.embedder\]"):
        run(model, model.embed(["a"]))


@dataclass(frozen=True)
class Judged:
    """A child by the teacher, kept when the judge likes it."""

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        text = await model.role("teacher").ask(seed.prompt, temperature=0.7)
        verdict = await model.role("judge").structured(f"Judge: {text}", Verdict)
        if verdict.grade == "good":
            yield seed.child(reply=text)


def test_a_child_names_every_model_its_terms_and_parameters(serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: completion(GOOD if request.prompt.startswith("Judge") else "From the teacher."))
    roles = {
        "teacher": {"model": "teacher-1", "license": "MIT", "outputs_may_train": True},
        "judge": {"model": "judge-1", "license": "Vendor terms", "outputs_may_train": "non-competing"},
    }
    model = connect(server, roles=roles)

    made = synthesize([to_batch([chat(tags=("terms=forbidden",))])], Judged(), name="test", model=model)
    (child,) = (child for batch in made for child in from_batch(batch))

    assert child.model == "teacher-1"
    assert child.licenses == ("CC-BY-4.0", "Vendor terms", "MIT")
    assert [tag for tag in child.tags if not tag.startswith(("plugin=", "request="))] == [
        *("terms=forbidden", "terms=non-competing", "terms=allowed"),
        *("asked=judge:judge-1(max_tokens=100)", "asked=teacher:teacher-1(max_tokens=100,temperature=0.7)"),
    ]
    assert sum(tag.startswith("request=") for tag in child.tags) == 2
    assert made.cost.requests == 2


def test_a_scripted_model_answers_every_kind_of_question() -> None:
    async def asked() -> tuple[Any, ...]:
        model = ScriptedModel(["First."])
        texts = await model.ask("a"), await model.ask("b"), await model.ask("b", sample=1)
        return *texts, await model.structured("c", Verdict), await model.embed(["a", "a", "b"])

    first, second, third, verdict, vectors = asyncio.run(asked())

    assert first == "First."
    assert second != third
    assert verdict.grade in ("good", "bad")
    assert np.allclose(vectors @ vectors.T, [[1, 1, vectors[0] @ vectors[2]]] * 2 + [[*(vectors[:2] @ vectors[2]), 1]])
