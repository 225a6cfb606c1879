"""What a sandbox is made of: bubblewrap, or `unshare` with Landlock; and the proof, before the first job, that it holds here."""

import base64
import functools
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flywheel.errors import FlywheelError
from flywheel.synthesize.sandbox_seccomp import seccomp_program

NOBODY = 65534
SEARCH = "/usr/local/bin:/usr/bin:/bin"
_SCRATCH = "/tmp"
_ENVIRONMENT = {
    "PATH": SEARCH,
    "HOME": _SCRATCH,
    "LANG": "C.UTF-8",
    "OPENSSL_CONF": "/dev/null",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONNOUSERSITE": "1",
}


class SandboxUnavailable(FlywheelError):
    """Nothing on this machine can contain a program; generated code is not run without that."""


@dataclass(frozen=True)
class Limits:
    """What one job may use up.

    `wall_seconds` counts waiting too, `cpu_seconds` is for each process, `memory_bytes` for all of them together (watched twenty
    times a second; one process is stopped at once), `file_bytes` for each file, `scratch_bytes` for all files, `output_bytes`
    for each of the two output streams.
    """

    wall_seconds: float = 20.0
    cpu_seconds: int = 10
    memory_bytes: int = 1 << 30
    processes: int = 32
    open_files: int = 64
    file_bytes: int = 10 << 20
    scratch_bytes: int = 16 << 20
    output_bytes: int = 1 << 18


@dataclass(frozen=True)
class Language:
    """How a program of a language is run: the name of its file, and a command in which `{file}` stands for its path.

    `reserves` is for interpreters that reserve far more address space than they use (JavaScript, Go): their data, not their
    address space, is limited.
    """

    file: str
    command: tuple[str, ...]
    reserves: bool = False

    @property
    def interpreter(self) -> str | None:
        """Its path inside the sandbox, which has only what is below `/usr`; None where it is not installed there."""
        return shutil.which(self.command[0], path=SEARCH)

    def argv(self) -> list[str]:
        """The command with its paths.

        Raises:
            FlywheelError: the interpreter is not installed.
        """
        if (found := self.interpreter) is None:
            raise FlywheelError(f"{self.command[0]!r} is not installed below /usr, where the sandbox looks for it")
        return [found, *(part.replace("{file}", f"{_SCRATCH}/{self.file}") for part in self.command[1:])]


LANGUAGES = {
    "bash": Language("job.sh", ("bash", "--noprofile", "--norc", "{file}")),
    "javascript": Language("job.js", ("node", "{file}"), reserves=True),
    "perl": Language("job.pl", ("perl", "{file}")),
    "python": Language("job.py", ("python3", "-s", "{file}")),
    "ruby": Language("job.rb", ("ruby", "{file}")),
}


class Walls(Protocol):
    """A way to contain a program."""

    def command(
        self, files: Mapping[str, str], language: Language, limits: Limits
    ) -> AbstractContextManager[tuple[list[str], list[int]]]:
        """The command that runs a program contained, and the descriptors that it must inherit; leaving closes them."""
        ...


class Bubblewrap:
    """Namespaces for everything, an empty root with `/usr` in it, and no way to a new user namespace."""

    @contextmanager
    def command(self, files: Mapping[str, str], language: Language, limits: Limits) -> Iterator[tuple[list[str], list[int]]]:
        with ExitStack() as stack:
            inputs = {name: _readable(stack, text.encode("utf-8", "replace")) for name, text in files.items()}
            filter = _readable(stack, seccomp_program())
            small = str(min(limits.scratch_bytes, 1 << 20))
            command = [
                *_as_nobody(),
                *(
                    _installed("bwrap"),
                    "--unshare-user",
                    "--unshare-all",
                    "--disable-userns",
                    "--die-with-parent",
                    "--new-session",
                ),
                *("--uid", str(NOBODY), "--gid", str(NOBODY), "--hostname", "sandbox", "--cap-drop", "ALL", "--clearenv"),
                *(word for name, value in _ENVIRONMENT.items() for word in ("--setenv", name, value)),
                *(word for path in _system() for word in _bound(path)),
                *("--proc", "/proc", "--dev", "/dev", "--size", small, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"),
                *("--size", str(limits.scratch_bytes), "--perms", "0700", "--tmpfs", _SCRATCH),
                *(word for name, file in inputs.items() for word in ("--file", str(file), f"{_SCRATCH}/{name}")),
                *("--remount-ro", "/", "--chdir", _SCRATCH, "--seccomp", str(filter), "--"),
                *(
                    _installed("prlimit"),
                    *(f"--{name}={soft}:{hard}" for name, (soft, hard) in _resources(language, limits).items()),
                    "--",
                ),
                *language.argv(),
            ]
            yield command, [*inputs.values(), filter]


class Landlock:
    """Namespaces by `unshare`; inside, `sandbox_landlock` closes the file system, gives up every right and starts the program."""

    @contextmanager
    def command(self, files: Mapping[str, str], language: Language, limits: Limits) -> Iterator[tuple[list[str], list[int]]]:
        with ExitStack() as stack:
            inputs = {name: _readable(stack, text.encode("utf-8", "replace")) for name, text in files.items()}
            told = {
                "files": inputs,
                "readable": _system(),
                "scratch": _SCRATCH,
                "scratch_bytes": limits.scratch_bytes,
                "wall_seconds": limits.wall_seconds,
                "limits": _resources(language, limits),
                "seccomp": base64.b64encode(seccomp_program()).decode("ascii"),
                "environment": _ENVIRONMENT,
                "argv": language.argv(),
            }
            inside = Path(__file__).with_name("sandbox_landlock.py").read_text("utf-8")
            namespaces = ("--user", "--map-root-user", "--net", "--mount", "--pid", "--ipc", "--uts", "--cgroup")
            command = [
                *(*_as_nobody(), _installed("unshare"), *namespaces, "--mount-proc", "--fork", "--kill-child"),
                *(_installed("python3"), "-I", "-S", "-c", inside, json.dumps(told)),
            ]
            yield command, list(inputs.values())


@functools.lru_cache(maxsize=1)
def walls() -> Walls:
    """The first of bubblewrap and unshare with Landlock that proves, with a program that tries to get out, that it holds.

    Raises:
        SandboxUnavailable: neither does.
    """
    tried = []
    for kind in (Bubblewrap, Landlock):
        trouble = why_not(kind())
        if trouble is None:
            return kind()
        tried.append(f"{kind.__name__.lower()}: {trouble}")
    raise SandboxUnavailable(
        f"generated code cannot be contained here, so it is not run ({'; '.join(tried)}). Install bubblewrap "
        "(`apt-get install bubblewrap`, or `scripts/sandbox`) and allow user namespaces; else leave out the checks and "
        "synthesizers that run code."
    )


_ESCAPES = """
import os, socket
def reached(attempt):
    try:
        attempt()
    except OSError:
        return False
    return True
ways = {
    "network": lambda: socket.create_connection(("127.0.0.1", %d), timeout=1).close(),
    "files": lambda: open(%r).read(),
    "writing": lambda: open("/usr/.flywheel", "w").close(),
    "processes": lambda: os.kill(%d, 0),
    "rights": lambda: os.setuid(1),
}
print(",".join(way for way, attempt in ways.items() if reached(attempt)) or "contained")
"""


def why_not(kind: Walls) -> str | None:
    """What keeps a kind of wall from being used here: it is missing, does not start, or lets a program out; None if nothing."""
    with socket.create_server(("127.0.0.1", 0)) as outside:
        code = _ESCAPES % (outside.getsockname()[1], "/etc/passwd", os.getpid())
        python = LANGUAGES["python"]
        try:
            with kind.command({python.file: code}, python, Limits()) as (command, descriptors):
                tried = subprocess.run(
                    command, pass_fds=descriptors, env={}, capture_output=True, timeout=20, check=False, cwd="/"
                )
        except (OSError, FlywheelError, subprocess.TimeoutExpired) as error:
            return str(error) if isinstance(error, FlywheelError) else type(error).__name__
    said = tried.stdout.decode("utf-8", "replace").strip()
    if tried.returncode:
        lines = tried.stderr.decode("utf-8", "replace").strip().splitlines()
        return f"it does not start ({lines[-1] if lines else f'exit code {tried.returncode}'})"
    return None if said == "contained" else f"it does not contain {said or 'anything'}"


def _readable(stack: ExitStack, content: bytes) -> int:
    """A descriptor of a file that has no name and holds the content."""
    file = os.memfd_create("flywheel")
    stack.callback(os.close, file)
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]
    os.lseek(file, 0, os.SEEK_SET)
    return file


def _installed(program: str) -> str:
    found = shutil.which(program, path=SEARCH)
    if found is None:
        raise SandboxUnavailable(f"{program} is not installed")
    return found


def _as_nobody() -> list[str]:
    """Root gives its rights up first: the limit on processes does not hold for root."""
    if os.geteuid() != 0:
        return []
    return [_installed("setpriv"), "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]


def _system() -> list[str]:
    """What a program needs of the system: interpreters, libraries, and where they are found."""
    paths = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/ld.so.cache")
    return [path for path in paths if Path(path).exists()]


def _bound(path: str) -> list[str]:
    return ["--symlink", os.readlink(path), path] if Path(path).is_symlink() else ["--ro-bind", path, path]


def _resources(language: Language, limits: Limits) -> dict[str, tuple[int, int]]:
    """Soft and hard limits of each process, by their names for `prlimit` and, in capitals, for `resource`."""
    same = {
        "data" if language.reserves else "as": limits.memory_bytes,
        "nproc": limits.processes,
        "nofile": limits.open_files,
        "fsize": limits.file_bytes,
        "core": 0,
    }
    return {"cpu": (limits.cpu_seconds, limits.cpu_seconds + 1), **{name: (value, value) for name, value in same.items()}}
