"""The techniques that ask a model, from flywheel.toml to verified rows and to a set of preference pairs."""

import json
import re
from collections.abc import Callable, Iterator

import polars as pl
import pytest

from flywheel.project import Project
from flywheel.steps import make
from flywheel_tests.projects import TOPICS, call, make_all, write_project
from flywheel_tests.synthesize.scripted_server import Reply, Request, ScriptedServer, completion

SEEDS = 6
TOML = """
[splits]
validation = 0
test = 0

[model]
model = "writer-1"
seed = 0
base_url = "{url}"
key_env = ""
outputs_may_train = true

[models.teacher]
model = "teacher-1"
outputs_may_train = true
dollars_per_million_input = 1000.0
dollars_per_million_output = 1000.0

[models.judge]
model = "judge-1"
outputs_may_train = true

[[synthesize]]
use = "metamath"
kinds = ["rephrase", "fobar", "self_verification"]
verify = [{{use = "math_answer", same_answer = false}}]

[[synthesize]]
use = "chain_of_thought"
verify = ["math_answer"]

[[synthesize]]
use = "distill"
least = 4

[[synthesize]]
use = "preference_pairs"

[[synthesize]]
use = "translate"

[[synthesize]]
use = "self_instruct"
count = 1
verify = ["self_instruct"]

[[synthesize]]
use = "reverse_instruction"

[[synthesize]]
use = "evolve"
rounds = 1

[[mix]]
name = "pairs"
take = {{ "synthetic/preference_pairs" = 1.0 }}

[[sets]]
name = "pairs"
mix = "pairs"
format = "trl_preference"
"""


def logged(number: int) -> dict[str, object]:
    topic = TOPICS[number]
    prompt = f"A shop sells {number + 11} {topic} cases on each of {number + 3} days. How many {topic} cases are that?"
    total = (number + 11) * (number + 3)
    work = f"Each day {number + 11} are sold, so it is {number + 11}*{number + 3}=<<{number + 11}*{number + 3}={total}>>{total}."
    return call(number, prompt=prompt, reply=f"{work} That many {topic} cases leave the shop in all.\n#### {total}")


def numbers(text: str) -> list[int]:
    return [int(found) for found in re.findall(r"(?<![\w_])\d+", text)]


def script(request: Request) -> Reply:
    """Right for every technique; of the seed about laptops whatever is graded is graded low."""
    prompt, model = request.prompt, request.body["model"]
    topic = next(topic for topic in TOPICS if topic in prompt)
    if model == "judge-1":
        return judgement(prompt)
    if model == "teacher-1":
        return completion(f"Count the {topic} cases day by day, and you have it.")
    found = next((write for start, write in WRITERS.items() if prompt.startswith(start)), None)
    if found is not None:
        return completion(found(prompt, topic))
    if "What is x?" in prompt or "step by step" in prompt:
        return completion(solved(prompt))
    return completion(("Better: count by days." if request.body["seed"] else "Worse: guess.") + f" About the {topic} cases.")


NEW = (
    "Name the parts of a router and what each does.",
    "Write a friendly reminder about an invoice that is a week late.",
    "Which laptop keys are pressed most often in English prose?",
    "Put these into the plural: headset, goose, crisis.",
    "Explain why a printer prefers dry paper.",
    "How would Shakespeare have described a tablet?",
)
WRITERS: dict[str, Callable[[str, str], str]] = {
    "Translate this into German": lambda prompt, _: "Auf Deutsch: " + prompt.split("\n\n", 1)[1],
    "Translate this into English": lambda prompt, _: prompt.split("Auf Deutsch: ", 1)[1],
    "People asked": lambda _, topic: f"1. {NEW[TOPICS.index(topic)]}",
    "Write the request": lambda _, topic: f"Tell me the sales of {topic}s.",
    "Rewrite this request": lambda _, topic: f"Plan a week of {topic} sales and give reasons.",
    "Write a new request": lambda _, topic: f"Plan a fair for {topic} makers.",
    "Reword": lambda prompt, _: prompt.split("\n\n", 1)[1].replace("A shop sells", "Somebody sells"),
    "Write this question": lambda prompt, _: re.sub(
        r" How many (.*?)\?\s*Answer: (\d+)", r" That is \2 \1.", prompt.split("\n\n", 1)[1]
    ),
}


def judgement(prompt: str) -> Reply:
    if "Which answer" in prompt:
        said: dict[str, object] = {"better": "first" if "<first>\nBetter" in prompt else "second"}
    elif "the second request" in prompt:
        said = {"gains": True}
    else:
        said = {"score": 2 if "laptop" in prompt else 5}
    return completion(json.dumps({"reason": "Because.", **said}))


def solved(prompt: str) -> str:
    given = numbers(prompt.replace("step by step", ""))
    x = given[0] * given[1] if "What is x?" not in prompt else given[1] // given[0]
    return f"From what is given one finds the number asked for.\n#### {x}"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("techniques")
    with ScriptedServer(script) as server:
        made = write_project(folder, {"2026-03-02": [logged(n) for n in range(SEEDS)]}, toml=TOML.format(url=server.url))
        make_all(made)
        yield made


def test_every_technique_is_a_node_whose_rows_are_verified_and_counted(project: Project) -> None:
    verified = project.tables.read("verified")
    exits = project.tables.read("exits")

    assert dict(verified.group_by("origin").len().iter_rows()) == {
        "synthetic:metamath": 3 * SEEDS,
        "synthetic:chain_of_thought": SEEDS,
        "synthetic:distill": SEEDS - 1,
        "synthetic:preference_pairs": SEEDS,
        "synthetic:translate": SEEDS,
        "synthetic:self_instruct": SEEDS,
        "synthetic:reverse_instruction": SEEDS - 1,
        "synthetic:evolve": SEEDS,
    }
    low = exits.filter(pl.col("reason") == "low_grade")
    assert dict(low.group_by("stage").len().iter_rows()) == {"synthetic/distill": 1, "synthetic/reverse_instruction": 2}


def test_a_node_tells_what_it_refused_and_what_was_paid_for_is_not_asked_again(project: Project) -> None:
    told = make(project, "synthetic/distill")

    assert (told.rows_in, told.rows) == (SEEDS, SEEDS - 1)
    assert told.reasons == {("dropped", "low_grade"): 1}
    assert told.extra["requests"] == 0


def test_the_cost_of_a_row_that_was_accepted_counts_what_was_bought_earlier_too(project: Project) -> None:
    make(project, "synthetic/distill")
    again = make(project, "verified").extra["yield"]

    told = {row["synthesizer"]: row for row in again.iter_rows(named=True)}
    teacher = told["distill"]
    assert (teacher["made"], teacher["accepted"]) == (SEEDS - 1, SEEDS - 1)
    assert teacher["dollars"] > 0
    assert teacher["dollars_per_accepted_row"] == teacher["dollars"] / (SEEDS - 1)
    assert {row["dollars"] for name, row in told.items() if name != "distill"} == {0.0}


def test_pairs_that_a_judge_prefers_both_ways_are_a_preference_set(project: Project) -> None:
    rows = [json.loads(line) for line in (project.sets / "pairs" / "latest" / "train.jsonl").read_bytes().splitlines()]

    assert len(rows) == SEEDS
    assert all(row["chosen"][0]["content"].startswith("Better") for row in rows)
    assert all(row["rejected"][0]["content"].startswith("Worse") for row in rows)
