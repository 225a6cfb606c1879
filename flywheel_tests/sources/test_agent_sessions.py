"""Session files of coding agents, whose lines are joined to one conversation."""

from pathlib import Path
from typing import Any

import pytest

from flywheel.errors import Rejected
from flywheel.sources.agent_sessions import AgentSessions
from flywheel.sources.batches import Batches
from flywheel.sources.stored_completions import StoredCompletions
from flywheel_tests.sources.test_dialects import paths, replaced
from flywheel_tests.sources.test_halves import answered, asked, page, read

SESSION = "5f0c2f3e-6f0a-4f3b-9a57-3d8f1f0d2c11"


def line(uuid: str, parent: str | None, kind: str, content: Any, **rest: Any) -> dict[str, Any]:
    message = {"role": kind, "content": content, **({"id": rest.pop("id")} if "id" in rest else {})}
    if kind == "assistant":
        message |= {"model": "claude-sonnet-4-5", "stop_reason": "end_turn", "usage": {"input_tokens": 7, "output_tokens": 2}}
    common = {"sessionId": SESSION, "version": "2.0.1", "cwd": "/home/ann/shop", "timestamp": "2026-03-04T05:06:07.123Z"}
    return {"uuid": uuid, "parentUuid": parent, "isSidechain": False, "type": kind, "message": message, **common, **rest}


CLAUDE = [
    {"type": "summary", "summary": "Tests fixed", "leafUuid": "g"},
    line("a", None, "user", "Why do the tests fail?"),
    line("b", "a", "assistant", [{"type": "thinking", "thinking": "Run them.", "signature": "s"}], id="msg_1"),
    line("c", "b", "assistant", [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "pytest"}}], id="msg_1"),
    line("d", "c", "user", [{"type": "tool_result", "tool_use_id": "t1", "content": "1 failed"}], toolUseResult={"stdout": "x"}),
    line("x", "d", "assistant", [{"type": "text", "text": "No idea."}], id="msg_2"),
    line("e", "d", "assistant", [{"type": "text", "text": "A typo in cart.py."}], id="msg_3"),
    line("f", "e", "user", "Thanks."),
    line("s", None, "user", "Find cart.py", isSidechain=True, agentId="a1"),
    line("t", "s", "assistant", [{"type": "text", "text": "src/cart.py"}], isSidechain=True, agentId="a1", id="msg_4"),
]


def test_a_claude_code_file_is_one_conversation_and_its_subagents_are_others(tmp_path: Path) -> None:
    _, records, rejected, exits = read(tmp_path, session=CLAUDE)

    assert records["id"].to_list() == [SESSION, f"{SESSION}:a1"]
    main = records["messages"].to_list()[0]
    assert [(m["role"], "".join(p["text"] for p in m["content"])) for m in main] == [
        ("user", "Why do the tests fail?"),
        ("assistant", ""),
        ("tool", "1 failed"),
        ("assistant", "A typo in cart.py."),
    ]
    assert (main[1]["reasoning"], main[1]["tool_calls"][0]["arguments"]) == ("Run them.", '{"command":"pytest"}')
    assert main[2]["tool_call_id"] == "t1"
    assert records.select("session", "app", "model", "finish_reason").row(0) == (
        SESSION,
        "claude_code",
        "claude-sonnet-4-5",
        "stop",
    )
    assert rejected["reason"].to_list() == ["unknown_dialect"]
    assert exits["reason"].to_list() == ["joined"] * 7


def item(**payload: Any) -> dict[str, Any]:
    return {"timestamp": f"2026-03-04T05:06:{len(str(payload)) % 60:02}.000Z", "type": "response_item", "payload": payload}


def codex(number: int) -> list[dict[str, Any]]:
    meta = {
        "id": f"0199a213-81c0-7800-8aa1-bbab2a035a5{number}",
        "cwd": "/x",
        "cli_version": "0.40.0",
        "instructions": "Be brief.",
    }
    said = f"Task {number}"
    return [
        {"timestamp": "2026-03-04T05:06:07.000Z", "type": "session_meta", "payload": meta},
        {"timestamp": "2026-03-04T05:06:08.000Z", "type": "event_msg", "payload": {"type": "user_message", "message": said}},
        {"timestamp": "2026-03-04T05:06:08.000Z", "type": "turn_context", "payload": {"model": "gpt-5-codex"}},
        item(type="message", role="user", content=[{"type": "input_text", "text": said}]),
        item(type="reasoning", summary=[{"type": "summary_text", "text": "Look."}], encrypted_content="gAAA"),
        item(type="function_call", name="shell", arguments='{"command":["ls"]}', call_id="c1"),
        item(type="function_call_output", call_id="c1", output="cart.py"),
        item(type="message", role="assistant", content=[{"type": "output_text", "text": f"Done {number}."}]),
    ]


def test_every_codex_file_is_a_session_of_its_own(tmp_path: Path) -> None:
    _, records, rejected, exits = read(tmp_path, one=codex(1), two=codex(2))

    for number, said in enumerate(records["messages"].to_list(), 1):
        texts = ["".join(part["text"] for part in message["content"]) for message in said]
        assert texts == ["Be brief.", f"Task {number}", "", "cart.py", f"Done {number}."]
        assert (said[2]["reasoning"], said[2]["tool_calls"][0]["name"], said[3]["tool_call_id"]) == ("Look.", "shell", "c1")
    assert records["model"].to_list() == ["gpt-5-codex"] * 2
    assert rejected.is_empty()
    assert exits.height == 14


def test_a_line_alone_and_a_session_without_an_answer_say_why(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="no_response"):
        list(AgentSessions().parse(CLAUDE[1]))

    _, records, rejected, _ = read(tmp_path, one=[CLAUDE[1]], two=codex(1)[:4])

    assert records.is_empty()
    assert rejected["reason"].to_list() == ["no_response"] * 5


def test_halves_with_any_one_value_replaced_end_as_records_or_as_a_reason() -> None:
    odd: list[Any] = [None, True, -1, "x", [], {}, [None], {"a": {}}, 10**30]
    batch = [asked("1", "?"), answered("1", "Yes.")]
    pages = [page("chatcmpl-abc12345", ["a"]), {"object": "list", "data": [{**answered("1", "x")["response"]["body"]}]}]
    ends = {"record": 0, "reason": 0}
    for source, whole in (
        (AgentSessions(), CLAUDE[1:]),
        (AgentSessions(), codex(1)),
        (Batches(), batch),
        (StoredCompletions(), pages),
    ):
        for at, path in enumerate(paths(whole)[1:]):
            parts = [half for entry in replaced(whole, path, odd[at % len(odd)]) for half in source.halves(entry)]
            for answer in (half for half in parts if half.is_answer):
                requests = [half.value for half in parts if not half.is_answer]
                try:
                    ends["record"] += len(list(source.join(requests, answer.value)))
                except Rejected:
                    ends["reason"] += 1
    assert min(ends.values()) > 20
