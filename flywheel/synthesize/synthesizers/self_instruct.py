"""New instructions in the manner of the logged ones, and their answers."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from flywheel.plugins import Model
from flywheel.records import Record, digest, text_message
from flywheel.synthesize.asked import refuse, unless_failed
from flywheel.synthesize.reading import bare, items, same_words
from flywheel.synthesize.verification.rouge import Similar, words
from flywheel.synthesize.verification.self_instruct import BEYOND_TEXT
from flywheel.synthesize.verification.self_instruct import SelfInstruct as Heuristics

EXAMPLES = (
    "Turn this note into a polite e-mail: meeting moved to 3 pm, room 12, bring the budget.",
    "Name three causes of rust and one way to slow each of them down.",
    "Is 'The kettle boiled itself' a sentence in the passive voice? Answer yes or no and say why.",
    "Sort these by weight, lightest first: a brick, a feather, a bicycle, an apple.",
    "Explain to a ten-year-old why the moon has phases.",
    "Write a limerick about a librarian who loses her glasses.",
    "A train leaves at 9:40 and arrives at 13:05. How long does the journey take?",
    "Give the opposite of each word: generous, ancient, shallow.",
)


@dataclass(frozen=True)
class SelfInstruct:
    """Show the model the seed's prompt among `shown` of `examples`, ask for `count` new instructions, and then for their answers.

    An instruction is refused by the heuristics of the check `self_instruct` (`too_short`, `beyond_text`, ...), or when its
    ROUGE-L to the seed's, to an example or to an earlier one of this seed is `rouge_l` or more (`similar_instruction`); an
    answer when it repeats its instruction (`copied_instruction`). A seed sees no other seeds: `verify = ["self_instruct"]`
    compares the instructions of all seeds and with the real prompts.

    Source: Wang et al. 2023, "Self-Instruct", section 2.2; Taori et al. 2023 (Alpaca), for asking for many at once and
    for instructions that hold their own input. The examples are our own; give some from your field.
    """

    count: int = 5
    shown: int = 3
    examples: tuple[str, ...] = EXAMPLES
    rouge_l: float = 0.7
    beyond_text: tuple[str, ...] = BEYOND_TEXT

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 50:
            raise ValueError(f"`count` is 1 to 50, not {self.count}")
        if not 0 <= self.shown <= len(self.examples):
            raise ValueError(f"`shown` is 0 to {len(self.examples)}, as many as there are `examples`, not {self.shown}")
        if not 0 < self.rouge_l <= 1:
            raise ValueError(f"`rouge_l` is above 0 and at most 1, not {self.rouge_l}")

    def most_questions(self, seed: Record) -> Mapping[str, int]:
        """As of `AsksAtMost`."""
        return {"generator": 1 + self.count} if seed.prompt.strip() else {}

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        if not seed.prompt.strip():
            return
        dice = random.Random(digest(b"self_instruct", seed.id.encode()))
        shown = [seed.prompt, *dice.sample(self.examples, self.shown)]
        dice.shuffle(shown)
        listed = "\n".join(f"{number}. {' '.join(text.split())}" for number, text in enumerate(shown, 1))
        task = (
            f"People asked an assistant for this:\n{listed}\n\nWrite {self.count} new requests as a numbered list. Let them "
            "differ from these and from each other in subject, kind and wording, and hold all that is needed to answer them."
        )
        new = self._new(items(await model.ask(task)), shown)
        answers = await asyncio.gather(*(unless_failed(model.ask(instruction)) for instruction in new))
        for instruction, answer in zip(new, answers, strict=True):
            if answer is not None and same_words(answer, instruction):
                refuse("copied_instruction")
            elif answer is not None:
                turns = [text_message("user", instruction), text_message("assistant", answer.strip())]
                yield seed.child(messages=turns)

    def _new(self, instructions: list[str], shown: list[str]) -> list[str]:
        """Those that hold the heuristics and are like none that was shown or comes before."""
        heuristics = Heuristics(beyond_text=self.beyond_text)
        known = Similar(self.rouge_l)
        for text in (*shown, *self.examples):
            known.add(words(text))
        kept: list[str] = []
        for instruction in map(bare, instructions[: self.count]):
            reason = heuristics.heuristic(instruction)
            if reason is None and next(iter(known.find(words(instruction))), None) is not None:
                reason = "similar_instruction"
            if reason is not None:
                refuse(reason)
            else:
                known.add(words(instruction))
                kept.append(instruction)
        return kept
