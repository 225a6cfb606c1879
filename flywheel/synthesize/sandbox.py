"""Runs code that nobody has read: alone, with nothing to reach, little to use up, and nothing left behind.

A job sees the system's interpreters and libraries (`/usr`, read-only), its own files in an empty `/tmp`, and nothing else: no
network, no other process, no environment, no file of the user. It runs as nobody, cannot become anybody, and is gone, with
everything that it started, before its result is returned. How that is brought about is in `sandbox_walls`.
"""

import asyncio
import os
import signal
import time
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from flywheel.errors import FlywheelError
from flywheel.synthesize.sandbox_walls import LANGUAGES, Language, Limits, SandboxUnavailable, Walls, walls

__all__ = ["LANGUAGES", "Job", "Language", "Limits", "Ran", "Sandbox", "SandboxUnavailable"]

_LOOK_EVERY = 0.05
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Job(NamedTuple):
    """A program: its text, its language, what it reads on standard input, and files that lie beside it."""

    code: str
    language: str = "python"
    stdin: str = ""
    files: Mapping[str, str] = {}


class Ran(NamedTuple):
    """How a job ended.

    `status` is `ok` (exit code 0), `failed` (any other exit code), `killed` (by a signal), or the limit that ended it:
    `cpu_time`, `wall_time`, `memory`, `output`. A program may itself notice a limit (MemoryError, "File too large") and fail.
    `stdout` and `stderr` are cut at the limit; bytes that are no UTF-8 are replaced. `seconds` is wall time.
    """

    status: str
    exit_code: int | None
    stdout: str
    stderr: str
    seconds: float


@dataclass(frozen=True)
class Sandbox:
    """Runs jobs, at most `concurrency` at once; the others wait.

    `languages` adds to or replaces those of `LANGUAGES`.

    Raises, when a job is run:
        SandboxUnavailable: neither bubblewrap nor unshare with Landlock contains a program here. Nothing is run then.
        FlywheelError: the job's language is unknown, or its interpreter is not installed.
    """

    limits: Limits = field(default_factory=Limits)
    concurrency: int = field(default_factory=lambda: os.cpu_count() or 1)
    languages: Mapping[str, Language] = field(default_factory=dict)
    _slots: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]" = field(
        default_factory=weakref.WeakKeyDictionary, init=False, repr=False, compare=False
    )

    async def run(self, job: Job) -> Ran:
        """Run one job to its end, or to a limit."""
        known = {**LANGUAGES, **self.languages}
        if job.language not in known:
            raise FlywheelError(f"the sandbox knows no language {job.language!r}; it knows {', '.join(sorted(known))}")
        language = known[job.language]
        slots = self._slots.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(max(1, self.concurrency)))
        async with slots:
            contained = await asyncio.to_thread(walls)
            return await _run(contained, {**job.files, language.file: job.code}, language, job.stdin, self.limits)

    async def ready(self) -> None:
        """Raise SandboxUnavailable where nothing contains a program here, before anything is paid for."""
        await asyncio.to_thread(walls)

    def run_all(self, jobs: Iterable[Job]) -> list[Ran]:
        """Run jobs and give their results in the same order. For callers outside an event loop."""

        async def every() -> list[Ran]:
            return await asyncio.gather(*(self.run(job) for job in jobs))

        return asyncio.run(every())

    def has(self, language: str) -> bool:
        """Whether the language is known and its interpreter is where a job can see it."""
        known = {**LANGUAGES, **self.languages}
        return language in known and known[language].interpreter is not None


async def _run(contained: Walls, files: Mapping[str, str], language: Language, stdin: str, limits: Limits) -> Ran:
    start = time.monotonic()
    with contained.command(files, language, limits) as (command, descriptors):
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=descriptors,
            env={},
            cwd="/",
            start_new_session=True,
        )
    watched = _Watched(process, limits)
    try:
        await watched.end(stdin.encode("utf-8", "replace"))
    finally:
        await _clear_away(process)
    status, code = _ended(process.returncode or 0)
    stdout, stderr = (bytes(said).decode("utf-8", "replace") for said in (watched.stdout, watched.stderr))
    return Ran(watched.limit or status, code, stdout, stderr, time.monotonic() - start)


class _Watched:
    """A running job whose output, time and memory are counted from outside; `limit` is the one that it exceeded first."""

    def __init__(self, process: asyncio.subprocess.Process, limits: Limits) -> None:
        self.process, self.limits = process, limits
        self.stdout, self.stderr = bytearray(), bytearray()
        self.limit: str | None = None
        self._over = asyncio.Event()

    async def end(self, stdin: bytes) -> None:
        """Return when the job has ended by itself or has exceeded a limit; in the second case it may still be running."""
        process = self.process
        assert process.stdout is not None
        assert process.stderr is not None
        tasks = [
            asyncio.create_task(self._feed(stdin)),
            asyncio.create_task(self._read(process.stdout, self.stdout)),
            asyncio.create_task(self._read(process.stderr, self.stderr)),
        ]
        memory = asyncio.create_task(self._memory())
        over: asyncio.Future[Any] = asyncio.create_task(self._over.wait())
        ended: asyncio.Future[Any] = asyncio.gather(*tasks, process.wait())
        try:
            async with asyncio.timeout(self.limits.wall_seconds):
                await asyncio.wait([ended, over], return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            self.limit = self.limit or "wall_time"
        finally:
            await _cancel(ended, memory, over)

    async def _feed(self, text: bytes) -> None:
        stdin = self.process.stdin
        assert stdin is not None
        try:
            stdin.write(text)
            await stdin.drain()
            stdin.close()
        except (BrokenPipeError, ConnectionResetError):
            pass  # a program need not read what it is given

    async def _read(self, stream: asyncio.StreamReader, into: bytearray) -> None:
        while chunk := await stream.read(65536):
            into += chunk
            if len(into) > self.limits.output_bytes:
                del into[self.limits.output_bytes :]
                self._exceeded("output")
                return

    async def _memory(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            if sum(_resident(pid) for pid in _tree(self.process.pid)) > self.limits.memory_bytes:
                self._exceeded("memory")
                return

    def _exceeded(self, limit: str) -> None:
        self.limit = self.limit or limit
        self._over.set()


async def _cancel(*futures: "asyncio.Future[Any]") -> None:
    for future in futures:
        future.cancel()
    await asyncio.gather(*futures, return_exceptions=True)


async def _clear_away(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of a job, and return when none of its processes is alive.

    The wall's process is stopped first, so that it starts nothing while its children are looked up; the death of the first of
    them is that of the whole PID namespace. It takes the kernel a moment.
    """
    if process.returncode is None:
        _send(process.pid, signal.SIGSTOP)
        while _state(process.pid) not in "TtZX":
            await asyncio.sleep(0.001)
        while inside := [pid for pid in _tree(process.pid)[1:] if _state(pid) not in "ZX"]:
            for pid in inside:
                _send(pid, signal.SIGKILL)
            await asyncio.sleep(0.002)
        _send(process.pid, signal.SIGKILL)
    process._transport.close()  # type: ignore[attr-defined]  # else its pipes outlive the event loop, and nobody waits for it
    await process.wait()


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _state(pid: int) -> str:
    """One letter, as in `ps`; X when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "X"


def _tree(pid: int) -> list[int]:
    """The process and all its descendants, parents first. Orphans become children of a job's first process, so none is missed."""
    found = [pid]
    for one in found:
        try:
            found += map(int, Path(f"/proc/{one}/task/{one}/children").read_text("ascii").split())
        except OSError:
            continue
    return found


def _resident(pid: int) -> int:
    """Bytes of memory that a process has, pages that it shares included; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _ended(code: int) -> tuple[str, int | None]:
    """Status and exit code from how the wall's process ended; it reports a signal that killed the job as 128 more."""
    number = -code if code < 0 else code - 128
    if number == signal.SIGXCPU:
        return "cpu_time", None
    if number > 0 and (code < 0 or number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGXFSZ, signal.SIGBUS)):
        return "killed", None
    return ("ok" if code == 0 else "failed"), code
