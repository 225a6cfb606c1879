import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from flywheel.curate.benchmarks import BenchmarkText, digest_of, read_benchmark
from flywheel.curate.decontaminate import Index, find_contamination, select_contaminated
from flywheel.curate.dedup.methods.tf_idf import TfIdf
from flywheel.errors import ConfigError
from flywheel.records import Candidate, Message, Record, ToolCall, text_message, to_batch
from flywheel.sections import Benchmark
from flywheel_tests.curate.dedup.samples import chat, words
from flywheel_tests.shared import shared_data

LONG = "A farmer has seventeen goats and sells all but nine of them at the market on a rainy Tuesday in late October"
MIDDLE = "How many r are in the word strawberry exactly please"
SHORT = "Who wrote Hamlet?"


def index(*texts: str, ngrams: Sequence[int] = (13, 8), template: int = 10) -> dict[str, Index]:
    return {"exam": Index([BenchmarkText(n, text) for n, text in enumerate(texts, 1)], ngrams=ngrams, template=template)}


def found(records: Sequence[Record], known: dict[str, Index]) -> list[tuple[str, int, str]]:
    table = find_contamination(to_batch(records), known)
    return [(row["id"], row["row"], row["method"]) for row in table.iter_rows(named=True)]


def test_a_text_is_found_within_other_words_whatever_its_case_and_punctuation() -> None:
    planted = chat("planted", f"Solve this for me: {LONG.upper().replace(' ', '  ')}!! How many are left?", "Nine.")
    other = chat("other", "A farmer has seventeen cows and sells them all; how many hens does he keep in the barn?", "None.")

    assert found([planted, other], index(LONG)) == [("planted", 1, "ngram")]


def test_a_text_below_thirteen_words_is_found_by_eight_and_one_below_eight_as_a_whole_message_or_line() -> None:
    records = [
        chat("within", f"Tell me: {MIDDLE}?", "Three."),
        chat("whole", "who wrote   HAMLET", "Shakespeare."),
        chat("line", f"Answer in one word.\n{SHORT}\nThank you.", "Shakespeare."),
        chat("talk", "My teacher asked who wrote Hamlet and I said Marlowe, was that right?", "No."),
    ]

    assert found(records, index(MIDDLE, SHORT)) == [("line", 2, "whole"), ("whole", 2, "whole"), ("within", 1, "ngram")]


def test_the_place_of_the_longest_run_is_told() -> None:
    text = f"First a word. {LONG}, he said."
    row = find_contamination(to_batch([chat("a", "Hello there", text)]), index(LONG)).row(0, named=True)

    assert (row["message"], text[row["start"] : row["stop"]], row["words"]) == (1, LONG, len(LONG.split()))
    assert row["similarity"] == 1.0


def test_a_line_s_place_counts_from_the_start_of_its_message() -> None:
    text = f"Über alles:\n{SHORT}\nBye."
    row = find_contamination(to_batch([chat("a", text, "Yes")]), index(SHORT)).row(0, named=True)

    assert text[row["start"] : row["stop"]] == SHORT


def test_replies_reasoning_tool_arguments_and_candidates_are_searched_too() -> None:
    base = chat("x", "hello", "hi").messages
    records = [
        chat("reply", "Give me a riddle", LONG),
        Record(id="reasoning", messages=(base[0], Message(role="assistant", reasoning=LONG))),
        Record(
            id="arguments",
            messages=(base[0], Message(role="assistant", tool_calls=(ToolCall(name="ask", arguments=json.dumps({"q": LONG})),))),
        ),
        Record(id="candidate", messages=base, candidates=(Candidate(messages=(text_message("assistant", LONG),)),)),
        chat("system", "hello", "hi", system=LONG),
        chat("clean", "hello", "hi"),
    ]

    assert {id for id, _, _ in found(records, index(LONG))} == {"reply", "reasoning", "arguments", "candidate", "system"}


def test_an_n_gram_does_not_run_over_two_messages() -> None:
    halves = LONG.split()
    split = chat("split", " ".join(halves[:12]), " ".join(halves[12:]))

    assert found([split], index(LONG)) == []


def test_both_directions_are_told_which_records_and_which_benchmark_rows() -> None:
    texts = [" ".join(words(20, seed)) for seed in range(6)]
    records = [chat("two", f"{texts[1]} and {texts[4]}", "ok"), chat("one", texts[4], "ok"), chat("none", "hello", "ok")]

    table = find_contamination(to_batch(records), index(*texts))

    assert table.select("id", "row").rows() == [("one", 5), ("two", 2), ("two", 5)]
    assert sorted(table["row"].unique()) == [2, 5]


def test_what_the_rows_of_a_benchmark_share_as_a_template_proves_nothing() -> None:
    template = "You are given a passage and a question about it and you must answer with one letter"
    rows = [f"{template} {' '.join(words(20, seed))}" for seed in range(12)]
    records = [chat("template", f"{template} of the alphabet", "B"), chat("row", rows[3], "B")]

    assert found(records, index(*rows)) == [("row", 4, "ngram")]
    assert {id for id, _, _ in found(records, index(*rows, template=12))} == {"template", "row"}


def test_writing_without_blanks_is_compared_by_character() -> None:
    text = "小明有十七只羊，卖掉了九只以外的所有羊，请问他还剩下多少只羊？"
    records = [
        chat("planted", f"请回答：{text}谢谢", "九只"),
        chat("other", "小明今天去市场买了三只鸡和两只鸭，一共花了多少钱？", "不知道"),
    ]

    assert found(records, index(text)) == [("planted", 1, "ngram")]


def test_a_threshold_moves_without_looking_again() -> None:
    half = " ".join(LONG.split()[:15])
    table = find_contamination(to_batch([chat("half", half, "ok"), chat("full", LONG, "ok")]), index(LONG))

    def going(overlap: float) -> list[str]:
        return select_contaminated(table, [Benchmark(name="exam", url="x", overlap=overlap)])["id"].to_list()

    assert (going(0.0), going(0.5), going(1.0)) == (["full", "half"], ["full"], ["full"])
    assert select_contaminated(table, [Benchmark(name="exam", url="x")])["reason"].unique().to_list() == ["benchmark:exam"]


@pytest.mark.parametrize(
    ("benchmark", "least_rows"),
    [
        (Benchmark(name="self_instruct", url="self_instruct/seed_tasks.jsonl.gz"), 175),
        (Benchmark(name="mbpp", url="human_eval/mbpp_sanitized.jsonl.gz", fields=("prompt",)), 427),
        (Benchmark(name="mt_bench", url="mt_bench/question.jsonl.gz"), 80),
        (Benchmark(name="gsm8k", url="gsm8k/train.jsonl.gz", fields=("question",)), 7473),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_every_row_of_a_real_benchmark_is_found_where_it_was_copied_verbatim(benchmark: Benchmark, least_rows: int) -> None:
    root = shared_data(benchmark.url.split("/")[0]).parent if isinstance(benchmark.url, str) else Path()
    texts = read_benchmark(benchmark, root)[: 2 * 427]
    copies = [chat(f"{n}", text.text, "An answer that is not in the set.") for n, text in enumerate(texts)]

    table = find_contamination(to_batch(copies), {benchmark.name: Index(texts)})

    own = pl.DataFrame({"id": [f"{n}" for n in range(len(texts))], "row": [text.row for text in texts]})
    assert own.join(table, on=["id", "row"], how="anti").is_empty()
    assert len(read_benchmark(benchmark, root)) >= least_rows


def test_different_real_questions_do_not_contaminate_each_other() -> None:
    root = shared_data("gsm8k").parent
    maths = read_benchmark(Benchmark(name="gsm8k", url="gsm8k/train.jsonl.gz"), root)[:1000]
    asked = read_benchmark(Benchmark(name="mt_bench", url="mt_bench/question.jsonl.gz"), root)

    assert found([chat(f"{n}", text.text, "ok") for n, text in enumerate(maths)], {"mt_bench": Index(asked)}) == []


def test_the_removed_parts_are_those_of_the_evaluation_harness_janitor() -> None:
    """GPT-3's rule: 200 characters on both sides of a match go, pieces below 200 characters too, and all of more than ten."""
    cases = json.loads((shared_data("decontamination") / "janitor_cases.json").read_text("utf-8"))["cases"]
    assert len(cases) == 7
    for case in cases:
        n, window = case["params"]["ngram_n"], case["params"]["window_to_remove"]
        known = Index([BenchmarkText(n, text) for n, text in enumerate(case["contaminants"], 1)], ngrams=(n,))
        pieces, at = [], 0
        runs = sorted(known.runs(case["text"]), key=lambda run: run.start)
        for run in runs:
            pieces.append(case["text"][at : max(at, run.start - window)])
            word_end = case["text"].find(" ", run.stop)  # its words end at blanks
            at = max(at, min(len(case["text"]), word_end + window))
        pieces.append(case["text"][at:])
        kept = [piece for piece in pieces if len(piece) > case["params"]["minimum_slice_length"]]
        clean_enough = len(runs) <= case["params"]["too_dirty_cutoff"]
        assert (kept if clean_enough else []) == case["cleaned_pieces"], case["test"]


def test_a_benchmark_is_read_from_csv_json_parquet_and_lists_of_messages(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f'question,answer\n"{LONG}",9\n', "utf-8")
    (tmp_path / "b.json").write_text(json.dumps([{"messages": [{"role": "user", "content": SHORT}]}]), "utf-8")
    pl.DataFrame({"doc": [{"query": MIDDLE}]}).write_parquet(tmp_path / "c.parquet")

    def texts(url: str, *fields: str) -> list[BenchmarkText]:
        return read_benchmark(Benchmark(name="exam", url=url, fields=fields), tmp_path)

    assert texts("a.csv") == [BenchmarkText(1, LONG)]
    assert texts("b.json") == [BenchmarkText(1, SHORT)]
    assert texts("c.parquet", "doc.query") == [BenchmarkText(1, MIDDLE)]
    assert [text.row for text in texts("[ab].*")] == [1, 2]


def test_a_row_without_text_or_a_missing_file_says_which_key_to_mend(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"stem": "What is it?", "key": "A"}\n', "utf-8")

    with pytest.raises(ConfigError, match=r"row 1 of a\.jsonl has no text to compare; it has stem, key\. Name some with `fields"):
        read_benchmark(Benchmark(name="exam", url="a.jsonl"), tmp_path)
    with pytest.raises(ConfigError, match=r"\[\[benchmarks\]\] exam: no file matches 'b\.jsonl'"):
        read_benchmark(Benchmark(name="exam", url="b.jsonl"), tmp_path)
    assert digest_of(Benchmark(name="exam", url="b.jsonl"), tmp_path) == "missing"


def test_the_same_words_in_another_order_are_near_and_other_words_are_not() -> None:
    texts = [BenchmarkText(1, LONG), *(BenchmarkText(n, " ".join(words(20, seed=n))) for n in range(2, 12))]
    shuffled = " ".join(sorted(LONG.split(), key=lambda word: word[::-1]))
    records = to_batch([chat("shuffled", shuffled, "ok"), chat("other", "My router stopped after the update on Tuesday", "ok")])
    known = {"exam": Index(texts).meaning(texts, TfIdf())}

    table = find_contamination(records, known)

    assert table.select("id", "row", "method").rows() == [("shuffled", 1, "semantic")]
    assert table["similarity"].item() == pytest.approx(1.0)
    near = Benchmark(name="exam", url="x", semantic=0.9)
    assert select_contaminated(table, [near])["id"].to_list() == ["shuffled"]
    assert select_contaminated(table, [Benchmark(name="exam", url="x")]).is_empty()


def test_evidence_of_meaning_hides_no_n_gram() -> None:
    texts = [BenchmarkText(1, LONG)]
    part = " ".join(LONG.split()[:15])
    table = find_contamination(to_batch([chat("a", part, "ok")]), {"exam": Index(texts).meaning(texts, TfIdf())})

    assert table["method"].to_list() == ["ngram", "semantic"]
    strict = Benchmark(name="exam", url="x", semantic=1.0)
    assert select_contaminated(table, [strict])["reason"].to_list() == ["benchmark:exam"]


def test_where_a_batch_ends_changes_no_vector() -> None:
    texts = [BenchmarkText(n, " ".join(words(12, seed=n))) for n in range(5)]
    known = {"exam": Index(texts).meaning(texts, TfIdf())}
    records = [chat(f"{n}", " ".join([*words(12, seed=n)[:9], *words(4, seed=70 + n)]), "ok") for n in range(5)]

    whole = find_contamination(to_batch(records), known)

    assert whole.height >= 5
    assert pl.concat([find_contamination(to_batch([record]), known) for record in records]).equals(whole)
