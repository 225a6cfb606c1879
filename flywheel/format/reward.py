"""Scored answers: for reward models and best-of-n, as HelpSteer and open-instruct lay them out."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from flywheel.curate.label_rules import LabelRule
from flywheel.curate.labels import label
from flywheel.errors import Rejected
from flywheel.format import trl
from flywheel.format.pairs import Labelled
from flywheel.format.trl_prompt_completion import TrlPromptCompletion
from flywheel.records import Record


@dataclass(frozen=True)
class Reward:
    """`{"prompt": [...], "completion": [the final assistant message], "score": 0.5, "tools": "[...]"}`.

    `score` is the mean over the feedback that the first scoring rule matches, in that rule's scale. There is no standard
    among tools; the keys are those that TRL uses for conversations.

    Args:
        shape: `messages` writes the whole conversation under `messages` in place of prompt and completion.
        labels: a reply without a score that was called good scores 1, a bad one 0; otherwise it is refused. Leave it off
            where scores have another scale than 0 to 1.
        reasoning, arguments, system_prompt: see `TrlMessages`.
        rules: what feedback means; by default the project's `[[labels]]`, then the built-in rules.
    """

    shape: Literal["prompt", "messages"] = "prompt"
    labels: bool = False
    reasoning: trl.Reasoning = "drop"
    system_prompt: str | None = None
    arguments: trl.Arguments = "object"
    rules: tuple[LabelRule, ...] = ()
    suffix: ClassVar[str] = "jsonl"

    def labelled(self, record: Record) -> Labelled:
        """The score that is written.

        Raises:
            Rejected: `no_score`, `no_feedback`, `conflict`.
        """
        found = label(record, self.rules)
        if found.score is None and self.labels:
            if found.label is None:
                raise Rejected(found.reason or "no_feedback")
            found = found._replace(score=float(found.label == "good"))
        if found.score is None:
            raise Rejected("no_score")
        return Labelled(found)

    def render(self, record: Record) -> dict[str, Any]:
        """One line of the file.

        Raises:
            Rejected: those of `labelled` and of `TrlPromptCompletion`.
        """
        score = self.labelled(record).labels.score
        row = self._conversation.render(record)
        if self.shape == "messages":
            return {"messages": [*row["prompt"], *row["completion"]], "score": score, "tools": row["tools"]}
        return {"prompt": row["prompt"], "completion": row["completion"], "score": score, "tools": row["tools"]}

    @property
    def _conversation(self) -> TrlPromptCompletion:
        return TrlPromptCompletion(self.reasoning, self.system_prompt, self.arguments)

    def features(self) -> list[dict[str, Any]]:
        """The columns' types for the dataset card."""
        *turns, tools = self._conversation.features()
        if self.shape == "messages":
            turns = [trl.turns("messages", self.reasoning, self.arguments)]
        return [*turns, {"name": "score", "dtype": "float64"}, tools]
