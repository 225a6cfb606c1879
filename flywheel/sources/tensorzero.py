"""TensorZero inferences and datapoints.

Source: tensorzero/tensorzero `docs/gateway/data-model.mdx` (2025): rows of `ChatInference` and `ChatInferenceDatapoint`,
input and output as objects or as JSON text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.errors import Rejected
from flywheel.records import Record
from flywheel.sources.anything import read_anything
from flywheel.sources.chat import tool_schemas
from flywheel.sources.envelope import labels, to_record
from flywheel.sources.values import decoded, first, has_keys, mapping, moment, scalar, string

__all__ = ["TensorZero"]


@dataclass(frozen=True)
class TensorZero:
    """One record an inference; the episode is the session, function and variant are tags."""

    specificity: ClassVar[int] = 50

    def sniff(self, head: bytes) -> bool:
        """A function's name with an episode or a data set."""
        named = has_keys(head, "function_name", "input", "output")
        return named and (has_keys(head, "episode_id") or has_keys(head, "dataset_name"))

    def parse(self, entry: Any) -> Iterator[Record]:
        """One record.

        Raises:
            Rejected: `unmapped`, `no_content`, `no_response`.
        """
        row = mapping(entry)
        if "function_name" not in row:
            raise Rejected("unmapped")
        try:
            told = decoded(row.get("output"))
            if isinstance(told, dict) and "raw" in told:  # a JSON function's output
                told = told["raw"]
            exchange = read_anything(row.get("input"), told)
            offered = first(mapping(decoded(row.get("tool_params"))), "tools_available", "tools")
            named = (f"{key}={value}" for key in ("function_name", "variant_name") if (value := string(row.get(key))))
            yield to_record(
                exchange,
                {},
                id=scalar(row.get("id")) or "",
                created_at=moment(first(row, "timestamp", "created_at", "updated_at")),
                session=scalar(row.get("episode_id")),
                app=string(row.get("function_name")),
                tools=exchange.tools or (tool_schemas(offered) if offered else ()),
                tags=(*named, *labels(row.get("tags"))),
            )
        except RecursionError:
            raise Rejected("too_deep") from None
