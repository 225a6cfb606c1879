"""Streamed answers folded into the answer that the same provider gives when it does not stream.

Checked against what the vendors' own SDKs accumulate (openai `ChatCompletionStreamState`, anthropic `accumulate_event`).
"""

from collections.abc import Callable, Iterable
from typing import Any

from flywheel.sources.values import decoded, first, items, json_text, mapping, string

__all__ = ["fold", "unstream"]

_Folder = Callable[[list[dict[str, Any]]], dict[str, Any]]


def unstream(response: Any) -> Any:
    """The response with its stream folded, where it is one: raw server-sent events, JSON lines, or a list of chunks.

    Also reads recorders' wrappers `{"__sse__": [{event, data}]}` and `{"__ndjson__": [...]}`.
    """
    if isinstance(response, dict):
        for key in ("__sse__", "__ndjson__", "__stream_text__"):
            if key in response:
                return unstream(response[key])
        return response
    if isinstance(response, str):
        if response.lstrip()[:6] in ("data: ", "event:") or response.lstrip().startswith("data:{"):
            return fold(_events(response))
        return decoded(response)
    if isinstance(response, list):
        chunks = [mapping(decoded(chunk.get("data", chunk) if isinstance(chunk, dict) else chunk)) for chunk in response]
        if any(_folder(chunk) for chunk in chunks):
            return fold(chunks)
    return response


def _events(text: str) -> list[dict[str, Any]]:
    """The `data:` payloads of a server-sent event stream; the closing `[DONE]` and broken ones are no objects and left out."""
    lines = (line.strip() for line in text.splitlines())
    return [found for line in lines if line.startswith("data:") if (found := mapping(decoded(line[5:].strip())))]


def fold(chunks: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One response out of a stream's chunks, empty when they are of no known provider.

    A stream that was cut yields what had arrived, without a finish reason. An error in the stream is the response.
    """
    known = [chunk for chunk in chunks if chunk]
    for chunk in known:
        if chunk.get("type") == "error" or (chunk.get("error") and not chunk.get("choices") and "type" not in chunk):
            return {"error": chunk.get("error") or chunk}
    folder = next((found for chunk in known if (found := _folder(chunk))), None)
    return folder(known) if folder else {}


def _folder(chunk: dict[str, Any]) -> _Folder | None:
    kind, choice = chunk.get("type"), mapping(next(iter(items(chunk.get("choices"))), None))
    signs: tuple[tuple[bool, _Folder], ...] = (
        (isinstance(kind, str) and kind.startswith("response."), _responses),
        (kind == "message_start", _anthropic),
        (kind == "message-start", _cohere),
        (isinstance(chunk.get("event_type"), str), _cohere_v1),
        (chunk.get("object") == "text_completion" or "text" in choice, _completions),
        (chunk.get("object") == "chat.completion.chunk" or "delta" in choice, _chat),
        (isinstance(chunk.get("candidates"), list), _gemini),
        ("messageStart" in chunk or "contentBlockDelta" in chunk, _bedrock),
        ("done" in chunk and ("message" in chunk or "response" in chunk), _ollama),
    )
    return next((folder for sign, folder in signs if sign), None)


def _slot(index: Any) -> int | str | None:
    return index if isinstance(index, int | str) else None


def _join(target: dict[str, Any], key: str, more: Any) -> None:
    if isinstance(more, str) and more:
        target[key] = (string(target.get(key)) or "") + more


def _chat(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """OpenAI chat chunks. Azure's first has no choices; Mistral's tool calls have no index."""
    choices: dict[Any, dict[str, Any]] = {}
    whole: dict[str, Any] = {"object": "chat.completion"}
    for chunk in chunks:
        whole |= {key: chunk[key] for key in ("id", "model", "created", "usage") if chunk.get(key)}
        usage = mapping(mapping(chunk.get("x_groq")).get("usage"))
        whole |= {"usage": usage} if usage and "usage" not in whole else {}
        for choice in map(mapping, items(chunk.get("choices"))):
            folded = choices.setdefault(_slot(choice.get("index")), {"message": {"role": "assistant"}})
            if choice.get("finish_reason"):
                folded["finish_reason"] = choice["finish_reason"]
            _chat_delta(folded["message"], mapping(choice.get("delta")) or mapping(choice.get("message")))
    return {**whole, "choices": list(choices.values())}


def _chat_delta(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for key in ("refusal", "reasoning_content", "reasoning"):
        _join(message, key, delta.get(key))
    content = delta.get("content")
    if isinstance(content, list):  # Mistral streams its thoughts as parts, then its answer as text
        for part in map(mapping, content):
            thoughts = part.get("thinking")
            for thought in thoughts if isinstance(thoughts, list) else [thoughts]:
                _join(message, "reasoning_content", mapping(thought).get("text") or thought)
            _join(message, "content", part.get("text"))
    _join(message, "content", content)
    for detail in map(mapping, items(delta.get("reasoning_details"))):
        if not string(delta.get("reasoning")) and not string(delta.get("reasoning_content")):
            _join(message, "reasoning", detail.get("text") or detail.get("summary"))
    legacy = mapping(delta.get("function_call"))
    if legacy:
        call = message.setdefault("function_call", {"name": "", "arguments": ""})
        _join(call, "name", legacy.get("name"))
        _join(call, "arguments", legacy.get("arguments"))
    for part in map(mapping, items(delta.get("tool_calls"))):
        _chat_call(message.setdefault("tool_calls", []), part)


def _chat_call(calls: list[dict[str, Any]], part: dict[str, Any]) -> None:
    index, call_id, function = part.get("index"), part.get("id"), mapping(part.get("function"))
    if index is not None:
        found = next((call for call in calls if call["index"] == index), None)
        if found and call_id and found["id"] and call_id != found["id"]:  # some servers number every call 0
            found = next((call for call in calls if call["id"] == call_id), None)
    else:
        found = next((call for call in calls if call_id and call["id"] == call_id), None if call_id or not calls else calls[-1])
    if found is None:
        found = {"index": index, "id": call_id, "function": {"name": "", "arguments": ""}}
        calls.append(found)
    found["id"] = found["id"] or call_id
    if not found["function"]["name"]:
        _join(found["function"], "name", function.get("name"))
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        found["function"]["arguments"] += arguments
    elif arguments:
        found["function"]["arguments"] = json_text(arguments)


def _completions(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    choices: dict[Any, dict[str, Any]] = {}
    whole: dict[str, Any] = {"object": "text_completion"}
    for chunk in chunks:
        whole |= {key: chunk[key] for key in ("id", "model", "created", "usage") if chunk.get(key)}
        for choice in map(mapping, items(chunk.get("choices"))):
            folded = choices.setdefault(_slot(choice.get("index")), {"text": ""})
            _join(folded, "text", choice.get("text"))
            if choice.get("finish_reason"):
                folded["finish_reason"] = choice["finish_reason"]
    return {**whole, "choices": list(choices.values())}


def _anthropic(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """Anthropic events. A tool's input arrives as pieces of JSON text, kept as text: the model may have been cut off."""
    message: dict[str, Any] = {"type": "message", "role": "assistant"}
    blocks: dict[Any, dict[str, Any]] = {}
    for event in chunks:
        kind, index = event.get("type"), _slot(event.get("index"))
        if kind == "message_start":
            message |= mapping(event.get("message"))
        elif kind == "content_block_start":
            blocks[index] = dict(mapping(event.get("content_block")))
        elif kind == "content_block_delta" and index in blocks:
            delta = mapping(event.get("delta"))
            _join(blocks[index], "text", delta.get("text"))
            _join(blocks[index], "thinking", delta.get("thinking"))
            _join(blocks[index], "partial_json", delta.get("partial_json"))
        elif kind == "message_delta":
            message |= {key: value for key, value in mapping(event.get("delta")).items() if value is not None}
            message["usage"] = mapping(message.get("usage")) | mapping(event.get("usage"))
    for block in blocks.values():
        if "partial_json" in block:
            block["input"] = block.pop("partial_json")
    return {**message, "content": list(blocks.values())}


def _responses(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """OpenAI Responses events: the last event that carries the response, with the finished items where its output is empty."""
    whole: dict[str, Any] = {}
    done = []
    for event in chunks:
        if event.get("type") == "response.output_item.done":
            done.append(event.get("item"))
        whole = mapping(event.get("response")) or whole
    return whole if items(whole.get("output")) else {"object": "response", **whole, "output": done}


def _cohere(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """Cohere v2 events."""
    whole: dict[str, Any] = {}
    message: dict[str, Any] = {"role": "assistant"}
    blocks: dict[Any, dict[str, Any]] = {}
    calls: list[dict[str, Any]] = []
    for event in chunks:
        kind, delta = event.get("type"), mapping(event.get("delta"))
        said = mapping(delta.get("message"))
        if kind == "message-start":
            whole["id"] = event.get("id")
        elif kind in ("content-start", "content-delta"):
            block = blocks.setdefault(_slot(event.get("index")), {"type": mapping(said.get("content")).get("type", "text")})
            _join(block, "text", mapping(said.get("content")).get("text"))
            _join(block, "thinking", mapping(said.get("content")).get("thinking"))
        elif kind == "tool-plan-delta":
            _join(message, "tool_plan", said.get("tool_plan"))
        elif kind in ("tool-call-start", "tool-call-delta") and isinstance(said.get("tool_calls"), dict):
            _chat_call(calls, {"index": event.get("index"), **said["tool_calls"]})
        elif kind == "message-end":
            whole |= {"finish_reason": delta.get("finish_reason"), "usage": delta.get("usage")}
    message |= {"content": list(blocks.values()), "tool_calls": calls}
    return {"finish_reason": None, **whole, "message": message}


def _cohere_v1(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """Cohere v1 events; the last repeats the whole answer."""
    end = next((mapping(c.get("response")) for c in reversed(chunks) if c.get("event_type") == "stream-end"), {})
    pieces = [c.get("text") for c in chunks if c.get("event_type") == "text-generation"]
    return {"generation_id": None, "text": "".join(text for text in pieces if isinstance(text, str)), **end}


def _gemini(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    candidates: dict[Any, dict[str, Any]] = {}
    for chunk in chunks:
        whole |= {key: value for key, value in chunk.items() if key != "candidates" and value}
        for part in map(mapping, items(chunk.get("candidates"))):
            folded = candidates.setdefault(_slot(part.get("index", 0)), {"content": {"role": "model", "parts": []}})
            folded["content"]["parts"] += items(mapping(part.get("content")).get("parts"))
            folded["finishReason"] = part.get("finishReason") or folded.get("finishReason")
    return {**whole, "candidates": list(candidates.values())}


def _bedrock(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """Bedrock ConverseStream events, as the SDK decodes them from the binary event stream."""
    whole: dict[str, Any] = {}
    blocks: dict[Any, dict[str, Any]] = {}
    for event in chunks:
        start, piece = mapping(event.get("contentBlockStart")), mapping(event.get("contentBlockDelta"))
        index = _slot(first(start, "contentBlockIndex") or first(piece, "contentBlockIndex") or 0)
        if tool := mapping(mapping(start.get("start")).get("toolUse")):
            blocks[index] = {"toolUse": {**tool, "input": ""}}
        if delta := mapping(piece.get("delta")):
            block = blocks.setdefault(index, {})
            _join(block, "text", delta.get("text"))
            if "toolUse" in block:
                _join(block["toolUse"], "input", mapping(delta.get("toolUse")).get("input"))
            if thought := mapping(delta.get("reasoningContent")).get("text"):
                _join(block.setdefault("reasoningContent", {}), "text", thought)
        whole |= {"stopReason": reason} if (reason := mapping(event.get("messageStop")).get("stopReason")) else {}
        whole |= {"usage": spent} if (spent := mapping(event.get("metadata")).get("usage")) else {}
    return {"stopReason": None, **whole, "output": {"message": {"role": "assistant", "content": list(blocks.values())}}}


def _ollama(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant"}
    text: dict[str, Any] = {}
    for chunk in chunks:
        said = mapping(chunk.get("message"))
        _join(message, "content", said.get("content"))
        _join(message, "thinking", said.get("thinking"))
        if calls := items(said.get("tool_calls")):
            message["tool_calls"] = message.get("tool_calls", []) + calls
        _join(text, "response", chunk.get("response"))
    return {**chunks[-1], **({"message": message} if "message" in chunks[-1] else text)}
