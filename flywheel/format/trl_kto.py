"""TRL's conversational unpaired preference: for `KTOTrainer` and BCO."""

from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.curate.label_rules import LabelRule
from flywheel.curate.labels import label
from flywheel.errors import Rejected
from flywheel.format import trl
from flywheel.format.pairs import Labelled
from flywheel.format.trl_prompt_completion import TrlPromptCompletion
from flywheel.records import Record


@dataclass(frozen=True)
class TrlKto:
    """`{"prompt": [...], "completion": [the final assistant message], "label": true or false, "tools": "[...]"}`.

    `label` is what feedback on the final reply says: good is true. Without feedback, or where it contradicts itself, there
    is no row. `reasoning`, `arguments`, `system_prompt`, and why `tools` is JSON text: see `TrlMessages`.

    Args:
        rules: what feedback means; by default the project's `[[labels]]`, then the built-in rules.

    Source: huggingface/trl docs/source/dataset_formats.md, "Unpaired preference".
    """

    reasoning: trl.Reasoning = "drop"
    system_prompt: str | None = None
    arguments: trl.Arguments = "object"
    rules: tuple[LabelRule, ...] = ()
    suffix: ClassVar[str] = "jsonl"

    def labelled(self, record: Record) -> Labelled:
        """The label that is written.

        Raises:
            Rejected: `no_feedback`, `conflict`.
        """
        found = label(record, self.rules)
        if found.label is None:
            raise Rejected(found.reason or "no_feedback")
        return Labelled(found)

    def render(self, record: Record) -> dict[str, Any]:
        """One line of the file.

        Raises:
            Rejected: `no_feedback`, `conflict`, and the reasons of `TrlPromptCompletion`.
        """
        good = self.labelled(record).labels.label == "good"
        row = self._conversation.render(record)
        return {"prompt": row["prompt"], "completion": row["completion"], "label": good, "tools": row["tools"]}

    @property
    def _conversation(self) -> TrlPromptCompletion:
        return TrlPromptCompletion(self.reasoning, self.system_prompt, self.arguments)

    def features(self) -> list[dict[str, Any]]:
        """The columns' types for the dataset card."""
        *turns, tools = self._conversation.features()
        return [*turns, {"name": "label", "dtype": "bool"}, tools]
