"""Our end of the engine's process: start, ask, watch, end. One process is warm at a time, for a whole tree.

The engine lives in a process of its own because a dirty vLLM hangs instead of failing: silence ends it, and a fresh one
is asked for what is missing.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from socket import socketpair
from typing import IO, Any

from capeval.backends.vllm.messages import Done, Failed, Load, Progress

START = 1800.0
"""Seconds that an engine may take to start: it may compile, and read hundreds of gigabytes."""
_LINES = 12
_LAST_WORDS = 30.0
"""Seconds in which a process whose pipe is closed has ended."""


class Died(Exception):  # noqa: N818 (a state of the process)
    """The process ended, or was ended because it said nothing any more."""


class Refused(Exception):  # noqa: N818 (an answer)
    """The process says why it can't go on."""

    def __init__(self, failed: Failed, log: str) -> None:
        super().__init__(failed.why)
        self.failed = failed
        self.log = log


class Process:
    """A running engine."""

    def __init__(self, load: Load, environment: Mapping[str, str]) -> None:
        """Start it and load the weights; `done` tells what was chosen.

        Raises:
            Refused, Died: when that fails; nothing is left behind then.
        """
        ours, theirs = socketpair()
        # the current folder is no place to import from: it may be a stranger's checkpoint (PYTHONSAFEPATH)
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self._pipe = Connection(ours.detach())
        root = str(Path(__file__).parents[3])
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "capeval.backends.vllm.child", str(theirs.fileno())],
            pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            start_new_session=True, env={**os.environ, **environment, "PYTHONPATH": paths, "PYTHONSAFEPATH": "1"},
        )  # fmt: skip
        theirs.close()
        atexit.register(self.end)
        self.done = self.carry_out(load, START)

    @property
    def running(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def carry_out(self, message: object, patience: float) -> Done:
        """Send a message that has no answers but `Done`."""
        return last(self.ask(message, patience), lambda _: None)

    def ask(self, message: object, patience: float) -> Iterator[Any]:
        """Send a message; what comes back, up to and with `Done`.

        Args:
            message: See `messages`.
            patience: Seconds of silence after which the process is taken for dead.

        Raises:
            Refused: it failed and says why. It has ended.
            Died: it ended, or was silent. It has ended.
        """
        finished = False
        try:
            self._pipe.send(message)
            while True:
                answer = self._receive(patience)
                if isinstance(answer, Progress):
                    continue
                if isinstance(answer, Failed):
                    raise Refused(answer, self._tail())
                finished = isinstance(answer, Done)
                yield answer
                if finished:
                    return
        except (BrokenPipeError, EOFError, ConnectionResetError) as error:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_LAST_WORDS)
            code = self._process.poll()
            raise Died(f"it ended with code {code}. Its last lines:\n{self._tail()}") from error
        finally:
            if not finished:  # also when the caller stops listening: the engine is at work for nobody
                self.end()

    def _receive(self, patience: float) -> Any:
        until = time.monotonic() + patience
        while not self._pipe.poll(min(1.0, max(0.0, until - time.monotonic()))):
            if time.monotonic() >= until:
                raise Died(f"it said nothing for {patience:g} seconds. Its last lines:\n{self._tail()}")
            if not self.running and not self._pipe.poll(0):
                raise EOFError
        return self._pipe.recv()

    def _tail(self) -> str:
        self._log.flush()
        size = os.fstat(self._log.fileno()).st_size
        text = os.pread(self._log.fileno(), 64_000, max(0, size - 64_000)).decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-_LINES:])

    def end(self) -> None:
        """End it and what it started; twice does no harm."""
        atexit.unregister(self.end)
        with suppress(OSError):
            self._pipe.close()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._log.close()


def last(answers: Iterator[Any], tell: Callable[[Any], None]) -> Done:
    """Pass answers on until `Done`, which is returned."""
    for answer in answers:
        if isinstance(answer, Done):
            return answer
        tell(answer)
    raise Died("it ended in the middle of an answer")
