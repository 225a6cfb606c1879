"""LiteLLM proxy logs: `StandardLoggingPayload` objects and rows of `LiteLLM_SpendLogs`.

Source: BerriAI/litellm `litellm/types/utils.py` and docs.litellm.ai/docs/proxy/logging_spec, 2025.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from flywheel.errors import Rejected
from flywheel.records import Record
from flywheel.sources.anything import read_anything
from flywheel.sources.chat import usage
from flywheel.sources.envelope import labels, to_record
from flywheel.sources.values import decoded, first, has_keys, mapping, moment, scalar, string

__all__ = ["LiteLLM"]

_EMPTY: tuple[Any, ...] = (None, "", "{}", "[]", {}, [])
_REDACTED = "redacted-by-litellm"


@dataclass(frozen=True)
class LiteLLM:
    """One record a call. Content is in the row only where the proxy was told to log it (`no_content` otherwise)."""

    specificity: ClassVar[int] = 50

    def sniff(self, head: bytes) -> bool:
        """LiteLLM's call type beside its cost."""
        return has_keys(head, "call_type") and (has_keys(head, "response_cost") or has_keys(head, "spend"))

    def parse(self, entry: Any) -> Iterator[Record]:
        """One record.

        Raises:
            Rejected: `unmapped`, `http_error`, `not_chat`, `no_content`, `no_response`.
        """
        try:
            yield self._record(mapping(entry))
        except RecursionError:
            raise Rejected("too_deep") from None

    def _record(self, row: dict[str, Any]) -> Record:
        kind = string(row.get("call_type"))
        if kind is None:
            raise Rejected("unmapped")
        if row.get("status") == "failure":
            raise Rejected("http_error")
        if not any(word in kind for word in ("completion", "responses", "messages", "generate_content")):
            raise Rejected("not_chat")
        sent = mapping(decoded(row.get("proxy_server_request")))
        messages = row.get("messages") if row.get("messages") not in _EMPTY else first(sent, "messages", "input")
        told = decoded(row.get("response"))
        if messages in _EMPTY or told in _EMPTY or told in (_REDACTED, {"text": _REDACTED}):
            raise Rejected("no_content")
        parameters = mapping(decoded(row.get("model_parameters")))
        asked = decoded(messages)
        request = {
            "tools": first(parameters, "tools", "functions") or sent.get("tools"),
            "instructions": sent.get("instructions"),
        }
        request |= asked if isinstance(asked, dict) else {"messages": asked, "input": asked}
        exchange = read_anything({key: value for key, value in request.items() if value}, told)
        metadata = mapping(decoded(row.get("metadata")))
        return to_record(
            replace(exchange, model=exchange.model or string(row.get("model")), usage=usage(row) or exchange.usage),
            row,
            created_at=moment(row.get("startTime")),
            session=scalar(first(row, "session_id", "trace_id")),
            user=scalar(first(row, "end_user", "user")) or scalar(metadata.get("user_api_key_user_id")),
            app=scalar(first(metadata, "user_api_key_alias", "user_api_key_team_alias")),
            tags=tuple(dict.fromkeys(labels(row.get("request_tags"), metadata.get("spend_logs_metadata")))),
        )
