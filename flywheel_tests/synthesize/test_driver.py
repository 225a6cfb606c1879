"""The driver: order, lineage, provenance, and a place for every seed and child."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import polars as pl
import pytest

from flywheel.errors import ConfigError, PluginError
from flywheel.plugins import Model, Synthesizer
from flywheel.records import Record, from_batch, to_batch
from flywheel.synthesize.asked import refuse
from flywheel.synthesize.cache import Answers
from flywheel.synthesize.driver import Synthesized, synthesize
from flywheel.synthesize.faults import ModelUnusable
from flywheel.synthesize.synthesizers.paraphrase import Paraphrase
from flywheel_tests.synthesize.conftest import Connect, Serve
from flywheel_tests.synthesize.conversations import chat, chats
from flywheel_tests.synthesize.scripted_server import (
    BAD_JSON,
    EMPTY_CHOICES,
    RESET,
    STREAM,
    TRUNCATED,
    Reply,
    Request,
    completion,
    html,
    status,
)

REASONS = ("model_failed:length", "model_failed:http_400:server_error", "model_failed:empty_content")


def run(
    seeds: Sequence[Record], plugin: Synthesizer, *, model: Model | None = None, limit: int | None = None, concurrency: int = 8
) -> tuple[list[Record], Synthesized]:
    made = synthesize([to_batch(seeds)], plugin, name="test", model=model, limit=limit, concurrency=concurrency)
    children = [child for batch in made for child in from_batch(batch)]
    assert made.seeds == made.made + made.seed_exits.height
    assert made.children == len(children) + made.child_exits.height
    return children, made


@dataclass(frozen=True)
class Numbered:
    """Two children a seed; later seeds are ready first."""

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:  # noqa: ARG002
        for copy in range(2):
            for _ in range(50 - int(seed.id[1:]) % 50):
                await asyncio.sleep(0)
            yield seed.child(reply=f"{seed.id} {copy}")


@dataclass(frozen=True)
class Raising:
    """Fails after its first child for some seeds."""

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:  # noqa: ARG002
        yield seed.child(reply="first")
        if seed.id in ("s00001", "s00003"):
            raise KeyError(f"secret text of {seed.prompt}")
        yield seed.child(reply="second")


@dataclass(frozen=True)
class Tampering:
    """Gives its child what the setting says."""

    change: dict[str, object]

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:  # noqa: ARG002
        yield msgspec.structs.replace(seed.child(reply="tampered"), **self.change)
        yield seed.child(reply="sound")


@dataclass(frozen=True)
class Endless:
    """Never ends."""

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:  # noqa: ARG002
        number = 0
        while seed.id == "s00000" or number < 1:
            number += 1
            yield seed.child(reply=str(number))


@dataclass(frozen=True)
class Choosy:
    """Takes one of three answers; of the last seed none."""

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:  # noqa: ARG002
        refuse("wrong_answer")
        refuse("copied_question")
        if seed.id == "s00002":
            refuse("wrong_answer")
        else:
            yield seed.child(reply="right")


def test_answers_that_a_synthesizer_refuses_are_counted_by_reason_and_by_seed() -> None:
    children, made = run(chats(3), Choosy())

    assert len(children) == 2
    assert made.children == 9
    assert made.reasons == {"copied_question": 3, "wrong_answer": 4, "no_children": 1}
    assert made.child_exits["id"].n_unique() == 7
    assert made.child_exits["into"].to_list() == ["s00000"] * 2 + ["s00001"] * 2 + ["s00002"] * 3


def test_children_come_in_the_order_of_their_seeds_however_work_ends() -> None:
    seeds = chats(100)

    children, _ = run(seeds, Numbered())

    assert [child.reply for child in children] == [f"{seed.id} {copy}" for seed in seeds for copy in range(2)]


def test_where_a_batch_of_seeds_ends_does_not_matter() -> None:
    seeds = chats(2300)
    whole = synthesize([to_batch(seeds)], Numbered(), name="test")
    parts = synthesize([to_batch(seeds[start : start + 300]) for start in range(0, 2300, 300)], Numbered(), name="test")

    assert pl.concat(whole).equals(pl.concat(parts))


def test_a_child_says_where_it_comes_from(serve: Serve, connect: Connect, answers: Answers) -> None:
    server = serve(lambda request: completion(request.prompt.upper()))
    seed = chat(tags=("team=red", "plugin=older", "request=older"))

    (formal, hurried), made = run([seed], Paraphrase(), model=connect(server, license="Vendor terms 2026"))

    assert formal.parents == (seed.id,)
    assert (formal.origin, formal.generation, formal.split, formal.model) == ("synthetic:test", 1, "train", "scripted-1")
    assert formal.licenses == ("CC-BY-4.0", "Vendor terms 2026")
    first = answers.key({"base_url": server.url, "sample": 0, **server.requests[0].body})
    assert formal.tags == (
        *("team=red", "tone=formal", "terms=unstated", f"plugin={Paraphrase()!r}"),
        *("asked=generator:scripted-1(max_tokens=100)", f"request={first[:32]}"),
    )
    assert hurried.tags[-1] != formal.tags[-1]
    assert made.cost.requests == 2


def test_a_rule_needs_no_model_and_its_children_bear_none() -> None:
    (child, _), _ = run(chats(1), Numbered())

    assert child.model is None
    assert child.licenses == ("CC-BY-4.0",)


def test_only_train_records_are_seeds() -> None:
    seeds = [chat(id=f"s{n}", split=split) for n, split in enumerate(["train", "test", "validation", None, "train"])]

    children, made = run(seeds, Numbered())

    assert {child.parents[0] for child in children} == {"s0", "s4"}
    assert made.seed_exits.select("id", "reason").rows() == [("s1", "not_train"), ("s2", "not_train"), ("s3", "not_train")]


def test_a_limit_counts_train_seeds_and_reads_no_further() -> None:
    def batches() -> Iterator[pl.DataFrame]:
        yield to_batch([chat(id="s1", split="test"), *chats(3)])
        yield to_batch(chats(2))
        raise AssertionError("read too far")

    made = synthesize(batches(), Numbered(), name="test", limit=5)

    assert sum(batch.height for batch in made) == 10
    assert made.seeds == 6


def test_a_seed_whose_synthesizer_raises_has_no_children_and_the_others_go_on() -> None:
    children, made = run(chats(5), Raising())

    assert {child.parents[0] for child in children} == {"s00000", "s00002", "s00004"}
    assert made.reasons == {"synthesizer_failed:KeyError": 2}
    assert made.where["KeyError"].startswith("seed s00001 at test_driver.py:")
    assert "secret" not in repr(made.where)


def test_a_synthesizer_that_always_raises_is_an_error() -> None:
    with pytest.raises(PluginError, match=r"each of its 2 seeds.*KeyError: seed s00001 at test_driver.py"):
        run([seed for seed in chats(4) if seed.id in ("s00001", "s00003")], Raising())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"parents": ()}, "parent_missing"),
        ({"parents": ("s00001",)}, "parent_missing"),
        ({"generation": 0}, "wrong_generation"),
        ({"generation": 2}, "wrong_generation"),
        ({"split": None}, "wrong_split"),
        ({"licenses": ()}, "license_lost"),
        ({"id": "s00000"}, "id_of_a_parent"),
    ],
)
def test_a_child_with_broken_lineage_is_refused_and_its_sibling_stays(change: dict[str, object], reason: str) -> None:
    children, made = run(chats(1), Tampering(change))

    assert [child.reply for child in children] == ["sound"]
    assert made.child_exits.select("reason", "into").rows() == [(reason, "s00000")]


def test_a_child_of_several_parents_is_as_deep_as_it_says() -> None:
    children, made = run(chats(1), Tampering({"parents": ("s00000", "elsewhere"), "generation": 4}))

    assert [child.generation for child in children] == [4, 1]
    assert made.reasons == {}


def test_a_synthesizer_that_does_not_end_is_stopped() -> None:
    children, made = run(chats(3), Endless())

    assert [child.parents[0] for child in children] == ["s00001", "s00002"]
    assert made.reasons == {"synthesizer_failed:TooManyChildren": 1}


def test_a_model_that_fails_leaves_no_child(serve: Serve, connect: Connect) -> None:
    def script(request: Request) -> Reply:
        if "number 1," in request.prompt and "hurried" in request.prompt:
            return completion("half of", finish="length")
        return status(400) if "number 2," in request.prompt else completion(f"Re: {request.prompt}")

    children, made = run(chats(4), Paraphrase(), model=connect(serve(script)))

    assert {child.parents[0] for child in children} == {"s00000", "s00003"}
    assert made.reasons == {"model_failed:http_400:server_error": 1, "model_failed:length": 1}


def test_every_fault_of_the_server_leaves_the_same_rows(serve: Serve, connect: Connect) -> None:
    faults = [status(429), status(500), html(), completion(None), completion("cut", finish=None)]

    def answer(request: Request) -> Reply:
        return completion(f"Re: {request.prompt}")

    def faulty(request: Request) -> Reply:
        return faults[sum(request.prompt.encode()) % 5] if request.nth == 0 else answer(request)

    faultless, _ = run(chats(40), Paraphrase(), model=connect(serve(answer), model="one"))
    children, made = run(chats(40), Paraphrase(), model=connect(serve(faulty), model="one"))

    assert [child.id for child in children] == [child.id for child in faultless]
    assert made.cost.requests == 160
    assert made.cost.answers == 80


@pytest.mark.slow
def test_of_ten_thousand_requests_with_faults_at_random_every_row_is_accounted_for(serve: Serve, connect: Connect) -> None:
    passing = [status(429), status(500), RESET, TRUNCATED, BAD_JSON, html(), EMPTY_CHOICES, STREAM, completion(None)]
    final = [completion("half of", finish="length"), status(400), completion(" ")]
    draw = random.Random(6)
    faults = {f"number {n},": draw.choice(passing + final) for n in range(10_000) if draw.random() < 0.01}

    def script(request: Request) -> Reply:
        number = request.prompt.split("Question ")[1].split(" please")[0]
        fault = faults.get(number)
        lost = fault in final or (fault is not None and request.nth == 0)
        return fault if lost and fault is not None else completion(f"Re: {number}")

    server = serve(script)
    model = connect(server, concurrency=16)  # the connection pool's own work grows with the connections
    children, made = run(chats(10_000), Paraphrase(tones=("formal",)), model=model, concurrency=16)

    lost = {number: fault for number, fault in faults.items() if fault in final}
    assert 60 < len(faults) < 140
    assert 5 < len(lost) < len(faults)
    assert [child.prompt for child in children] == [f"Re: number {n}," for n in range(10_000) if f"number {n}," not in lost]
    assert made.seed_exits.height == len(lost)
    assert made.reasons == Counter(REASONS[final.index(fault)] for fault in lost.values())
    assert len(server.requests) == made.cost.requests == 10_000 + len(faults) - len(lost)
    paid = Counter(final.index(fault) for fault in lost.values())
    billed = Counter(fault == EMPTY_CHOICES for fault in faults.values() if fault in (EMPTY_CHOICES, passing[-1]))
    tokens = 15 * (len(children) + paid[0] + paid[2] + billed[False]) + 10 * billed[True]
    assert made.cost.prompt_tokens + made.cost.completion_tokens == tokens


def test_the_terms_of_a_seed_stay_with_a_child_whose_synthesizer_drops_its_tags() -> None:
    children, _ = run([chat(tags=("terms=forbidden", "short"))], Tampering({"tags": ()}))

    assert ["terms=forbidden" in child.tags for child in children] == [True, True]
    assert ["short" in child.tags for child in children] == [False, True]


def test_a_synthesizer_runs_where_an_event_loop_is_at_work(serve: Serve, connect: Connect) -> None:
    model = connect(serve(lambda request: completion(f"Re: {request.prompt}")))

    async def inside() -> int:
        return len(run(chats(3), Paraphrase(), model=model)[0])

    assert asyncio.run(inside()) == 6


def test_a_second_run_is_free_and_the_same(serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: completion(f"Re: {request.prompt}"))

    first, paid = run(chats(10), Paraphrase(), model=connect(server))
    second, free = run(chats(10), Paraphrase(), model=connect(server))

    assert second == first
    assert len(server.requests) == 20
    assert (free.cost.requests, free.cost.dollars, free.cost.cached) == (0, 0.0, 20)
    assert free.cost.saved_dollars == pytest.approx(paid.cost.dollars) == pytest.approx(20 * 20e-6)


def test_a_spent_budget_ends_the_run_cleanly_and_a_larger_one_goes_on(serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: completion(f"Re: {request.prompt}", usage=(100, 100)))
    plugin = Paraphrase(tones=("formal",))

    some, stopped = run(chats(10), plugin, model=connect(server, budget_dollars=1500e-6, concurrency=1), concurrency=1)
    every, _ = run(chats(10), plugin, model=connect(server, budget_dollars=1.0))

    assert len(some) == 4
    assert stopped.reasons == {"budget_spent": 6}
    assert every[:4] == some
    assert len(every) == len(server.requests) == 10


def test_an_unusable_endpoint_stops_the_run_with_an_error(serve: Serve, connect: Connect) -> None:
    with pytest.raises(ModelUnusable, match="http_401"):
        run(chats(10), Paraphrase(), model=connect(serve(lambda _: status(401))))


def test_asking_without_a_configured_model_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"'test' asks a model, and there is no \[model\]"):
        run(chats(3), Paraphrase())


def test_answers_are_filed_under_the_seed_that_asked(serve: Serve, connect: Connect, answers: Answers) -> None:
    server = serve(lambda request: completion(f"Re: {request.prompt}"))
    run(chats(3), Paraphrase(), model=connect(server))

    assert answers.erase(["s00001"]) == 2
    assert len(answers) == 4
