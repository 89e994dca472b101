"""The loop that every stage shares: schedule, optimisers, the curve, resuming, and what a diverging loss gets.

A stage gives `train` a function of the step; everything random in it comes from the step's number, so a run that was
killed and goes on from its last state ends with the same weights as one that was not.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capeval.errors import BadFileError, EngineError

STATE = "resume.pt"
_KEEP_EVERY = 30.0
"""Seconds between two saved states; when one is saved never changes what comes out."""
_POINTS = 60
"""Points of a curve."""


@dataclass(slots=True)
class Curve:
    """Named series against the step; each point is the mean since the one before."""

    every: int
    series: dict[str, list[float]] = field(default_factory=lambda: {"step": []})
    _sums: dict[str, float] = field(default_factory=dict)
    _count: int = 0

    def add(self, step: int, last: bool, values: Mapping[str, float]) -> None:
        """Take the values of one step (counted from 1)."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        if step % self.every == 0 or last:
            self.series["step"].append(step)
            for name, total in self._sums.items():
                self.series.setdefault(name, []).append(round(total / self._count, 6))
            self._sums, self._count = {}, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a stage's loop works on."""

    node: str
    steps: int
    parts: Mapping[str, Any]
    """Everything with a state_dict that must survive a kill: models and optimisers."""
    folder: Path
    """Where the state is kept."""
    watch: Callable[[int, int], None] = lambda step, steps: None
    """Told (steps done, all steps) after every step."""
    whole: bool = True
    """Whether a step that fails leaves the parts as they were: one update a step does, several don't."""


def train(training: Training, step: Callable[[int], Mapping[str, float]]) -> dict[str, list[float]]:
    """Run the steps that are left.

    Args:
        training: What is trained, and where its state lies.
        step: Does step number t (from 0) and returns what the curve shows; it must have "loss" or "score".

    Returns:
        The curve: "step" and one list for each series.

    Raises:
        EngineError: a loss, gradient or other value that is NaN or infinite; the last good state is in the folder.
    """
    curve = Curve(every=max(1, training.steps // _POINTS))
    start, before = _resume(training, curve)
    spent = before - time.process_time()
    kept = time.monotonic()
    for t in range(start, training.steps):
        try:
            values = step(t)
            if bad := [name for name, value in values.items() if not math.isfinite(value)]:
                raise FloatingPointError(f"its {bad[0]} is {values[bad[0]]}")
        except FloatingPointError as error:
            if training.whole:
                _keep(training, curve, t, spent)
            raise EngineError(
                f"training '{training.node}' diverged: {error} at step {t + 1} of {training.steps}. "
                f"{_kept(training)}. Lower its rate: --set {training.node}.lr=…"
            ) from error
        curve.add(t + 1, t + 1 == training.steps, values)
        training.watch(t + 1, training.steps)
        if time.monotonic() - kept > _KEEP_EVERY and t + 1 < training.steps:
            _keep(training, curve, t + 1, spent)
            kept = time.monotonic()
    return curve.series


def seconds_before(folder: Path) -> float:
    """Processor-seconds that went into the state that a killed training left; 0 without one."""
    import torch

    try:
        return float(torch.load(folder / STATE, weights_only=True)["seconds"])
    except Exception:  # no state, or a damaged one, which `train` names
        return 0.0


def _keep(training: Training, curve: Curve, step: int, spent: float) -> None:
    import torch

    state = {name: part.state_dict() for name, part in training.parts.items()}
    seconds = spent + time.process_time()
    whole = {"step": step, "seconds": seconds, "state": state, "curve": [curve.series, curve._sums, curve._count]}
    temporary = training.folder / f"{STATE}.{os.getpid()}"
    torch.save(whole, temporary)
    temporary.replace(training.folder / STATE)


def _kept(training: Training) -> str:
    """What is said of the state that a stop leaves."""
    import torch

    path = training.folder / STATE
    if not path.is_file():
        return f"No state was kept yet (one is every {_KEEP_EVERY:.0f} seconds)"
    return f"The last good state (after step {torch.load(path, weights_only=True)['step']}) is {path}"


def _resume(training: Training, curve: Curve) -> tuple[int, float]:
    """The step to begin with, and the processor-seconds that went into what is there."""
    import torch

    path = training.folder / STATE
    if not path.is_file():
        return 0, 0.0
    try:
        whole = torch.load(path, weights_only=True)
        for name, part in training.parts.items():
            part.load_state_dict(whole["state"][name])
        curve.series, curve._sums, curve._count = whole["curve"]
        return int(whole["step"]), float(whole["seconds"])
    except Exception as error:  # torch raises many kinds for a damaged file, with advice that is none here
        raise BadFileError(f"{path} is damaged; delete it, and the training starts anew") from error


def rate(step: int, steps: int, *, warmup: float, cooldown: float) -> float:
    """Share of the learning rate at a step: rises, holds, falls linearly to 2 % (a trapezoid)."""
    rising = max(1, round(steps * warmup))
    if step < rising:
        return (step + 1) / rising
    falling = round(steps * cooldown)
    left = steps - step
    return max(0.02, left / falling) if left < falling else 1.0


def optimisers(model: Any, *, kind: str, lr: float, matrix_lr: float, weight_decay: float) -> dict[str, Any]:
    """AdamW for everything, or Muon (Jordan et al. 2024) for the layers' matrices and AdamW for the rest."""
    import torch

    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = [p for name, p in named if p.ndim == 2 and ".layers." in name]
    others = [p for name, p in named if not (p.ndim == 2 and ".layers." in name)]
    if kind == "muon":
        muon = torch.optim.Muon(matrices, lr=matrix_lr, weight_decay=0.01, momentum=0.95, nesterov=True)
        rest = torch.optim.AdamW(others, lr=lr, weight_decay=0.0, betas=(0.9, 0.95), fused=True)
        return {"muon": muon, "adamw": rest}
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return {"adamw": torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), fused=True)}


def set_rate(parts: Mapping[str, Any], share: float, rates: Mapping[str, float]) -> None:
    """Give each optimiser its rate times `share`."""
    for name, optimiser in parts.items():
        for group in optimiser.param_groups:
            group["lr"] = rates[name] * share


def update(model: Any, optimiser: Mapping[str, Any], loss: Any, clip: float) -> None:
    """One step down the gradient, its norm at most `clip`.

    Raises:
        FloatingPointError: a loss or gradient that is NaN or infinite; the weights are as they were.
    """
    import torch

    if not math.isfinite(loss.item()):
        raise FloatingPointError(f"its loss is {loss.item()}")
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    if not math.isfinite(norm.item()):
        raise FloatingPointError(f"the norm of its gradient is {norm.item()}")
    for one in optimiser.values():
        one.step()
    model.zero_grad(set_to_none=True)


def autocast(model: Any) -> Any:
    """bfloat16 activations over float32 weights, on CPU and GPU alike."""
    import torch

    return torch.autocast(model.device.type, dtype=torch.bfloat16)
