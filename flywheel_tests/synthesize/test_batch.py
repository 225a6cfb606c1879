"""The provider's batch API against a real server: every question accounted for, and nothing paid twice."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flywheel.records import from_batch, to_batch
from flywheel.synthesize.cache import Answers
from flywheel.synthesize.driver import Synthesized, synthesize
from flywheel.synthesize.faults import BudgetSpent, ModelFailed, ModelUnusable
from flywheel.synthesize.model import OpenAIModel
from flywheel.synthesize.model_settings import ModelSettings
from flywheel.synthesize.spending import Spending
from flywheel.synthesize.synthesizers.paraphrase import Paraphrase
from flywheel_tests.synthesize.batch_server import BatchServer, answered, refused, unanswered
from flywheel_tests.synthesize.conversations import chats

Batched = Callable[..., OpenAIModel]


@pytest.fixture
def batched(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> Batched:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def connected(server: BatchServer, **own: object) -> OpenAIModel:
        chosen = {"model": "m", "base_url": server.url, "key_env": "", "batch": True, "batch_poll": 0.02, "max_tokens": 100}
        prices = {"dollars_per_million_input": 1.0, "dollars_per_million_output": 2.0}
        return OpenAIModel(ModelSettings(**{**chosen, **prices, **own}), answers=answers)  # type: ignore[arg-type]

    return connected


def ask(model: OpenAIModel, *prompts: str) -> list[str | BaseException]:
    async def all_at_once() -> list[str | BaseException]:
        try:
            return await asyncio.gather(*(model.ask(prompt) for prompt in prompts), return_exceptions=True)
        finally:
            await model.close()

    return asyncio.run(all_at_once())


def run(model: OpenAIModel, count: int, *, tones: tuple[str, ...] = ("formal", "hurried")) -> tuple[list[str], Synthesized]:
    made = synthesize([to_batch(chats(count))], Paraphrase(tones=tones), name="p", model=model)
    return [child.prompt[-20:] for batch in made for child in from_batch(batch)], made


def test_questions_of_many_seeds_become_few_batches_at_the_batch_price(batched: Batched, answers: Answers) -> None:
    with BatchServer() as server:
        model = batched(server)
        texts, made = run(model, 200)

        assert len(texts) == 400
        assert texts[0] == "estion number 0, please?"[-20:]
        assert len(server.batches) == 2, "one for each question that a seed asks in turn"
        assert [model.cost.dollars, made.cost.dollars] == pytest.approx([400 * 20e-6 / 2] * 2)
        assert Spending(answers).total == pytest.approx(400 * 20e-6 / 2)
        assert (made.cost.requests, made.cost.answers, made.cost.uncertain_dollars) == (400, 400, 0.0)

        _, again = run(batched(server), 200)

        assert (again.cost.cached, again.cost.requests, len(server.batches)) == (400, 0, 2)


def test_each_cost_belongs_to_the_seed_that_asked(batched: Batched) -> None:
    with BatchServer(answer=lambda prompt, _: answered(tokens=(int(prompt.split()[-2].strip(",")), 0))) as server:
        made = synthesize([to_batch(chats(5))], Paraphrase(tones=("formal",)), name="p", model=batched(server))
        list(made)

    assert made.cost.prompt_tokens == 0 + 1 + 2 + 3 + 4


def test_every_kind_of_line_ends_right(batched: Batched) -> None:
    lines = {
        "answered": answered("Whole."),
        "cut": answered("Half of", finish="length"),
        "too long": refused(400, "context_length_exceeded"),
        "busy": refused(429, "rate_limit_exceeded"),
        "expired": unanswered("batch_expired"),
        "left out": None,
    }

    with BatchServer(answer=lambda prompt, _: lines[prompt]) as server:
        model = batched(server)
        ends = dict(zip(lines, ask(model, *lines), strict=True))

    assert ends.pop("answered") == "Whole."
    reasons = {prompt: end.reason for prompt, end in ends.items() if isinstance(end, ModelFailed)}
    assert reasons == {
        "cut": "length",
        "too long": "http_400:context_length_exceeded",
        "busy": "rate_limited",
        "expired": "batch_expired",
        "left out": "batch_lost",
    }
    assert sorted(server.prompts) == sorted(["answered", "cut", "too long"] + ["busy", "expired", "left out"] * 3)


def test_what_a_batch_loses_is_sent_in_the_next(batched: Batched) -> None:
    def once(prompt: str, nth: int) -> dict[str, object] | None:
        return (
            answered(f"Re: {prompt}") if nth else [unanswered("batch_expired"), refused(500, "server_error"), None][int(prompt)]
        )

    with BatchServer(answer=once) as server:
        assert ask(batched(server), "0", "1", "2") == ["Re: 0", "Re: 1", "Re: 2"]
        assert len(server.batches) == 2


def test_a_batch_that_is_not_accepted_is_a_reason(batched: Batched) -> None:
    with BatchServer(status="failed") as server:
        (end,) = ask(batched(server), "One.")

    assert isinstance(end, ModelFailed)
    assert end.reason == "batch_failed:token_limit_exceeded"
    assert len(server.batches) == 1


def test_a_budget_holds_for_a_batch(batched: Batched, answers: Answers) -> None:
    with BatchServer(answer=lambda *_: answered(tokens=(100, 0))) as server:
        ends = ask(batched(server, budget_dollars=400e-6), *(f"Question {number}" for number in range(10)))

    assert [isinstance(end, BudgetSpent) for end in ends] == [False] * 2 + [True] * 8
    assert Spending(answers).total == pytest.approx(2 * 100e-6 / 2)


@pytest.mark.parametrize("status", [500, 429, 0])
def test_a_provider_that_is_away_for_a_while_is_asked_again(status: int, batched: Batched) -> None:
    with BatchServer(trouble=lambda _, __, nth: status if nth == 0 else None) as server:
        assert ask(batched(server), "One.", "Two.") == ["Re: One.", "Re: Two."]

    assert len(server.batches) == 1


def test_a_batch_whose_making_was_answered_by_silence_is_found_and_not_made_twice(batched: Batched) -> None:
    def silent(method: str, path: str, nth: int) -> int | None:
        return -1 if (method, path, nth) == ("POST", "/batches", 0) else None

    with BatchServer(trouble=silent) as server:
        assert ask(batched(server), "One.") == ["Re: One."]

    assert len(server.batches) == 1


@pytest.mark.parametrize("status", [401, 404])
def test_a_provider_without_batches_stops_the_run_with_what_to_do(status: int, batched: Batched) -> None:
    with BatchServer(trouble=lambda *_: status) as server:
        (end,) = ask(batched(server), "One.")

    assert isinstance(end, ModelUnusable)
    assert "batch = false" in str(end)


RUN = """
import sys
from flywheel.records import to_batch
from flywheel.synthesize.cache import Answers
from flywheel.synthesize.driver import synthesize
from flywheel.synthesize.model import OpenAIModel
from flywheel.synthesize.model_settings import ModelSettings
from flywheel.synthesize.synthesizers.paraphrase import Paraphrase
from flywheel_tests.synthesize.conversations import chats

settings = ModelSettings(model="m", base_url=sys.argv[1], key_env="", batch=True, batch_poll=0.05, max_tokens=100,
    dollars_per_million_input=1.0, dollars_per_million_output=2.0)
model = OpenAIModel(settings, answers=Answers(sys.argv[2], b"key"))
list(synthesize([to_batch(chats(6))], Paraphrase(tones=("formal",)), name="p", model=model))
"""


@pytest.mark.parametrize("killed_at", ["/batches", "/batches/batch-0"])
def test_a_run_killed_with_a_batch_under_way_finds_it_again(
    killed_at: str, batched: Batched, answers: Answers, tmp_path: Path
) -> None:
    running: list[subprocess.Popen[bytes]] = []

    def kill(method: str, path: str, nth: int) -> int | None:
        if path == killed_at and method == ("GET" if path.startswith("/batches/") else "POST") and len(running) == 1:
            running[0].send_signal(signal.SIGKILL)
            running.append(running[0])
            return -1
        return None

    with BatchServer(trouble=kill) as server:
        with server.changed:
            running.append(subprocess.Popen([sys.executable, "-c", RUN, server.url, str(tmp_path / "answers.sqlite")]))
        assert running[0].wait() == -signal.SIGKILL
        texts, again = run(batched(server), 6, tones=("formal",))

        assert (len(texts), again.cost.answers) == (6, 6)
        assert len(server.batches) == 1
        assert len(server.prompts) == 6
        assert Spending(answers).total == pytest.approx(6 * 20e-6 / 2)
