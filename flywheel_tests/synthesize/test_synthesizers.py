"""The built-in techniques."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.plugins import Synthesizer
from flywheel.records import Record, from_batch, to_batch
from flywheel.synthesize.driver import synthesize
from flywheel.synthesize.protect import outside_protected
from flywheel.synthesize.synthesizers.casing import STYLES, Casing
from flywheel.synthesize.synthesizers.paraphrase import Paraphrase
from flywheel.synthesize.synthesizers.typos import Typos
from flywheel.synthesize.verify import verify
from flywheel_tests.synthesize.conftest import Connect, Serve
from flywheel_tests.synthesize.conversations import chat, chats
from flywheel_tests.synthesize.scripted_server import Reply, Request, completion

EXACT = (
    "https://a.example/x?y=Z 2026-03-01 v1.2.3 <PERSON_1> [NAME] `Foo.bar` jane@mail.example /etc/Hosts parseHTML some_name $HOME"
)


def children(plugin: Synthesizer, seeds: Sequence[Record]) -> list[Record]:
    return [child for batch in synthesize([to_batch(seeds)], plugin, name="t") for child in from_batch(batch)]


def edits(one: str, other: str) -> int:
    """Smallest number of insertions, deletions and replacements."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1]


def test_a_typo_is_at_most_two_edits_in_a_long_word_and_nothing_else_changes() -> None:
    seeds = [chat("Please explain how the billing cycle works for annual plans", id=f"s{n}") for n in range(300)]
    made = children(Typos(rate=0.3), seeds)
    kept = changed = 0

    for child in made:
        for word, typed in zip(seeds[0].prompt.split(), child.prompt.split(), strict=True):
            assert typed[0] == word[0]
            assert edits(word, typed) <= (2 if len(word) > 3 else 0)
            changed += typed != word
            kept += typed == word and len(word) > 3

    assert len(made) == 300
    assert {child.reply for child in made} == {"Open Settings."}
    assert 0.25 < changed / (changed + kept) < 0.4


def test_typos_are_the_same_every_time_and_differ_between_seeds_and_copies() -> None:
    seeds = [chat("Please explain how the billing cycle works for annual plans", id=f"s{n}") for n in range(5)]

    made = children(Typos(rate=1, copies=2), seeds)

    assert made == children(Typos(rate=1, copies=2), seeds)
    assert made[:2] == children(Typos(rate=1, copies=2), seeds[:1])
    assert len({child.prompt for child in made}) == 10


@pytest.mark.parametrize("plugin", [Typos(rate=1), *(Casing((style,)) for style in STYLES)])
def test_noise_leaves_what_must_stay_exact(plugin: Synthesizer) -> None:
    code = "```python\nAnd Here. Is Some Code,\n```"

    (child,) = children(plugin, [chat(f"Could you explain this, please! {EXACT}\n{code}")])

    assert child.prompt.endswith(f" {EXACT}\n{code}")
    assert child.prompt != f"Could you explain this, please! {EXACT}\n{code}"


@pytest.mark.parametrize("prompt", ["", "42 + 17", "`code`", EXACT])
def test_a_prompt_without_words_has_no_noisy_children(prompt: str) -> None:
    assert children(Typos(), [chat(prompt)]) == []
    assert children(Casing(tuple(STYLES)), [chat(prompt)]) == []


def test_casing_does_what_each_style_says() -> None:
    made = children(Casing(tuple(STYLES)), [chat("Don't stop, OK? It costs $3.50.")])

    assert [child.prompt for child in made] == [
        "don't stop, ok? it costs $3.50.",
        "DON'T STOP, OK? IT COSTS $3.50.",
        "Don't stop OK It costs $3.50.",
        "Don't stop, OK?? It costs $3.50.",
        "dont stop ok it costs $3.50.",
    ]


def test_only_the_last_prompt_of_a_conversation_changes() -> None:
    seed = chat("And the SECOND question?")
    longer = seed.child(messages=[*chat("The FIRST question?").messages, *seed.messages])

    (child,) = children(Casing(("lower",)), [longer])

    assert [message.text for message in child.messages] == [
        "The FIRST question?",
        "Open Settings.",
        "and the second question?",
        "Open Settings.",
    ]


@pytest.mark.parametrize("wrong", [{"rate": 0.0}, {"rate": 1.5}, {"copies": 0}])
def test_senseless_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Typos(**wrong)  # type: ignore[arg-type]


def test_an_unknown_style_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"'shouting'; there is lower, upper"):
        Casing(("shouting",))


@given(st.text(alphabet="aB1`<>\n [].@/é", max_size=60))
def test_protecting_never_loses_or_adds_text(text: str) -> None:
    assert outside_protected(text, lambda part: part) == text


@pytest.mark.hostile
@pytest.mark.parametrize("piece", ["a", "`", "<", "@", "a ", "[A", "é"])
def test_a_megabyte_of_anything_is_protected_in_one_pass(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))

    assert outside_protected(text, lambda part: part) == text


def test_a_paraphrase_replaces_the_prompt_and_keeps_the_answer(serve: Serve, connect: Connect) -> None:
    def script(request: Request) -> Reply:
        tone = "Kindly answer" if "formal" in request.prompt else "quick:"
        return completion(f" {tone} {request.prompt[-17:]} \n")

    server = serve(script)
    seeds = chats(3)

    made = synthesize([to_batch(seeds)], Paraphrase(), name="p", model=connect(server))
    outcome = verify(next(iter(made)), to_batch(seeds))

    assert outcome.kept.height == 6
    assert [child.prompt for child in from_batch(outcome.kept)][:2] == [
        "Kindly answer number 0, please?",
        "quick: number 0, please?",
    ]
    assert {child.reply for child in from_batch(outcome.kept)} == {"Open Settings."}
    assert all(any(seed.prompt in asked for asked in server.prompts) for seed in seeds)


def test_an_unchanged_paraphrase_is_no_child(serve: Serve, connect: Connect) -> None:
    server = serve(lambda request: completion(request.prompt.split("\n\n", 1)[1] + "\n"))

    made = synthesize([to_batch(chats(2))], Paraphrase(), name="p", model=connect(server))

    assert list(made) == []
    assert made.reasons == {"no_children": 2}


def test_synthesizers_ask_nothing_at_import_time() -> None:
    async def first() -> Record:
        return await anext(aiter(Typos().synthesize(chat(), None)))  # type: ignore[arg-type]

    assert asyncio.run(first()).generation == 1
