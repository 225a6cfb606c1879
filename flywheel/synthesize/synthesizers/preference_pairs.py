"""Several answers to one prompt, and which of them is better."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from flywheel.plugins import Model
from flywheel.records import Candidate, Feedback, Record, text_message
from flywheel.synthesize.asked import refuse, unless_failed
from flywheel.synthesize.judging import compare
from flywheel.synthesize.reading import question


@dataclass(frozen=True)
class PreferencePairs:
    """Ask for `answers` answers, have the role `judge` compare each two in both orders, and keep the best with those it beats.

    The child's reply is the answer that beats most others; those that it beats are its candidates, the strongest first, and
    the feedback `winner` names it, so that the preference formats export it as chosen. Reasons: `equal_answers`, of two answers
    `judged_equal` or `judge_contradicts_itself` (the verdict depends on which is shown first). Comparing costs
    `answers * (answers - 1)` questions to the judge.

    Source: Zheng et al. 2023, "Judging LLM-as-a-judge with MT-Bench and Chatbot Arena", for both orders; Bai et al. 2022
    (Constitutional AI), for preferences by a model.
    """

    answers: int = 2

    def __post_init__(self) -> None:
        if not 2 <= self.answers <= 8:
            raise ValueError(f"`answers` is 2 to 8, not {self.answers}")

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        asked = question(seed)
        if not asked:
            return
        texts = list(dict.fromkeys(text.strip() for text in await model.samples(asked, self.answers)))
        if len(texts) < 2:
            refuse("equal_answers")
            return
        said = [text_message("assistant", text) for text in texts]
        pairs = list(itertools.combinations(range(len(texts)), 2))
        verdicts = await asyncio.gather(*(unless_failed(compare(model, asked, said[a], said[b])) for a, b in pairs))
        beaten: dict[int, list[int]] = {at: [] for at in range(len(texts))}
        for (a, b), verdict in zip(pairs, verdicts, strict=True):
            if verdict in ("first", "second"):
                better, worse = (a, b) if verdict == "first" else (b, a)
                beaten[better].append(worse)
            elif verdict is not None:
                refuse("judged_equal" if verdict == "neither" else "judge_contradicts_itself")
        best = max(beaten, key=lambda at: len(beaten[at]))
        if not beaten[best]:
            return
        places = {at: place for place, at in enumerate(sorted((best, *beaten[best])), 1)}
        child = seed.child(messages=(*asked, said[best]))
        yield msgspec.structs.replace(
            child,
            candidates=tuple(
                Candidate(id=f"{child.id}:{places[at]}", messages=(said[at],))
                for at in sorted(beaten[best], key=lambda at: -len(beaten[at]))
            ),
            feedback=(Feedback(name="winner", value=child.id, by=f"judge:{model.role('judge').name}"),),
        )
