"""A real HTTP server on loopback that answers chat completions as a test's script says, faults included."""

import asyncio
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Request:
    """One request: its last message's text (or the texts to embed, a line each), how many with the same text came before it,
    when, and all that came with it."""

    prompt: str
    nth: int
    at: float
    body: dict[str, Any]
    headers: dict[str, str]


@dataclass(frozen=True)
class Reply:
    """What the server does. `fault` is `hang`, `reset`, `truncated` (closes in the middle of the body) or `drip`."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    fault: str | None = None


def completion(
    text: str | None = "Fine.", *, finish: str | None = "stop", usage: tuple[int, int] | None = (10, 5), **message: Any
) -> Reply:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
    body: dict[str, Any] = {"id": "c1", "object": "chat.completion", "created": 1, "model": "scripted-1", "choices": [choice]}
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return Reply(json.dumps(body).encode())


def embeddings(*vectors: list[float], tokens: int | None = 7) -> Reply:
    rows = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    usage = {} if tokens is None else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    return Reply(json.dumps({"object": "list", "data": rows[::-1], "model": "vectors-1", **usage}).encode())


def status(code: int, *, error: str = "server_error", **headers: str) -> Reply:
    body = json.dumps({"error": {"message": "no", "type": error, "code": error}}).encode()
    return Reply(body, status=code, headers={name.replace("_", "-"): value for name, value in headers.items()})


def html(code: int = 200) -> Reply:
    return Reply(b"<html><body>Bad gateway</body></html>", status=code, content_type="text/html")


HANG = Reply(fault="hang")
RESET = Reply(fault="reset")
TRUNCATED = Reply(completion("half of an ans").body, fault="truncated")
DRIP = Reply(completion("slow").body, fault="drip")
BAD_JSON = Reply(b'{"choices": [{"mess')
NO_COMPLETION = Reply(b'{"choices": [{"message": "what?"}]}')
STREAM = Reply(b'data: {"choices": [{"delta": {"content": "half"}}]}\n\n', content_type="text/event-stream")
EMPTY_CHOICES = Reply(b'{"choices": [], "model": "m", "usage": {"prompt_tokens": 10, "completion_tokens": 0}}')

Script = Callable[[Request], Reply]


class ScriptedServer:
    """Runs in a thread of its own. `requests` is what arrived, in order; `most_at_once` how many were being answered."""

    def __init__(self, script: Script, *, delay: float = 0.0) -> None:
        self.requests: list[Request] = []
        self.most_at_once = 0
        self.arrived = threading.Condition()
        self._script = script
        self._delay = delay
        self._now = 0
        self._asked: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    @property
    def prompts(self) -> list[str]:
        return [request.prompt for request in self.requests]

    def wait_for(self, count: int) -> None:
        """Until so many requests have arrived."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.requests) >= count, timeout=60)

    def __enter__(self) -> Self:
        self._thread.start()
        start = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await self._read(reader)) is not None:
                self._now += 1
                self.most_at_once = max(self.most_at_once, self._now)
                try:
                    await asyncio.sleep(self._delay)
                    if not await self._answer(self._script(request), reader, writer):
                        return
                finally:
                    self._now -= 1
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Request | None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        prompt = body["messages"][-1]["content"] if "messages" in body else "\n".join(body["input"])
        with self.arrived:
            request = Request(prompt, self._asked[prompt], time.monotonic(), body, headers)
            self._asked[prompt] += 1
            self.requests.append(request)
            self.arrived.notify_all()
        return request

    async def _answer(self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection can be used again."""
        if reply.fault == "hang":
            await reader.read()
            return False
        if reply.fault == "reset":
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        fields = {"content-type": reply.content_type, "content-length": str(len(reply.body)), **reply.headers}
        head = f"HTTP/1.1 {reply.status} Scripted\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(head.encode() + b"\r\n")
        if reply.fault == "truncated":
            writer.write(reply.body[: len(reply.body) // 2])
        elif reply.fault == "drip":
            for byte in reply.body:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.05)
        else:
            writer.write(reply.body)
        await writer.drain()
        return reply.fault is None
