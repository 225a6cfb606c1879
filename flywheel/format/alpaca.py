"""Alpaca: an instruction and its output, as Stanford's, LLaMA-Factory's and many others' loaders read them."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from flywheel.errors import Rejected
from flywheel.format import chat
from flywheel.format.turns import plain, text
from flywheel.records import Record


@dataclass(frozen=True)
class Alpaca:
    """`{"instruction": the last prompt, "input": "", "output": the reply, "system": "...", "history": [[prompt, reply], ...]}`.

    `input` is always empty: a conversation does not say what of a prompt was its input. Tools have no place there.

    Args:
        history: `none` writes the three original keys, and refuses conversations of several turns or with a system message.
        reasoning: `inline` puts the final reply's before it in `<think>`.
        system_prompt: for conversations without a system message.

    Source: tatsu-lab/stanford_alpaca; LLaMA-Factory data/README.md (Alpaca format).
    """

    history: Literal["keep", "none"] = "keep"
    reasoning: Literal["drop", "inline"] = "drop"
    system_prompt: str | None = None
    suffix: ClassVar[str] = "jsonl"

    def render(self, record: Record) -> dict[str, Any]:
        """One line of the file.

        Raises:
            Rejected: `tools`, `several_turns`, `system_message`, and the reasons of `turns.plain` and `chat.content`.
        """
        said = plain(record, system_prompt=self.system_prompt)
        if record.tools or any(turn.tool_calls or turn.role == "tool" for turn in said.turns):
            raise Rejected("tools")
        texts = [text(turn) for turn in said.turns]
        reasoning = said.turns[-1].reasoning
        output = chat.with_reasoning(reasoning, texts[-1]) if reasoning and self.reasoning == "inline" else texts[-1]
        row: dict[str, Any] = {"instruction": texts[-2], "input": "", "output": output}
        if self.history == "keep":
            pairs = [list(pair) for pair in zip(texts[:-2:2], texts[1:-2:2], strict=True)]
            return row | {"system": said.system, "history": pairs}
        if len(texts) > 2:
            raise Rejected("several_turns")
        if said.system:
            raise Rejected("system_message")
        return row

    def features(self) -> list[dict[str, Any]]:
        """The columns' types for the dataset card."""
        names = ("instruction", "input", "output") if self.history == "none" else ("instruction", "input", "output", "system")
        columns: list[dict[str, Any]] = [{"name": name, "dtype": "string"} for name in names]
        return columns if self.history == "none" else [*columns, {"name": "history", "list": {"list": "string"}}]
