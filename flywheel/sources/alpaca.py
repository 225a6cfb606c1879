"""Alpaca rows: an instruction, an optional input and the output.

Source: tatsu-lab/stanford_alpaca `alpaca_data.json`; LLaMA-Factory `data/README.md` at ff6d4d1 (`system`, `history`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.errors import Rejected
from flywheel.records import Record, text_message
from flywheel.sources.messages import dataset_record
from flywheel.sources.values import first, has_keys, items, mapping, string

__all__ = ["Alpaca"]


@dataclass(frozen=True)
class Alpaca:
    """The user says instruction and input, joined by a newline as LLaMA-Factory joins them; `history` comes before."""

    specificity: ClassVar[int] = 12

    def sniff(self, head: bytes) -> bool:
        """An instruction with an output, and no wrapped call."""
        return has_keys(head, "instruction", "output") and not has_keys(head, "request") and not has_keys(head, "traceId")

    def parse(self, entry: Any) -> Iterator[Record]:
        """One record.

        Raises:
            Rejected: `unmapped` without an instruction, `no_response` without an output.
        """
        row = mapping(entry)
        asked = [text for key in ("instruction", "input") if (text := string(row.get(key)))]
        if not asked or not ("instruction" in row or "output" in row):
            raise Rejected("unmapped")
        if (output := string(first(row, "output", "response"))) is None:
            raise Rejected("no_response")
        turns = [text_message("system", system)] if (system := string(row.get("system"))) else []
        for pair in items(row.get("history")):
            if len(items(pair)) == 2 and all(isinstance(text, str) for text in pair):
                turns += [text_message("user", pair[0]), text_message("assistant", pair[1])]
        turns += [text_message("user", "\n".join(asked)), text_message("assistant", output)]
        yield dataset_record({key: value for key, value in row.items() if key not in ("input", "output")}, tuple(turns))
