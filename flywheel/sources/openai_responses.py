"""OpenAI Responses API.

Source: openai/openai-openapi `openapi.yaml` at f85dbe2 (`Response`, `InputItem`, `OutputItem`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.errors import Rejected
from flywheel.records import Record
from flywheel.sources.chat import Exchange, candidate, conversation, tool_schemas, usage
from flywheel.sources.shapes import read_call
from flywheel.sources.values import first, has_keys, mapping, moment, scalar, string

__all__ = ["OpenAIResponses", "answers", "read"]


@dataclass(frozen=True)
class OpenAIResponses:
    """Responses with their requests, streamed or not. Consecutive reasoning, call and message items are one turn.

    The turns behind `previous_response_id` are not in the log line; instructions are, and become the system message.
    """

    specificity: ClassVar[int] = 40

    def sniff(self, head: bytes) -> bool:
        """A wrapped response: its object type beside a request."""
        told = b'"response"' in head and (b'"object":"response"' in head or b'"object": "response"' in head)
        return told and has_keys(head, "request") and not has_keys(head, "choices")

    def parse(self, entry: Any) -> Iterator[Record]:
        """One record, or a reason why there is none."""
        return read_call(entry)


def answers(response: dict[str, Any]) -> bool:
    """Whether this is a response object."""
    return response.get("object") == "response" or (isinstance(response.get("output"), list) and "status" in response)


def read(request: Any, response: dict[str, Any]) -> Exchange:
    """The exchange.

    Raises:
        Rejected: `http_error` for a failed response, `no_response` for one that has not finished, `no_request`.
    """
    if response.get("status") == "failed" or response.get("error"):
        raise Rejected("http_error")
    output = conversation(response["output"], "assistant") if isinstance(response.get("output"), list) else ()
    if not output:
        raise Rejected("no_response")
    asked = mapping(request)
    said = conversation(first(asked, "input", "messages")) if asked else conversation(request)
    if not said:
        raise Rejected("no_request")
    instructions = first(asked, "instructions") or response.get("instructions")
    system = conversation(instructions, "system") if isinstance(instructions, str | list) else ()
    return Exchange(
        prompt=(*system, *said),
        replies=(candidate(output, mapping(response.get("incomplete_details")).get("reason") or response.get("status")),),
        id=scalar(response.get("id")),
        model=string(response.get("model")) or string(asked.get("model")),
        created_at=moment(response.get("created_at")),
        usage=usage(response.get("usage")),
        tools=tool_schemas(first(asked, "tools") or response.get("tools")),
    )
