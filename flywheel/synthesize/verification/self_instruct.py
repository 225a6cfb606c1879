"""Self-Instruct's heuristics for what makes a poor instruction, and its novelty filter."""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from flywheel.records import Record, derive
from flywheel.synthesize.verification.contract import Judge, Known
from flywheel.synthesize.verification.like_real import Batches, LikeReal
from flywheel.synthesize.verification.rouge import Similar, words

BEYOND_TEXT = (
    *("image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps", "draw", "plot", "go to"),
    *("video", "audio", "music", "flowchart", "diagram"),
)


@dataclass(frozen=True)
class SelfInstruct:
    """The last prompt is an instruction that a text model can follow, and unlike every other one.

    Reasons: `too_short` (at most 3 words), `too_long` (more than 150), `starts_with_punctuation`, `starts_with_non_ascii` (off
    by default: it is against other languages), `beyond_text` (asks for images, files, music, ...), `write_a_program`, and
    `similar_instruction`: ROUGE-L of `rouge_l` or more to a real record's prompt that is no parent, or to an earlier child of
    another parent.

    Source: Wang et al. 2023, "Self-Instruct", section 2.2 and its code, for the words and numbers.
    """

    shortest: int = 4
    longest: int = 150
    rouge_l: float = 0.7
    ascii_only: bool = False
    beyond_text: tuple[str, ...] = BEYOND_TEXT

    def __post_init__(self) -> None:
        if not 0 < self.rouge_l <= 1:
            raise ValueError(f"`rouge_l` is above 0 and at most 1, not {self.rouge_l}")

    def judge(self) -> Judge:
        earlier = Similar(self.rouge_l)
        owners: list[tuple[str, ...]] = []
        like_real = LikeReal(self._like_real)

        def judge(children: Sequence[Record], known: Known) -> list[str | None]:
            reasons = [self.heuristic(child.prompt) for child in children]
            real = like_real.among(children, known)
            for at, child in enumerate(children):
                if reasons[at] is not None:
                    continue
                text = words(child.prompt)
                if child.id in real or any(set(owners[number]).isdisjoint(child.parents) for number in earlier.find(text)):
                    reasons[at] = "similar_instruction"
                else:
                    earlier.add(text)
                    owners.append(child.parents)
            return reasons

        return judge

    def heuristic(self, instruction: str) -> str | None:
        """What is wrong with an instruction by itself, as a reason slug."""
        text = instruction.strip()
        count = len(text.split())
        listed = r"\b(?:" + "|".join(map(re.escape, self.beyond_text)) + r")\b"
        rules = (
            ("too_short", count < self.shortest),
            ("too_long", count > self.longest),
            ("starts_with_punctuation", text[:1] in string.punctuation),
            ("starts_with_non_ascii", self.ascii_only and not text[:1].isascii()),
            ("beyond_text", bool(self.beyond_text) and re.search(listed, text, re.IGNORECASE) is not None),
            ("write_a_program", text.startswith("Write a program")),
        )
        return next((reason for reason, broken in rules if broken), None)

    def _like_real(self, children: Batches, real: Batches) -> set[str]:
        """Ids of children whose prompt is like a real one that is not their parent's. Memory is that of their prompts."""
        index = Similar(self.rouge_l)
        owners: list[tuple[str, list[str]]] = []
        for batch in children:
            for id, parents, prompt in derive(batch).select("id", "parents", "prompt").iter_rows():
                index.add(words(prompt))
                owners.append((id, parents))
        found: set[str] = set()
        for batch in real:
            prompts = derive(batch).select("id", "prompt").filter(pl.col("prompt") != "")
            for id, prompt in prompts.iter_rows():
                pairs = (owners[number] for number in index.find(words(prompt)))
                found |= {child for child, parents in pairs if id not in parents}
        return found
