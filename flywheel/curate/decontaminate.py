"""Which records hold text of an evaluation set, and of which of its rows.

Source: Brown et al., "Language Models are Few-Shot Learners", 2020, appendix C (13-grams; n-grams that more than ten texts
share are nobody's); whole texts for what is shorter than an n-gram, because n-grams miss short prompts.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import xxhash

from flywheel.curate.benchmarks import BenchmarkText, as_series
from flywheel.curate.dedup.shingles import shingle
from flywheel.curate.dedup.words import Bools, UInt32s
from flywheel.curate.words import Word, plain, spaced, words
from flywheel.plugins import Embeds
from flywheel.schema import column
from flywheel.sections import Benchmark

CONTAMINATION = pa.schema(
    [
        column("id", pa.string(), "the record that holds the text"),
        column("benchmark", pa.string(), "the evaluation set"),
        column("row", pa.int64(), "its row, from 1 over all its files"),
        column("method", pa.string(), "`ngram`, `whole` (a message or line of it is the text) or `semantic`"),
        column("similarity", pa.float64(), "share of the text's n-grams that the record holds; 1 for whole; else the cosine"),
        column("words", pa.int64(), "longest run of words in common; null for semantic"),
        column("message", pa.int64(), "where that is: the message, from 0; null in another answer than the record's"),
        column("start", pa.int64(), "and its first character in `message_text`"),
        column("stop", pa.int64(), "and the one behind its last"),
    ]
)
EVIDENCE = 0.5
_TABLE_BITS = 22
_BLOCK = 512


class Run(NamedTuple):
    """Words that a text shares with a row of an evaluation set without a break, and the characters that they are."""

    row: int
    words: int
    start: int
    stop: int


class Index:
    """What one evaluation set is looked for by. Memory: about 100 bytes a word of it."""

    def __init__(self, texts: Sequence[BenchmarkText], *, ngrams: Sequence[int] = (13, 8), template: int = 10) -> None:
        split = [(text, [word.word for word in words(text.text)]) for text in texts]
        sizes = [next((n for n in sorted(ngrams, reverse=True) if len(found) >= n), 0) for _, found in split]
        self.near: _Near | None = None
        self.grams: dict[int, dict[int, list[int]]] = {}
        self.row_grams: dict[int, int] = defaultdict(int)
        common = _template_grams(split, sizes, template)
        whole: list[BenchmarkText] = []
        for (text, found), n in zip(split, sizes, strict=True):
            own = {gram for gram in _grams(found, n) if gram not in common} if n else set()
            for gram in own:
                rows = self.grams.setdefault(n, {}).setdefault(gram, [])
                if text.row not in rows:
                    rows.append(text.row)
                    self.row_grams[text.row] += 1
            if found and not own:
                whole.append(text)
        joined = plain(pl.Series([text.text for text in whole], dtype=pl.String))
        self.whole = pl.DataFrame({"plain": joined, "row": [text.row for text in whole]}, schema_overrides={"row": pl.Int64})
        self.longest_whole = max((len(text.text) for text in whole), default=0)
        self.tables = {
            n: _Table([text for text, size in zip(texts, sizes, strict=True) if size == n], n) for n in sorted(self.grams)
        }

    def meaning(self, texts: Sequence[BenchmarkText], method: Embeds) -> "Index":
        """The same index, which also finds texts by their vectors."""
        self.near = _Near(texts, method)
        return self

    def runs(self, text: str) -> list[Run]:
        """Every n-gram of the text that the set has, joined where they overlap, by place."""
        found = words(text)
        return [run for n, grams in self.grams.items() for run in _runs(found, n, grams)]


class _Table:
    """The n-grams of some texts as the kernel hashes them: to pass over what cannot match, at its speed."""

    def __init__(self, texts: Sequence[BenchmarkText], n: int) -> None:
        self.n = n
        self.values = np.unique(shingle(as_series(texts), ngram=n).values)
        self.low = np.zeros(1 << _TABLE_BITS, bool)
        self.low[_low(self.values)] = True

    def hit(self, texts: pl.Series) -> Bools:
        """Whether each text may share an n-gram."""
        sets = shingle(texts, ngram=self.n)
        maybe = np.flatnonzero(self.low[_low(sets.values)])
        maybe = maybe[np.isin(sets.values[maybe], self.values)]
        hit = np.zeros(len(texts), bool)
        hit[np.searchsorted(sets.offsets, maybe, side="right") - 1] = True
        return hit


class _Near:
    """The texts' vectors, and how the vectors of others are made."""

    def __init__(self, texts: Sequence[BenchmarkText], method: Embeds) -> None:
        self.texts = pl.Series([text.text for text in texts], dtype=pl.String)
        self.rows = np.array([text.row for text in texts], np.int64)
        self.method = method
        self.vectors = method.vectors(self.texts, like=self.texts)

    def pairs(self, texts: pl.DataFrame) -> pl.DataFrame:
        """Which texts are at least `EVIDENCE` near which rows."""
        found = [_frame([])]
        vectors = self.method.vectors(texts["text"], like=self.texts)
        for start in range(0, texts.height, _BLOCK):
            cosine = vectors[start : start + _BLOCK] @ self.vectors.T
            dense = cosine if isinstance(cosine, np.ndarray) else cosine.toarray()
            at, column = np.nonzero(dense >= EVIDENCE)
            own = texts[at + start].select("id", "message")
            cosines = np.minimum(dense[at, column].astype(np.float64), 1.0)
            told = own.with_columns(row=pl.Series(self.rows[column]), similarity=pl.Series(cosines), method=pl.lit("semantic"))
            found.append(told.cast({"message": pl.Int64}))
        return pl.concat(found, how="diagonal")


def _low(values: UInt32s) -> UInt32s:
    low: UInt32s = values & np.uint32((1 << _TABLE_BITS) - 1)
    return low


def _grams(found: Sequence[str], n: int) -> list[int]:
    return [xxhash.xxh3_64_intdigest(" ".join(found[at : at + n]).encode()) for at in range(len(found) - n + 1)]


def _template_grams(split: Sequence[tuple[BenchmarkText, list[str]]], sizes: Sequence[int], template: int) -> set[int]:
    """N-grams that more than `template` different texts share; equal texts count once."""
    counts: dict[int, int] = defaultdict(int)
    for found, n in {(tuple(found), n) for (_, found), n in zip(split, sizes, strict=True) if n}:
        for gram in set(_grams(found, n)):
            counts[gram] += 1
    return {gram for gram, count in counts.items() if count > template}


def _runs(found: Sequence[Word], n: int, grams: Mapping[int, list[int]]) -> list[Run]:
    places: dict[int, list[int]] = defaultdict(list)
    for at, gram in enumerate(_grams([word.word for word in found], n)):
        for row in grams.get(gram, ()):
            places[row].append(at)
    runs = []
    for row, held in places.items():
        breaks = [0, *(i + 1 for i, (one, other) in enumerate(pairwise(held)) if other > one + 1), len(held)]
        for first, last in pairwise(breaks):
            begin, end = held[first], held[last - 1] + n - 1
            runs.append(Run(row, end - begin + 1, found[begin].start, found[end].stop))
    return runs


def find_contamination(records: pl.DataFrame, indexes: Mapping[str, Index]) -> pl.DataFrame:
    """The rows of evaluation sets that each record holds, by n-grams and whole texts, and by meaning where an index has it.

    Every message counts whatever its role, its reasoning, the arguments of its tool calls, and the answers that were not
    taken. An n-gram does not run from one message into the next. Memory: about three times the batch's text.

    Returns:
        Columns of `CONTAMINATION`, ordered by id, benchmark, row: one row a record and benchmark row, and another one for
        its meaning.
    """
    texts = message_texts(records)
    made = [pl.DataFrame(schema=pl.Schema(CONTAMINATION))]
    for name, index in indexes.items():
        found = pl.concat([_by_ngrams(texts, index), _by_whole(texts, index), *([index.near.pairs(texts)] if index.near else [])])
        made.append(found.with_columns(benchmark=pl.lit(name)).select(CONTAMINATION.names))
    kind = (pl.col("method") == "semantic").alias("by_meaning")
    best = (
        pl.concat(made)
        .with_columns(kind)
        .sort("id", "benchmark", "row", "by_meaning", "similarity", "words", descending=[False, False, False, False, True, True])
    )
    return best.unique(["id", "benchmark", "row", "by_meaning"], keep="first", maintain_order=True).drop("by_meaning")


def message_texts(records: pl.DataFrame) -> pl.DataFrame:
    """Every text of a batch's records: `id`, `message` (null for one of a candidate answer), `text`; none is empty."""
    own = records.select("id", message=pl.int_ranges(pl.col("messages").list.len().fill_null(0)), said="messages")
    other = records.select("id", said=pl.col("candidates").list.eval(pl.element().struct.field("messages").explode()))
    flat = pl.concat(
        [
            own.explode("message", "said", empty_as_null=False, keep_nulls=False),
            other.explode("said", empty_as_null=False, keep_nulls=False).with_columns(message=pl.lit(None, pl.Int64)),
        ],
        how="diagonal_relaxed",
    )
    said = pl.col("said").struct
    calls = said.field("tool_calls").list.eval(pl.element().struct.field("arguments")).list.join("\n", ignore_nulls=True)
    spoken = said.field("content").list.eval(pl.element().struct.field("text")).list.join("\n", ignore_nulls=True)
    texts = flat.select("id", "message", text=pl.concat_list(spoken, said.field("reasoning"), calls))
    return texts.explode("text", empty_as_null=False, keep_nulls=False).filter(pl.col("text").str.len_bytes() > 0)


def _by_ngrams(texts: pl.DataFrame, index: Index) -> pl.DataFrame:
    hit = np.zeros(texts.height, bool)
    if index.tables:
        kernel = spaced(texts["text"])
        for table in index.tables.values():
            hit |= table.hit(kernel)
    grams: dict[tuple[str, int], set[int]] = defaultdict(set)
    longest: dict[tuple[str, int], tuple[int, int | None, int, int]] = {}
    for id, message, text in texts.filter(pl.Series(hit, dtype=pl.Boolean)).iter_rows():
        found = words(text)
        for n, known in index.grams.items():
            for gram in _grams([word.word for word in found], n):
                for row in known.get(gram, ()):
                    grams[id, row].add(gram)
            for run in _runs(found, n, known):
                if run.words > longest.get((id, run.row), (0,))[0]:
                    longest[id, run.row] = (run.words, message, run.start, run.stop)
    rows = [(id, row, "ngram", len(own) / index.row_grams[row], *longest[id, row]) for (id, row), own in grams.items()]
    return _frame(rows)


def _by_whole(texts: pl.DataFrame, index: Index) -> pl.DataFrame:
    """Messages, and lines of them, that are the text of a row but for case, punctuation and spacing."""
    if index.whole.is_empty():
        return _frame([])
    longest = 2 * index.longest_whole + 40  # punctuation and markup around it
    short = texts.filter(pl.col("text").str.len_chars() <= longest).with_columns(start=pl.lit(0))
    lines = texts.filter(pl.col("text").str.contains("\n", literal=True)).with_columns(text=pl.col("text").str.split("\n"))
    ends = pl.col("text").list.eval(pl.element().str.len_chars().cast(pl.Int64) + 1)
    starts = ends.list.eval(pl.element().cum_sum() - pl.element())
    apart = lines.with_columns(start=starts).explode("text", "start", empty_as_null=False, keep_nulls=False)
    apart = apart.filter(pl.col("text").str.len_chars() <= longest)
    both = pl.concat([short, apart], how="diagonal_relaxed")
    said = both.with_columns(plain=plain(both["text"]))
    found = said.filter(pl.col("plain") != "").join(index.whole, on="plain")
    return found.select(
        "id",
        "row",
        method=pl.lit("whole"),
        similarity=pl.lit(1.0),
        words=pl.col("plain").str.count_matches(" ", literal=True).cast(pl.Int64) + 1,
        message=pl.col("message").cast(pl.Int64),
        start=pl.col("start").cast(pl.Int64),
        stop=pl.col("start").cast(pl.Int64) + pl.col("text").str.len_chars(),
    )


def select_contaminated(contamination: pl.DataFrame, benchmarks: Sequence[Benchmark]) -> pl.DataFrame:
    """The records that go by the benchmarks' thresholds as they are now: `id`, `day` where given, `reason`, `score`.

    One row a record: the first benchmark, in configured order, of which it holds enough, with the greatest similarity.
    """
    keys = [name for name in ("id", "day") if name in contamination.columns]
    frames = [contamination.clear().select(*keys, reason=pl.lit(""), score="similarity")]
    for benchmark in benchmarks:
        least = pl.when(pl.col("method") == "semantic").then(benchmark.semantic).otherwise(benchmark.overlap)
        own = contamination.filter((pl.col("benchmark") == benchmark.name) & (pl.col("similarity") >= least))
        most = own.group_by(keys, maintain_order=True).agg(score=pl.col("similarity").max())
        frames.append(most.select(*keys, reason=pl.lit(f"benchmark:{benchmark.name}"), score="score"))
    return pl.concat(frames).unique(keys, keep="first", maintain_order=True)


def _frame(rows: Iterable[tuple[object, ...]]) -> pl.DataFrame:
    names = [name for name in CONTAMINATION.names if name != "benchmark"]
    schema = {name: kind for name, kind in pl.Schema(CONTAMINATION).items() if name in names}
    return pl.DataFrame(list(rows), schema=schema, orient="row")
