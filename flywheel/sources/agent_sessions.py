"""Session files of coding agents, Claude Code and Codex: every line is an event, all lines of a session are one conversation.

Source: Claude Code `~/.claude/projects/*/*.jsonl` (2025: `sessionId`, `uuid`, `parentUuid`, `message`); openai/codex
`codex-rs/protocol` `RolloutLine` (2025: `session_meta`, `response_item`, `turn_context`, `event_msg`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from flywheel.errors import Rejected
from flywheel.records import Message, Record
from flywheel.sources.chat import Exchange, candidate, conversation, usage
from flywheel.sources.envelope import to_record
from flywheel.sources.halves import Half
from flywheel.sources.values import first, has_any, has_keys, items, mapping, moment, string

__all__ = ["AgentSessions"]

_CODEX = ("session_meta", "response_item", "event_msg", "turn_context", "compacted")


@dataclass(frozen=True)
class AgentSessions:
    """One record a session, up to the agent's last message; one more for each subagent.

    Lines are joined when the day is read: the session's first line is the record's place. Of a Claude Code session that was
    rewound the branch that was written last counts. Codex's events repeat its items and are not read twice.
    """

    specificity: ClassVar[int] = 52

    def sniff(self, head: bytes) -> bool:
        """An event of either agent."""
        if has_any(head, "request", "response", "traceId", "resourceSpans"):
            return False
        return has_keys(head, "sessionId", "parentUuid") or (
            has_keys(head, "timestamp", "type", "payload") and any(f'"{kind}"'.encode() in head for kind in _CODEX)
        )

    def halves(self, entry: Any) -> Iterator[Half]:
        """The line, as a part of its session; the session's first line is the one that the others are joined to."""
        line = mapping(entry)
        if line.get("type") in _CODEX and isinstance(line.get("payload"), dict):
            kept = line if line["type"] != "event_msg" else {"type": "event_msg"}
            yield Half("", line["type"] == "session_meta", kept)
        elif (session := string(line.get("sessionId"))) and string(line.get("uuid")):
            agent = string(line.get("agentId")) or "sidechain" if line.get("isSidechain") is True else ""
            yield Half(f"{session}:{agent}", line.get("parentUuid") is None, line)

    def join(self, requests: list[Any], answer: Any) -> Iterator[Record]:
        """The session's record.

        Raises:
            Rejected: `no_messages`; `no_response` where the agent said nothing.
        """
        yield _codex(answer, requests) if "payload" in answer else _claude(answer, requests)

    def parse(self, entry: Any) -> Iterator[Record]:
        """Nothing: a line alone is no conversation.

        Raises:
            Rejected: `no_response`, or `unmapped` for what is no line of a session.
        """
        raise Rejected("no_response" if list(self.halves(entry)) else "unmapped")


def _claude(start: dict[str, Any], others: list[dict[str, Any]]) -> Record:
    lines = {start["uuid"]: start} | {line["uuid"]: line for line in others}
    mine = {start["uuid"]}  # another start in this session has its own lines
    leaf = None
    for line in lines.values():
        if line is start or string(line.get("parentUuid")) in mine:
            mine.add(line["uuid"])
            leaf = line if line.get("type") == "assistant" else leaf
    if leaf is None:
        raise Rejected("no_response")
    chain = _up(leaf, lines)
    turns: list[dict[str, Any]] = []
    last: dict[str, Any] = {}
    for line in chain:
        said = mapping(line.get("message"))
        if line.get("type") not in ("user", "assistant") or not said or line.get("isApiErrorMessage") is True:
            continue
        if said.get("id") and said.get("id") == last.get("id") and turns:  # one response, a line for each of its blocks
            turns[-1] = {**turns[-1], "content": [*items(turns[-1]["content"]), *items(said.get("content"))]}
        else:
            turns.append({"role": said.get("role"), "content": said.get("content")})
        last = said
    told = next((mapping(line.get("message")) for line in reversed(chain) if line.get("type") == "assistant"), {})
    agent = string(start.get("agentId")) or "subagent"
    identity = start["sessionId"] if start.get("isSidechain") is not True else f"{start['sessionId']}:{agent}"
    return _record(
        conversation(turns),
        identity,
        start,
        app="claude_code",
        model=string(told.get("model")),
        reason=told.get("stop_reason"),
        spent=told.get("usage"),
        session=start["sessionId"],
    )


def _up(leaf: dict[str, Any], lines: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The way from the session's start to a line; a line whose parent is not there begins one."""
    chain = [leaf]
    seen = {leaf["uuid"]}
    while (parent := lines.get(string(chain[-1].get("parentUuid")) or "")) and parent["uuid"] not in seen:
        chain.append(parent)
        seen.add(parent["uuid"])
    return chain[::-1]


def _codex(start: dict[str, Any], others: list[dict[str, Any]]) -> Record:
    meta = mapping(start["payload"])
    said = [line["payload"] for line in others if line.get("type") == "response_item"]
    models = (string(line["payload"].get("model")) for line in others if line.get("type") == "turn_context")
    instructions = first(meta, "instructions", "base_instructions")
    text = string(mapping(instructions).get("text")) or string(instructions)
    messages = (*conversation(text or "", "system"), *conversation(said))
    identity = string(meta.get("id")) or ""
    model = next(filter(None, models), None)
    return _record(messages, identity, start, app="codex", model=model, reason=None, spent=None, session=identity or None)


def _record(
    messages: tuple[Message, ...],
    identity: str,
    start: dict[str, Any],
    *,
    app: str,
    model: str | None,
    reason: Any,
    spent: Any,
    session: str | None,
) -> Record:
    last = max((at for at, message in enumerate(messages) if message.role == "assistant"), default=None)
    if last is None:
        raise Rejected("no_response")
    exchange = Exchange(
        prompt=messages[:last],
        replies=(candidate(messages[last : last + 1], reason),),
        model=model,
        created_at=moment(start.get("timestamp")),
        usage=usage(spent),
    )
    return to_record(exchange, {}, id=identity, session=session, app=app)
