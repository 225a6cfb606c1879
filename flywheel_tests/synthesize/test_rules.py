"""The rule-based techniques, on planted answers and on WinoBias."""

import base64
import io
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from flywheel import plugins
from flywheel.errors import ConfigError
from flywheel.plugins import Synthesizer
from flywheel.records import Message, Part, Record, from_batch, text_message, to_batch
from flywheel.synthesize.driver import synthesize
from flywheel.synthesize.synthesizers.adversarial_suffix import KINDS, AdversarialSuffix
from flywheel.synthesize.synthesizers.gender_swap import GenderSwap, exchanges, swap
from flywheel.synthesize.synthesizers.images import Images
from flywheel.synthesize.synthesizers.procedural import Procedural, Rule, deduce
from flywheel.synthesize.synthesizers.random_tokens import RandomTokens
from flywheel.synthesize.synthesizers.rare_events import RareEvents
from flywheel.synthesize.synthesizers.synonyms import Synonyms, synonyms
from flywheel.synthesize.synthesizers.templates import Templates
from flywheel.synthesize.verification import build_checks
from flywheel.synthesize.verification.contract import Known
from flywheel.synthesize.verify import verify
from flywheel_tests.shared import shared_data
from flywheel_tests.synthesize.conftest import Connect, Serve
from flywheel_tests.synthesize.conversations import chat, chats
from flywheel_tests.synthesize.scripted_server import embeddings

NEW = ("adversarial_suffix", "gender_swap", "images", "procedural", "random_tokens", "synonyms", "templates")
LONG = "Please explain how the quick refund for a big order works because the small print of https://a.example/x is hard to read"


def children(plugin: Synthesizer, seeds: Sequence[Record]) -> list[Record]:
    return [child for batch in synthesize([to_batch(seeds)], plugin, name="t") for child in from_batch(batch)]


@pytest.mark.parametrize("name", NEW)
def test_a_technique_is_found_by_its_name_repeats_itself_and_its_children_hold_every_rule(name: str) -> None:
    seed = chat(LONG + ", he said", id="a", messages=(picture("PNG"), text_message("user", LONG + ", he said")))
    seeds = [seed.child(reply="Like this."), *(chat(f"{LONG}, asked she for the {n}th time", id=f"s{n}") for n in range(3))]

    made = children(plugins.build("synthesizer", name, {}), seeds)
    outcome = verify(to_batch(made), to_batch(seeds))

    assert made == children(plugins.build("synthesizer", name, {}), seeds)
    assert made
    assert outcome.exits.height == 0


# Gender.


def test_winobias_sentences_are_swapped_both_ways() -> None:
    pairs = json.loads((shared_data("winobias") / "swap_pairs.json").read_bytes())["pairs"]
    words = exchanges({}, names=True)

    directions = [(one, other) for pair in pairs for one, other in ((pair["a"], pair["b"]), (pair["b"], pair["a"]))]
    exact = sum(swap(one, words) == other for one, other in directions)

    assert len(directions) == 788
    assert exact / len(directions) >= 0.97


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("Her brother told her that her car is hers.", "His sister told him that his car is his."),
        (
            "His is older; I saw his and asked him about his old one.",
            "Hers is older; I saw hers and asked her about her old one.",
        ),
        ("HE said: I did it myself. She’s late, and he's not.", "SHE said: I did it myself. He's late, and she's not."),
        ("Mr Smith and the king's daughter met James's wife.", "Ms Smith and the queen's son met Mary's husband."),
        ("They helped her go home and kept her safe.", "They helped him go home and kept him safe."),
        (
            "The herd is here, the theory holds, and Hermes sheared it.",
            "The herd is here, the theory holds, and Hermes sheared it.",
        ),
    ],
)
def test_her_and_his_are_decided_by_the_words_around_them(text: str, swapped: str) -> None:
    assert swap(text, exchanges({}, names=True)) == swapped


def test_every_message_is_swapped_code_is_not_and_nothing_gendered_is_no_child() -> None:
    seed = chat("Is `he` a word? He asked John.", "He did, and his mother knows.")

    (child,) = children(GenderSwap(), [seed, chat("Where is it?", "There.", id="s2")])
    (own,) = children(GenderSwap(names=False, pairs={"steward": "stewardess"}), [chat("John is a steward.", "Yes.")])

    assert [message.text for message in child.messages] == [
        "Is `he` a word? She asked Patricia.",
        "She did, and her father knows.",
    ]
    assert own.prompt == "John is a stewardess."


# Noise.


def test_fifteen_percent_of_the_words_are_chosen_and_masked_at_berts_rates() -> None:
    text = " ".join(f"word{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(100))
    made = children(RandomTokens(copies=50), chats(1) + [chat(text, id=f"r{n}") for n in range(20)])
    long = [child for child in made if len(child.prompt.split()) == 100]
    kinds: Counter[str] = Counter()
    for child in long:
        for old, new in zip(text.split(), child.prompt.split(), strict=True):
            kinds["mask" if new == "[MASK]" else "same" if new == old else "random"] += 1

    total = 100 * len(long)
    assert all("chosen=15" in child.tags for child in long)
    assert abs(kinds["mask"] / total - 0.15 * 0.8) < 0.005
    assert abs(kinds["random"] / total - 0.15 * 0.1) < 0.005


def test_random_tokens_leave_code_and_links() -> None:
    (child,) = children(RandomTokens(rate=1, mask_share=1, random_share=0), [chat("Open `the file` at https://a.example/x now")])

    assert child.prompt == "[MASK] `the file` [MASK] https://a.example/x [MASK]"


def test_a_suffix_comes_after_the_question_and_the_answer_stays() -> None:
    made = children(AdversarialSuffix(), chats(30))

    assert {tag for child in made for tag in child.tags if tag.startswith("suffix=")} == {f"suffix={kind}" for kind in KINDS}
    assert all(child.prompt.startswith("Question number ") and child.reply == "Open Settings." for child in made)
    assert {
        len(child.prompt) - len("Question number 10, please? ") for child in made[30:] if "suffix=gibberish" in child.tags
    } == {24}
    assert children(AdversarialSuffix(), [chat("  ")]) == []


def test_synonyms_come_from_the_users_dictionary_in_the_case_of_the_word(tmp_path: Path) -> None:
    file = tmp_path / "synonyms.txt"
    file.write_text("router, gateway  # network\nbroken, defective, faulty\n", "utf-8")
    seed = chat("Router broken, my `router` is BROKEN")

    (child,) = children(Synonyms(dictionary=str(file), rate=1), [seed])

    assert re.fullmatch(r"Gateway (defective|faulty), my `router` is (DEFECTIVE|FAULTY)", child.prompt)
    assert children(Synonyms(), [chat("Nothing listed stands here")]) == []
    assert synonyms(str(file))["broken"] == ("defective", "faulty")
    with pytest.raises(ValueError, match="names no file"):
        Synonyms(dictionary=str(tmp_path / "absent"))


def test_synonyms_are_the_nearest_listed_words_by_their_vectors_when_neighbours_are_asked_for(
    tmp_path: Path, serve: Serve, connect: Connect
) -> None:
    directions = {"router": 0, "gateway": 20, "modem": 30, "banana": 90, "kettle": 200}
    file = tmp_path / "words.txt"
    file.write_text("\n".join(directions), "utf-8")
    unit = {word: [math.cos(math.radians(at)), math.sin(math.radians(at))] for word, at in directions.items()}
    server = serve(lambda request: embeddings(*(unit[text] for text in request.body["input"])))
    plugin = Synonyms(dictionary=str(file), rate=1, copies=8, neighbours=2, similarity=0.9)
    model = connect(server, roles={"embedder": {"model": "vectors-1"}})

    seeds = [chat(text, id=text) for text in ("Router or kettle", "My router?", "No such word")]
    made = [child for batch in synthesize([to_batch(seeds)], plugin, name="t", model=model) for child in from_batch(batch)]

    nearest = ["Gateway or kettle", "My gateway?"]
    assert [child.prompt for child in made] == nearest, "cos 20 degrees is 0.94, cos 30 degrees 0.87; nothing is near a kettle"
    assert len(server.requests) == 1, "seeds at work at once pay for the list together"
    assert children(Synonyms(dictionary=str(file), rate=1), [chat("Router or kettle")]) == []
    with pytest.raises(ConfigError, match=r"models\.embedder"):
        list(synthesize([to_batch([chat("A router")])], plugin, name="t", model=connect(server)))


# New conversations.


def test_the_bank_transfer_is_filled_alike_in_question_and_answer() -> None:
    made = children(Templates(copies=5), chats(20))

    assert len({child.text for child in made}) == 100
    for child in made:
        found = re.search(
            r"I sent ([$€£]\d[\d,]*\.\d\d) to ([A-Z]\w+ [A-Z]\w+) on (\d+ [A-Z]\w+), reference ([A-Z]{3}-\d{6})", child.prompt
        )
        assert found is not None
        assert all(value in child.reply for value in found.groups())
        assert "{" not in child.text


def test_a_template_takes_lists_limits_and_faker() -> None:
    seeds = chats(40)
    own = Templates(prompt="Is {city} in {land} or {number:3,4}?", reply="{land}", lists={"land": ("Utopia", "Erewhon")})

    made = children(own, seeds)
    faked = children(Templates(prompt="I work as {job}.", reply="Good.", faker="en_GB"), seeds[:3])

    assert {child.reply for child in made} == {"Utopia", "Erewhon"}
    assert {re.findall(r"\d", child.prompt)[0] for child in made} == {"3", "4"}
    assert faked == children(Templates(prompt="I work as {job}.", reply="Good.", faker="en_GB"), seeds[:3])
    assert len({child.prompt for child in faked}) == 3
    with pytest.raises(ValueError, match="nothing fills the slot 'job'"):
        Templates(prompt="{job}")


def test_made_up_accounts_have_right_check_digits_and_no_country() -> None:
    for child in children(Templates(prompt="{account}", reply="ok"), chats(50)):
        assert child.prompt[:2] == "XX"
        assert int(child.prompt[4:] + "3333" + child.prompt[2:4]) % 97 == 1


def test_procedural_problems_are_right_and_pass_the_math_check() -> None:
    made = children(Procedural(copies=20), chats(30))
    (check,) = build_checks(["math_answer"])

    assert len(made) == 30 * 2 * 20
    assert check.judge()(made, Known()) == [None] * len(made)
    assert len({child.prompt for child in made}) > 0.95 * len(made)


def test_a_geometry_problem_is_solved_from_its_text_alone() -> None:
    """The angles of an isosceles triangle with one given, computed here without the rules."""
    made = children(Procedural(kinds=("geometry",)), chats(200))

    assert len(made) == 200
    for child in made:
        first = re.search(r"In triangle (\w)(\w)(\w)", child.prompt)
        given = re.search(r"The angle (\w\w\w) is (\d+) degrees", child.prompt)
        asked = re.search(r"is (?:the angle (\w\w\w)|(each))", child.prompt)
        assert first is not None
        assert given is not None
        assert asked is not None
        apex = first[1]
        top = Fraction(given[2]) if given[1][1] == apex else 180 - 2 * Fraction(given[2])
        base = (180 - top) / 2
        c = first[3]
        truth = {f"{first[2]}{apex}{c}": top, f"{apex}{first[2]}{c}": base, f"{apex}{c}{first[2]}": base}
        name = asked[1] or "half"
        expected = top / 2 if name == "half" else truth.get(name)
        if expected is None:
            expected = 180 - base if name[0] == apex else base
        assert Fraction(child.reply.rpartition("#### ")[2]) == expected


def test_deduction_finds_everything_that_follows_by_the_shortest_way() -> None:
    def rule(needs: str, gives: str) -> Rule:
        return Rule(tuple(needs), gives, "", lambda *values: Fraction(sum(values)), "")

    found = deduce({"a": Fraction(1)}, [rule("a", "b"), rule("b", "c"), rule("ac", "d"), rule("x", "y"), rule("a", "c")])

    assert {name: depth for name, (_, depth) in found.items()} == {"b": 1, "c": 1, "d": 2}


def test_rare_events_are_drawn_as_declared_and_weigh_what_they_really_are() -> None:
    events = {
        "chargeback": {
            "happens": 0.002,
            "share": 0.5,
            "prompt": "A chargeback of {amount}?",
            "reply": "Open a dispute for {amount}.",
        },
        "outage": {"happens": 0.001, "share": 0.25, "prompt": "Is {city} down?", "reply": "Yes, {city} is."},
    }
    plugin = plugins.build("synthesizer", "rare_events", {"events": events, "copies": 4})

    made = children(plugin, chats(500))

    counts = Counter(tag for child in made for tag in child.tags)
    assert isinstance(plugin, RareEvents)
    assert abs(counts["event=chargeback"] / 2000 - 0.5) < 0.04
    assert abs(counts["event=outage"] / 2000 - 0.25) < 0.04
    assert counts["importance=0.004"] == len(made)
    with pytest.raises(Exception, match=r"add up to 1\.5"):
        plugins.build(
            "synthesizer", "rare_events", {"events": {name: {**event, "share": 0.75} for name, event in events.items()}}
        )


# Images.


def picture(kind: str, size: tuple[int, int] = (80, 60)) -> Message:
    out = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(out, kind)
    url = f"data:image/{kind.lower()};base64,{base64.b64encode(out.getvalue()).decode()}"
    return Message(
        role="user", content=(Part(text="What is this?"), Part(type="image", url=url, media_type=f"image/{kind.lower()}"))
    )


def opened(record: Record) -> Image.Image:
    url = next(part.url for part in record.messages[0].content if part.type == "image")
    assert url is not None
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_image_is_rotated_cropped_scaled_and_erased(kind: str) -> None:
    seed = chat(messages=(picture(kind), text_message("assistant", "A gradient.")))

    made = {child.tags[0]: child for child in children(Images(), [seed])}
    images = {tag.removeprefix("image="): opened(child) for tag, child in made.items() if tag.startswith("image=")}

    assert {name: image.format for name, image in images.items()} == dict.fromkeys(("rotate", "crop", "scale", "erase"), kind)
    assert images["crop"].size == (72, 54)
    assert images["scale"].size == (40, 30)
    assert images["rotate"].width > 80
    before, after = opened(seed).convert("RGB").tobytes(), images["erase"].convert("RGB").tobytes()
    changed = sum(abs(one - other) > 12 for one, other in zip(before, after, strict=True)) / len(before)
    assert 0.05 < changed < 0.12
    assert {(child.prompt, child.reply) for child in made.values()} == {("What is this?", "A gradient.")}


def test_an_image_that_is_a_reference_or_none_makes_no_child() -> None:
    for url in ("https://a.example/x.png", "data:image/png;base64,AAAA", "data:image/png;base64,!", "data:,x"):
        message = Message(role="user", content=(Part(type="image", url=url),))
        assert children(Images(), [chat(messages=(message, text_message("assistant", "?")))]) == []


@pytest.mark.parametrize(
    ("cls", "wrong", "message"),
    [
        (RandomTokens, {"rate": 0.0}, "rate"),
        (RandomTokens, {"mask_share": 0.9, "random_share": 0.2}, "at most 1"),
        (AdversarialSuffix, {"kinds": ("loud",)}, "no kind 'loud'"),
        (Procedural, {"steps": 0}, "steps"),
        (Procedural, {"kinds": ("poetry",)}, "no kind 'poetry'"),
        (Templates, {"copies": 0}, "copies"),
        (Templates, {"lists": {"land": ()}}, "'land' is empty"),
        (Images, {"keep": 1.0}, "keep"),
        (Images, {"operations": ("melt",)}, "no operation 'melt'"),
        (Synonyms, {"rate": 2.0}, "rate"),
        (Synonyms, {"neighbours": -1}, "neighbours"),
        (Synonyms, {"similarity": 1.5}, "cosine"),
    ],
)
def test_settings_that_make_no_sense_are_refused(cls: type, wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cls(**wrong)
