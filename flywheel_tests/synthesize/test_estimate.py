"""What a run will cost is told before it starts, and the configuration for a user with only an API key runs."""

import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from flywheel.plugins import Model
from flywheel.project import Project
from flywheel.records import Record
from flywheel.steps.estimate import cost_lines
from flywheel.synthesize.estimate import estimate
from flywheel.synthesize.model_settings import ModelSettings
from flywheel.synthesize.synthesizers.paraphrase import Paraphrase
from flywheel.synthesize.synthesizers.typos import Typos
from flywheel_tests.assets.processes import flywheel
from flywheel_tests.projects import call, write_log
from flywheel_tests.synthesize.conftest import Serve
from flywheel_tests.synthesize.conversations import chat, chats
from flywheel_tests.synthesize.scripted_server import Reply, Request, completion

PRICED = ModelSettings(
    model="m", key_env="", max_tokens=1000, dollars_per_million_input=1.0, dollars_per_million_output=2.0, temperature=0.5
)


def test_questions_and_tokens_are_those_that_the_synthesizer_sends() -> None:
    seeds = [chat("Four score and seven years", "word " * 80, id=f"s{n}") for n in range(3)]

    (found,) = estimate(Paraphrase(), seeds, seeds=300, models={"generator": PRICED})

    assert (found.role, found.model, found.seeds, found.questions) == ("generator", "m", 300, 600)
    assert found.prompt_tokens == pytest.approx(600 * 31, abs=600)
    assert found.completion_tokens == 600 * 100
    assert found.dollars == pytest.approx((found.prompt_tokens + 2 * 60_000) / 1e6)
    assert found.most_dollars == pytest.approx((found.prompt_tokens + 2 * 600_000) / 1e6)


@dataclass(frozen=True)
class Fussy:
    """Asks a teacher and a judge, and cannot live with invented answers."""

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        for _ in range(3):
            await model.role("teacher").ask(seed.prompt, max_tokens=10)
        verdict = await model.role("judge").json("Judge it.", {"type": "object", "properties": {"grade": {"enum": ["A", "B"]}}})
        if verdict["grade"] == "A":
            raise ValueError("no")
        yield seed


def test_roles_are_counted_apart_and_one_that_is_missing_is_the_generator() -> None:
    models = {"generator": PRICED, "teacher": PRICED}

    found = {each.role: each for each in estimate(Fussy(), chats(2), seeds=10, models=models)}

    assert {role: each.questions for role, each in found.items()} == {"generator": 10, "teacher": 30}
    assert found["teacher"].completion_tokens == 300


def test_batches_are_estimated_at_their_price() -> None:
    batched = ModelSettings(model="m", key_env="", dollars_per_million_input=1.0, batch=True)

    (dear,), (cheap,) = (
        estimate(Paraphrase(), chats(2), seeds=100, models={"generator": each})
        for each in (ModelSettings(model="m", key_env="", dollars_per_million_input=1.0), batched)
    )

    assert cheap.dollars == dear.dollars / 2


def test_a_rule_costs_nothing() -> None:
    assert estimate(Typos(), chats(2), seeds=100, models={"generator": PRICED}) == []


EVOLVED = (
    "Which of three repair shops would you choose for a cracked lens, and what should each quote contain?",
    "List every step needed before selling old hardware, then mark those that erase personal photographs.",
    "Write a checklist for moving an office network over one weekend without losing telephone service.",
    "Explain how warranty periods differ between Norway and Spain when something was bought second hand.",
    "My budget is 400 euros: compare leasing with buying for two years and show the arithmetic.",
    "Draft a polite complaint about a parcel that arrived wet, mentioning photos and a preferred remedy.",
)


def answering(evolved: dict[str, str]) -> Callable[[Request], Reply]:
    """What a capable model answers to the questions of the demo's synthesizers; `evolved` notes which prompts became which."""

    def script(request: Request) -> Reply:
        prompt = request.prompt
        if "response_format" in request.body:
            shown_first = "Hold the button" in prompt.partition("<second>")[0]
            gain = "gains" in request.body["response_format"]["json_schema"]["schema"]["properties"]
            verdict = {"gains": True} if gain else {"better": "first" if shown_first else "second"}
            return completion(json.dumps({"reason": "It says what to do.", **verdict}))
        if "tone. Keep every fact" in prompt:
            return completion(f"Reworded, {prompt[25:29]}: {prompt[-60:]}")
        if "Answer with the new request only" in prompt:
            return completion(evolved.setdefault(prompt, EVOLVED[len(evolved)]))
        return completion("I cannot tell." if request.nth else f"Hold the button, then see page {len(prompt)} of the manual.")

    return script


def test_the_configuration_for_a_user_with_only_a_key_tells_its_cost_and_makes_two_sets(tmp_path: Path, serve: Serve) -> None:
    server = serve(answering({}))
    project = tmp_path / "mine"
    assert flywheel(tmp_path, "init", str(project), "--synthesize", "--no-demo-logs").returncode == 0
    write_log(project, "2026-03-02", "app.jsonl", [call(number) for number in range(50)])
    config = project / "flywheel.toml"
    said = config.read_text("utf-8")
    local = said.replace("https://api.openai.com/v1", server.url).replace('"OPENAI_API_KEY"', '""')
    config.write_text(re.sub(r"limit = \d+", "limit = 6", local), "utf-8")

    ended = flywheel(project, "run")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = ended.stdout.index("About to ask models")
    assert told < ended.stdout.index("made splits")
    lines = ended.stdout[told:].splitlines()
    for line, (name, questions) in zip(lines[1:], {"paraphrase": 2, "evolve": 3, "preference_pairs": 4}.items(), strict=False):
        asked = f"{name}: 6 seeds x {questions} questions = {6 * questions} requests to gpt-4o-mini (generator), about "
        assert line.strip().startswith(asked)
    assert re.match(r"  together \$0\.0\d, at most \$0\.0\d; spending stops at the budget of \$1\.00", lines[4])
    assert len(server.requests) == 6 * (2 + 3 + 4)
    opened = Project.open(config)
    origins = dict(opened.tables.scan("mixture/chat").group_by("origin").len().collect().iter_rows())
    assert {"synthetic:paraphrase", "synthetic:evolve", "synthetic:typos"} < origins.keys()
    assert origins["synthetic:evolve"] == 6
    shares = opened.tables.scan("mixture/chat").select((pl.col("generation") > 0).mean()).collect().item()
    assert 0 < shares <= 0.6
    files = {file.resolve() for file in opened.sets.glob("preferences/*/*.jsonl")}
    pairs = [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]
    assert len(pairs) == 6
    for pair in pairs:
        assert pair["preferred_output"][0]["content"].startswith("Hold the button")
        assert pair["non_preferred_output"][0]["content"] == "I cannot tell."
    assert list(cost_lines(opened, ["typos"])) == []

    again = flywheel(project, "run")

    assert "About to ask" not in again.stdout
    assert len(server.requests) == 6 * (2 + 3 + 4)
