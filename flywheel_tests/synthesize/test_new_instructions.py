"""Techniques that write new instructions: Self-Instruct, reverse instruction, Evol-Instruct."""

import gzip
import json
import re

import pytest

from flywheel import plugins
from flywheel.errors import PluginError
from flywheel.records import text_message, to_batch
from flywheel.synthesize.synthesizers.evolve import WAYS, Evolve
from flywheel.synthesize.synthesizers.reverse_instruction import ReverseInstruction
from flywheel.synthesize.synthesizers.self_instruct import EXAMPLES, SelfInstruct
from flywheel.synthesize.verification import apply_checks, build_checks
from flywheel.synthesize.verification.contract import Known
from flywheel.testing import check_synthesizer
from flywheel_tests.shared import shared_data
from flywheel_tests.synthesize.conftest import Connect, Serve
from flywheel_tests.synthesize.conversations import chat, chats
from flywheel_tests.synthesize.scripted_run import run
from flywheel_tests.synthesize.scripted_server import Reply, Request, completion

ROLES = {"judge": {"model": "judge-1"}}


def judged(**verdict: object) -> Reply:
    return completion(json.dumps({"reason": "It asks about lamps, and the text is about tea.", **verdict}))


# Self-Instruct.

LISTED = """Here you are:
1. "Suggest a name for a bakery that only sells rye bread."
2. {second}
3. Convert 12 miles to kilometres and show the factor."""
PLAIN = "Describe how tides arise in two sentences."


def listing(second: str, request: Request) -> Reply:
    if request.prompt.startswith("People asked"):
        return completion(LISTED.format(second=second))
    return completion(request.prompt if "miles" in request.prompt and "copy" in second else f"Answered: {request.prompt[:8]}")


def test_new_instructions_are_asked_for_beside_the_seeds_and_answered(serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: listing(PLAIN, request))

    made = run(SelfInstruct(count=3), [chat()], connect(server))

    assert [(child.prompt, child.reply) for child in made.children] == [
        ("Suggest a name for a bakery that only sells rye bread.", "Answered: Suggest"),
        (PLAIN, "Answered: Describe"),
        ("Convert 12 miles to kilometres and show the factor.", "Answered: Convert"),
    ]
    shown = re.findall(r"^\d\. (.*)$", server.prompts[0], re.MULTILINE)
    assert len(shown) == 4
    assert set(shown) - set(EXAMPLES) == {chat().prompt}
    assert SelfInstruct(count=3).most_questions(chat()) == {"generator": len(server.requests)}
    assert SelfInstruct().most_questions(chat("")) == {}
    assert made.reasons == {}


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (chat().prompt, "similar_instruction"),
        ("how do i reset my old password", "similar_instruction"),
        (EXAMPLES[0], "similar_instruction"),
        ("Suggest a name for a bakery that only sells white bread.", "similar_instruction"),
        ("Sing it.", "too_short"),
        ("Draw a picture of a harbour at night.", "beyond_text"),
        ("Write a program that sorts a list of names.", "write_a_program"),
        ("(Tell me more about) the tides of the sea.", "starts_with_punctuation"),
        ("Explain tides, moon, sun and sea. " * 30, "too_long"),
    ],
)
def test_copied_similar_and_poor_instructions_are_refused_before_anybody_answers(
    second: str, reason: str, serve: Serve, connect: Connect
) -> None:
    server = serve(lambda request: listing(second, request))

    made = run(SelfInstruct(count=3), [chat()], connect(server))

    assert len(made.children) == 2
    assert made.reasons == {reason: 1}
    assert len(server.requests) == 3


def test_an_answer_that_repeats_its_instruction_is_refused(serve: Serve, connect: Connect) -> None:
    made = run(
        SelfInstruct(count=3), [chat()], connect(serve(lambda request: listing("Explain what a copy editor does.", request)))
    )

    assert len(made.children) == 2
    assert made.reasons == {"copied_instruction": 1}


def test_no_more_are_taken_than_were_asked_for(serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: listing(PLAIN, request))

    assert len(run(SelfInstruct(count=2), [chat()], connect(server)).children) == 2


def test_what_is_no_list_has_no_children(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _: completion("I would rather not write any."))

    assert run(SelfInstruct(), [chat()], connect(server)).reasons == {"no_children": 1}


def test_the_named_check_finds_what_one_seed_cannot_know_of_another(serve: Serve, connect: Connect) -> None:
    def script(request: Request) -> Reply:
        listed = LISTED.format(second=PLAIN)
        if "Question number 1" in request.prompt:
            listed = listed.replace("rye", "oat").replace("12", "twelve").replace("two", "three")
        return completion(listed if request.prompt.startswith("People asked") else f"Answered: {request.prompt}")

    made = run(SelfInstruct(count=3), chats(2), connect(serve(script))).children

    outcome = apply_checks(to_batch(made), [check.judge() for check in build_checks(["self_instruct"])], Known({}))

    assert len(made) == 6
    assert outcome.kept.height == 3
    assert set(outcome.exits["reason"]) == {"similar_instruction"}


def test_published_seed_tasks_copied_by_a_model_are_all_refused(serve: Serve, connect: Connect) -> None:
    packed = (shared_data("self_instruct") / "seed_tasks.jsonl.gz").read_bytes()
    tasks = [" ".join(json.loads(line)["instruction"].split()) for line in gzip.decompress(packed).splitlines()][:60]
    echo = serve(lambda _: completion("\n".join(f"{at}. {text}" for at, text in enumerate(tasks, 1))))

    made = run(SelfInstruct(count=50, examples=tuple(tasks[:50]), shown=3), [chat()], connect(echo))

    assert made.children == []
    assert sum(count for reason, count in made.reasons.items() if reason != "no_children") == 50
    assert made.reasons["similar_instruction"] > 25


# Reverse instruction.

TEA = "Pour water just off the boil over the leaves, wait three minutes, and take the leaves out before the tea turns bitter."
SEED = chat("Tell me how tea is made.", TEA)


def test_a_request_is_found_for_the_logged_reply(serve: Serve, connect: Connect) -> None:
    def script(request: Request) -> Reply:
        if request.body["model"] == "judge-1":
            assert "<request>\nHow is green tea brewed well?" in request.prompt
            return judged(score=5)
        assert TEA in request.prompt
        return completion("“How is green tea brewed well?”")

    (child,) = run(ReverseInstruction(), [SEED], connect(serve(script), roles=ROLES)).children

    assert [turn.text for turn in child.messages] == ["How is green tea brewed well?", TEA]


def test_a_request_that_does_not_fit_is_written_again_with_the_judges_complaint(serve: Serve, connect: Connect) -> None:
    def script(request: Request) -> Reply:
        if request.body["model"] == "judge-1":
            return judged(score=2 if "lamp" in request.prompt else 4)
        return completion("How is tea made?" if "It asks about lamps" in request.prompt else "How does a lamp work?")

    made = run(ReverseInstruction(), [SEED], connect(serve(script), roles=ROLES))

    assert [child.prompt for child in made.children] == ["How is tea made?"]
    assert made.reasons == {"low_grade": 1}


@pytest.mark.parametrize(
    ("instruction", "reason", "judgements"),
    [
        ("Wait three minutes, and take the leaves out!", "copied_reply", 0),
        (f"{TEA} Right?", "copied_reply", 0),
        ("Tell me how the tea is made!", "similar_instruction", 0),
        ("How does a lamp work?", "low_grade", 1),
    ],
)
def test_bad_requests_are_given_up_after_all_rounds(
    instruction: str, reason: str, judgements: int, serve: Serve, connect: Connect
) -> None:
    server = serve(lambda request: judged(score=3) if request.body["model"] == "judge-1" else completion(instruction))

    made = run(ReverseInstruction(rounds=3), [SEED], connect(server, roles=ROLES))

    assert made.reasons == {reason: 3, "no_children": 1}
    assert sum(request.body["model"] == "judge-1" for request in server.requests) == judgements


def test_short_replies_are_no_answers_to_find_requests_for(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _: completion())

    assert run(ReverseInstruction(), [chat()], connect(server)).reasons == {"no_children": 1}
    assert server.requests == []


# Evolve.

HARDER = "Name five rivers of Asia with their lengths."
HARDEST = "Name five rivers of Asia with their lengths and the seas that they end in."
RIVERS = chat("Name five rivers.", "Nile, Rhine, Po, Don, Ob.")


def evolving(request: Request, **other: Reply) -> Reply:
    if request.body["model"] == "judge-1":
        return other.get("judge", judged(gains=True))
    if any(request.prompt.startswith(way) for way in WAYS.values()):
        return other.get("evolved", completion(HARDEST if HARDER in request.prompt else HARDER))
    return other.get("answer", completion(f"Answer to: {request.prompt}"))


def test_each_round_starts_from_the_last_and_is_a_child_with_an_answer(serve: Serve, connect: Connect) -> None:
    made = run(Evolve(), [RIVERS], connect(serve(evolving), roles=ROLES))

    assert [(child.prompt, child.reply) for child in made.children] == [
        (HARDER, f"Answer to: {HARDER}"),
        (HARDEST, f"Answer to: {HARDEST}"),
    ]
    assert all(tag.removeprefix("way=") in WAYS for child in made.children for tag in child.tags if tag.startswith("way="))


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"evolved": completion("  name five Rivers ")}, "copied_instruction"),
        ({"evolved": completion("The given request, but harder: name six rivers.")}, "speaks_of_the_task"),
        ({"evolved": completion("New request: name six rivers.")}, "speaks_of_the_task"),
        ({"judge": judged(gains=False)}, "nothing_gained"),
        ({"answer": completion("Sorry, I cannot say.")}, "apology"),
        ({"answer": completion("It is the... a.")}, "empty_answer"),
        ({"answer": completion(finish="length")}, "model_failed:length"),
        ({"judge": completion("No idea.")}, "model_failed:invalid_answer"),
    ],
)
def test_failed_steps_are_eliminated(how: dict[str, Reply], reason: str, serve: Serve, connect: Connect) -> None:
    made = run(Evolve(rounds=1), [RIVERS], connect(serve(lambda request: evolving(request, **how)), roles=ROLES))

    assert made.reasons == {reason: 1, "no_children": 1}


def test_after_an_eliminated_step_the_next_starts_from_what_held(serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: evolving(request, **({"judge": judged(gains=False)} if HARDEST in request.prompt else {})))

    made = run(Evolve(rounds=3), [RIVERS], connect(server, roles=ROLES))

    assert [child.prompt for child in made.children] == [HARDER]
    assert made.reasons == {"nothing_gained": 2}
    assert sum(HARDER in asked and asked.startswith(tuple(WAYS.values())) for asked in server.prompts) == 2


def test_a_long_answer_may_say_sorry(serve: Serve, connect: Connect) -> None:
    letter = "Dear Sir, we are sorry for the delay. " + "The parcel has left our store and is on its way to you. " * 7
    server = serve(lambda request: evolving(request, answer=completion(letter)))

    assert len(run(Evolve(rounds=1), [RIVERS], connect(server, roles=ROLES)).children) == 1


def test_only_the_last_prompt_of_a_conversation_evolves(serve: Serve, connect: Connect) -> None:
    server = serve(evolving)
    earlier = (text_message("user", "Hello."), text_message("assistant", "Hello!"))

    (child,) = run(Evolve(rounds=1), [RIVERS.child(messages=(*earlier, *RIVERS.messages))], connect(server, roles=ROLES)).children

    assert [turn.text for turn in child.messages] == ["Hello.", "Hello!", HARDER, f"Answer to: {HARDER}"]
    assert [turn["content"] for turn in server.requests[-1].body["messages"]] == ["Hello.", "Hello!", HARDER]


def test_ways_are_drawn_for_the_seed_and_only_from_those_allowed(serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: evolving(request, evolved=completion(f"Harder now: {request.prompt[-15:]}")))
    seeds = [chat(f"Name {n} rivers.", id=f"s{n}") for n in range(12)]

    def drawn(*ways: str) -> list[str]:
        made = run(plugins.build("synthesizer", "evolve", {"ways": ways, "rounds": 1}), seeds, connect(server, roles=ROLES))
        return [tag for child in made.children for tag in child.tags if tag.startswith("way=")]

    assert set(drawn("reasoning", "breadth")) == {"way=reasoning", "way=breadth"}
    assert drawn("reasoning", "breadth") == drawn("reasoning", "breadth")


@pytest.mark.parametrize(
    ("name", "wrong", "told"),
    [
        ("self_instruct", {"count": 0}, "count"),
        ("self_instruct", {"shown": 9}, "shown"),
        ("self_instruct", {"rouge_l": 0.0}, "rouge_l"),
        ("reverse_instruction", {"rounds": 0}, "rounds"),
        ("reverse_instruction", {"least": 0}, "least"),
        ("evolve", {"ways": ["sideways"]}, "sideways"),
        ("evolve", {"ways": []}, "ways"),
        ("evolve", {"rounds": 0}, "rounds"),
    ],
)
def test_senseless_settings_are_refused(name: str, wrong: dict[str, object], told: str) -> None:
    with pytest.raises(PluginError, match=told):
        plugins.build("synthesizer", name, wrong)


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("self_instruct", ["1. Name a few plants of the desert.\n2. Spell the word rhythm backwards, please."]),
        ("reverse_instruction", ["What did they say about it?", '{"reason": "Good.", "score": 5}']),
        ("evolve", ["Tell it in other terms, and name two reasons.", '{"reason": "Other.", "gains": true}', "Two reasons."]),
    ],
)
def test_awkward_records_break_none(name: str, answers: list[str]) -> None:
    check_synthesizer(plugins.build("synthesizer", name, {}), answers=answers)
