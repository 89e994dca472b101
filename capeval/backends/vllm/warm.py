"""The engine that is warm: at most one in this process, which siblings take over one after another."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capeval.backends.trie.errors import not_finite
from capeval.backends.vllm import swaps
from capeval.backends.vllm.messages import Canary, Failed, Load, Swap
from capeval.backends.vllm.process import Died, Process, Refused
from capeval.digest import digest
from capeval.errors import CapevalError, EngineError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A checkpoint and how it is to be run."""

    name: str
    """What the user called it, for messages."""
    folder: Path
    digest: str
    device: str
    """cpu or cuda."""
    rows: int
    scoring: str
    patience: float
    arguments: Mapping[str, Any]
    """Of `vllm.LLM`."""
    environment: Mapping[str, str]
    version: str

    @property
    def how(self) -> str:
        """Digest of all but which checkpoint it is."""
        rest = {name: value for name, value in self.arguments.items() if name != "model"}
        return digest(rest, dict(self.environment), self.scoring, self.version)


@dataclass(slots=True)
class Warm:
    """A process, the weights in it, and what happened to it."""

    process: Process
    wanted: Wanted
    signature: Mapping[str, str]
    canary: Canary
    told: Mapping[str, str]


@dataclass(slots=True)
class History:
    """Of all engines of this process."""

    starts: int = 0
    swaps: int = 0
    died: int = 0
    notes: list[str] = field(default_factory=list)
    """Why an engine was started although one was warm."""

    def note(self, why: str) -> None:
        """Say it once."""
        if why not in self.notes:
            self.notes.append(why)


_WARM: list[Warm] = []
HISTORY = History()


def engine_for(wanted: Wanted, proofs: swaps.Proofs | None = None) -> Warm:
    """The warm engine with these weights: as it is, after a swap, or fresh.

    Raises:
        UsageError: vLLM can't run this checkpoint.
        EngineError: it does not start: no memory, damaged weights.
    """
    warm = _WARM[0] if _WARM else None
    if warm and warm.process.running and warm.wanted.how == wanted.how:
        if warm.wanted.digest == wanted.digest:
            return warm
        if _swapped(warm, wanted, proofs or swaps.Proofs()):
            return _WARM[0]
    return fresh(wanted)


def fresh(wanted: Wanted) -> Warm:
    """A new engine; what else holds weights ends first, because both would not fit."""
    end()
    if wanted.device != "cpu" and (hf := sys.modules.get("capeval.backends.hf")):
        hf.forget()
    load = Load(dict(wanted.arguments), wanted.scoring, wanted.rows)
    try:
        process = Process(load, wanted.environment)
    except (Refused, Died) as error:
        raise said(error, wanted) from error
    HISTORY.starts += 1
    warm = Warm(process, wanted, swaps.signature(wanted.folder), process.done.canary, process.done.told)
    _WARM[:] = [warm]
    return warm


def end() -> None:
    """No engine is warm any more."""
    for warm in _WARM:
        warm.process.end()
    _WARM.clear()


def _swapped(warm: Warm, wanted: Wanted, proofs: swaps.Proofs) -> bool:
    """Put other weights into the engine; False: start a fresh one. Either way the notes say why."""
    theirs = swaps.signature(wanted.folder)
    if what := swaps.differing(warm.signature, theirs):
        HISTORY.note(f"{wanted.name} has an engine of its own: its {what} differ from {warm.wanted.name}'s")
        return False
    key = digest(wanted.how, dict(theirs))
    known = proofs.find(key)
    if known is False:
        HISTORY.note("every node has an engine of its own: weights can't be exchanged in place for this architecture")
        return False
    before = warm.canary
    try:
        # only CPU builds keep a packed copy of the head; a GPU's engine would have to be sent code for it
        repack = wanted.device == "cpu" and swaps.tied(wanted.folder)
        canary = warm.process.carry_out(Swap(str(wanted.folder), repack), wanted.patience).canary
    except (Refused, Died) as error:
        # this checkpoint's or this moment's fault: it says nothing of the architecture
        HISTORY.note(f"{wanted.name} has an engine of its own: vLLM did not take its weights over ({error})")
        return False
    if known is None:
        anew = fresh(wanted)
        right = swaps.equal(anew.canary, canary)
        if not right:
            HISTORY.note(
                "every node has an engine of its own: with exchanged weights this architecture gives other numbers "
                "than when they are loaded"
            )
        if not right or not swaps.equal(anew.canary, before):  # equal weights prove nothing
            proofs.remember(key, right)
            HISTORY.note("one engine more was started to prove, once for this architecture, that an exchange is exact")
        return True
    warm.wanted, warm.canary = wanted, canary
    HISTORY.swaps += 1
    return True


def said(error: Refused | Died, wanted: Wanted) -> CapevalError:
    """What a user is told when the engine fails."""
    if isinstance(error, Died):
        return EngineError(f"vLLM's process for {wanted.name} died: {error}")
    failed: Failed = error.failed
    if failed.fault == "nan":
        return not_finite(wanted.name)
    # a GPU's engine core is one process further away: only the log has its reason
    if failed.fault == "memory" or any(word in error.log for word in ("out of memory", "No available memory")):
        return EngineError(
            f"{wanted.name} does not fit: {failed.why}. Try --model-args max_model_len=4096, a smaller "
            "max_num_seqs, tensor_parallel_size=2, or gpu_memory_utilization=0.95"
        )
    if failed.fault == "scores":
        return EngineError(
            f"vLLM's prefix cache gives {wanted.name} other scores than a full evaluation ({failed.why}); nothing of "
            "this kind was kept. --model-args scoring=whole asks without the cache"
        )
    if failed.fault == "model" and ("not supported" in failed.why or "no vLLM implementation" in failed.why):
        return UsageError(f"vLLM {wanted.version} can't run {wanted.name}: {failed.why}. Use --backend hf")
    return EngineError(f"vLLM failed on {wanted.name}: {failed.why}\n{error.log}")
