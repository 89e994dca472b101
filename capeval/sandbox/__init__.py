"""Programs that a model wrote, run where they can do no harm. Linux, bubblewrap, nothing else.

>>> run("assert 1 + 1 == 2").status             # doctest: +SKIP
'passed'
>>> run("import os; os._exit(0)").status        # doctest: +SKIP
'failed'

Each program gets new user, process, network, IPC and host-name namespaces, an unprivileged user, a read-only system
with no home folder and no /etc, an empty environment, a small work folder in memory, one process without threads, and
limits of time, memory, disk and files; it dies with everything that it started. *Passed* means that the program ran to
its end: the token that says so is handed to it after that. A program is never run without the sandbox.
"""

from __future__ import annotations

import errno
import os
import secrets
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal

from capeval.errors import CapevalError, EngineError, MissingError, UsageError
from capeval.sandbox.inside import MEMORY, STARTED
from capeval.sandbox.seccomp import seccomp_filter
from capeval.sandbox.walls import INSTALL, NOBODY, bubblewrap, command, interpreter

__all__ = ["INSTALL", "Limits", "Outcome", "Status", "check", "interpreter", "run", "run_many"]

Status = Literal["passed", "failed", "timeout", "memory", "killed"]
"""failed: an exception, a false assertion, an early exit; killed: by a signal (a crash of the interpreter, for one)."""
_TAIL = 4096
_XCPU, _SIGKILL = 128 + 24, 128 + 9
_GRACE = 5.0
_AT_ONCE = 32
_SELF_TEST = """
import os, socket
for forbidden in (os.fork, socket.socket, lambda: open("/evil", "w"), lambda: os.listdir("/etc"), lambda: os.setuid(0)):
    try:
        forbidden()
    except OSError:
        continue
    raise AssertionError("the sandbox has a hole")
open("/work/file", "w").write("works")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one program may use."""

    cpu: int = 10
    """Seconds of processor time: decides most timeouts, so that a busy machine does not change scores."""
    wall: float = 30.0
    """Seconds by the clock, for programs that sleep."""
    memory: int = 2**30
    """Bytes of address space."""
    disk: int = 2**24
    """Bytes in its work folder."""
    files: int = 32
    """Open files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one program ended."""

    status: Status
    exit_code: int
    """128 + n: ended by signal n."""
    output: str
    """The last 4 kB of what it printed; the traceback, when it failed."""
    seconds: float
    """By the clock."""


_LIMITS = Limits()


def run(program: str, limits: Limits = _LIMITS) -> Outcome:
    """Run one Python program to its end, or to a limit.

    A sandbox that did not come up is tried once more. If it is only slow, that is a timeout.

    Args:
        program: Its text; what it prints is kept (the end of it), never read as a verdict.
        limits: What it may use.

    Raises:
        MissingError: no sandbox can be had here; the program did not run.
        EngineError: the sandbox works here and still did not come up for this program.
        UsageError: this process has no file descriptor left.
    """
    bwrap = bubblewrap()
    try:
        return _attempt(bwrap, program, limits) or _attempt(bwrap, program, limits, last=True) or _never_started(limits)
    except OSError as error:
        raise _no_sandbox(error) from error


def _attempt(bwrap: str, program: str, limits: Limits, *, last: bool = False) -> Outcome | None:
    """How the program ended; None when it did not begin, for want of time or, unless this is the last try, at all."""
    token = secrets.token_hex(16).encode()
    with _given(program) as source, _readable(token) as proof, _readable(seccomp_filter()) as rules:
        given = [proof, limits.cpu, limits.memory, limits.disk, limits.files]
        started = time.monotonic()
        process = _start([*command(bwrap, limits.disk, rules), "-c", _inside(), *map(str, given)], source, proof, rules)
        head, tail, late = _watch(process, started + limits.wall)
    seconds, code = time.monotonic() - started, process.returncode
    if not head.startswith(STARTED):
        if late or not last:
            return None
        said = (head + tail).decode(errors="replace").strip().splitlines()
        raise _no_sandbox(said[0] if said else f"exit code {code}")
    status = _status(code, proven=tail.endswith(token), late=late, spent=seconds >= limits.cpu)
    output = tail.removesuffix(token).removeprefix(STARTED).decode(errors="replace")
    return Outcome(status=status, exit_code=code, output=output, seconds=seconds)


def _never_started(limits: Limits) -> Outcome:
    return Outcome(status="timeout", exit_code=_SIGKILL, output="", seconds=limits.wall)


def run_many(programs: Sequence[str], limits: Limits = _LIMITS) -> list[Outcome]:
    """Outcomes of many programs, as many at once as there are cores (32 at most); the same program runs once."""
    different = list(dict.fromkeys(programs))
    with ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(os.sched_getaffinity(0)))) as pool:
        found = dict(zip(different, pool.map(lambda program: run(program, limits), different), strict=True))
    return [found[program] for program in programs]


@lru_cache(maxsize=1)
def check() -> None:
    """Find out, once in this process, whether the sandbox works and holds; before any model is asked.

    Raises:
        MissingError: saying what to install or to allow.
    """
    outcome = run(_SELF_TEST)
    if outcome.status != "passed":
        last = (outcome.output.strip().splitlines() or [f"exit code {outcome.exit_code}"])[-1]
        raise MissingError(f"the sandbox does not hold on this machine ({outcome.status}: {last}): {INSTALL}")


def _start(words: list[str], source: int, *descriptors: int) -> subprocess.Popen[bytes]:
    as_nobody: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    return subprocess.Popen(
        words, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=descriptors, env={}, cwd="/",
        **as_nobody,
    )  # fmt: skip


def _no_sandbox(reason: str | OSError) -> CapevalError:
    if isinstance(reason, OSError) and reason.errno in (errno.EMFILE, errno.ENFILE):
        return UsageError(f"no file descriptor is left to run a program in the sandbox ({reason}): raise `ulimit -n`")
    if check.cache_info().currsize:
        return EngineError(f"the sandbox works here, but did not come up for one program ({reason}): run this again")
    return MissingError(f"bubblewrap can't make a sandbox here ({reason}): user namespaces must be allowed; {INSTALL}")


@lru_cache(maxsize=1)
def _inside() -> str:
    return Path(__file__).with_name("inside.py").read_text(encoding="utf-8")


@contextmanager
def _given(program: str) -> Iterator[int]:
    """A file descriptor from which a program can be read; not even the sandbox's first process can write to it."""
    with tempfile.TemporaryFile() as file:
        file.write(program.encode("utf-8", "replace"))
        file.flush()
        read = os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY)
        try:
            yield read
        finally:
            os.close(read)


@contextmanager
def _readable(content: bytes) -> Iterator[int]:
    """A file descriptor from which a few bytes can be read once."""
    read, write = os.pipe()
    try:
        os.write(write, content)
        os.close(write)
        yield read
    finally:
        os.close(read)


def _watch(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bytes, bool]:
    """(first bytes, last bytes, too late) of a process that is over when this returns; the rest is thrown away."""
    assert process.stdout is not None
    head, tail, late = b"", b"", False
    with process.stdout as out:
        try:
            for data in _chunks(out, deadline):
                head = (head + data)[: len(STARTED) + _TAIL] if len(head) < len(STARTED) else head
                tail = (tail + data)[-_TAIL:]
            process.wait(max(0.0, deadline - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            late = True
        finally:
            process.kill()  # the namespace's first process dies with it, and with that one everything inside
            with suppress(TimeoutError, subprocess.TimeoutExpired):
                process.wait(_GRACE)
                for _ in _chunks(out, time.monotonic() + _GRACE):  # its output ends when it is dead
                    pass
    return head, tail, late


def _chunks(out: IO[bytes], deadline: float) -> Iterator[bytes]:
    poll = select.poll()  # select.select can't do with descriptors from 1024 on
    poll.register(out, select.POLLIN)
    while True:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError
        data = os.read(out.fileno(), 2**16)
        if not data:
            return
        yield data
        if time.monotonic() > deadline:
            raise TimeoutError


def _status(code: int, *, proven: bool, late: bool, spent: bool) -> Status:
    if late or code == _XCPU or (code == _SIGKILL and spent):
        return "timeout"
    if code == 0 and proven:
        return "passed"
    if code == MEMORY:
        return "memory"
    return "killed" if code > 128 or code < 0 else "failed"
