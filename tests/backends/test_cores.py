"""Threads: no more than the cores that a process may have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from capeval.backends import cores


@pytest.mark.parametrize(
    ("quota", "found"),
    [("max 100000", 8), ("150000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8), ("nonsense", 8), ("", 8)],
)
def test_cores_are_those_of_affinity_and_quota(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quota: str, found: int
) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    monkeypatch.setattr(cores, "_QUOTA", file)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert cores.cores() == found


def test_torch_uses_no_more_threads_than_cores_unless_it_was_told() -> None:
    program = "from capeval.backends.cores import *; import torch; use_own_cores(); print(torch.get_num_threads())"
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    core = min(os.sched_getaffinity(0))
    pinned = f"import os; os.sched_setaffinity(0, {{{core}}}); {program}"

    def threads(code: str, **more: str) -> int:
        return int(subprocess.run([sys.executable, "-c", code], env=env | more, capture_output=True, check=True).stdout)

    assert threads(pinned) == 1
    assert threads(pinned, OMP_NUM_THREADS="2") == 2


def test_the_policy_of_waiting_is_ours_only_where_nobody_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    cores.wait_asleep()
    assert os.environ["OMP_WAIT_POLICY"] == "active"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    cores.wait_asleep()
    assert os.environ.pop("OMP_WAIT_POLICY") == "passive"


def test_half_precision_is_measured() -> None:
    assert 0.01 < cores.half_speed() < 1000
