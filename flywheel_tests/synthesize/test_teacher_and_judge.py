"""Techniques that answer prompts anew: a teacher's answers, pairs that a judge compares, and translations that come back."""

import json
import re

import pytest

from flywheel import plugins
from flywheel.errors import PluginError
from flywheel.format.trl_preference import TrlPreference
from flywheel.records import Message, ToolCall, text_message, to_batch
from flywheel.synthesize.synthesizers.distill import Distill
from flywheel.synthesize.synthesizers.preference_pairs import PreferencePairs
from flywheel.synthesize.synthesizers.translate import Translate, chrf
from flywheel.synthesize.verification import apply_checks, build_checks
from flywheel.synthesize.verification.contract import Known
from flywheel.testing import check_synthesizer
from flywheel_tests.synthesize.conftest import Connect, Serve
from flywheel_tests.synthesize.conversations import chat, chats
from flywheel_tests.synthesize.scripted_run import run
from flywheel_tests.synthesize.scripted_server import Reply, Request, completion, embeddings

ROLES = {"teacher": {"model": "teacher-1"}, "judge": {"model": "judge-1"}}
TOOL = '{"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}'


def judged(**verdict: object) -> Reply:
    return completion(json.dumps({"reason": "It is so.", **verdict}))


def between(tag: str, text: str) -> str:
    found = re.search(f"<{tag}>\n(.*?)\n</{tag}>", text, re.DOTALL)
    assert found is not None
    return found[1]


# Distillation.


def test_the_teacher_answers_in_place_of_the_log_and_is_named_as_the_author(serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: completion(f"{request.body['model']} says: Security, then Reset."))
    earlier = (text_message("system", "Be brief."), text_message("user", "Hello?"), text_message("assistant", "Hello."))
    seed = chat().child(messages=(*earlier, *chat().messages))

    (child,) = run(Distill(), [seed], connect(server, roles=ROLES)).children

    assert child.reply == "teacher-1 says: Security, then Reset."
    assert child.messages[:-1] == seed.messages[:-1]
    assert child.model == "teacher-1"
    assert [message["content"] for message in server.requests[0].body["messages"]] == [
        *("Be brief.", "Hello?", "Hello.", "How do I reset my password?")
    ]


def test_answers_below_the_judges_least_grade_are_refused(serve: Serve, connect: Connect) -> None:
    def script(request: Request) -> Reply:
        if request.body["model"] == "teacher-1":
            return completion(f"Try number {request.nth}.")
        return judged(score={"Try number 0.": 3, "Try number 1.": 5}[between("answer", request.prompt)])

    made = run(Distill(samples=2, least=4), chats(1), connect(serve(script), roles=ROLES, concurrency=1))

    assert [child.reply for child in made.children] == ["Try number 1."]
    assert made.reasons == {"low_grade": 1}
    assert made.children[0].model == "teacher-1"


@pytest.mark.parametrize("grade", ['{"reason": "Good.", "score": 9}', "Five of five!", '{"score": "5"}'])
def test_an_answer_that_no_valid_grade_is_given_is_refused(grade: str, serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: completion("Fine." if request.body["model"] == "teacher-1" else grade))

    made = run(Distill(least=1), [chat()], connect(server, roles=ROLES))

    assert made.reasons == {"model_failed:invalid_answer": 1, "no_children": 1}


def test_the_teacher_may_call_the_seeds_tools_and_the_named_check_stops_bad_calls(serve: Serve, connect: Connect) -> None:
    def script(request: Request) -> Reply:
        arguments = '{"city": "Oslo"}' if "Oslo" in request.prompt else '{"town": 7}'
        call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": arguments}}
        assert request.body["tools"][0]["function"]["name"] == "weather"
        return completion(None, finish="tool_calls", tool_calls=[call])

    seeds = [chat(f"Weather in {city}?", id=city, tools=(TOOL,)) for city in ("Oslo", "Rome")]
    made = run(Distill(), seeds, connect(serve(script)))
    judges = [check.judge() for check in build_checks(["tool_calls"])]

    outcome = apply_checks(to_batch(made.children), judges, Known())

    assert made.children[0].messages[-1].tool_calls == (ToolCall(id="c", name="weather", arguments='{"city": "Oslo"}'),)
    assert outcome.exits["reason"].to_list() == ["arguments_against_schema"]
    assert outcome.exits["id"].to_list() == [made.children[1].id]


# Preference pairs.


def preferring(order: tuple[str, ...]) -> dict[str, int]:
    return {text: place for place, text in enumerate(order)}


def answering(order: tuple[str, ...], request: Request) -> Reply:
    """The generator gives one answer after another; the judge ranks them by their place in `order`."""
    if request.body["model"] != "judge-1":
        return completion(sorted(order)[request.nth % len(order)])
    ranks = preferring(order)
    first, second = (ranks[between(tag, request.prompt)] for tag in ("first", "second"))
    return judged(better="first" if first < second else "second")


def test_the_better_of_two_answers_is_exported_as_chosen(serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: answering(("B, in full.", "A."), request))

    (child,) = run(PreferencePairs(), [chat()], connect(server, roles=ROLES, concurrency=1)).children
    row = TrlPreference(origins=("ab_winner",)).render(child)

    assert [turn["content"] for turn in (*row["prompt"], *row["chosen"], *row["rejected"])] == [
        *("How do I reset my password?", "B, in full.", "A.")
    ]
    assert child.feedback[0].by == "judge:judge-1"
    assert child.model == "scripted-1"
    places = {(between("first", asked.prompt), between("second", asked.prompt)) for asked in server.requests[2:]}
    assert places == {("A.", "B, in full."), ("B, in full.", "A.")}


def test_the_best_of_several_stands_over_the_others_the_strongest_first(serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: answering(("C", "A", "D", "B"), request))

    (child,) = run(PreferencePairs(answers=4), [chat()], connect(server, roles=ROLES, concurrency=1)).children

    assert child.reply == "C"
    assert [other.messages[0].text for other in child.candidates] == ["A", "D", "B"]
    assert [other.id for other in child.candidates] == [f"{child.id}:{place}" for place in (1, 4, 2)]
    worst = TrlPreference(against="worst").render(child)
    assert (worst["chosen"][0]["content"], worst["rejected"][0]["content"]) == ("C", "B")
    assert len(server.requests) == 4 + 12


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [("first", "judge_contradicts_itself"), ("second", "judge_contradicts_itself"), ("neither", "judged_equal")],
)
def test_a_judge_that_favours_a_place_or_nobody_makes_no_pair(verdict: str, reason: str, serve: Serve, connect: Connect) -> None:
    def script(request: Request) -> Reply:
        return judged(better=verdict) if request.body["model"] == "judge-1" else answering(("B", "A"), request)

    made = run(PreferencePairs(), [chat()], connect(serve(script), roles=ROLES, concurrency=1))

    assert made.reasons == {reason: 1, "no_children": 1}


def test_a_judge_who_is_sure_in_one_order_only_contradicts_itself(serve: Serve, connect: Connect) -> None:
    def script(request: Request) -> Reply:
        if request.body["model"] == "judge-1":
            return judged(better="first" if between("first", request.prompt) == "A" else "neither")
        return answering(("A", "B"), request)

    made = run(PreferencePairs(), [chat()], connect(serve(script), roles=ROLES, concurrency=1))

    assert made.reasons == {"judge_contradicts_itself": 1, "no_children": 1}


def test_answers_in_a_circle_leave_only_what_the_kept_one_beats(serve: Serve, connect: Connect) -> None:
    def script(request: Request) -> Reply:
        if request.body["model"] != "judge-1":
            return answering(("A", "B", "C"), request)
        shown = between("first", request.prompt), between("second", request.prompt)
        return judged(better="first" if shown in (("A", "B"), ("B", "C"), ("C", "A")) else "second")

    (child,) = run(PreferencePairs(answers=3), [chat()], connect(serve(script), roles=ROLES, concurrency=1)).children

    assert (child.reply, [other.messages[0].text for other in child.candidates]) == ("A", ["B"])


def test_equal_answers_are_no_pair_and_nobody_judges_them(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _: completion("The same."))

    made = run(PreferencePairs(answers=3), [chat()], connect(server, roles=ROLES))

    assert made.reasons == {"equal_answers": 1, "no_children": 1}
    assert len(server.requests) == 3


# Translation.

GERMAN = {
    "How do I reset my password at <SITE_1>?": "Wie setze ich mein Passwort bei <SITE_1> zurück?",
    "Open Settings, then choose Security.": "Öffne die Einstellungen und wähle dann Sicherheit.",
}
BACK = {
    "Wie setze ich mein Passwort bei <SITE_1> zurück?": "How can I reset my password at <SITE_1>?",
    "Öffne die Einstellungen und wähle dann Sicherheit.": "Open the settings and then choose security.",
}
ENGLISH = chat(*GERMAN)


def translating(request: Request, **other: str) -> Reply:
    text = request.prompt.split("\n\n", 1)[1]
    known = {**GERMAN, **BACK}
    return completion(other.get(known[text], known[text]) if text in known else other["strange"])


def test_a_conversation_is_translated_as_a_whole(serve: Serve, connect: Connect) -> None:
    server = serve(translating)

    (child,) = run(Translate(), [ENGLISH], connect(server)).children

    assert [turn.text for turn in child.messages] == list(GERMAN.values())
    assert "language=German" in child.tags
    assert sum(prompt.startswith("Translate this into English") for prompt in server.prompts) == 2


def test_a_round_trip_gives_the_prompt_other_words_and_keeps_the_answer(serve: Serve, connect: Connect) -> None:
    (child,) = run(Translate(keep="round_trip"), [ENGLISH], connect(serve(translating))).children

    assert (child.prompt, child.reply) == ("How can I reset my password at <SITE_1>?", ENGLISH.reply)


def test_a_round_trip_without_a_change_is_refused(serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: translating(request, **{"How can I reset my password at <SITE_1>?": ENGLISH.prompt}))

    assert run(Translate(keep="round_trip"), [ENGLISH], connect(server)).reasons == {"copied_question": 1, "no_children": 1}


@pytest.mark.parametrize("keep", ["translation", "round_trip"])
@pytest.mark.parametrize(
    ("there", "back", "reason"),
    [
        ("Wo ist der Bahnhof bei <SITE_1>?", "Where is the station, Madam?", "meaning_lost"),
        ("Wie setze ich mein Passwort bei <SEITE_1> zurück?", "How can I reset my password at <SITE_1>?", "exact_text_changed"),
        ("how do i reset my password at <SITE_1>", ENGLISH.prompt, "not_translated"),
    ],
)
def test_bad_translations_are_refused(keep: str, there: str, back: str, reason: str, serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: translating(request, **{GERMAN[ENGLISH.prompt]: there, "strange": back}))

    made = run(plugins.build("synthesizer", "translate", {"keep": keep}), [ENGLISH], connect(server))

    assert made.reasons == {reason: 1, "no_children": 1}


def test_the_way_back_can_be_compared_by_embeddings(serve: Serve, connect: Connect) -> None:
    def script(request: Request) -> Reply:
        if "input" not in request.body:
            return translating(request)
        return embeddings(
            *([1.0, 0.0] if "assword" in text else [float(text.startswith("Open S")), 1.0] for text in request.body["input"])
        )

    server = serve(script)
    roles = {"embedder": {"model": "vectors-1"}}

    strict = run(Translate(measure="embeddings", least=0.9), [ENGLISH], connect(server, roles=roles))
    loose = run(Translate(measure="embeddings", least=0.7), [ENGLISH], connect(server, roles=roles))

    assert strict.reasons == {"meaning_lost": 1, "no_children": 1}
    assert len(loose.children) == 1


def test_conversations_with_tool_calls_are_not_translated(serve: Serve, connect: Connect) -> None:
    call = Message(role="assistant", tool_calls=(ToolCall(id="c", name="weather"),))
    server = serve(translating)

    assert run(Translate(), [chat().child(messages=(*chat().messages[:1], call))], connect(server)).reasons == {"no_children": 1}
    assert server.requests == []


def test_chrf_agrees_with_what_is_counted_by_hand() -> None:
    assert chrf("any text", "anytext") == 1.0
    assert chrf("abc", "xyz") == chrf("", "xyz") == 0.0
    # "abd" and "abc": of single letters 2 of 3 are common, of pairs 1 of 2, of triples none; both means are 7/18.
    assert chrf("abd", "abc") == pytest.approx(7 / 18)
    # "ab" of "abcd": precision 1 and 1, recall 2/4 and 1/3, whose mean is 5/12.
    assert chrf("ab", "abcd") == pytest.approx(5 * (5 / 12) / (4 + 5 / 12))
    assert chrf("今日は月曜日です", "今日は火曜日です") > 0.35


@pytest.mark.parametrize(
    ("name", "wrong", "told"),
    [
        ("distill", {"samples": 0}, "samples"),
        ("distill", {"least": 6}, "least"),
        ("preference_pairs", {"answers": 1}, "answers"),
        ("translate", {"languages": []}, "languages"),
        ("translate", {"least": 0.0}, "least"),
        ("translate", {"keep": "both"}, "keep"),
    ],
)
def test_senseless_settings_are_refused(name: str, wrong: dict[str, object], told: str) -> None:
    with pytest.raises(PluginError, match=told):
        plugins.build("synthesizer", name, wrong)


@pytest.mark.parametrize(
    ("name", "settings", "answers"),
    [
        ("distill", {}, []),
        ("preference_pairs", {}, ["One.", "Two.", '{"reason": "", "better": "first"}', '{"reason": "", "better": "second"}']),
        ("translate", {"keep": "round_trip", "least": 0.01}, ["Ist da jemand?", "Anybody there?"]),
    ],
)
def test_awkward_records_break_none(name: str, settings: dict[str, object], answers: list[str]) -> None:
    check_synthesizer(plugins.build("synthesizer", name, settings), answers=answers)
