"""Hostile programs, each really run and really contained; and honest ones, which must not notice the walls."""

from __future__ import annotations

import os
import pwd
import re
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

import capeval.sandbox as sandbox
from capeval.errors import EngineError, MissingError, UsageError
from capeval.sandbox import Limits, run, run_many, walls
from capeval.sandbox.seccomp import seccomp_filter

needs_bwrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
pytestmark = needs_bwrap
ALLOW_ALL = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)
_DISKS = count(2**24 - 10_000 - os.getpid() % 1000 * 8192, 4096)


def short(**more: float) -> Limits:
    """Limits of a few seconds, with a size of the work folder by which this run's processes can be told from others."""
    return Limits(**({"cpu": 2, "wall": 8.0, "disk": next(_DISKS)} | more))  # type: ignore[arg-type]


def survivors(limits: Limits) -> list[int]:
    """Processes of a run with these limits that are still there when the kernel had a second to take them down."""
    deadline = time.monotonic() + 1
    while (found := processes(limits)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def processes(limits: Limits) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(limits.disk).encode() in words:
            found.append(int(entry.name))
    return found


FORK_BOMB = """
import os
done = 0
while done < 100_000:
    try:
        os.fork()
    except OSError:
        done += 1
"""
FORK_ONCE = """
import os
try:
    os.fork()
except OSError:
    os._exit(0)
print("forked")
"""
REFUSED = {
    "socket": "import socket; socket.create_connection(('127.0.0.1', {port}), timeout=2)",
    "unix socket": "import socket; socket.socket(socket.AF_UNIX)",
    "virtual machine socket": "import socket; socket.socket(socket.AF_VSOCK)",
    "names": "import socket; print(socket.getaddrinfo('example.com', 80))",
    "web": "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/', timeout=2)",
    "home folder": "import os; os.listdir('{home}')",
    "this repository": "open('{here}').read()",
    "shadow": "open('/etc/shadow').read()",
    "passwd": "open('/etc/passwd').read()",
    "processes": "import os; os.listdir('/proc')",
    "write in /": "open('/evil', 'w')",
    "write in /tmp": "open('/tmp/evil', 'w')",
    "write in /usr": "open('/usr/evil', 'w')",
    "write in /dev": "open('/dev/evil', 'w')",
    "write in shared memory": "open('/dev/shm/evil', 'w')",
    "delete": "import os; os.remove('/usr/bin/env')",
    "delete a library": "import os, shutil; shutil.rmtree('/usr/lib/python3', onerror=None)",
    "mount": "import ctypes, os\\nif ctypes.CDLL(None).mount(b't', b'/work', b'tmpfs', 0, b''): raise OSError",
    "user namespace": "import ctypes\\nif ctypes.CDLL(None).unshare(0x10000000): raise OSError",
    "trace": "import ctypes\\nif ctypes.CDLL(None).ptrace(16, 1, 0, 0) == -1: raise OSError",
    "shared segment": "import ctypes\\nif ctypes.CDLL(None).shmget(0, 4096, 0o1600) == -1: raise OSError",
    "memory file": "import os; os.memfd_create('x')",
    "shared mapping": "import mmap\\nmmap.mmap(-1, 4096)",
    "shared mapping of zeros": "import mmap, os\\nmmap.mmap(os.open('/dev/zero', os.O_RDWR), 4096)",
    "attribute": "import os\\nopen('f', 'w')\\nos.setxattr('f', 'user.a', b'1')",
    "handle of the first process": "import os; os.pidfd_open(1)",
    "splice": "import ctypes\\nif ctypes.CDLL(None).vmsplice(1, None, 0, 0) == -1: raise OSError",
    "sync": "import ctypes\\nif ctypes.CDLL(None).syncfs(0) == -1: raise OSError",
    "kernel's log": "import ctypes\\nif ctypes.CDLL(None).klogctl(10, None, 0) == -1: raise OSError",
    "message queue": "import ctypes\\nif ctypes.CDLL(None).mq_open(b'/q', 0o102, 0o600, None) == -1: raise OSError",
    "watch": "import ctypes\\nif ctypes.CDLL(None).inotify_init() == -1: raise OSError",
    "become root": "import os; os.setuid(0)",
    "raise a limit": "import resource as r; r.setrlimit(r.RLIMIT_NPROC, (99, 99))",
    "thread": "import threading; threading.Thread(target=print).start()",
    "shell": "import subprocess; subprocess.run(['/usr/bin/env'])",
    "kill the first process": "import os\\nos.kill(1, 9)\\nimport time; time.sleep(0.2); raise OSError('still here')",
    "kill its parent": "import os\\nos.kill(os.getppid(), 9)\\nimport time; time.sleep(0.2); raise OSError('alive')",
    "keep its work": "open('kept', 'w').write('x'); import os; raise OSError(os.listdir('.'))",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_the_programs_business_is_refused(name: str) -> None:
    """Each line fails with an exception that it could have caught: nothing was reached, and nothing else broke."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.01)
        text = REFUSED[name].replace("\\n", "\n")
        text = text.format(port=server.getsockname()[1], home=Path.home(), here=__file__)
        outcome = run(text, short())
        with pytest.raises(TimeoutError):
            server.accept()
    assert outcome.status == "failed", outcome
    assert re.search("[Ee]rror", outcome.output.strip().splitlines()[-1]), outcome
    assert Path("/usr/bin/env").exists() and Path(__file__).exists()
    assert not [p for p in ("/evil", "/tmp/evil", "/usr/evil", "/dev/evil", "/dev/shm/evil") if Path(p).exists()]


WITHOUT_SECCOMP, WITHOUT_RLIMIT = "without seccomp", "without rlimit"


@pytest.mark.parametrize("walls", ["both walls", WITHOUT_SECCOMP, WITHOUT_RLIMIT])
def test_a_fork_bomb_gets_no_second_process_from_either_wall(walls: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_up(monkeypatch, seccomp=walls == WITHOUT_SECCOMP, processes=walls == WITHOUT_RLIMIT)
    for program in (FORK_BOMB, FORK_ONCE):
        limits = short()
        outcome = run(program, limits)
        assert "forked" not in outcome.output and outcome.exit_code in (0, 128 + 24)
        assert survivors(limits) == []


def test_with_both_walls_down_the_tree_still_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process namespace alone does: daemons and bombs end with the program, or at its time limit."""
    open_up(monkeypatch, seccomp=True, processes=True)
    daemon = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        time.sleep(60)
    os._exit(0)
print("forked", flush=True)
"""
    for ending, status in (("", "passed"), ("time.sleep(60)", "timeout"), ("os._exit(0)", "failed")):
        limits = short(wall=2.0)
        outcome = run(daemon + ending, limits)
        assert outcome.status == status and "forked" in outcome.output and outcome.seconds < 8
        assert survivors(limits) == []


def open_up(monkeypatch: pytest.MonkeyPatch, *, seccomp: bool, processes: bool) -> None:
    if seccomp:
        monkeypatch.setattr(sandbox, "seccomp_filter", lambda: ALLOW_ALL)
    if processes:
        line = "        (resource.RLIMIT_NPROC, 1, 1),\n"
        text = sandbox._inside()
        assert line in text
        monkeypatch.setattr(sandbox, "_inside", lambda: text.replace(line, ""))


def test_a_disk_that_is_filled_ends_at_its_size() -> None:
    program = """
import os
total = 0
try:
    for number in range(10_000):
        with open(f"/work/{number}", "wb") as file:
            total += file.write(b"x" * 2**20)
            file.flush()
except OSError as error:
    print(total, error.errno)
    raise
"""
    limits = short(disk=2**22 + 4096)
    outcome = run(program, limits)
    assert outcome.status == "failed" and "No space left" in outcome.output
    one_file = run("open('/work/one', 'wb').write(bytes(2**25))", limits)
    assert one_file.status == "failed" and "File too large" in one_file.output


@pytest.mark.parametrize("program", ["x = bytearray(10**10)", "x = []\nwhile True: x.append(bytes(2**22))"])
def test_ten_gigabytes_are_not_had(program: str) -> None:
    assert run(program, short(cpu=5)).status == "memory"
    assert run(program.replace("bytes(2**22)", "x * 1"), short(memory=2**28, cpu=5)).status in ("memory", "timeout")


def test_memory_that_is_mapped_counts_too() -> None:
    program = "import mmap\nwhole = [mmap.mmap(-1, 2**28, flags=mmap.MAP_PRIVATE) for _ in range(40)]"
    outcome = run(program, short())
    assert outcome.status == "failed" and "Cannot allocate memory" in outcome.output


def test_memory_is_not_kept_by_a_mapping_that_was_cut() -> None:
    """A shared mapping stays full when all but one page is unmapped, and no limit counts it."""
    program = """
import mmap
keep = []
for _ in range(8):
    mapped = mmap.mmap(-1, 2**28)
    mapped.write(bytes(2**28))
    mapped.resize(4096)
    keep.append(mapped)
"""
    outcome = run(program, short(memory=2**30))
    assert outcome.status == "failed" and "Operation not permitted" in outcome.output


def test_what_honest_programs_use_of_the_kernel_is_left() -> None:
    program = """
import asyncio, concurrent.futures, decimal, locale, multiprocessing, shutil, sqlite3, subprocess, tempfile, threading

async def three():
    await asyncio.sleep(0)
    return 3

assert asyncio.run(three()) == 3
assert sqlite3.connect(":memory:").execute("select 1 + 1").fetchone() == (2,)
base = sqlite3.connect("base")
base.execute("create table t (n)")
base.commit()
assert decimal.Decimal("0.1") * 3 == decimal.Decimal("0.3")
large = bytearray(2**28)
with tempfile.NamedTemporaryFile() as file:
    file.write(b"1")
    shutil.copy(file.name, "copy")
locale.setlocale(locale.LC_ALL, "C.UTF-8")
"x".encode("shift_jis")
"""
    outcome = run(program, short(cpu=10, wall=30.0))
    assert outcome.status == "passed", outcome.output


ENDLESS = {
    "sleep": "import time; time.sleep(1000)",
    "loop": "while True: pass",
    "ignores SIGTERM": "import signal, time\nfor s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)\ntime.sleep(1000)",
    "ignores SIGXCPU": "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
    "catches everything": "while True:\n try:\n  while True: pass\n except BaseException: pass",
    "prints": "while True: print('x' * 10_000)",
    "says nothing more": "import os, time\nos.close(1); os.close(2); time.sleep(1000)",
    "reads": "while True: open(0, closefd=False).read()",
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_does_not_end_is_ended(name: str) -> None:
    limits = short(cpu=1, wall=3.0)
    outcome = run(ENDLESS[name], limits)
    assert outcome.status == "timeout" and outcome.seconds < 8
    assert len(outcome.output) <= 4096
    assert survivors(limits) == []


def test_endless_output_does_not_fill_our_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert run("import os\nwhile True: os.write(1, b'x' * 2**20)", short()).status == "timeout"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


FAKES = {
    "leaves at once": "import os; os._exit(0)",
    "leaves politely": "import sys; sys.exit(0)",
    "raises SystemExit": "raise SystemExit",
    "leaves on exit": "import atexit, os\natexit.register(os._exit, 0)\nraise AssertionError",
    "prints a pass": "print('passed\\n1 passed in 0.01s'); import os; os._exit(0)",
    "prints zeros": "import os; os.write(1, b'0' * 32); os._exit(0)",
    "replaces the exit": "import os\nreal = os._exit\nos._exit = lambda code: real(0)\nassert False",
    "replaces the traceback": "import traceback, os\ntraceback.print_exc = lambda: os._exit(0)\nassert False",
    "replaces the hook": "import sys, os\nsys.excepthook = lambda *a: os._exit(0)\nassert False",
    "becomes true": "import os; os.execv('/usr/bin/true', ['true'])",
    "dies": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "kills all": "import os, signal; os.kill(-1, signal.SIGKILL); os._exit(0)",
    "crashes": "import ctypes; ctypes.string_at(0)",
    "recurses": "def f(): return f()\nf()",
    "is no program": "def f(:",
    "is null": "\0",
    "is nested": "(" * 100_000,
    "exits among threads": "import os\nos.closerange(0, 32)\nos._exit(0)",
    "seeks the token": "import sys\nframe = sys._getframe(1)\nprint(frame.f_locals)\nimport os; os._exit(0)",
}


@pytest.mark.parametrize("name", FAKES)
def test_a_program_that_leaves_before_its_tests_have_run_has_not_passed(name: str) -> None:
    outcome = run(FAKES[name] + "\nassert 1 + 1 == 3", short())
    assert outcome.status in ("failed", "killed", "memory"), outcome


def test_the_environment_is_empty_and_standard_input_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    program = """
import os, sys
assert "SECRET" not in os.environ and "HOME" not in os.environ, os.environ
assert sys.stdin.read() == "" and os.read(0, 10) == b""
assert os.getuid() != 0 and os.uname().nodename == "sandbox"
assert sorted(os.listdir("/")) == sorted(set(os.listdir("/")) & {"bin", "dev", "lib", "lib32", "lib64", "usr", "work"})
assert os.listdir("/work") == []
"""
    assert run(program, short()).status == "passed"


def test_the_programs_text_can_not_be_written_through_the_first_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without seccomp, its standard input can be had from there: a file to read, not one to fill."""
    open_up(monkeypatch, seccomp=True, processes=False)
    program = """
import ctypes, os
taken = ctypes.CDLL(None).syscall(438, os.pidfd_open(1), 0, 0)
assert taken > 0
print("taken", flush=True)
os.write(taken, b"x")
"""
    outcome = run(program, short())
    if "taken" not in outcome.output:
        pytest.skip("this kernel hands no descriptors out")
    assert "Bad file descriptor" in outcome.output


def test_honest_programs_pass() -> None:
    program = """
import collections, functools, heapq, itertools, json, math, random, re, string, sys, typing
print("x" * 10_000_000)
with open("notes", "w") as file:
    file.write("ä" * 1000)
assert math.comb(40, 20) == 137846528820 and sum(range(10**6)) == 499999500000
assert [hash("same"), {"a", "b", "c"}.pop()] and __name__ != "__main__"
sys.stdout = None
"""
    outcome = run(program, short(cpu=10, wall=30.0))
    assert outcome.status == "passed" and outcome.exit_code == 0 and len(outcome.output) < 4096
    assert run("print({'a', 'b', 'c', 'd'})").output == run("print({'a', 'b', 'c', 'd'})").output
    assert run("print(1)\nassert False, 'because'").output.endswith("AssertionError: because\n")
    assert run("# \ud800 is no text\nassert True").status == "passed"


HONEST = {
    "annotations as text": """
from __future__ import annotations
from dataclasses import dataclass
@dataclass
class Node:
    value: int
    next: Node | None = None
assert Node(1).next is None
""",
    "pickle": "import pickle\nclass A: pass\nassert type(pickle.loads(pickle.dumps(A()))) is A",
    "type hints": "import typing\nclass A:\n  x: 'A'\nassert typing.get_type_hints(A) == {'x': A}",
    "closes its output": "import sys\nprint(1)\nsys.stdout.close()",
    "detaches its output": "import sys\nsys.stdout.detach()",
    "wraps its output": "import sys, io\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer)\nprint(1)",
}


@pytest.mark.parametrize("name", HONEST)
def test_programs_are_modules_as_anywhere(name: str) -> None:
    outcome = run(HONEST[name], short())
    assert outcome.status == "passed", outcome


def test_many_run_side_by_side_and_keep_their_order() -> None:
    programs = [f"assert {n} % 3" for n in range(20)] * 2
    outcomes = run_many(programs)
    assert [o.status for o in outcomes] == ["passed" if n % 3 else "failed" for n in range(20)] * 2
    assert outcomes[0] is outcomes[20], "the same program runs once"
    assert run_many([]) == []
    assert threading.active_count() < 10


def test_when_we_die_the_program_dies() -> None:
    limits = short(cpu=60, wall=60.0)
    ours = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"from capeval.sandbox import *; run('while True: pass', Limits(cpu=60, wall=60.0, disk={limits.disk}))",
        ]
    )
    deadline = time.monotonic() + 20
    while not processes(limits) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes(limits)
    ours.kill()
    ours.wait()
    assert survivors(limits) == []


def test_without_a_sandbox_nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sandbox.check.cache_clear()
    canary = tmp_path / "canary"
    program = f"open({str(canary)!r}, 'w')"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="apt-get install bubblewrap"):
        run(program)
    with pytest.raises(MissingError, match="bwrap is not here"):
        sandbox.check()
    # a bubblewrap that may not make namespaces, as in many containers
    public = Path(tempfile.mkdtemp())  # the sandbox is made by nobody, when we are root
    public.chmod(0o755)
    broken = public / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(public))
    for refused in (lambda: run(program), sandbox.check):
        with pytest.raises(MissingError, match="No permissions to create new namespace"):
            refused()
    shutil.rmtree(public)
    assert not canary.exists()


@pytest.fixture
def wrapped(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Puts a shell script in bubblewrap's place, in a folder where whoever runs it may write."""
    real, public = shutil.which("bwrap"), Path(tempfile.mkdtemp())
    public.chmod(0o777)

    def wrap(script: str) -> None:
        file = public / "bwrap"
        file.write_text(f'#!/bin/sh\ncd {public}\n{script}\nexec {real} "$@"\n')
        file.chmod(0o755)
        monkeypatch.setenv("PATH", str(public), prepend=":")

    yield wrap
    shutil.rmtree(public)


def test_a_slow_start_is_tried_again_and_then_a_timeout(wrapped: Callable[[str], None]) -> None:
    assert run("assert 1", Limits(wall=0.001)).status == "timeout"
    wrapped("mkdir first 2>/dev/null && exec sleep 60")
    assert run("assert 1", short(wall=3.0)).status == "passed"
    wrapped("exec sleep 60")
    outcome = run("assert 1", short(wall=0.5))
    assert outcome.status == "timeout" and outcome.output == ""


def test_one_bad_start_is_tried_again_and_two_are_no_missing_sandbox(wrapped: Callable[[str], None]) -> None:
    sandbox.check()
    wrapped("mkdir first 2>/dev/null && exit 1")
    assert run("assert 1", short()).status == "passed"
    wrapped("echo 'Resource temporarily unavailable'; exit 1")
    with pytest.raises(EngineError, match="works here, but did not come up .*temporarily unavailable"):
        run("assert 1", short())
    sandbox.check.cache_clear()
    with pytest.raises(MissingError, match="temporarily unavailable"):
        run("assert 1", short())


def test_a_thousand_open_files_do_not_disturb_and_too_many_are_named() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1400:
        pytest.skip("this machine allows no 1,400 open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1400, hard))
    opened = [os.open(os.devnull, os.O_RDONLY)]
    try:
        opened += [os.dup(opened[0]) for _ in range(1100)]
        assert run("assert 1", short()).status == "passed"
        with pytest.raises(OSError, match="Too many"):
            while True:
                opened.append(os.dup(opened[0]))
        with pytest.raises(UsageError, match="ulimit -n"):
            run("assert 1", short())
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_limits_of_the_machine_that_are_lower_than_ours_hold() -> None:
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))\n"
        "from capeval.sandbox import run\nprint(run('assert 1').status)"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "passed\n"


def test_the_python_inside_is_one_that_can_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = [Path("/work/python"), Path("/dev/shm/python"), Path.home().parent]
    assert not any(walls._mountable(prefix) for prefix in hidden) and walls._mountable(Path("/usr"))
    walls.interpreter.cache_clear()
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # a user who is not in /etc/passwd
    assert walls.interpreter().is_file()
    walls.interpreter.cache_clear()


def test_a_sandbox_that_does_not_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.check.cache_clear()
    sandbox.check()
    sandbox.check.cache_clear()
    open_up(monkeypatch, seccomp=True, processes=True)
    # with other processes allowed, the end of the self-test's traceback may be lost: it is refused all the same
    with pytest.raises(MissingError, match=r"does not hold on this machine \(failed"):
        sandbox.check()
    sandbox.check.cache_clear()


def test_the_filter_of_every_architecture_is_well_formed() -> None:
    for machine in ("x86_64", "aarch64"):
        lines = list(struct.iter_unpack("=HBBI", seccomp_filter(machine)))
        assert lines[-2][3] == 0x7FFF0000 and lines[-1][3] >> 16 == 5
        for position, (code, yes, no, _) in enumerate(lines):
            if code & 0x07 == 0x05:  # a jump
                assert position + 1 + max(yes, no) < len(lines)
        *compared, mmap = [n for n, (code, _, _, _) in enumerate(lines) if code == 0x15][1:]
        assert {n + 1 + lines[n][1] for n in compared} == {len(lines) - 1}, "every listed call is refused"
        assert {lines[n][2] for n in compared} == {0}, "and every other one compared with the next"
        assert lines[mmap][3] == {"x86_64": 9, "aarch64": 222}[machine] and mmap + 1 + lines[mmap][2] == len(lines) - 2
        assert lines[mmap + 1 : -2] == [(0x20, 0, 0, 40), (0x45, 1, 0, 1)], "of its fourth argument, MAP_SHARED"


def test_the_doctor_tries_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from capeval.doctor import _sandbox

    sandbox.check.cache_clear()
    assert _sandbox().ok and "python" in _sandbox().found
    sandbox.check.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not _sandbox().ok and "bwrap is not here" in _sandbox().found
