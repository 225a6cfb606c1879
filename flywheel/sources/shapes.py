"""Which provider's shape a request and its response have, told from the values themselves and never from the host."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any
from urllib.parse import unquote

from flywheel.errors import Rejected
from flywheel.records import Record
from flywheel.sources.chat import Exchange
from flywheel.sources.envelope import open_call, to_record
from flywheel.sources.values import first, mapping, string

__all__ = ["read_call", "read_exchange"]

_Answers = Callable[[dict[str, Any]], bool]
_Read = Callable[[Any, Any], Exchange]


@cache
def _shapes() -> tuple[tuple[_Answers, _Read], ...]:
    """The providers' readers, most telling answer first. Imported late: their dialects use this module."""
    from flywheel.sources import anthropic, bedrock, cohere, gemini, ollama, openai_chat, openai_responses

    modules = (openai_chat, openai_responses, anthropic, gemini, bedrock, cohere, ollama)
    return tuple((module.answers, module.read) for module in modules)


def read_exchange(request: Any, response: Any) -> Exchange:
    """What a request and its (unstreamed) response say.

    Raises:
        Rejected: `unmapped` when the response has no known provider's shape.
    """
    answer = mapping(response)
    for answers, read in _shapes():
        if answers(answer):
            return read(request, answer)
    raise Rejected("unmapped")


def read_call(entry: Any) -> Iterator[Record]:
    """The record of one wrapped call, whichever provider answered it.

    Raises:
        Rejected: see `open_call`, `read_exchange` and `to_record`.
    """
    try:
        call = open_call(entry)
        request = mapping(call.request)
        exchange = read_exchange(call.request, call.response)
        if exchange.model is None:
            exchange = replace(exchange, model=_model_of_path(call.outer))
        yield to_record(exchange, call.outer, request, request.get("metadata"))
    except RecursionError:
        raise Rejected("too_deep") from None


def _model_of_path(outer: Mapping[str, Any]) -> str | None:
    """Bedrock and Gemini name the model in the path and nowhere else."""
    found = re.search(r"/models?/([^/?]+?)(?::\w+|/|$)", string(first(outer, "uri", "url", "path")) or "")
    return unquote(found[1]) if found else None
