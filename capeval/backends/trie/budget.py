"""How much one batch may hold: memory is measured once per model, and halved when it is too small all the same."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from capeval.backends.trie.forest import cut, grow
from capeval.backends.trie.forward import Forward
from capeval.backends.trie.keys import Trunk
from capeval.backends.trie.passes import RowsPass
from capeval.errors import EngineError

Item = TypeVar("Item")
Found = TypeVar("Found")
_LOG = logging.getLogger("capeval")
_TOKENS = {"cpu": 2_048, "cuda": 16_384}
"""Tokens of one pass beyond which it gets no faster (`python -m benchmarks.attention`; a GPU's is not measured)."""
_ROWS = {"cpu": 256, "cuda": 1_024}
"""Answers side by side, likewise."""
_KEPT_BYTES = {"cpu": 1 << 30, "cuda": 1 << 40}
"""Of keys and values for answers; on a CPU more would only take memory from others."""
_SHARE = 0.4
"""Of the free memory that a batch may use, and as much for the keys and values of answers."""
_PROBE = 96
"""Tokens of a pass whose bytes are counted."""


@dataclass(slots=True)
class Attempt:
    """Whether memory was enough."""

    failed: bool = False


@dataclass(slots=True)
class Budget:
    """Of one batch, in tokens; a row of logits costs as many tokens as have its memory."""

    tokens: int
    logits: float = 1.0
    """Tokens that one row of logits costs."""
    rows: int = 64
    """Answers that grow side by side, at most."""
    kept: int = 1 << 20
    """Tokens whose keys and values may be kept for them."""

    def cost(self, tokens: int, logits: int) -> int:
        """Of a piece with so many tokens and rows of logits."""
        return tokens + int(logits * self.logits)

    def rows_of(self, capacity: int) -> int:
        """Answers that grow side by side when each may have so many tokens."""
        return max(1, min(self.rows, self.kept // max(1, capacity)))

    @contextmanager
    def halved_when_full(self, pieces: int) -> Iterator[Attempt]:
        """Try a batch; when the memory is too small, halve the budget, log it, and say so: the batch is cut again.

        Raises:
            EngineError: for a batch that can't be made smaller.
        """
        import torch

        attempt = Attempt()
        try:
            yield attempt
        except (torch.cuda.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not _is_full(error):
                raise
            if pieces < 2:
                raise EngineError(
                    "the memory is too small for this model and work: choose a smaller model, or --dtype bfloat16"
                ) from error
            self.tokens, attempt.failed = max(1, self.tokens // 2), True
            _LOG.warning("the memory is too small for a batch: it goes on with batches of half the size")
        if attempt.failed and torch.cuda.is_available():
            torch.cuda.empty_cache()


def in_halves(batch: Sequence[Item], work: Callable[[Sequence[Item]], list[Found]], budget: Budget) -> list[Found]:
    """What work finds for a batch; when the memory is too small, for its halves, one after the other.

    Raises:
        EngineError: for a single item that is too much.
    """
    with budget.halved_when_full(len(batch)) as attempt:
        found = work(batch)
    if attempt.failed:
        half = len(batch) // 2
        return in_halves(batch[:half], work, budget) + in_halves(batch[half:], work, budget)
    return found


def measure(forward: Forward, vocabulary: int, window: int, asked: int = 0) -> Budget:
    """What a model's batches may hold on this machine: bytes per token are counted in two small passes.

    Counting every tensor that is made and dropped is the same on any device, and the same in every run, so that
    batches are; a share of the free memory bounds them only where memory is short.

    Args:
        forward: The model.
        vocabulary: Token ids that it has embeddings for.
        window: Tokens that it can read, 2 at least.
        asked: Tokens of one batch; 0: chosen here.
    """
    device = forward.model.device
    longer = min(_PROBE, window)
    shorter = max(1, longer // 3)
    peaks, kept, width = [], 0, 0
    for n in (shorter, longer):
        forest = grow([[i % vocabulary for i in range(n)]], [1])
        pieces = cut(forest)
        trunk = Trunk(length=n)
        work = RowsPass(pieces, device, into=trunk)
        with counting() as bytes_:
            width = forward.read(work, pieces, [0]).shape[-1]
        peaks.append(bytes_.peak)
        kept = sum(t.nbytes for t in (*trunk.keys, *trunk.values)) // n
    forward.counts.forwarded -= shorter + longer
    per_token = max(1, (peaks[1] - peaks[0]) // (longer - shorter))
    free = int(_free(device) * _SHARE)
    kind = device.type if device.type in _TOKENS else "cuda"
    return Budget(
        tokens=max(1, min(asked or _TOKENS[kind], free // per_token)),
        logits=4 * width / per_token,  # a row as float32; they are summed a few at a time
        rows=_ROWS[kind],
        kept=max(1, min(_KEPT_BYTES[kind], free) // max(1, kept)),
    )


@dataclass(slots=True)
class _Bytes:
    now: int = 0
    peak: int = 0

    def add(self, size: int) -> None:
        self.now += size
        self.peak = max(self.peak, self.now)


@contextmanager
def counting() -> Iterator[_Bytes]:
    """Bytes of all tensors that are made inside, as long as they live."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    found = _Bytes()
    known: set[int] = set()

    class Counting(TorchDispatchMode):  # type: ignore[misc]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            for tensor in tree_leaves(out):
                if not isinstance(tensor, torch.Tensor):
                    continue
                storage = tensor.untyped_storage()
                if storage._cdata not in known:
                    known.add(storage._cdata)
                    found.add(storage.nbytes())
                    weakref.finalize(storage, _forget, storage._cdata, storage.nbytes())
            return out

    def _forget(key: int, size: int) -> None:
        known.discard(key)
        found.add(-size)

    with Counting():
        yield found


def _is_full(error: BaseException) -> bool:
    """torch has a class of errors for a full GPU, but not for all that asks for its memory, nor for a full machine."""
    import torch

    said = ("can't allocate memory", "out of memory", "STATUS_ALLOC_FAILED")
    return isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)) or any(words in str(error) for words in said)


def _free(device: Any) -> int:
    """Bytes that nobody uses."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) * 1024
    except (OSError, StopIteration):
        return 4 << 30
