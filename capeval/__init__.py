"""capeval: git-bisect for capabilities. Which training stage gave or took which capability?

Every verb of the command line is a function of the same name here: `capeval.trace("instructgpt").effects`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from capeval.builder import BuildOptions as BuildOptions
    from capeval.builder import train as train
    from capeval.errors import CapevalError as CapevalError
    from capeval.gating import gate as gate
    from capeval.harness.inventory import data as data
    from capeval.numerics import noise as noise
    from capeval.pipeline import trace_built as trace_built
    from capeval.planner import plan as plan
    from capeval.recordings import import_records as import_records
    from capeval.rereading import read_chains as read_chains
    from capeval.runner import run as run
    from capeval.store.runs import Run as Run
    from capeval.store.runs import load_run as load_run
    from capeval.store.traces import Trace as Trace
    from capeval.store.traces import load_trace as load_trace
    from capeval.tracer import claims as claims
    from capeval.tracer import compare as compare
    from capeval.tracer import trace as trace

# Looked up on first use, so that `import capeval` costs nothing and needs no torch.
_DOORS = {
    "BuildOptions": "capeval.builder",
    "CapevalError": "capeval.errors",
    "Run": "capeval.store.runs",
    "Trace": "capeval.store.traces",
    "claims": "capeval.tracer",
    "compare": "capeval.tracer",
    "data": "capeval.harness.inventory",
    "gate": "capeval.gating",
    "import_records": "capeval.recordings",
    "load_run": "capeval.store.runs",
    "load_trace": "capeval.store.traces",
    "noise": "capeval.numerics",
    "plan": "capeval.planner",
    "read_chains": "capeval.rereading",
    "run": "capeval.runner",
    "trace": "capeval.tracer",
    "trace_built": "capeval.pipeline",
    "train": "capeval.builder",
}

__all__ = [*sorted(_DOORS), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _DOORS:
        raise AttributeError(f"module 'capeval' has no attribute '{name}'")
    return getattr(import_module(_DOORS[name]), name)
