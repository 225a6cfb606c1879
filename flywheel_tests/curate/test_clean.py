import json
import unicodedata
from collections.abc import Callable

import polars as pl
import pytest
from ftfy.badness import is_bad
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.curate.clean import clean
from flywheel.curate.repair import _DECOMPOSED, _badness
from flywheel.records import Candidate, Message, Part, Record, ToolCall, empty, from_batch, text_message, to_batch
from flywheel.sections import Clean
from flywheel.testing import awkward_records, chat
from flywheel_tests.filters.chats import arena_chats, oasst_chats


def cleaned(*texts: str, markup: bool = True) -> list[str]:
    records = to_batch(chat(text, text_message("assistant", "ok"), id=str(i)) for i, text in enumerate(texts))
    return [record.messages[0].text for record in from_batch(clean(records, settings=Clean(markup=markup)).kept)]


@pytest.mark.parametrize(
    ("broken", "repaired"),
    [
        ("FranÃ§ois said â€œhiâ€\x9d", "François said “hi”"),
        ("РџСЂРёРІРµС‚, как дела", "Привет, как дела"),
        ("cafe\u0301", "café"),
        ("20\u2126", "20Ω"),
        ("pay\u200bpal\ufeff and\u00ad so on", "paypal and so on"),
        ("user \u202etxt.exe\u202c", "user txt.exe"),
        ("hi\U000e0049\U000e0067\U000e006e there", "hi there"),
        ("a\x00b\x07c\x1b[0m", "abc[0m"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("a   lot    of\u00a0 space  ", "a lot of space"),
        ("\n\n\ntop\n\n\n\n\nbottom\n\n", "top\n\nbottom"),
        ("trailing \nblanks\t\nhere", "trailing\nblanks\nhere"),
        ("A hard   \nbreak stays,   a soft \none goes", "A hard  \nbreak stays, a soft\none goes"),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("<p>Dear shop,</p><p>my order is late.</p>", "Dear shop,\n\nmy order is late."),
        ('<div class="x">Hello <span style="color: red">you</span></div>', "Hello you"),
        ("price&nbsp;list", "price list"),
        ("<script>track('me')</script>Hello<style>p{}</style>", "Hello"),
    ],
)
def test_damage_is_repaired(broken: str, repaired: str) -> None:
    assert cleaned(broken) == [repaired]


@pytest.mark.parametrize(
    "text",
    [
        "👨‍👩‍👧‍👦 👩🏽‍💻 ❤️‍🔥 🏳️‍🌈 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
        "می‌خواهم بروم",
        "क्‍ष and ශ්‍රී",
        "葛\U000e0100城",
        "Hard breaks  \nare Markdown  \nand stay",
        "| a    | b |\n|---   |---|\n| x<br>y | z   |",
        "a\tb\t\tc",
        "```\nx  =  1   \n\n\n\n<p>y</p>\n```",
        "Use `a   b` and ``c  ` d``.",
        "    indented   code   <br>x",
        '{"a":   "b",   "c": "<p>x</p>"}',
        "def f(x):\n    y  =  x\n\n\n\n    return y",
        "What does <br> do in HTML?",
        "the <p> and the <div>",
        '<html><body><p class="a">x</p></body></html>',
        "if a <b and c> d then <p",
        "Fix this: <Card><p>{name}</p></Card>",
        'my element: "<div class="info">Locked</div>" .info { color: red; }',
        "naïve — “quoted” … café, Ωmega, 5 × 3 ÷ 2 ± 1 §7",
        "Ça va? ÀÉÎÕÜ œuvre",
    ],
)
def test_what_is_meant_stays(text: str) -> None:
    assert cleaned(text) == [text]


def test_tags_stay_in_a_conversation_about_markup() -> None:
    asked = chat("How do I break a line in HTML?", "one<br>two", id="about")
    noise = chat("Hi<br>there", "Hello.", id="noise")

    about, other = from_batch(clean(to_batch([asked, noise]), settings=Clean()).kept)

    assert about.reply == "one<br>two"
    assert other.prompt == "Hi\nthere"


def test_tags_stay_when_markup_is_switched_off() -> None:
    assert cleaned("one<br>two  ", markup=False) == ["one<br>two"]


def test_every_text_of_every_message_and_candidate_is_repaired() -> None:
    dirty, tidy = "a\u200bb", "ab"
    message = Message(
        role="assistant", content=(Part(text=dirty), Part(type="image", url=dirty), Part(text=dirty)), reasoning=dirty
    )
    record = Record(id="a", messages=(text_message("user", dirty), message), candidates=(Candidate(messages=(message,)),))

    (after,) = from_batch(clean(to_batch([record]), settings=Clean()).kept)

    answer = after.messages[1]
    assert [part.text for part in answer.content] == [tidy, None, tidy]
    assert (after.prompt, answer.reasoning, answer.content[1].url) == (tidy, tidy, dirty)
    assert after.candidates[0].messages == (answer,)


def test_tool_arguments_stay_json_and_tool_results_keep_their_layout() -> None:
    arguments = json.dumps({"q": "a   b\u200b<br>", "n": [1,  2]}, indent=4)  # fmt: skip
    calls = (ToolCall(name="f", arguments=arguments), ToolCall(name="g", arguments='{"q": "a\x00b\x1f"}'))
    table = "name     size\nx            1<br>\x00\n\n\n\n"
    record = chat("Find.", Message(role="assistant", tool_calls=calls), Message(role="tool", content=(Part(text=table),)))

    (after,) = from_batch(clean(to_batch([record]), settings=Clean()).kept)

    assert [call.arguments for call in after.messages[1].tool_calls] == [arguments, '{"q": "ab"}']
    assert after.messages[2].text == table.replace("\x00", "")


def test_a_record_without_text_or_tool_call_leaves_as_empty() -> None:
    silent = chat(" \u200b ", text_message("assistant", None), id="silent")
    calling = Record(id="calling", messages=(Message(role="assistant", tool_calls=(ToolCall(name="f"),)),))
    spoken = chat("Hi", "Hello", id="spoken")

    outcome = clean(to_batch([silent, calling, Record(id="bare"), spoken]), settings=Clean())

    assert outcome.kept["id"].to_list() == ["calling", "spoken"]
    assert outcome.exits.select("id", "outcome", "reason").rows() == [
        ("silent", "dropped", "empty"),
        ("bare", "dropped", "empty"),
    ]


def test_only_text_changes_and_rows_keep_their_order() -> None:
    batch = awkward_records()

    outcome = clean(batch, settings=Clean())

    assert outcome.kept.schema == batch.schema
    assert sorted([*outcome.kept["id"], *outcome.exits["id"]]) == sorted(batch["id"])
    assert outcome.kept["id"].to_list() == [i for i in batch["id"] if i in set(outcome.kept["id"])]
    assert outcome.kept.drop("messages").equals(batch.filter(pl.col("id").is_in(outcome.kept["id"].implode())).drop("messages"))


def test_a_slice_is_cleaned_like_the_whole() -> None:
    batch = awkward_records()

    pieces = [clean(batch.slice(start, 7), settings=Clean()).kept for start in range(0, batch.height, 7)]

    assert pl.concat(pieces).equals(clean(batch, settings=Clean()).kept)


def test_an_empty_batch_stays_empty() -> None:
    outcome = clean(empty(), settings=Clean())

    assert outcome.kept.equals(empty())
    assert outcome.exits.height == 0


AWKWARD = st.text(
    st.one_of(
        st.sampled_from(
            list(" \t\n\r`~|<>pbr/&;#x\"'ÃÂâ€™©\u00a0\u200b\u200c\u200d\ufeff\u0301e👍🏴\U000e0067\U000e007f\x00\x85{}=")
        ),
        st.characters(codec="utf-8"),
    ),
    max_size=40,
)
PIECES = st.lists(
    st.one_of(AWKWARD, st.sampled_from(["<br>", "&nbsp;", "<p>", "</p>", "<span>", "```\n", "  \n", "Ã©", "&amp;nbsp;", "HTML"]))
)


@settings(max_examples=250, deadline=None)
@given(st.lists(PIECES.map("".join), min_size=1, max_size=4))
def test_cleaning_twice_changes_nothing_more(texts: list[str]) -> None:
    once = clean(to_batch([chat(*texts, id="a"), chat("x", *texts, id="b")]), settings=Clean()).kept

    twice = clean(once, settings=Clean()).kept

    assert twice.equals(once)


def test_mojibake_is_flagged_exactly_as_ftfy_flags_it() -> None:
    texts = [record.text for record in arena_chats()]
    spoilt = [
        text[:300].encode().decode(codec, "replace") for text in texts for codec in ("latin-1", "cp1252", "cp1251", "mac_roman")
    ]
    asked = texts + spoilt

    flagged = pl.Series(asked).str.contains(_badness())

    assert flagged.to_list() == [is_bad(text) for text in asked]
    assert flagged.sum() > 100


def test_every_character_that_is_not_in_nfc_is_flagged() -> None:
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    decomposed = [unicodedata.normalize("NFD", character) for character in characters]

    for texts in (characters, decomposed):
        flagged = pl.Series(texts).str.contains(_DECOMPOSED)
        missed = [
            text for text, flag in zip(texts, flagged, strict=True) if not flag and not unicodedata.is_normalized("NFC", text)
        ]
        assert missed == []


@pytest.mark.parametrize("chats", [arena_chats, oasst_chats])
def test_clean_texts_are_left_alone(chats: Callable[[], list[Record]]) -> None:
    """Tag stripping by regex alone changed 5 % of such texts."""
    before = chats()
    after = from_batch(clean(to_batch(before), settings=Clean()).kept)

    def visible(text: str) -> str:
        unseen = ("Cc", "Cf", "Zs", "Zl", "Zp")
        return "".join(c for c in unicodedata.normalize("NFC", text) if unicodedata.category(c) not in unseen)

    pairs = [(a.text, b.text) for r, s in zip(before, after, strict=True) for a, b in zip(r.messages, s.messages, strict=True)]
    damaged = sum(visible(a) != visible(b) for a, b in pairs)
    reflowed = sum(a.split("\n") != b.split("\n") for a, b in pairs)

    assert damaged / len(pairs) <= 0.001
    assert reflowed / len(pairs) <= 0.2


def test_code_blocks_of_real_answers_stay_byte_for_byte() -> None:
    import re

    fence = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
    before = [record for record in arena_chats() if record.reply]
    after = from_batch(clean(to_batch(before), settings=Clean()).kept)

    blocks = [fence.findall(record.reply) for record in before]

    assert sum(map(len, blocks)) > 500
    assert [fence.findall(record.reply) for record in after] == blocks


@pytest.mark.hostile
@pytest.mark.parametrize(
    "text",
    [
        "`" * 300_000,
        "".join("`" * (i % 700) + "x" for i in range(1, 1400)),
        " " * 300_000 + "x",
        " \n" * 150_000 + "x",
        "a  " * 100_000,
        "<p " + "a" * 300_000,
        "<p " + " a=b" * 75_000,
        "<script>" * 40_000 + "</style>",
        "<pre>" * 60_000,
        "```\n~~~\n" * 30_000,
        "\u0301" * 300_000,
        "\u200d" * 300_000,
        "Ã©" * 100_000,
        "<s" * 50_000 + "<span>" + "pan>" * 50_000,
        "&nbsp;" * 50_000,
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_hostile_texts_take_no_more_than_linear_time(text: str) -> None:
    (after,) = cleaned("Hello " + text)

    assert len(after) <= len(text) + 6
