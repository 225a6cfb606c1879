"""The model client against a real server: every fault, what is paid, what is asked again."""

import asyncio
import json

import pytest

from flywheel.errors import ConfigError
from flywheel.synthesize.cache import Answers
from flywheel.synthesize.completion import retry_after
from flywheel.synthesize.faults import BudgetSpent, ModelFailed, ModelUnusable
from flywheel.synthesize.model import OpenAIModel
from flywheel.synthesize.model_settings import ModelSettings
from flywheel_tests.synthesize.conftest import Connect, Serve
from flywheel_tests.synthesize.scripted_server import (
    BAD_JSON,
    DRIP,
    EMPTY_CHOICES,
    HANG,
    NO_COMPLETION,
    RESET,
    STREAM,
    TRUNCATED,
    Reply,
    Request,
    completion,
    html,
    status,
)


def ask(model: OpenAIModel, *prompts: str) -> list[str]:
    """The answers to prompts asked at once."""

    async def all_at_once() -> list[str]:
        try:
            return await asyncio.gather(*(model.ask(prompt) for prompt in prompts))
        finally:
            await model.close()

    return asyncio.run(all_at_once())


MENDED = {
    "429": (status(429), 0.0, 0.0),
    "429 with Retry-After": (status(429, retry_after="0"), 0.0, 0.0),
    "429 with an hour's Retry-After": (status(429, retry_after="3600"), 0.0, 0.0),
    "429 with a date": (status(429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"), 0.0, 0.0),
    "500": (status(500), 0.0, 0.0),
    "503 as HTML": (html(503), 0.0, 0.0),
    "hang": (HANG, 0.0, 1.0),
    "drip": (DRIP, 0.0, 1.0),
    "reset": (RESET, 0.0, 1.0),
    "truncated body": (TRUNCATED, 0.0, 1.0),
    "bad JSON": (BAD_JSON, 0.0, 1.0),
    "no completion": (NO_COMPLETION, 0.0, 1.0),
    "HTML with 200": (html(), 0.0, 1.0),
    "stream cut before its end": (STREAM, 0.0, 1.0),
    "empty choices": (EMPTY_CHOICES, 10e-6, 0.0),
    "null content": (completion(None), 20e-6, 0.0),
    "no finish reason": (completion("half", finish=None), 20e-6, 0.0),
}


@pytest.mark.parametrize("fault", MENDED)
def test_a_passing_fault_is_asked_again_and_paid_once(fault: str, serve: Serve, connect: Connect) -> None:
    reply, dollars, uncertain = MENDED[fault]
    server = serve(lambda request: completion("Whole.") if request.nth else reply)
    model = connect(server, timeout=1.0)

    assert ask(model, "Say it.") == ["Whole."]

    assert len(server.requests) == model.cost.requests == 2
    assert model.cost.answers == 1
    assert model.cost.dollars == pytest.approx(20e-6 + dollars)
    greatest = (len(json.dumps(server.requests[0].body, separators=(",", ":"))) * 1.0 + 100 * 2.0) / 1e6
    assert model.cost.uncertain_dollars == pytest.approx(uncertain * greatest)


FINAL = {
    "length": (completion("half of an", finish="length"), "length"),
    "content filter": (completion("", finish="content_filter"), "content_filter"),
    "refusal": (completion(None, refusal="I cannot."), "refusal"),
    "empty content": (completion(" \n"), "empty_content"),
    "another finish reason": (completion("Hm.", finish="tool_calls"), "unknown_finish_reason"),
}


@pytest.mark.parametrize("fault", FINAL)
def test_a_paid_refusal_is_no_answer_and_is_never_bought_twice(fault: str, serve: Serve, connect: Connect) -> None:
    reply, reason = FINAL[fault]
    server = serve(lambda _: reply)
    model = connect(server)

    for _ in range(2):
        with pytest.raises(ModelFailed) as failed:
            ask(model, "Say it.")
        assert failed.value.reason == reason

    assert len(server.requests) == 1
    assert model.cost.dollars == pytest.approx(20e-6)
    assert (model.cost.answers, model.cost.cached) == (0, 1)


LASTING = {
    "429": (status(429), "rate_limited"),
    "429 with an hour's Retry-After": (status(429, retry_after="3600"), "rate_limited"),
    "500": (status(500), "server_error"),
    "hang": (HANG, "timeout"),
    "reset": (RESET, "connection"),
    "truncated body": (TRUNCATED, "connection"),
    "bad JSON": (BAD_JSON, "not_json"),
    "HTML with 200": (html(), "not_json"),
    "stream cut before its end": (STREAM, "not_json"),
    "not a completion": (NO_COMPLETION, "not_a_completion"),
    "empty choices": (EMPTY_CHOICES, "empty_choices"),
    "null content": (completion(None), "null_content"),
}


@pytest.mark.parametrize("fault", LASTING)
def test_a_lasting_fault_ends_at_the_deadline_with_its_reason(fault: str, serve: Serve, connect: Connect) -> None:
    reply, reason = LASTING[fault]
    server = serve(lambda _: reply)
    model = connect(server, deadline=0.8, timeout=0.2)

    with pytest.raises(ModelFailed) as failed:
        ask(model, "Say it.")

    assert failed.value.reason == reason
    assert len(server.requests) > 1
    assert model.cost.requests - len(server.requests) in (0, 1), "the deadline may cut the last one before it arrives"
    assert model.cost.answers == 0


def test_a_bad_request_is_not_repeated(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _: status(400, error="unsupported_parameter"))

    with pytest.raises(ModelFailed, match="http_400:unsupported_parameter"):
        ask(connect(server), "Say it.")

    assert len(server.requests) == 1


@pytest.mark.parametrize("reply", [status(401), status(404), status(429, error="insufficient_quota")])
def test_a_wrong_key_or_model_or_an_empty_account_stops_everything_at_once(reply: Reply, serve: Serve, connect: Connect) -> None:
    server = serve(lambda _: reply)
    model = connect(server, concurrency=1)

    with pytest.raises(ModelUnusable, match="scripted-1"):
        ask(model, "One.")
    with pytest.raises(ModelUnusable, match="run again"):
        ask(model, "Two.")

    assert len(server.requests) == 1


def test_an_endpoint_that_is_down_is_given_up_after_twenty_questions(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _: status(503))
    model = connect(server, deadline=0.02, concurrency=1)
    endings = []

    for number in range(25):
        with pytest.raises((ModelFailed, ModelUnusable)) as ended:
            ask(model, f"Question {number}")
        endings.append(ended.type)

    assert endings == [ModelFailed] * 19 + [ModelUnusable] * 6


def test_an_answer_needs_a_key_only_when_one_is_named(serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(lambda _: completion())
    monkeypatch.setenv("FLYWHEEL_TEST_KEY", "sk-secret")

    ask(connect(server, key_env="FLYWHEEL_TEST_KEY"), "Say it.")

    assert server.requests[0].headers["authorization"] == "Bearer sk-secret"
    monkeypatch.delenv("FLYWHEEL_TEST_KEY")
    with pytest.raises(ConfigError, match="FLYWHEEL_TEST_KEY"):
        connect(server, key_env="FLYWHEEL_TEST_KEY")


def test_the_same_question_at_the_same_time_is_sent_once(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _: completion("Once."), delay=0.05)
    model = connect(server)

    assert ask(model, *["Say it."] * 8) == ["Once."] * 8

    assert len(server.requests) == 1
    assert (model.cost.answers, model.cost.cached) == (1, 7)


def test_another_sample_is_another_answer_with_another_seed(serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: completion(f"Seed {request.body['seed']}."))
    model = connect(server, seed=7, temperature=0.9)

    async def three() -> list[str]:
        texts = [await model.ask("Say it.", sample=sample) for sample in (0, 1, 0)]
        await model.close()
        return texts

    assert asyncio.run(three()) == ["Seed 7.", "Seed 8.", "Seed 7."]
    assert len(server.requests) == 2
    assert server.requests[0].body["temperature"] == 0.9


def test_tool_calls_are_an_answer_where_tools_were_offered(serve: Serve, connect: Connect) -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    server = serve(lambda _: completion(None, finish="tool_calls", tool_calls=[call]))
    model = connect(server)

    async def offered() -> tuple[str, str]:
        answer = await model.reply("Weather?", tools=['{"name": "weather", "parameters": {}}'])
        await model.close()
        return answer.tool_calls[0].name, answer.tool_calls[0].arguments

    assert asyncio.run(offered()) == ("weather", '{"city": "Oslo"}')
    assert server.requests[0].body["tools"] == [{"type": "function", "function": {"name": "weather", "parameters": {}}}]


def test_a_budget_stops_before_the_request_that_could_exceed_it(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _: completion(usage=(100, 100)))
    budget = 1000e-6
    model = connect(server, budget_dollars=budget, concurrency=4)
    ends: list[str] = []

    async def one(number: int) -> None:
        try:
            await model.ask(f"Question {number:02}")
            ends.append("answered")
        except BudgetSpent:
            ends.append("spent")

    async def all_of_them() -> None:
        await asyncio.gather(*(one(number) for number in range(20)))
        await model.close()

    asyncio.run(all_of_them())

    greatest = (len(json.dumps(server.requests[0].body, separators=(",", ":"))) + 200) * 1e-6
    affordable = next(n for n in range(20) if n * 300e-6 + greatest > budget)
    assert ends.count("answered") == len(server.requests) == affordable == 3
    assert model.cost.dollars == pytest.approx(3 * 300e-6)


def test_answers_in_the_cache_stay_available_when_the_budget_is_spent(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _: completion(usage=(400, 0)))
    model = connect(server, budget_dollars=500e-6)

    assert ask(model, "First.") == ["Fine."]
    with pytest.raises(BudgetSpent):
        ask(model, "Second.")
    assert ask(model, "First.") == ["Fine."]


def test_an_attempt_without_a_count_is_charged_to_the_budget_in_full(serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: completion("Whole.") if request.nth else HANG)
    model = connect(server, budget_dollars=400e-6, timeout=1.0)

    with pytest.raises(BudgetSpent):
        ask(model, "Say it.")

    assert len(server.requests) == 1


def test_refused_attempts_take_nothing_from_the_budget(serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: completion() if request.nth == 5 else status(429))

    assert ask(connect(server, budget_dollars=400e-6), "Say it.") == ["Fine."]


def test_a_smaller_question_is_not_bought_after_a_larger_one_was_refused(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _: completion())
    model = connect(server, budget_dollars=400e-6)

    with pytest.raises(BudgetSpent):
        ask(model, "Long. " * 100)
    with pytest.raises(BudgetSpent):
        ask(model, "Short.")

    assert server.requests == []


def test_429s_lower_the_concurrency_and_answers_raise_it_again(serve: Serve, connect: Connect) -> None:
    crowded = True

    def script(request: Request) -> Reply:
        return status(429) if crowded and request.nth == 0 else completion()

    server = serve(script, delay=0.01)
    model = connect(server, concurrency=8)
    ask(model, *(f"Crowded {number}" for number in range(8)))
    lowered = model.concurrency
    crowded = False
    ask(model, *(f"Quiet {number}" for number in range(200)))

    assert lowered < 8
    assert model.concurrency == 8
    assert server.most_at_once <= 8


def test_a_wait_that_the_server_asks_for_holds_back_the_others_too(serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: completion() if request.nth or "0" not in request.prompt else status(429, retry_after="3600"))
    model = connect(server, concurrency=1, longest_wait=0.2)

    ask(model, "Question 0", "Question 1", "Question 2")

    assert len(server.requests) == 4
    assert all(request.at - server.requests[0].at >= 0.2 for request in server.requests[1:])


def test_a_question_that_is_cancelled_on_its_way_is_counted_with_the_most_that_it_can_have_cost(
    serve: Serve, connect: Connect
) -> None:
    server = serve(lambda _: HANG)
    model = connect(server)

    async def cancelled() -> None:
        task = asyncio.create_task(model.ask("Say it."))
        await asyncio.to_thread(server.wait_for, 1)
        task.cancel()
        await asyncio.wait([task])
        await model.close()

    asyncio.run(cancelled())

    assert model.cost.requests == 1
    assert model.cost.answers == 0
    assert model.cost.uncertain_dollars > 100 * 2e-6


def test_the_time_that_a_question_waits_for_its_turn_is_not_taken_from_its_deadline(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _: completion(), delay=0.5)
    model = connect(server, concurrency=1, deadline=3.0)

    assert ask(model, *(f"Question {number}" for number in range(8))) == ["Fine."] * 8


def test_a_budget_without_a_price_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="dollars_per_million_input"):
        ModelSettings(model="m", budget_dollars=1.0)


@pytest.mark.parametrize("given", ["-1", "nan", "inf", "soon", "", "Wed, 99 Oct 2015 07:28:00 GMT"])
def test_a_senseless_retry_after_is_ignored(given: str) -> None:
    assert retry_after({"retry-after": given}) is None


def test_an_error_holds_nothing_of_the_prompt(serve: Serve, connect: Connect, answers: Answers) -> None:
    model = connect(serve(lambda _: status(400)))

    with pytest.raises(ModelFailed) as failed:
        ask(model, "My name is Zebulon.")

    chain: BaseException | None = failed.value
    while chain is not None:
        assert "Zebulon" not in repr(chain)
        chain = chain.__cause__ or chain.__context__
