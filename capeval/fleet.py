"""Work units side by side on one machine: one process each, one thread each, in the order of their needs.

A unit is a function by name with plain arguments. A process keeps what it has loaded (torch, a suite's tasks) for the
next unit. The unit that the longest remaining work waits for goes first. Units that share an engine (a GPU's) stay in
this process, beside the workers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context
from threading import Event
from typing import Any, ClassVar

from capeval.errors import EngineError

Watch = Callable[[str, int, int], None]
"""(unit, done, all): how far a unit is; (unit, 0, 0) when it begins, done = all when it ends. `ALL` stands for the sum
of the units, weighted by their cost."""
ALL = "all"
_POLL = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Something to be done."""

    name: str
    function: str
    """`package.module:name`; called with the arguments and `watch(done, all)`."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    """Units that must be done before."""
    cost: float = 1.0
    """How long it takes, relative to the others."""
    here: bool = False
    """Done in this process, one after another, because of what it keeps warm; else in any worker's."""


def work(units: Sequence[Unit], *, workers: int = 2, watch: Watch = lambda *_: None) -> dict[str, Any]:
    """Do all units; unit → what its function returned.

    Raises:
        CapevalError: what a unit raised; units that run are stopped, what they have kept stays.
        EngineError: a process died (out of memory, killed).
    """
    if not units:
        return {}
    urgency = _urgency(units)
    waiting = sorted(units, key=lambda unit: -urgency[unit.name])
    done: dict[str, Any] = {}
    running: dict[Future[Any], Unit] = {}
    context = get_context("spawn")
    told = context.SimpleQueue()
    tell = _Sum(units, watch)
    with _one_thread_each():
        pool = ProcessPoolExecutor(max_workers=workers, mp_context=context, initializer=_begin, initargs=(told,))
        here, stop = ThreadPoolExecutor(max_workers=1), Event()
        try:
            while waiting or running:
                for unit in [u for u in waiting if all(need in done for need in u.needs)]:
                    alike = sum(other.here == unit.here for other in running.values())
                    if alike == (1 if unit.here else workers):
                        continue
                    waiting.remove(unit)
                    tell(unit.name, 0, 0)
                    running[here.submit(_do_here, unit, told, stop) if unit.here else pool.submit(_do, unit)] = unit
                finished, _ = wait(running, timeout=_POLL, return_when=FIRST_COMPLETED)
                while not told.empty():
                    tell(*told.get())
                for future in finished:
                    unit = running.pop(future)
                    done[unit.name] = future.result()
                    tell(unit.name, 1, 1)
        except BaseException as error:
            _stop(pool)
            stop.set()
            here.shutdown(wait=False, cancel_futures=True)
            if type(error).__name__ == "BrokenProcessPool":
                raise EngineError(
                    "a worker process died (killed, or out of memory); the same command goes on"
                ) from error
            raise
        pool.shutdown()
        here.shutdown()
    return done


class _Sum:
    """Passes on what units tell, and how far all of them are together."""

    def __init__(self, units: Sequence[Unit], watch: Watch) -> None:
        self._costs = {unit.name: unit.cost for unit in units}
        self._shares = dict.fromkeys(self._costs, 0.0)
        self._watch = watch

    def __call__(self, unit: str, done: int, total: int) -> None:
        if total and self._shares[unit] == 1.0:
            return  # told already that it has ended
        self._shares[unit] = done / total if total else 0.0
        self._watch(unit, done, total)
        spent = sum(cost * self._shares[name] for name, cost in self._costs.items())
        self._watch(ALL, round(spent), round(sum(self._costs.values())))


def _urgency(units: Sequence[Unit]) -> dict[str, float]:
    """The cost of the longest chain that begins with each unit."""
    found: dict[str, float] = {}
    followers: dict[str, list[Unit]] = {unit.name: [] for unit in units}
    for unit in units:
        for need in unit.needs:
            followers[need].append(unit)

    def longest(unit: Unit) -> float:
        if unit.name not in found:
            found[unit.name] = unit.cost + max((longest(f) for f in followers[unit.name]), default=0.0)
        return found[unit.name]

    for unit in units:
        longest(unit)
    return found


class _one_thread_each:  # noqa: N801 (a context manager)
    """Children read these variables when they load torch; two threads for one tiny model are slower than one."""

    _WANTED: ClassVar = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "TOKENIZERS_PARALLELISM": "false"}

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in self._WANTED}
        os.environ.update(self._WANTED)

    def __exit__(self, *error: object) -> None:
        for name, value in self._before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


_TOLD: Any = None


def _begin(told: Any) -> None:
    global _TOLD
    _TOLD = told
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told, and stops its children


def _do(unit: Unit) -> Any:
    return _called(unit, lambda done, total: _TOLD.put((unit.name, done, total)))


def _do_here(unit: Unit, told: Any, stop: Event) -> Any:
    """In a thread, which nobody can end from outside: it asks, whenever it tells how far it is."""

    def watch(done: int, total: int) -> None:
        if stop.is_set():
            raise CancelledError
        told.put((unit.name, done, total))

    return _called(unit, watch)


def _called(unit: Unit, watch: Callable[[int, int], None]) -> Any:
    module, _, name = unit.function.partition(":")
    return getattr(import_module(module), name)(**unit.arguments, watch=watch)


def _stop(pool: ProcessPoolExecutor) -> None:
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        with suppress(Exception):
            process.terminate()
