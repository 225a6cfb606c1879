"""OpenAI's preference fine-tuning (DPO) file, which Azure, Together and Fireworks read too."""

from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.curate.label_rules import LabelRule
from flywheel.curate.labels import Origin
from flywheel.format import pairs
from flywheel.format.openai_chat import OpenaiChat
from flywheel.records import Record


@dataclass(frozen=True)
class OpenaiPreference:
    """`{"input": {"messages": [...], "tools"?}, "preferred_output": [...], "non_preferred_output": [...]}`.

    One row a record: the pair of the most reliable origin (`curate.labels.ORIGINS`). Text only. Reasoning has no field there
    and is left out, or put before the text.

    Args:
        origins: write only pairs that come from these; from everywhere when empty.
        against: which of several worse answers is the rejected one: the `next_best` or the `worst`.
        include_reasoning, system_prompt, parallel_tool_calls: see `OpenaiChat`.
        rules: what feedback and candidates mean; by default the project's `[[labels]]`, then the built-in rules.

    Source: developers.openai.com, direct preference optimization guide; learn.microsoft.com,
        fine-tuning-direct-preference-optimization.
    """

    origins: tuple[Origin, ...] = ()
    against: pairs.Against = "next_best"
    include_reasoning: bool = False
    system_prompt: str | None = None
    parallel_tool_calls: bool | None = None
    rules: tuple[LabelRule, ...] = ()
    suffix: ClassVar[str] = "jsonl"

    def labelled(self, record: Record) -> pairs.Labelled:
        """The pair that is written."""
        return pairs.labelled(record, self.rules, origins=self.origins, against=self.against)

    def render(self, record: Record) -> dict[str, Any]:
        """One line of the file.

        Raises:
            Rejected: the reasons of `pairs.labelled`, `pairs.parted` and `OpenaiChat`.
        """
        pair = self.labelled(record).pair
        assert pair is not None
        whole = OpenaiChat(
            include_reasoning=self.include_reasoning,
            system_prompt=self.system_prompt,
            parallel_tool_calls=self.parallel_tool_calls,
        )
        chosen, rejected = (whole.render(branch) for branch in pairs.branches(record, pair))
        prompt, better, worse = pairs.parted(pair, chosen["messages"], rejected["messages"])
        return {"input": {**chosen, "messages": prompt}, "preferred_output": better, "non_preferred_output": worse}
