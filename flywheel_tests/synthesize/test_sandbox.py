"""What a hostile program can do in the sandbox: nothing, and not for long. Both kinds of wall are tried."""

import asyncio
import os
import socket
import time
from pathlib import Path

import pytest

from flywheel.errors import FlywheelError
from flywheel.synthesize import sandbox, sandbox_walls
from flywheel.synthesize.sandbox import Job, Language, Limits, Ran, Sandbox
from flywheel.synthesize.sandbox_seccomp import seccomp_program
from flywheel.synthesize.sandbox_walls import Bubblewrap, Landlock, SandboxUnavailable, Walls, why_not

TIGHT = Limits(wall_seconds=60, cpu_seconds=1, memory_bytes=256 << 20, processes=16, file_bytes=1 << 20, scratch_bytes=4 << 20)


TRY = """
done = []
for path in {paths!r}:
    try:
        {attempt}
        done.append(path)
    except OSError:
        pass
print(done)
"""


@pytest.fixture(params=[Bubblewrap, Landlock], ids=["bubblewrap", "landlock"], autouse=True)
def contained(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Walls:
    kind: Walls = request.param()
    if trouble := why_not(kind):
        assert "does not contain" not in trouble, trouble
        pytest.skip(f"{type(kind).__name__}: {trouble}")
    monkeypatch.setattr(sandbox, "walls", lambda: kind)
    return kind


def run(code: str, *, limits: Limits = TIGHT, language: str = "python", stdin: str = "") -> Ran:
    (ran,) = Sandbox(limits).run_all([Job(code, language, stdin)])
    return ran


def marked(mark: str) -> list[str]:
    """Processes whose command line holds the mark, wherever they run."""
    return [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if mark.encode() in _content(path)]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_program_runs_and_its_output_and_exit_code_come_back() -> None:
    ran = run("import sys; print(sys.stdin.read()[::-1]); print('é', file=sys.stderr); sys.exit(3)", stdin="abc")

    assert (ran.status, ran.exit_code, ran.stdout, ran.stderr) == ("failed", 3, "cba\n", "é\n")
    assert run("print(6 * 7)").status == "ok"


def test_files_beside_the_program_are_there_and_the_scratch_folder_can_be_written() -> None:
    code = "import helper; open('made', 'w').write(helper.WORD); print(open('/tmp/made').read())"

    (ran,) = Sandbox(TIGHT).run_all([Job(code, files={"helper.py": "WORD = 'beside'"})])

    assert ran.stdout == "beside\n"


def test_an_endless_loop_ends_at_its_processor_time() -> None:
    assert run("while True: pass").status == "cpu_time"


def test_a_program_that_only_waits_ends_at_its_wall_time() -> None:
    ran = run("import time; print('here', flush=True); time.sleep(600)", limits=Limits(wall_seconds=0.7))

    assert (ran.status, ran.stdout) == ("wall_time", "here\n")


def test_a_fork_bomb_is_held_to_its_number_of_processes() -> None:
    counting = """
import os, time
made = 0
try:
    while made < 1000:
        if os.fork() == 0:
            time.sleep(30)
        made += 1
except OSError:
    pass
print(made, flush=True)
os._exit(0)
"""
    ran = run(counting)

    assert 1 <= int(ran.stdout) < TIGHT.processes
    assert run("import os\nwhile True:\n    os.fork()").status != "ok"


def test_there_is_no_network_not_even_the_loopback_of_the_host() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"""
import socket
for family, kind, address in [(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", {port})),
                              (socket.AF_INET, socket.SOCK_DGRAM, ("192.0.2.1", 53)),
                              (socket.AF_INET6, socket.SOCK_STREAM, ("::1", {port}))]:
    try:
        socket.socket(family, kind).connect(address)
        print("reached", address)
    except OSError:
        print("refused")
"""
        assert run(code).stdout.split() == ["refused"] * 3


def test_an_abstract_socket_of_the_host_is_out_of_reach() -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0flywheel-{os.getpid()}")
        server.listen()

        ran = run(f"import socket; socket.socket(socket.AF_UNIX).connect('\\0flywheel-{os.getpid()}')")

    assert ran.status == "failed"
    assert "Error" in ran.stderr


def test_files_outside_cannot_be_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret", "utf-8")
    secret.chmod(0o644)

    paths = [str(secret), __file__, "/etc/passwd", "/etc/shadow", "/proc/1/root/etc/passwd", f"/proc/{os.getpid()}/environ"]

    ran = run(TRY.format(paths=paths, attempt="open(path).read()"))

    assert ran.stdout == "[]\n"


def test_nothing_outside_can_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    folders = ["/", "/usr", "/usr/local/bin", "/etc", "/dev", "/proc", "/var/tmp", "/home", str(tmp_path)]

    ran = run(TRY.format(paths=folders, attempt="open(path + '/planted', 'w')"))
    run("open('/tmp/planted-by-flywheel', 'w').write('x')")

    assert ran.stdout == "[]\n"
    assert not Path("/tmp/planted-by-flywheel").exists()
    assert list(tmp_path.iterdir()) == []


def test_the_environment_holds_nothing_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")

    ran = run("import os; print(sorted(os.environ)); print([open(f'/proc/{p}/environ').read() for p in ('self',)])")

    assert ran.status == "ok"
    assert "planted" not in ran.stdout
    assert "OPENAI" not in ran.stdout


def test_no_process_outside_is_seen_or_signalled() -> None:
    code = f"import os; print([p for p in os.listdir('/proc') if p.isdigit()], flush=True); os.kill({os.getpid()}, 0)"

    ran = run(code)

    assert str(os.getpid()) not in ran.stdout
    assert ran.status == "failed"


def test_rights_cannot_be_gained() -> None:
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
ways = {
    "user namespace": lambda: libc.unshare(0x10000000),
    "mount": lambda: libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None),
    "chroot": lambda: libc.chroot(b"/tmp"),
    "anonymous file": lambda: libc.memfd_create(b"x", 0),
    "shared memory": lambda: libc.shmget(0, 4096, 0o1600),
    "tracing": lambda: libc.ptrace(0, 0, 0, 0),
    "another user": lambda: libc.setuid(1),
}
print([name for name, way in ways.items() if way() >= 0])
"""
    assert run(code).stdout == "[]\n"


def test_output_without_end_is_cut_and_the_program_stopped() -> None:
    ran = run("while True: print('x' * 1000)")

    assert ran.status == "output"
    assert len(ran.stdout) == TIGHT.output_bytes


def test_a_big_file_and_many_files_are_stopped() -> None:
    assert "File too large" in run("f = open('big', 'wb')\nfor _ in range(8): f.write(bytes(1 << 19)); f.flush()").stderr
    many = "for n in range(64):\n    with open(str(n), 'wb') as f: f.write(bytes(1 << 19))"
    assert "No space left" in run(many).stderr
    assert run(many.replace("str(n)", "'/dev/shm/' + str(n)")).status == "failed"


def test_the_memory_of_one_process_and_of_all_together_is_limited() -> None:
    assert "MemoryError" in run("x = bytearray(1 << 30)").stderr
    together = """
import os, time
for _ in range(6):
    if os.fork() == 0:
        held = bytearray(b"x") * (100 << 20)
        time.sleep(30)
time.sleep(30)
"""
    assert run(together).status == "memory"


def test_nothing_survives_a_job_that_is_stopped_or_ends() -> None:
    mark = f"survivor-{os.getpid()}-{time.monotonic_ns()}"
    daemons = f"""
import os, subprocess, sys, time
for _ in range(3):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", {mark!r}], start_new_session=True,
                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print("started", flush=True)
"""
    stopped = run(daemons + "time.sleep(600)", limits=Limits(wall_seconds=1.5))
    ended = run(daemons)

    assert (stopped.status, stopped.stdout) == ("wall_time", "started\n")
    assert (ended.status, ended.stdout) == ("ok", "started\n")
    assert marked(mark) == []


def test_a_job_that_is_cancelled_is_killed() -> None:
    mark = f"cancelled-{os.getpid()}-{time.monotonic_ns()}"
    box = Sandbox(languages={"marked": Language("job.py", ("python3", "{file}", mark))})

    async def cancel() -> None:
        task = asyncio.create_task(box.run(Job("import time; time.sleep(600)", language="marked")))
        while not marked(mark):
            await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancel())

    assert marked(mark) == []


def test_results_come_in_order_and_no_more_than_so_many_jobs_run_at_once() -> None:
    box = Sandbox(TIGHT, concurrency=2)
    code = "import time; print({n}); start = time.time(); time.sleep(0.2); print(start, time.time())"

    results = box.run_all([Job(code.format(n=n)) for n in range(6)])

    times = [tuple(map(float, ran.stdout.split()[1:])) for ran in results]
    assert [ran.stdout.split()[0] for ran in results] == [str(n) for n in range(6)]
    assert max(sum(start <= moment < end for start, end in times) for moment, _ in times) <= 2


def test_a_crash_is_told_from_a_failure() -> None:
    assert run("import os; os.kill(os.getpid(), 11)").status == "killed"


@pytest.mark.parametrize(
    ("language", "code"),
    [("bash", "echo $((6 * 7))"), ("javascript", "console.log(6 * 7)"), ("perl", "print 6 * 7"), ("ruby", "puts 6 * 7")],
)
def test_other_languages_run_where_their_interpreter_is(language: str, code: str) -> None:
    if not Sandbox().has(language):
        pytest.skip(f"no interpreter of {language}")

    assert run(code, language=language).stdout.strip() == "42"


def test_a_language_can_be_declared() -> None:
    box = Sandbox(languages={"sed": Language("script.sed", ("sed", "-f", "{file}"))})

    (ran,) = box.run_all([Job("s/a/b/", language="sed", stdin="banana\n")])

    assert ran.stdout == "bbnana\n"


@pytest.mark.parametrize(("language", "message"), [("cobol", "no language 'cobol'; it knows bash"), ("none", "not installed")])
def test_a_language_that_cannot_be_run_is_an_error(language: str, message: str) -> None:
    box = Sandbox(languages={"none": Language("x", ("no-such-interpreter", "{file}"))})

    with pytest.raises(FlywheelError, match=message):
        box.run_all([Job("", language=language)])


def test_without_walls_nothing_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran: list[str] = []
    monkeypatch.setattr(sandbox, "walls", sandbox_walls.walls)
    monkeypatch.setattr(sandbox_walls, "SEARCH", str(tmp_path))
    monkeypatch.setattr(asyncio, "create_subprocess_exec", lambda *command, **_: ran.append(str(command)))
    sandbox_walls.walls.cache_clear()

    with pytest.raises(SandboxUnavailable, match=r"bubblewrap: .* not installed; landlock: .*apt-get install bubblewrap"):
        run("print('ran')")

    sandbox_walls.walls.cache_clear()
    assert ran == []


def test_a_wall_that_lets_a_program_out_is_not_used(monkeypatch: pytest.MonkeyPatch, contained: Walls) -> None:
    monkeypatch.setattr(sandbox_walls, "_system", lambda: ["/usr", "/bin", "/lib", "/lib64", "/etc"])

    assert why_not(contained) == "it does not contain files"


def test_a_processor_whose_calls_are_not_known_is_left_to_the_namespaces() -> None:
    assert len(seccomp_program("riscv64")) == 8
    assert len(seccomp_program("aarch64")) == len(seccomp_program("x86_64")) > 8
