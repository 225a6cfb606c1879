"""Runs inside fresh namespaces, as their root: closes the file system with Landlock, gives every right up, runs the program.

Its text is given to the system's own Python (`-c`), so it imports nothing but the standard library.
"""

import base64
import ctypes
import json
import os
import resource
import signal
import struct
import sys
from pathlib import Path
from typing import Any

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_EXECUTE, _READ_FILE, _READ_DIR, _WRITE_FILE = 1, 4, 8, 2
_NO_NEW_PRIVILEGES, _DROP_BOUND, _SECCOMP, _FILTER, _CLEAR_AMBIENT = 38, 24, 22, 2, (47, 4)
_NOSUID_NODEV = 6
_LIBC = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def _syscall(number: int, *arguments: Any) -> int:
    return _checked(int(_LIBC.syscall(number, *arguments)), f"system call {number}")


def _prctl(option: int, *arguments: int) -> None:
    _checked(_LIBC.prctl(option, *(ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4])), f"prctl {option}")


def _close_files(readable: list[str], scratch: str) -> None:
    """Deny everything that this kernel's Landlock knows, then allow reading the system and using the scratch folder."""
    version = _syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    files = (1 << (13 + (version >= 2) + (version >= 3) + (version >= 5))) - 1
    network = 3 if version >= 4 else 0
    scoped = 3 if version >= 6 else 0
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    attributes = struct.pack("=QQQ", files, network, scoped)[:size]
    ruleset = _syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0))
    allowed = dict.fromkeys(readable, _EXECUTE | _READ_FILE | _READ_DIR)
    allowed |= {f"/dev/{name}": _READ_FILE | _WRITE_FILE for name in ("null", "zero", "urandom", "random")}
    allowed["/proc"] = _READ_FILE | _READ_DIR
    allowed[scratch] = files
    for path, rights in allowed.items():
        own = rights if Path(path).is_dir() else rights & ~_READ_DIR
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        _syscall(_ADD_RULE, ruleset, 1, struct.pack("=Qi", own, place), ctypes.c_uint32(0))
        os.close(place)
    _syscall(_RESTRICT_SELF, ruleset, ctypes.c_uint32(0))
    os.close(ruleset)


def _give_up(program: bytes) -> None:
    """No capability, now or later, and no system call that the filter denies."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text("ascii"))
    for capability in range(last + 1):
        _prctl(_DROP_BOUND, capability)
    _prctl(*_CLEAR_AMBIENT)
    _prctl(_NO_NEW_PRIVILEGES, 1)
    steps = ctypes.create_string_buffer(program, len(program))
    filter = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(steps)))
    _prctl(_SECCOMP, _FILTER, ctypes.addressof(filter))


def _main(told: dict[str, Any]) -> None:
    scratch = told["scratch"]
    options = f"size={told['scratch_bytes']},nr_inodes=4096,mode=700".encode("ascii")
    _checked(_LIBC.mount(b"tmpfs", scratch.encode(), b"tmpfs", ctypes.c_ulong(_NOSUID_NODEV), options), "mount")
    for name, file in told["files"].items():
        with os.fdopen(file, "rb") as content:
            (Path(scratch) / name).write_bytes(content.read())
    Path("/proc/sys/user/max_user_namespaces").write_text("0", "ascii")
    os.chdir(scratch)
    _prctl(_NO_NEW_PRIVILEGES, 1)
    _close_files(told["readable"], scratch)
    _give_up(base64.b64decode(told["seccomp"]))
    if (program := os.fork()) == 0:
        for name, (soft, hard) in told["limits"].items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), (soft, hard))
        os.execve(told["argv"][0], told["argv"], told["environment"])
    _attend(program, told["wall_seconds"])


def _attend(program: int, wall_seconds: float) -> None:
    """Be the first process of the namespace: it takes orphans in, and its end is everybody's.

    Whoever started the sandbox watches the time; should that process have been killed, this one ends a second later.
    """
    signal.signal(signal.SIGALRM, lambda *_: os._exit(128 + signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, wall_seconds + 1)
    while True:
        ended, status = os.wait()
        if ended == program:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
