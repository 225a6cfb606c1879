"""A system-call filter for the sandbox: no memory that the limits do not count, and no interface of the kernel that few need."""

import platform
import struct

_DENIED = {
    "x86_64": {
        **{"shmget": 29, "semget": 64, "msgget": 68, "ptrace": 101, "add_key": 248, "request_key": 249, "keyctl": 250},
        **{"perf_event_open": 298, "memfd_create": 319, "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425},
        "memfd_secret": 447,
    },
    "aarch64": {
        **{"ptrace": 117, "msgget": 186, "semget": 190, "shmget": 194, "add_key": 217, "request_key": 218, "keyctl": 219},
        **{"perf_event_open": 241, "memfd_create": 279, "bpf": 280, "userfaultfd": 282, "io_uring_setup": 425},
        "memfd_secret": 447,
    },
}
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _NOT_PERMITTED = 0x7FFF0000, 0x00050001
_OTHER_ABI = 0x40000000  # x32 calls on x86_64 have this bit


def seccomp_program(machine: str | None = None) -> bytes:
    """Classic BPF that fails the denied calls, and every call of another architecture, with EPERM.

    On a processor whose numbers are not known here it allows everything: it is a second wall, behind the namespaces.

    Source: the numbers are those of Linux's `syscall_64.tbl` and `asm-generic/unistd.h`.
    """
    machine = machine or platform.machine()
    if machine not in _DENIED:
        return struct.pack("=HBBI", _RETURN, 0, 0, _ALLOW)
    numbers = sorted(_DENIED[machine].values())
    checks = [(_AT_LEAST, _OTHER_ABI), *((_EQUAL, number) for number in numbers)]
    program = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 0, len(checks) + 2, _ARCHITECTURE[machine]),
        (_LOAD, 0, 0, 0),
        *((code, len(checks) - at, 0, number) for at, (code, number) in enumerate(checks)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _NOT_PERMITTED),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in program)
