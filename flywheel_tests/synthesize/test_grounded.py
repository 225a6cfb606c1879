"""Techniques that hold on to a text: questions about a part of it, and answers that contradict it."""

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from flywheel import plugins
from flywheel.errors import PluginError
from flywheel.format.trl_preference import TrlPreference
from flywheel.plugins import Synthesizer
from flywheel.records import Record, from_batch, to_batch
from flywheel.synthesize.driver import Synthesized, synthesize
from flywheel.synthesize.synthesizers.inconsistent_variants import InconsistentVariants
from flywheel.synthesize.synthesizers.long_context import LongContext, parts
from flywheel.synthesize.verify import verify
from flywheel_tests.shared import shared_data
from flywheel_tests.synthesize.conftest import Connect, Serve
from flywheel_tests.synthesize.conversations import chat
from flywheel_tests.synthesize.scripted_server import Reply, Request, completion

TOWNS = [f"Town{n}" for n in range(60)]
TEXT = "\n\n".join(f"{town} lies on a river. Its bridge was built in {1500 + n} by hand." for n, town in enumerate(TOWNS))
NOTE = chat("Ada sold 12 boats to Ben in May. Sum it up.", "In May, Ada sold Ben 12 boats.")
ERRORS = {
    "names another": "In May, Ada sold Carl 12 boats.",
    "gives another number": "In May, Ada sold Ben 21 boats.",
    "says the opposite": "In May, Ada did not sell Ben 12 boats.",
    "mixes up": "In May, Ben sold Ada 12 boats.",
    "adds one fact": "In May, Ada sold Ben 12 red boats.",
}


def run(plugin: Synthesizer, model: Any, seed: Record) -> tuple[list[Record], Synthesized]:
    made = synthesize([to_batch([seed])], plugin, name="grounded", model=model)
    return [child for batch in made for child in from_batch(batch)], made


def examiner(change: Mapping[str, str], *, answered: bool = True) -> Callable[[Request], Reply]:
    """Asks about the first bridge of the part that it is shown."""

    def answer(request: Request) -> Reply:
        if request.prompt.startswith("Does this text"):
            assert len(request.prompt) < 1_000
            return completion(json.dumps({"answered": answered}))
        first = request.prompt.partition("\n\n")[2]
        town, year = first.split()[0], first.partition("built in ")[2].split()[0]
        asked = {
            "question": f"When was the bridge of {town} built?",
            "answer": f"In {year}.",
            "quote": f"was  built in {year} by",
        }
        return completion(json.dumps({**asked, **change}))

    return answer


def test_a_question_about_a_part_is_asked_with_the_whole_text(serve: Serve, connect: Connect) -> None:
    seed = chat(TEXT, "A list of towns.")
    server = serve(examiner({}))

    children, made = run(plugins.build("synthesizer", "long_context", {"shortest": 1000, "part": 500}), connect(server), seed)
    outcome = verify(to_batch(children), to_batch([seed]))

    assert len(children) == 3
    for child in children:
        town = child.prompt.split("the bridge of ")[1].split()[0]
        number, count = (int(part) for part in child.tags[0].removeprefix("part=").split("/"))
        assert child.prompt.startswith(TEXT)
        assert child.reply == f"In {1500 + TOWNS.index(town)}."
        assert f"{town} lies" in parts(TEXT, 500)[number - 1]
        assert count == len(parts(TEXT, 500))
    assert all(TEXT not in prompt for prompt in server.prompts)
    assert (made.reasons, outcome.exits.height) == ({}, 0)


@pytest.mark.parametrize(
    ("change", "answered", "reason"),
    [
        ({"quote": "was built in 1999 by"}, True, "quote_not_found"),
        ({"quote": " "}, True, "quote_not_found"),
        ({"quote": "lies on a river."}, True, "ambiguous_quote"),
        ({"question": "Which year does this passage give?"}, True, "asks_about_the_part"),
        ({}, False, "not_answered"),
        ({"answer": 7}, True, "model_failed:invalid_answer"),
    ],
)
def test_a_question_that_cannot_be_trusted_is_refused_by_reason(
    change: dict[str, Any], answered: bool, reason: str, serve: Serve, connect: Connect
) -> None:
    script = examiner(change, answered=answered)
    server = serve(lambda request: completion("{}") if "is not valid" in request.prompt else script(request))

    children, made = run(LongContext(questions=1, part=500, shortest=1000), connect(server), chat(TEXT))

    assert children == []
    assert made.reasons == {reason: 1, "no_children": 1}


def test_the_same_question_about_two_parts_is_asked_once(serve: Serve, connect: Connect) -> None:
    server = serve(examiner({"question": "When was it built?"}))

    children, made = run(LongContext(questions=2, part=500, shortest=1000), connect(server), chat(TEXT))

    assert len(children) == 1
    assert made.reasons == {"repeated_question": 1}


def test_a_short_text_costs_nothing(serve: Serve, connect: Connect) -> None:
    server = serve(examiner({}))

    children, _ = run(LongContext(), connect(server), chat(TEXT[:3_000]))

    assert (children, server.requests) == ([], [])


@pytest.mark.parametrize("longest", [100, 173, 5_000])
@pytest.mark.parametrize("text", [TEXT, "x" * 1_000, "a b. " * 300, "line\n" * 90, " \n\n ", "é\n\n" * 70])
def test_parts_are_short_and_lose_no_word(text: str, longest: int) -> None:
    found = parts(text, longest)

    assert all(0 < len(part) <= longest for part in found)
    assert "".join("".join(found).split()) == "".join(text.split())


def test_parts_of_published_articles_hold_each_word_once() -> None:
    lines = gzip.decompress((shared_data("minhash_articles") / "articles_100.train.gz").read_bytes()).decode("utf-8").splitlines()
    longest = max(len(line) for line in lines)

    for line in lines:
        found = parts(line, 700)
        assert " ".join(found).split() == line.split()
        assert max(map(len, found)) <= 700
    assert longest > 1_400


# Errors.


def teacher(errors: Mapping[str, str], inconsistent: Sequence[str]) -> Callable[[Request], Reply]:
    def answer(request: Request) -> Reply:
        judged = request.prompt.rpartition("Answer:\n")[2]
        if request.prompt.startswith("Is everything"):
            return completion(json.dumps({"consistent": judged not in inconsistent}))
        return completion(next(variant for words, variant in errors.items() if words in request.prompt))

    return answer


def test_variants_with_an_error_each_are_rejected_candidates_beside_the_reply(serve: Serve, connect: Connect) -> None:
    server = serve(teacher(ERRORS, list(ERRORS.values())))

    (child,), made = run(plugins.build("synthesizer", "inconsistent_variants", {}), connect(server), NOTE)
    outcome = verify(to_batch([child]), to_batch([NOTE]))
    row = TrlPreference().render(child)

    assert child.messages == NOTE.messages
    assert [other.messages[0].text for other in child.candidates] == list(ERRORS.values())
    assert "errors=entity,number,negation,relation,invention" in child.tags
    assert {(one.name.partition("@")[0], one.value) for one in child.feedback} == {("correct", "true"), ("correct", "false")}
    assert row["chosen"][0]["content"] == NOTE.reply
    assert row["rejected"][0]["content"] in ERRORS.values()
    assert (made.reasons, outcome.exits.height) == ({}, 0)


@pytest.mark.parametrize(
    ("variant", "reason"),
    [
        ("In May, Ben bought 12 boats of Ada.", "still_consistent"),
        ("in may Ada sold Ben 12 boats!", "unchanged"),
        ("No.", "length_differs"),
        ("Ada sold Carl 12 boats. " * 5, "length_differs"),
    ],
)
def test_a_variant_that_is_none_is_refused_by_reason(variant: str, reason: str, serve: Serve, connect: Connect) -> None:
    server = serve(teacher({"names another": variant}, []))

    children, made = run(InconsistentVariants(("entity",)), connect(server), NOTE)

    assert children == []
    assert made.reasons == {reason: 1, "no_children": 1}


def test_the_same_error_twice_is_one_variant(serve: Serve, connect: Connect) -> None:
    errors = dict.fromkeys(("names another", "mixes up"), "In May, Ada sold Carl 12 boats.")

    (child,), made = run(
        InconsistentVariants(("entity", "relation")), connect(serve(teacher(errors, list(errors.values())))), NOTE
    )

    assert len(child.candidates) == 1
    assert made.reasons == {"repeated_variant": 1}


def test_a_reply_that_is_itself_wrong_ends_the_seed(serve: Serve, connect: Connect) -> None:
    server = serve(teacher(ERRORS, [NOTE.reply]))

    children, made = run(InconsistentVariants(), connect(server), NOTE)

    assert children == []
    assert made.reasons == {"inconsistent_reply": 1, "no_children": 1}
    assert len(server.requests) == 1


def test_a_child_that_adds_nothing_to_its_seed_is_still_the_same_as_its_seed() -> None:
    same = NOTE.child(tags=("x=1",))

    assert verify(to_batch([same]), to_batch([NOTE])).exits["reason"].to_list() == ["same_as_seed"]


@pytest.mark.parametrize(
    ("name", "wrong"), [("inconsistent_variants", {"kinds": []}), ("long_context", {"part": 5}), ("ultrachat", {"turns": 0})]
)
def test_senseless_settings_are_refused(name: str, wrong: dict[str, object]) -> None:
    with pytest.raises(PluginError, match=next(iter(wrong))):
        plugins.build("synthesizer", name, wrong)
