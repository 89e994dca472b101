"""The gate: three answers, exit codes that mean one thing each."""

import re

import numpy as np
import pandas as pd
import pytest

from capeval.core import TaskSpec
from capeval.errors import PairingError, UsageError
from capeval.gating import EXIT_CODES, GateOptions, gate, overall
from capeval.store.runs import Run
from tests.records import run_of

N = 2000


def noisy(share: float, seed: int = 0) -> list[float]:
    return (np.random.default_rng(seed).uniform(size=N) < share).astype(float).tolist()


def lose(scores: list[float], count: int) -> list[float]:
    """The same answers with `count` of the right ones wrong."""
    right = [i for i, s in enumerate(scores) if s == 1][:count]
    return [0.0 if i in right else s for i, s in enumerate(scores)]


def test_an_unchanged_model_passes() -> None:
    base = noisy(0.6)
    verdicts = gate(run_of("a", base), run_of("b", base), GateOptions(margin=0.02))
    assert [v.status for v in verdicts] == ["pass"]
    assert EXIT_CODES[overall(verdicts)] == 0


def test_a_planted_loss_above_the_margin_fails() -> None:
    base = noisy(0.6)
    verdicts = gate(run_of("a", base), run_of("b", lose(base, 200)), GateOptions(margin=0.02))
    assert EXIT_CODES[overall(verdicts)] == 1
    assert verdicts[0].rule == "sums (direct): no loss of more than 2.0 points"
    assert verdicts[0].reason.startswith("−10.0 points")


def test_a_loss_inside_the_margin_passes_unless_strict() -> None:
    base = noisy(0.6)
    runs = run_of("a", base), run_of("b", lose(base, 20))
    assert overall(gate(*runs, GateOptions(margin=0.05))) == "pass"
    assert overall(gate(*runs, GateOptions(margin=0.05, strict=True))) == "fail"


def test_too_few_items_are_inconclusive_and_say_how_many_it_takes() -> None:
    a, b = noisy(0.5, 1)[:60], noisy(0.5, 2)[:60]
    verdicts = gate(run_of("a", a), run_of("b", b), GateOptions(margin=0.02))
    assert EXIT_CODES[overall(verdicts)] == 4
    assert "items would tell this margin" in verdicts[0].reason


def test_lower_is_better_is_turned() -> None:
    toxic = TaskSpec(name="sums", capability="style", metric="toxicity", orientation="lower", binary=False)
    rng = np.random.default_rng(0)
    base = rng.uniform(0.2, 0.4, 300)
    worse = run_of("b", (base + 0.2 + rng.normal(0, 0.01, 300)).tolist(), task=toxic)
    better = run_of("b", (base - 0.1 + rng.normal(0, 0.01, 300)).tolist(), task=toxic)
    assert overall(gate(run_of("a", base.tolist(), task=toxic), worse)) == "fail"
    assert overall(gate(run_of("a", base.tolist(), task=toxic), better)) == "pass"


def test_answers_that_could_not_be_read_are_no_regression() -> None:
    base = [1.0] * 200
    broken = run_of("b", [0.0] * 100 + [1.0] * 100, flag=["unextracted"] * 100 + [""] * 100)
    verdicts = gate(run_of("a", base), broken, GateOptions(margin=0.02))
    assert (verdicts[0].status, verdicts[0].reason) == ("inconclusive", "can't tell: extraction: 50% against 0%")


def test_a_metric_without_a_better_end_is_not_gated() -> None:
    length = TaskSpec(
        name="sums", capability="style", metric="characters", orientation="none", binary=False, unit="characters"
    )
    with pytest.raises(PairingError, match="nothing to gate"):
        gate(run_of("a", [1, 2, 3], task=length), run_of("b", [2, 3, 4], task=length))


@pytest.mark.parametrize("margin", [0.0, -0.02, 2.0, 1e-300, float("nan")])
def test_margins_that_mean_nothing(margin: float) -> None:
    with pytest.raises(UsageError, match="--margin must lie between 0.0001 and 1"):
        gate(run_of("a", [1]), run_of("b", [1]), GateOptions(margin=margin))


def test_a_task_that_the_candidate_was_not_asked_is_no_pass() -> None:
    more = TaskSpec(name="more", capability="cot", metric="exact_match")
    base = noisy(0.6)
    both = run_of("a", base)
    other = run_of("a", base, task=more)
    manifest = {**both.manifest, "tasks": [*both.manifest["tasks"], *other.manifest["tasks"]]}
    baseline = Run(node="a", manifest=manifest, records=pd.concat([both.records, other.records], ignore_index=True))
    verdicts = gate(baseline, run_of("b", base), GateOptions(margin=0.02))
    assert [(v.rule, v.status) for v in verdicts][1] == ("more (direct)", "inconclusive")
    assert overall(verdicts) == "inconclusive"


def test_a_candidate_with_half_of_the_items_is_not_judged() -> None:
    base = noisy(0.6)
    verdicts = gate(run_of("a", base), run_of("b", base[:1000]), GateOptions(margin=0.02))
    assert (verdicts[0].status, verdicts[0].reason) == (
        "inconclusive",
        "only 1000 of 2000 items have a score at both ends",
    )


def test_alpha_moves_the_bounds() -> None:
    base = noisy(0.6)
    runs = run_of("a", base), run_of("b", lose(base, 10))
    assert "90 % interval" in gate(*runs, GateOptions(margin=0.05))[0].reason
    strictest = gate(*runs, GateOptions(margin=0.05, alpha=0.001))[0]
    assert "99.8 % interval" in strictest.reason
    assert strictest.effect["low_equivalence"] < gate(*runs, GateOptions(margin=0.05))[0].effect["low_equivalence"]


def test_the_items_that_a_margin_takes_follow_alpha() -> None:
    runs = run_of("a", noisy(0.5, 1)[:60]), run_of("b", noisy(0.5, 2)[:60])
    usual, strictest = (gate(*runs, GateOptions(margin=0.02, alpha=alpha))[0].reason for alpha in (0.05, 0.001))
    needed = [int(re.findall(r"about ([\d,]+) items", reason)[0].replace(",", "")) for reason in (usual, strictest)]
    assert needed[0] < needed[1]
