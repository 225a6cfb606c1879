"""The request that a good text would be the answer to."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from flywheel.plugins import Model
from flywheel.records import Record, text_message
from flywheel.synthesize.asked import refuse
from flywheel.synthesize.judging import grade
from flywheel.synthesize.reading import bare
from flywheel.synthesize.verification.rouge import rouge_l, words


@dataclass(frozen=True)
class ReverseInstruction:
    """Find a request for the seed's reply; the child is that request and the reply as it was logged.

    The role `judge` grades the reply as an answer to the request, 1 to 5. Below `least` (`low_grade`), or when the request is
    copied from the reply (`copied_reply`) or nearly the seed's own prompt, by ROUGE-L of `rouge_l` (`similar_instruction`), it is
    written again with what was wrong with it, `rounds` times in all; each refused request counts. Seeds whose reply has fewer
    than `shortest` characters have no children.

    Source: Köksal et al. 2023 (LongForm), for requests written for human texts; Li et al. 2023, "Self-alignment with instruction
    backtranslation", section 2.3, for grading pairs on five points. There the rounds train a model anew; here they revise.
    """

    rounds: int = 2
    least: int = 4
    rouge_l: float = 0.7
    shortest: int = 80

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ValueError(f"`rounds` is at least 1, not {self.rounds}")
        if not 1 <= self.least <= 5:
            raise ValueError(f"`least` is a grade from 1 to 5, not {self.least}")
        if not 0 < self.rouge_l <= 1:
            raise ValueError(f"`rouge_l` is above 0 and at most 1, not {self.rouge_l}")

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:
        if len(seed.reply.strip()) < self.shortest:
            return
        task = (
            "Write the request that somebody sent to get the text below: complete, in their own words, without quoting the text. "
            f"Answer with the request only.\n\n<text>\n{seed.reply}\n</text>"
        )
        wanted = task
        for _ in range(self.rounds):
            instruction = bare(await model.ask(wanted))
            if (wrong := await self._wrong(instruction, seed, model)) is None:
                yield seed.child(messages=[text_message("user", instruction), text_message("assistant", seed.reply)])
                return
            reason, complaint = wrong
            refuse(reason)
            wanted = f"{task}\n\nAn earlier attempt was: {instruction}\nIts fault: {complaint}"

    async def _wrong(self, instruction: str, seed: Record, model: Model) -> tuple[str, str] | None:
        """What is wrong with a request, as a reason slug and in words."""
        said = words(instruction)
        if f" {' '.join(said)} " in f" {' '.join(words(seed.reply))} " or rouge_l(said, words(seed.reply)) >= self.rouge_l:
            return "copied_reply", "it quotes the text instead of asking for it."
        if rouge_l(said, words(seed.prompt)) >= self.rouge_l:
            return "similar_instruction", "it is known already; ask from another side."
        graded = await grade(model, [text_message("user", instruction)], text_message("assistant", seed.reply))
        return None if graded.score >= self.least else ("low_grade", graded.reason)
