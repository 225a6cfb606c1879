"""One piece of a message's content, in the shape of any provider, read into a draft of canonical messages.

Shapes: OpenAI chat and Responses, Anthropic Messages, Gemini, Bedrock Converse, OpenTelemetry GenAI, Vercel AI SDK and
LangChain parts, at the versions that the dialects name. Media are kept by reference: an inline base64 payload becomes
`data:TYPE;sha256=HASH`, so that a record stays small and the same picture stays the same reference.
"""

import base64
import binascii
import contextlib
import hashlib
from dataclasses import dataclass, field
from typing import Any

from flywheel.errors import Rejected
from flywheel.records import Message, Part, ToolCall
from flywheel.sources.values import decoded, first, json_text, mapping, scalar, string

__all__ = ["CALLS", "REASONING", "RESULTS", "Draft", "content_parts", "tool_call"]

_TEXTS = {"raw_text", "text", "input_text", "output_text", "summary_text", "reasoning_summary_text"}
REASONING = {"thought", "reasoning", "thinking", "reasoning_text", "redacted_thinking", "reasoning.text", "reasoning.summary"}
CALLS = {"tool_use", "tool_call", "tool-call", "function_call", "server_tool_use", "server_tool_call", "custom_tool_call"}
RESULTS = {"tool_result", "tool_call_response", "tool-result", "function_call_output", "server_tool_call_response"}
_MEDIA = {"image": "image", "audio": "audio", "file": "file", "document": "file", "video": "file", "media": "file"}
_MEDIA |= {"image_url": "image", "input_image": "image", "input_audio": "audio", "input_file": "file", "blob": "file"}
_MEDIA |= {"uri": "file", "video_url": "file", "audio_url": "audio", "file_url": "file", "container_upload": "file"}
_MEDIA |= {"inlineData": "file", "inline_data": "file", "fileData": "file", "file_data": "file", "computer_screenshot": "image"}
_SILENT = {"cachePoint", "step-start", "step-finish", "citationsContent", "mcp_list_tools", "mcp_approval_request", "compaction"}
_UNTYPED: tuple[str, ...] = ("toolUse", "toolResult", "functionCall", "functionResponse", "reasoningContent", "executableCode")
_UNTYPED += ("codeExecutionResult", "inlineData", "inline_data", "fileData", "file_data", "image", "document", "video", "audio")
_UNTYPED += ("function_call", "function_response", "image_url", "cachePoint", "guardContent", "citationsContent")


@dataclass
class Draft:
    """A turn being read. A tool result closes what came before it and becomes a `tool` message of its own."""

    role: str
    done: list[Message] = field(default_factory=list)
    content: list[Part] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    rest: dict[str, Any] = field(default_factory=dict)
    glue: bool = False

    def say(self, text: str | None) -> None:
        """Add text. An assistant's adjacent pieces are one text: providers cut it mid-sentence, at citations or chunks."""
        if not text:
            return
        if self.glue and self.content and self.content[-1].type == "text":
            text = (self.content.pop().text or "") + text
        self.content.append(Part(text=text))
        self.glue = self.role == "assistant"

    def think(self, text: str | None) -> None:
        """Add reasoning."""
        if text:
            self.thoughts.append(text)

    def answer(self, call_id: str | None, output: Any, name: str | None = None) -> None:
        """Add a tool's result as its own message."""
        self.close()
        self.done.append(Message(role="tool", content=content_parts(output), tool_call_id=call_id, name=name))

    def close(self) -> None:
        """Make a message of what has been collected, if anything has."""
        if self.content or self.thoughts or self.calls:
            self.done.append(
                Message(
                    role=self.role,
                    content=tuple(self.content),
                    reasoning="\n\n".join(self.thoughts) or None,
                    tool_calls=tuple(self.calls),
                    **self.rest,
                )
            )
        self.content, self.thoughts, self.calls, self.glue = [], [], [], False

    def finish(self) -> list[Message]:
        """The messages; a turn that said nothing is one empty message."""
        self.close()
        return self.done or [Message(role=self.role, **self.rest)]

    def add(self, part: Any) -> None:
        """Read one part.

        Raises:
            Rejected: `unknown_part`, rather than training on a turn that silently lost a piece.
        """
        if isinstance(part, str):
            return self.say(part)
        part = mapping(part)
        kind = string(part.get("type")) or next((key for key in _UNTYPED if part.get(key) is not None), "text")
        if kind in _TEXTS:
            self._text(part)
        elif kind == "refusal":
            if text := string(part.get("refusal")) or string(part.get("text")):
                self.content.append(Part(type="refusal", text=text))
        elif kind in REASONING or kind == "reasoningContent":
            self.think(_thought(part))
        elif kind in CALLS or kind in ("toolUse", "functionCall", "executableCode"):
            self.calls.append(tool_call(part if "name" in part else mapping(part.get(kind)) or part))
        elif kind in RESULTS or kind.endswith(("_tool_result", "_call_output")) or kind in ("toolResult", "functionResponse"):
            self._result(mapping(part.get(kind)) or part)
        elif kind in ("codeExecutionResult", "function_response"):
            self._result(mapping(part.get(kind)))
        elif kind in _MEDIA:
            self.content.append(_medium(kind, part))
        elif kind.endswith("_call"):
            self._hosted(kind, part)
        elif kind not in _SILENT:
            self._unknown(part)
        return None

    def _text(self, part: dict[str, Any]) -> None:
        value = first(part, "text", "value", "content")
        value = mapping(value).get("value", value) if isinstance(value, dict) else value
        if part.get("thought") is True:
            self.think(string(value))
        elif isinstance(value, str) or value is None:
            self.say(value)
        else:
            self._unknown(part)

    def _result(self, part: dict[str, Any]) -> None:
        call_id = scalar(first(part, "tool_use_id", "toolUseId", "tool_call_id", "toolCallId", "call_id", "id"))
        output = first(part, "output", "content", "result", "response", "value", "server_tool_call_response")
        self.answer(call_id, output, string(first(part, "name", "toolName", "tool_name")))

    def _hosted(self, kind: str, part: dict[str, Any]) -> None:
        """A tool that the provider runs itself (OpenAI Responses `web_search_call`, `mcp_call`, ...)."""
        arguments = part.get("arguments") or {k: part[k] for k in ("action", "queries", "code", "input") if part.get(k)}
        name = string(part.get("name")) or kind.removesuffix("_call")
        call_id = scalar(first(part, "call_id", "id"))
        self.calls.append(ToolCall(id=call_id, name=name, arguments=json_text(arguments)))
        output = first(part, "output", "outputs", "results", "error")
        if output is not None and output != []:
            self.answer(call_id, output, name)

    def _unknown(self, part: dict[str, Any]) -> None:
        if (text := first(part, "text", "value", "content")) is None or not isinstance(text, str):
            raise Rejected("unknown_part")
        self.say(text)


def tool_call(call: dict[str, Any]) -> ToolCall:
    """A tool call of any shape. Arguments become JSON text; the model's own text is kept even when it is invalid.

    Raises:
        Rejected: `unnamed_tool_call`.
    """
    inner = mapping(call.get("function")) or mapping(call.get("custom")) or mapping(call.get("server_tool_call")) or call
    value = call.get("value")
    if isinstance(value, str):  # LLaMA-Factory's parts hold the call as JSON text
        inner = mapping(decoded(value)) or inner
    name = first(inner, "name", "toolName", "tool_name") or first(call, "name", "toolName", "function")
    if name is None and "code" in inner:
        name = "code_execution"
    if not isinstance(name, str):
        raise Rejected("unnamed_tool_call")
    arguments = first(inner, "arguments", "args", "input", "parameters", "kwargs")
    if arguments is None:
        arguments = {"code": inner["code"]} if "code" in inner else {}
    call_id = scalar(first(call, "call_id", "tool_call_id", "toolCallId", "toolUseId", "id"))
    return ToolCall(id=call_id, name=name, arguments=json_text(arguments))


def content_parts(value: Any) -> tuple[Part, ...]:
    """Content that is no conversation of its own: a tool's result. Text and media stay parts, any other JSON becomes text."""
    if value is None or value == "":
        return ()
    if isinstance(value, dict) and value.get("type") in ("text", "json", "error-text", "error-json") and "value" in value:
        value = value["value"]
    pieces = value if isinstance(value, list) else [value]
    known = _TEXTS | set(_MEDIA) | {"json"}
    if all(isinstance(piece, str) or _kind(piece) in known for piece in pieces):
        draft = Draft("tool")
        for piece in pieces:
            draft.add(json_text(piece["json"]) if _kind(piece) == "json" else piece)
        return tuple(draft.content)
    return (Part(text=json_text(value)),)


def _kind(piece: Any) -> str | None:
    piece = mapping(piece)
    if "type" not in piece:  # Bedrock's parts are objects of one key
        return next((key for key in ("text", "json", "image", "document", "video") if set(piece) == {key}), None)
    return piece["type"] if isinstance(piece["type"], str) else None


def _thought(part: dict[str, Any]) -> str | None:
    """The readable part of a reasoning item; encrypted reasoning has none."""
    part = mapping(part.get("reasoningContent")) or part
    part = mapping(part.get("reasoningText")) or part
    for key in ("text", "thinking", "reasoning", "value", "content", "summary"):
        value = part.get(key)
        if isinstance(value, list):
            value = "\n\n".join(text for piece in value if (text := string(mapping(piece).get("text"))))
        if isinstance(value, str) and value:
            return value
    return None


def _medium(kind: str, part: dict[str, Any]) -> Part:
    """A picture, recording or file by reference."""
    inner = next((found for key in (kind, "source", "image_url", "file") if (found := part.get(key))), None)
    fields = {**part, **inner} if isinstance(inner, dict) else {**part, kind: inner}
    source = mapping(fields.get("source"))
    fields = {**fields, **source}
    media_type = string(first(fields, "media_type", "mediaType", "mimeType", "mime_type"))
    if media_type is None and (extension := string(first(fields, "format"))):
        media_type = f"{_MEDIA[kind]}/{extension}" if _MEDIA[kind] != "file" else None
    modality = string(fields.get("modality")) or (media_type or "").split("/")[0]
    shown = modality if modality in ("image", "audio") else _MEDIA[kind]
    keys = ("url", "image_url", "uri", "fileUri", "file_uri", "file_url", "image", "data", "bytes", "file_data", "content")
    reference = next((text for key in keys if (text := string(fields.get(key)))), None)
    if reference is None:
        reference = string(first(fields, "file_id", "id", "filename", "name"))
    elif reference.startswith("data:") or "://" not in reference[:12]:
        reference, media_type = _inline(reference, media_type)
    return Part(type=shown, url=reference, media_type=media_type)


def _inline(payload: str, media_type: str | None) -> tuple[str, str | None]:
    """A short reference for inline data: its type and the hash of its bytes."""
    if payload.startswith("@@@langfuseMedia:") or (payload.startswith("data:") and ";sha256=" in payload[:200]):
        return payload, media_type
    if payload.startswith("data:"):
        head, _, payload = payload[5:].partition(",")
        media_type = head.split(";")[0] or media_type
    data = payload.encode(errors="surrogatepass")
    with contextlib.suppress(binascii.Error, ValueError):
        data = base64.b64decode(data, validate=True)
    return f"data:{media_type or 'application/octet-stream'};sha256={hashlib.sha256(data).hexdigest()}", media_type
