"""A provider's batch API on loopback: files and batches, with faults on demand."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Json = dict[str, Any]


def answered(text: str = "Fine.", *, tokens: tuple[int, int] = (10, 5), finish: str = "stop") -> Json:
    """A line's end for a question that was answered."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}
    body = {"choices": [choice], "model": "m", "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}}
    return {"response": {"status_code": 200, "body": body}, "error": None}


def refused(status: int, code: str) -> Json:
    return {"response": {"status_code": status, "body": {"error": {"code": code}}}, "error": None}


def unanswered(code: str) -> Json:
    return {"response": None, "error": {"code": code}}


Answer = Callable[[str, int], Json | None]


@dataclass
class BatchServer:
    """Answers each question as `answer(prompt, nth)` says; None leaves it out of both files.

    `trouble(method, path, nth)` may return a status to answer instead (0 closes the connection), before or, when it is negative,
    after doing what was asked. `polls` are the looks at a batch that find it in progress.
    """

    answer: Answer = lambda prompt, _: answered(f"Re: {prompt}")
    trouble: Callable[[str, str, int], int | None] = lambda *_: None
    polls: int = 1
    status: str = "completed"
    calls: Counter[str] = field(default_factory=Counter)
    prompts: list[str] = field(default_factory=list)
    batches: dict[str, Json] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    def __enter__(self) -> Self:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self._do(self.rfile.read(int(self.headers["content-length"])))

            def do_GET(self) -> None:
                self._do(b"")

            def _do(self, body: bytes) -> None:
                path = self.path.partition("?")[0].removeprefix("/v1")
                call = f"{self.command} /{path.split('/')[1]}"
                with server._lock:
                    nth = server.calls[call]
                    server.calls[call] += 1
                    trouble = server.trouble(self.command, path, nth)
                    done = server._done(self.command, path, body, self.headers) if trouble is None or trouble < 0 else b"{}"
                    server.changed.notify_all()
                if trouble == 0 or (trouble is not None and trouble < 0):
                    self.close_connection = True
                    return
                self.send_response(trouble or 200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(done)))
                self.end_headers()
                self.wfile.write(done)

            def log_message(self, *_: Any) -> None:
                pass

        self._lock = threading.Lock()
        self.changed = threading.Condition(self._lock)
        self._asked: Counter[str] = Counter()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def _done(self, method: str, path: str, body: bytes, headers: Any) -> bytes:
        parts = path.strip("/").split("/")
        if method == "POST" and parts == ["files"]:
            name = f"file-{len(self.files)}"
            message = BytesParser().parsebytes(f"content-type: {headers['content-type']}\r\n\r\n".encode() + body)
            (uploaded,) = (part.get_payload(decode=True) for part in message.walk() if part.get_filename())
            assert isinstance(uploaded, bytes)
            self.files[name] = uploaded
            return json.dumps({"id": name, "object": "file", "bytes": 1, "created_at": 1, "purpose": "batch"}).encode()
        if method == "POST":
            return json.dumps(self._make(json.loads(body))).encode()
        if parts[0] == "files":
            return self.files[parts[1]]
        if len(parts) == 1:
            listed = {"object": "list", "data": [*self.batches.values()][::-1], "has_more": False}
            return json.dumps(listed).encode()
        batch = self.batches[parts[1]]
        batch["polls"] += 1
        if batch["polls"] > self.polls and batch["status"] == "in_progress":
            self._end(batch)
        return json.dumps(batch).encode()

    def _make(self, wanted: Json) -> Json:
        name = f"batch-{len(self.batches)}"
        self.batches[name] = {"id": name, "object": "batch", "created_at": 1, "status": "in_progress", "polls": 0, **wanted}
        return self.batches[name]

    def _end(self, batch: Json) -> None:
        batch["status"] = self.status
        if self.status == "failed":
            batch["errors"] = {"object": "list", "data": [{"code": "token_limit_exceeded", "message": "no"}]}
            return
        output: list[str] = []
        errors: list[str] = []
        for line in self.files[batch["input_file_id"]].splitlines():
            question = json.loads(line)
            prompt = question["body"]["messages"][-1]["content"]
            end = self.answer(prompt, self._asked[prompt])
            self._asked[prompt] += 1
            self.prompts.append(prompt)
            if end is not None:
                whole = json.dumps({"id": "r", "custom_id": question["custom_id"], **end})
                good = (end["response"] or {}).get("status_code") == 200
                (output if good else errors).append(whole)
        for kind, lines in (("output", output), ("error", errors)):
            if lines:
                batch[f"{kind}_file_id"] = f"{kind}-{batch['id']}"
                self.files[f"{kind}-{batch['id']}"] = "\n".join(lines).encode()
