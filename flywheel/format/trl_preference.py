"""TRL's conversational preference: for `DPOTrainer`, `RewardTrainer`, ORPO and CPO."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from flywheel.curate.label_rules import LabelRule
from flywheel.curate.labels import Origin
from flywheel.format import chat, pairs, trl
from flywheel.records import Record


@dataclass(frozen=True)
class TrlPreference:
    """`{"prompt": [...], "chosen": [...], "rejected": [...], "tools": "[...]"}`, answers without the prompt.

    One row a record: the pair of the most reliable origin (`curate.labels.ORIGINS`). `reasoning`, `arguments`,
    `system_prompt`, and why `tools` is JSON text: see `TrlMessages`.

    Args:
        prompt: `implicit` writes no `prompt`; `chosen` and `rejected` are then whole conversations, as `RewardTrainer` likes.
        origins: write only pairs that come from these; from everywhere when empty.
        against: which of several worse answers is the rejected one: the `next_best` or the `worst`.
        rules: what feedback and candidates mean; by default the project's `[[labels]]`, then the built-in rules.

    Source: huggingface/trl docs/source/dataset_formats.md, "Preference".
    """

    prompt: Literal["explicit", "implicit"] = "explicit"
    origins: tuple[Origin, ...] = ()
    against: pairs.Against = "next_best"
    reasoning: trl.Reasoning = "drop"
    system_prompt: str | None = None
    arguments: trl.Arguments = "object"
    rules: tuple[LabelRule, ...] = ()
    suffix: ClassVar[str] = "jsonl"

    def labelled(self, record: Record) -> pairs.Labelled:
        """The pair that is written."""
        return pairs.labelled(record, self.rules, origins=self.origins, against=self.against)

    def render(self, record: Record) -> dict[str, Any]:
        """One line of the file.

        Raises:
            Rejected: the reasons of `pairs.labelled`, `pairs.parted`, `chat.conversation`, `trl.message`, `trl.tools`.
        """
        pair = self.labelled(record).pair
        assert pair is not None
        chosen, rejected = (self._messages(branch) for branch in pairs.branches(record, pair))
        prompt, better, worse = pairs.parted(pair, chosen, rejected)
        if self.prompt == "implicit":
            return {"chosen": chosen, "rejected": rejected, "tools": trl.tools(record)}
        return {"prompt": prompt, "chosen": better, "rejected": worse, "tools": trl.tools(record)}

    def _messages(self, record: Record) -> list[dict[str, Any]]:
        messages = chat.conversation(record, system_prompt=self.system_prompt, tool_name=chat.ANY_NAME)
        return [trl.message(one, reasoning=self.reasoning, arguments=self.arguments) for one in messages]

    def features(self) -> list[dict[str, Any]]:
        """The columns' types for the dataset card."""
        names = ("chosen", "rejected") if self.prompt == "implicit" else ("prompt", "chosen", "rejected")
        turns = [trl.turns(name, self.reasoning, self.arguments) for name in names]
        return [*turns, {"name": "tools", "dtype": "string"}]
