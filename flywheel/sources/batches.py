"""Files of batch APIs: OpenAI, Azure and Mistral, Anthropic, Gemini, Bedrock.

Source: openai/openai-openapi `openapi.yaml` at f85dbe2 (`BatchRequestInput`, `BatchRequestOutput`); anthropic-sdk-python at
009b035 (`messages/batches`); ai.google.dev Batch Mode (`key`); AWS Bedrock user guide, batch inference (`recordId`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.errors import Rejected
from flywheel.records import Record
from flywheel.sources.halves import Half
from flywheel.sources.shapes import read_call
from flywheel.sources.values import count, first, has_any, has_keys, items, mapping, scalar, string

__all__ = ["Batches"]


@dataclass(frozen=True)
class Batches:
    """Requests (input file) and answers (output file) with the same id are one call, when both are among the day's files.

    A line that has both sides stands for itself. Answers that name an id which other files gave to another request cannot
    be told apart (`ambiguous_request`), unless the request stands in the answer's own file.
    """

    specificity: ClassVar[int] = 45

    def sniff(self, head: bytes) -> bool:
        """The ids that batch files name their lines by."""
        if has_keys(head, "custom_id"):
            return has_any(head, "body", "response", "result", "params")
        if has_keys(head, "recordId"):
            return has_keys(head, "modelInput")
        return has_keys(head, "key") and (has_keys(head, "request", "contents") or has_keys(head, "response", "candidates"))

    def halves(self, entry: Any) -> Iterator[Half]:
        """The request or the answer of a line, or the requests of an Anthropic batch as it was created."""
        for line in map(mapping, items(mapping(entry).get("requests")) or [entry]):
            key = scalar(first(line, "custom_id", "key"))
            request, answer = _request(line), _answer(line)
            if key and (request is None) != (answer is None):
                yield Half(key, answer is not None, request if answer is None else answer)

    def join(self, requests: list[Any], answer: Any) -> Iterator[Record]:
        """The record of one answered request.

        Raises:
            Rejected: `no_request`, `ambiguous_request`, and as `read_call`.
        """
        if len(requests) != 1:
            raise Rejected("ambiguous_request" if requests else "no_request")
        return read_call({"request": requests[0], **answer})

    def parse(self, entry: Any) -> Iterator[Record]:
        """The record of a line with both sides.

        Raises:
            Rejected: `no_response` for a request alone, `http_error` or `no_request` for an answer alone, `unmapped`.
        """
        line = mapping(entry)
        request, answer = _request(line), _answer(line)
        if request is None and answer is None:
            raise Rejected("no_response" if items(line.get("requests")) else "unmapped")
        if answer is None:
            raise Rejected("no_response")
        outer = {key: value for key, value in line.items() if key not in ("id", "modelInput", "modelOutput", "body", "params")}
        return read_call({**outer, "request": request, **answer})


def _request(line: dict[str, Any]) -> Any:
    asked = first(line, "body", "params", "request", "modelInput")
    return asked if isinstance(asked, dict) and asked else None


def _answer(line: dict[str, Any]) -> dict[str, Any] | None:
    """Status and body under the names of an HTTP log; None where the line has no answer."""
    result = mapping(line.get("result"))  # Anthropic's
    if kind := string(result.get("type")):
        return {"status": 200 if kind == "succeeded" else 500, "response": result.get("message")}
    told = first(line, "response", "modelOutput")
    if isinstance(told, dict) and told:
        return {"status": count(told.get("status_code")), "response": told.get("body", told)}
    if line.get("error"):
        return {"status": 500, "response": None}
    return None
