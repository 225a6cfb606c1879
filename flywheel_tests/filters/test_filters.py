"""Each built-in filter on planted answers, on awkward records, and on real chats of which it must not drop many."""

from collections.abc import Sequence

import polars as pl
import pytest

from flywheel.curate.judge import judge
from flywheel.filters.control_tokens import ControlTokens
from flywheel.filters.empty_reply import EmptyReply
from flywheel.filters.language import Language
from flywheel.filters.length import Length
from flywheel.filters.refusal import Refusal
from flywheel.filters.repetition import Repetition
from flywheel.filters.symbol_ratio import SymbolRatio
from flywheel.filters.truncated_reply import TruncatedReply
from flywheel.filters.web_quality import C4Quality, GopherQuality
from flywheel.plugins import Filter
from flywheel.records import Message, Part, Record, ToolCall, text_message, to_batch
from flywheel.testing import chat, check_filter
from flywheel_tests.filters.chats import arena_chats, oasst_chats, read_lines
from flywheel_tests.shared import shared_data

ALL: tuple[Filter, ...] = (
    EmptyReply(),
    TruncatedReply(),
    Length(),
    Language(),
    Language(("en", "de")),
    SymbolRatio(),
    Repetition(),
    Refusal(),
    ControlTokens(),
    GopherQuality(),
    C4Quality(),
)
LOOP = "The order has been shipped and will arrive at your door within the next three to five working days. "
PROSE = "Open the settings page, choose security, and confirm the code that we send to your telephone number."


def scores(plugin: Filter, *records: Record) -> list[float | None]:
    return judge(to_batch(records), plugin)["score"].to_list()


def kept(plugin: Filter, *records: Record) -> list[bool]:
    return judge(to_batch(records), plugin)["keep"].to_list()


def replies(*texts: str) -> list[Record]:
    return [chat("Tell me.", text_message("assistant", text), id=str(number)) for number, text in enumerate(texts)]


@pytest.mark.parametrize("plugin", ALL, ids=repr)
def test_every_built_in_filter_keeps_the_contract(plugin: Filter) -> None:
    check_filter(plugin)


def test_an_empty_reply_has_neither_text_nor_tool_calls() -> None:
    call = ToolCall(name="find")
    calling = Record(id="t", messages=(text_message("user", "Go."), Message(role="assistant", tool_calls=(call, call))))
    waiting = chat("Hi", "Hello", "Anybody?")

    assert scores(EmptyReply(), *replies(" ok ", " \n "), calling, waiting, Record(id="bare")) == [2, 0, 2, 0, 0]
    assert kept(EmptyReply(), *replies("ok", ""), calling, waiting) == [True, False, True, False]


@pytest.mark.parametrize("reason", ["length", "MAX_TOKENS", "content_filter", "error", "SAFETY", "max_output_tokens"])
def test_a_reply_that_the_provider_cut_is_truncated(reason: str) -> None:
    assert kept(TruncatedReply(), chat("Hi", "Hel", finish_reason=reason)) == [False]


@pytest.mark.parametrize("reason", [None, "stop", "tool_calls", "end_turn", "STOP", "COMPLETE", "eos"])
def test_a_reply_that_ended_by_itself_or_for_unknown_reasons_stays(reason: str | None) -> None:
    assert kept(TruncatedReply(), chat("Hi", "Hello.", finish_reason=reason)) == [True]


def test_a_reply_that_ends_inside_a_code_fence_is_truncated() -> None:
    closed, nested, opened = "```py\nx\n```", "1. So:\n   ```\n   x\n   ```\nand\n```\ny\n```", "So:\n```py\nx"

    assert kept(TruncatedReply(), *replies(closed, nested, opened, "`x")) == [True, True, False, True]
    assert kept(TruncatedReply(fences=False), *replies(opened)) == [True]


def test_length_counts_words_and_unspaced_scripts_by_the_character() -> None:
    records = [
        chat("2+2?", "4"),
        chat("今日は", "月曜日です"),
        chat("Hi", text_message("assistant", "")),
        chat("a", "b " * 20_000),
    ]

    assert scores(Length(), *records) == [2, 8, 1, 20_001]
    assert kept(Length(), *records) == [True, True, False, False]


def test_language_tells_real_sentences_apart() -> None:
    german = "Öffnen Sie die Einstellungen, wählen Sie Sicherheit und bestätigen Sie den Code, den wir Ihnen schicken."
    records = replies(
        PROSE,
        german,
        "設定を開いて、セキュリティを選択し、電話番号に送信されたコードを確認してください。アカウントが保護されます。それでも問題が解決しない場合はご連絡ください。",
    )

    assert kept(Language(("en",)), *records) == [True, False, False]
    assert kept(Language(("de", "en")), *records) == [True, True, False]
    assert kept(Language(), *records) == [True, True, True]


def test_language_is_null_and_kept_where_there_is_little_but_code() -> None:
    code = "```python\n" + "for value in iterable_of_values:\n    print(value, sep=separator)\n" * 5 + "```"

    assert scores(Language(("de",)), *replies("ok", code, "https://example.com/a/very/long/link/that/is/no/prose")) == [None] * 3
    assert kept(Language(("de",)), *replies("ok", code)) == [True, True]


def test_an_unknown_language_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'english'"):
        Language(("english",))


def test_symbol_ratio_counts_symbols_per_word() -> None:
    assert scores(SymbolRatio(), *replies("# Title here", "wait... what…", "", "### # ## ...")) == [1 / 3, 1.0, 0.0, 7 / 4]
    assert kept(SymbolRatio(), *replies("# A title of four words", "### # ## ...", "")) == [True, False, True]


def test_repetition_finds_loops_of_lines_of_sentences_and_of_words() -> None:
    lines = "\n".join(["I can certainly help you with this today."] * 10)
    loop, stutter = LOOP * 10, "no yes " * 60
    table = "\n".join(f"| item {number} | {number * 7} | in stock |" for number in range(30))
    code = "```\n" + "print('the same line again and again')\n" * 30 + "```\nIt prints."

    assert kept(Repetition(), *replies(lines, loop, stutter)) == [False, False, False]
    assert kept(Repetition(), *replies(PROSE, LOOP, table, code, "", "ha ha ha")) == [True] * 6


def test_repetition_measures_the_planted_share() -> None:
    """Nine of ten sentences repeat the first; ten lines of which five repeat, all equally long."""
    five = "\n".join(f"{word} is a line of some length" for word in ("alpha", "gamma", "delta", "theta", "kappa") * 2)

    loop, lines = scores(Repetition(least_words=10_000), *replies(LOOP * 10, five))

    assert loop == pytest.approx(0.9)
    assert lines == pytest.approx(0.5)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that request.",
        "I’m sorry, but I cannot help with that.",
        "I can’t help with that.",
        "As an AI language model, I don't have access to files.",
        "Unfortunately, I'm unable to provide legal documents.",
        "I must decline to write this.",
        "Es tut mir leid, aber ich kann das nicht tun.",
        "Lo siento, pero no puedo hacerlo.",
    ],
)
def test_a_reply_that_opens_with_a_refusal_is_dropped(text: str) -> None:
    assert kept(Refusal(), *replies(text)) == [False]
    assert kept(Refusal(maximum=1.0), *replies(text)) == [True]


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry to hear that your parcel is late. It arrives tomorrow.",
        "You can't help with that unless you are an admin; ask yours.",
        "I can help with that. Open the settings.",
        PROSE * 3 + " I cannot help with taxes.",
        "",
    ],
)
def test_a_helpful_reply_is_no_refusal(text: str) -> None:
    assert kept(Refusal(), *replies(text)) == [True]


def test_a_refusal_that_the_provider_marked_counts_in_full() -> None:
    marked = chat("Do.", Message(role="assistant", content=(Part(type="refusal", text="No."),)))

    assert scores(Refusal(), marked) == [1.0]


CONTROL_STRINGS = (
    *("<|im_start|>", "<|im_end|>", "<|im_sep|>", "<|endoftext|>", "<|fim_prefix|>", "<|endofprompt|>"),
    *("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<s>[INST]", "x</s>"),
    *("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>", "<|python_tag|>", "<|eot|>"),
    *("<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>"),
    *("[AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[SYSTEM_PROMPT]"),
    *("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<｜tool▁calls▁begin｜>"),
    *("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
    *(
        "<|START_OF_TURN_TOKEN|>",
        "<|END_OF_TURN_TOKEN|>",
        "<|USER_TOKEN|>",
        "<|CHATBOT_TOKEN|>",
        "<BOS_TOKEN>",
        "<|START_THINKING|>",
    ),
    *("<|start|>", "<|channel|>", "<|message|>", "<|return|>", "<|call|>"),
    *("### Instruction:\n", "### Response:", "\n\nHuman: x", "\n\nAssistant: y"),
)


@pytest.mark.parametrize("mark", CONTROL_STRINGS, ids=ascii)
def test_published_control_strings_are_found_in_user_and_tool_text(mark: str) -> None:
    user = chat(mark, "ok", id="user")
    tool = Record(
        id="tool", messages=(Message(role="tool", content=(Part(text=f"x {mark}" if mark[0] not in "\n#" else mark),)),)
    )
    reply = chat("Hi", text_message("assistant", mark), id="reply")

    assert kept(ControlTokens(), user, tool, reply) == [False, False, True]


def test_control_tokens_count_all_marks_in_all_turns() -> None:
    injected = chat("a <|im_end|>\n<|im_start|>system", "ok", "and [INST] too", "ok")

    assert scores(ControlTokens(), injected) == [3]
    assert scores(ControlTokens(templates=("llama2",)), injected) == [1]


@pytest.mark.parametrize(
    "text", ["a < b | c > d", "x[INSTANCE]", "### Instructions for use", "<s>struck</s> out", "a|b|c", "Human: hi"]
)
def test_ordinary_text_holds_no_control_token(text: str) -> None:
    assert kept(ControlTokens(), chat(text, "ok")) == [True]


def test_an_unknown_template_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'chatlm'"):
        ControlTokens(templates=("chatlm",))


def _dropped(plugin: Filter, records: Sequence[Record]) -> float:
    return 1 - float(judge(to_batch(records), plugin)["keep"].cast(pl.Float64).mean() or 0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("plugin", "most"),
    [
        (EmptyReply(), 0.0),
        (TruncatedReply(), 0.002),
        (Length(), 0.0),
        (Language(("en",)), 0.006),
        (SymbolRatio(), 0.0),
        (Repetition(), 0.003),
        (Refusal(), 0.025),
        (ControlTokens(), 0.002),
    ],
    ids=lambda value: type(value).__name__,
)
def test_defaults_drop_few_real_chats(plugin: Filter, most: float) -> None:
    chats = [record for record in arena_chats() + oasst_chats() if record.reply]

    assert len(chats) > 1500
    assert _dropped(plugin, chats) <= most


@pytest.mark.parametrize(("plugin", "decision"), [(GopherQuality(), "gopher_quality"), (C4Quality(), "c4")], ids=["gopher", "c4"])
def test_web_presets_decide_as_datatrove_does(plugin: Filter, decision: str) -> None:
    """On texts whose decision does not hang on the tokenizer; curly brackets differ on purpose (see C4Quality)."""
    rows = read_lines(shared_data("datatrove") / "quality_oracle.jsonl.gz")
    rows = [row for row in rows if row[f"{decision}_safe"] != "no" and (decision != "c4" or "{" not in row["text"])]

    answers = kept(plugin, *replies(*(row["text"] for row in rows)))

    agreed = sum(answer == (row[decision] == "keep") for row, answer in zip(rows, answers, strict=True))
    assert len(rows) > 700
    assert agreed / len(rows) >= 0.985
