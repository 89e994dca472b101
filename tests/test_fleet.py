"""Units side by side: their order, what they tell, and what happens when one fails or dies."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from capeval.errors import EngineError, UsageError
from capeval.fleet import ALL, Unit, work


def note(place: str, name: str, watch: Callable[[int, int], None]) -> str:
    """A unit's work, done in another process: writes down when, and with how many threads it may compute."""
    watch(1, 2)
    with Path(place).open("a") as file:
        file.write(f"{name} {os.environ['OMP_NUM_THREADS']} {os.getpid()}\n")
    watch(2, 2)
    return name.upper()


def fail(watch: Callable[[int, int], None]) -> None:
    raise UsageError("this one can't be done")


def die(watch: Callable[[int, int], None]) -> None:
    os._exit(9)


def sleep(place: str, watch: Callable[[int, int], None]) -> None:
    time.sleep(60)
    Path(place).write_text("slept")


def unit(name: str, place: Path, needs: tuple[str, ...] = (), cost: float = 1.0) -> Unit:
    return Unit(name=name, function="tests.test_fleet:note", arguments={"place": str(place), "name": name},
                needs=needs, cost=cost)  # fmt: skip


def test_units_run_after_what_they_need_the_longest_chain_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    place = tmp_path / "log"
    told: list[tuple[str, int, int]] = []
    units = [
        unit("short", place),
        unit("end", place, ("middle",), 5),
        unit("middle", place, ("start",)),
        unit("start", place),
    ]
    found = work(units, workers=1, watch=lambda *about: told.append(about))
    lines = [line.split() for line in place.read_text().splitlines()]
    assert [name for name, _, _ in lines] == ["start", "middle", "end", "short"]
    assert {threads for _, threads, _ in lines} == {"1"}
    assert found == {"start": "START", "middle": "MIDDLE", "end": "END", "short": "SHORT"}
    assert [about for about in told if about[0] == "middle"][:1] == [("middle", 0, 0)]
    assert [done for name, done, _ in told if name == ALL] == sorted(done for name, done, _ in told if name == ALL)
    assert told[-1] == (ALL, 8, 8)
    assert os.environ["OMP_NUM_THREADS"] == "3", "as it was before"


def test_a_failure_stops_the_others_at_once_and_is_told_as_it_is(tmp_path: Path) -> None:
    started = time.monotonic()
    slow = Unit(name="slow", function="tests.test_fleet:sleep", arguments={"place": str(tmp_path / "slept")})
    with pytest.raises(UsageError, match="this one can't be done"):
        work([slow, Unit(name="bad", function="tests.test_fleet:fail")], workers=2)
    assert time.monotonic() - started < 50
    assert not (tmp_path / "slept").exists()


def test_a_process_that_dies_is_said_to_have_died() -> None:
    with pytest.raises(EngineError, match="a worker process died"):
        work([Unit(name="dying", function="tests.test_fleet:die")], workers=1)


def test_nothing_to_do() -> None:
    assert work([]) == {}
