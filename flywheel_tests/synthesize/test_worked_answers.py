"""Techniques whose answers are worked out and must come to what is known: MetaMath's and chains of thought."""

import gzip
import json
import re
import threading

import polars as pl
import pytest

from flywheel import plugins
from flywheel.records import Record, to_batch
from flywheel.synthesize.driver import synthesize
from flywheel.synthesize.reading import WORK, bare, final_answer, items, written, wrong_work
from flywheel.synthesize.synthesizers.chain_of_thought import ChainOfThought
from flywheel.synthesize.synthesizers.metamath import KINDS, MetaMath
from flywheel.synthesize.verification import apply_checks, build_checks
from flywheel.synthesize.verification.contract import Known
from flywheel.testing import check_synthesizer
from flywheel_tests.shared import shared_data
from flywheel_tests.synthesize.conftest import Connect, Serve
from flywheel_tests.synthesize.conversations import chat
from flywheel_tests.synthesize.scripted_run import run
from flywheel_tests.synthesize.scripted_server import Reply, Request, completion, status

PEARS = "Ada fills 12 boxes with 7 pears each and gives 4 pears away. How many pears are left?"
WORKED = "The boxes hold 12*7=<<12*7=84>>84 pears. 84-4=<<84-4=80>>80 are left.\n#### 80"
REWORDED = "Each of Ada's 12 boxes holds 7 pears. She hands out 4. How many remain?"
STATED = "Ada fills 12 boxes with 7 pears each and gives 4 pears away, and 80 pears are left."


def pears(id: str = "s1") -> Record:
    return chat(PEARS, WORKED, id=id)


def unknown(prompt: str) -> str:
    """The number that a problem turned round asks for: the one of the three that is not in it."""
    return next(number for number in ("12", "7", "4") if not re.search(rf"\b{number}\b", prompt))


def solver(request: Request) -> Reply:
    """Solves every problem right."""
    if request.prompt.startswith("Reword"):
        return completion(f'"{REWORDED}"')
    if request.prompt.startswith("Write this question"):
        return completion(STATED)
    if "What is x?" in request.prompt:
        return completion(f"Turning it round, x must be {unknown(request.prompt)}.\n#### {unknown(request.prompt)}")
    return completion("Twelve boxes make 84 pears, less 4 that is 80.\n#### 80")


# MetaMath.


def test_each_way_of_asking_comes_with_an_answer_that_was_checked(serve: Serve, connect: Connect) -> None:
    made = run(MetaMath(), [pears()], connect(serve(solver)))

    by_kind = {next(tag for tag in child.tags if tag.startswith("kind=")): child for child in made.children}
    assert list(by_kind) == [f"kind={kind}" for kind in KINDS]
    assert by_kind["kind=rephrase"].prompt == REWORDED
    assert by_kind["kind=answer_augmentation"].prompt == PEARS
    fobar, stated = by_kind["kind=fobar"], by_kind["kind=self_verification"]
    assert re.sub(r"\bx\b", unknown(fobar.prompt), fobar.prompt.split("\n\n")[0]) == PEARS
    assert "The answer to the question above is 80." in fobar.prompt
    assert re.sub(r"\bx\b", unknown(stated.prompt), stated.prompt.split("\n\n")[0]) == STATED
    for turned in (fobar, stated):
        assert turned.reply.endswith(f"#### {unknown(turned.prompt)}")
    assert not any(WORK in child.prompt for child in made.children)
    assert made.reasons == {}


@pytest.mark.parametrize("plugin", [MetaMath(), MetaMath(("rephrase", "fobar"), copies=2)])
def test_as_many_questions_as_foretold_are_asked_at_most(plugin: MetaMath, serve: Serve, connect: Connect) -> None:
    server = serve(solver)

    run(plugin, [pears()], connect(server, seed=0))

    assert plugin.most_questions(pears()) == {"generator": len(server.requests)}
    assert plugin.most_questions(chat()) == {}


def test_problems_turned_round_pass_the_named_check_and_keep_their_own_answer(serve: Serve, connect: Connect) -> None:
    made = run(MetaMath(), [pears()], connect(serve(solver)))
    judges = [check.judge() for check in build_checks([{"use": "math_answer", "same_answer": False}])]

    outcome = apply_checks(to_batch(made.children), judges, Known({"s1": pears()}))

    assert outcome.kept.height == 4


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("It is 81 in the end, surely.\n#### 81", "wrong_answer"),
        ("They are many, I would say.", "no_answer"),
        ("#### {right}", "no_work"),
        ("Adding up, 12*7=<<12*7=94>>94, and so on to {right}.\n#### {right}", "wrong_calculation"),
        ("Here 55 is divided by 3 and more is taken away.\n#### {right}", "unsupported_answer"),
    ],
)
def test_no_kind_passes_an_answer_that_is_wrong_or_badly_worked(answer: str, reason: str, serve: Serve, connect: Connect) -> None:
    def script(request: Request) -> Reply:
        right = unknown(request.prompt) if "What is x?" in request.prompt else "80"
        return completion(answer.format(right=right)) if WORK in request.prompt else solver(request)

    made = run(MetaMath(), [pears()], connect(serve(script)))

    assert made.children == []
    assert made.reasons == {reason: 4, "no_children": 1}


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        (STATED[:-1] + ", are they?", "still_a_question"),
        ("Ada fills some boxes with pears and gives some away, and 80 are left.", "lost_number"),
        (STATED + " The boxes were 12, the pears 7 a box, and 4 given.", "lost_number"),
        (STATED.replace("80", "many"), "lost_answer"),
    ],
)
def test_statements_that_lose_what_is_known_are_refused(stated: str, reason: str, serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: completion(stated) if request.prompt.startswith("Write this") else solver(request))

    made = run(MetaMath(("self_verification",)), [pears()], connect(server))

    assert made.reasons == {reason: 1, "no_children": 1}
    assert len(server.requests) == 1


def test_a_copied_problem_is_no_rephrasing(serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: completion(PEARS.upper()) if request.prompt.startswith("Reword") else solver(request))

    made = run(MetaMath(("rephrase",)), [pears()], connect(server))

    assert made.reasons == {"copied_question": 1, "no_children": 1}


@pytest.mark.parametrize("seed", [chat(), chat(PEARS, "Eighty."), chat("", WORKED), chat("Which letter?", "#### B")])
def test_without_a_final_number_nothing_is_asked(seed: Record, serve: Serve, connect: Connect) -> None:
    server = serve(solver)

    assert run(MetaMath(), [seed], connect(server)).reasons == {"no_children": 1}
    assert server.requests == []


@pytest.mark.parametrize("prompt", ["How many are they?", "Let x be 12 and find 7x and the sum of 3 and 4.", "Is it 80?"])
def test_what_has_no_number_to_ask_for_is_not_turned_round(prompt: str, serve: Serve, connect: Connect) -> None:
    server = serve(solver)

    run(MetaMath(("fobar", "self_verification")), [chat(prompt, WORKED)], connect(server))

    assert server.requests == []


def test_one_question_that_fails_costs_only_its_own_child(serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: completion(finish="length") if request.prompt.startswith("Reword") else solver(request))

    made = run(MetaMath(), [pears()], connect(server))

    assert len(made.children) == 3
    assert made.reasons == {"model_failed:length": 1}


def test_a_repeated_run_makes_the_same_rows_whatever_was_answered_first(serve: Serve, connect: Connect) -> None:
    late = threading.Event()

    def script(request: Request) -> Reply:
        if request.prompt.startswith("Reword") and not late.is_set():
            late.set()
            return status(500)  # this one comes after a retry, when the others are at their second question
        return solver(request)

    seeds = [pears(), pears("s2")]
    model = connect(serve(script))
    first, second = (synthesize([to_batch(seeds)], MetaMath(), name="test", model=model) for _ in range(2))

    assert pl.concat(first).equals(pl.concat(second))


def test_every_wrong_solution_of_real_problems_is_refused_and_every_right_one_kept(serve: Serve, connect: Connect) -> None:
    packed = (shared_data("gsm8k") / "train.jsonl.gz").read_bytes()
    rows = [json.loads(line) for line in gzip.decompress(packed).splitlines()[:150]]
    seeds = [chat(row["question"], row["answer"], id=f"g{at:03}") for at, row in enumerate(rows)]
    known = {f"{row['question']}\n\n{WORK}": (at, row["answer"]) for at, row in enumerate(rows)}

    def script(request: Request) -> Reply:
        at, worked = known[request.prompt]
        off = worked.replace("#### ", "#### 1") if at % 3 == 0 else worked
        return completion(f"Let us see what is asked.\n{off}")

    made = run(MetaMath(("answer_augmentation",)), seeds, connect(serve(script)))

    assert {child.parents[0] for child in made.children} == {seed.id for at, seed in enumerate(seeds) if at % 3}
    assert made.reasons == {"wrong_answer": 50, "no_children": 50}


# Chain of thought.


@pytest.mark.parametrize("most", [1, 2])
def test_the_first_right_chains_are_kept_and_wrong_ones_counted(most: int, serve: Serve, connect: Connect) -> None:
    wrong, right = "I guess that it is 79.\n#### 79", "Twelve times 7 is 84, less 4 is 80.\n#### 80"
    tried = (wrong, right, "Seven dozen less 4 are 80.\n#### 80.0", "Eighty or so.\n#### 80.5")
    server = serve(lambda request: completion(tried[request.nth]))

    made = run(ChainOfThought(samples=4, most=most), [chat(PEARS, "80")], connect(server, concurrency=1))

    assert [child.reply for child in made.children] == list(tried[1 : 1 + most])
    assert made.children[0].prompt == PEARS
    assert made.reasons == {"wrong_answer": 2}


def test_a_chain_can_stand_in_the_reasoning_before_the_seeds_own_reply(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _: completion("Light bends in water, so it is the second.\n#### (B)"))

    (child,) = run(ChainOfThought(into="reasoning"), [chat("A or B?", "B")], connect(server)).children

    assert child.reply == "B"
    assert child.messages[-1].reasoning == "Light bends in water, so it is the second."


def test_where_no_chain_is_right_the_answer_is_given_and_must_not_show(serve: Serve, connect: Connect) -> None:
    def script(request: Request) -> Reply:
        if "The answer is 80" not in request.prompt:
            return completion("It must be a hundred, so 100.\n#### 100")
        told = "Since I was told the answer, it is 80." if "(b)" in request.prompt else "84 pears less 4 are 80."
        return completion(f"{told}\n#### 80")

    made = run(ChainOfThought(), [pears(), chat(f"{PEARS} (b)", WORKED, id="s2")], connect(serve(script)))

    assert [(child.parents, child.reply) for child in made.children] == [(("s1",), "84 pears less 4 are 80.\n#### 80")]
    assert made.reasons == {"wrong_answer": 2, "tells_hint": 1, "no_children": 1}


def test_without_a_hint_a_wrong_chain_is_the_end(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _: completion("Surely it is an even hundred.\n#### 100"))

    made = run(ChainOfThought(samples=1, hint=False), [pears()], connect(server))

    assert made.reasons == {"wrong_answer": 1, "no_children": 1}
    assert len(server.requests) == 1


def test_a_seed_without_a_final_answer_has_no_chain(serve: Serve, connect: Connect) -> None:
    server = serve(solver)

    assert run(ChainOfThought(), [chat()], connect(server)).reasons == {"no_children": 1}
    assert server.requests == []


# Reading.


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("So 3 + 4.\n#### 1,234.50", "1234.5"),
        ("It is \\boxed{3/9}", "1/3"),
        ("The answer is (C).", "C"),
        ("#### **Yes**", "yes"),
        ("72", "72"),
        ("(d)", None),
        ("false.", "false"),
        ("The answer is A, and then the answer is 7.", "7"),
        ("The answer is a matter of taste.", None),
        ("#### 42 apples", None),
        ("Open Settings.", None),
        ("", None),
    ],
)
def test_final_answers_are_numbers_and_choices(reply: str, answer: str | None) -> None:
    found = final_answer(reply)

    assert (found is None) == (answer is None)
    if found is not None and answer is not None:
        assert written(found) == answer
        assert wrong_work(f"This is how the work of it ends.\n#### {answer}", found) is None


def test_lists_are_read_item_by_item() -> None:
    assert items("Sure:\n1. One\n- of it\n2) Two\n\n 3: Three ") == ["One\n- of it", "Two", "Three"]
    assert items("Here:\n* One\n- Two") == ["One", "Two"]
    assert items("Nothing is listed.") == []


def test_only_one_pair_of_quotation_marks_around_everything_goes() -> None:
    assert bare(' "What is it?"\n') == "What is it?"
    assert bare('"One" and "two"') == '"One" and "two"'


@pytest.mark.parametrize("name", ["metamath", "chain_of_thought"])
def test_awkward_records_break_none(name: str) -> None:
    answers = ["The work is short but gives 4.\n#### 4"] * 6

    check_synthesizer(plugins.build("synthesizer", name, {}), answers=answers)
