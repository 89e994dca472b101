"""Can a model's keys be shared? Asked once, when it is loaded, by trying it against the model's own forward.

What is known to fail is refused by its configuration; whatever passes must give the same log-probabilities and go on
with the same tokens, on a small tree that uses a trunk, branches of several lengths, and steps.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from capeval.backends.trie.attention import running
from capeval.backends.trie.budget import Budget
from capeval.backends.trie.errors import NotShareable
from capeval.backends.trie.forest import cut, grow
from capeval.backends.trie.forward import Forward, plainly
from capeval.backends.trie.passes import RowsPass
from capeval.backends.trie.pick import style_of
from capeval.backends.trie.score import score
from capeval.backends.trie.stops import Stops
from capeval.backends.trie.write import Ask, Manner, write

_LAYERS = frozenset({"full_attention", "sliding_attention"})
_STRETCHED = frozenset({"dynamic", "longrope"})
"""Rotary positions that depend on the longest prompt of a batch."""
_TOLERANCE = {"float64": 1e-6, "float32": 1e-3}
_COARSE = 0.5
"""For half precision, whose own sums differ that much between batches."""
_HEAD, _STEPS = 12, 3


def try_sharing(model: Any, name: str, vocabulary: int) -> Forward | str:
    """A forward that shares keys, or why this model's can't be: the end of a sentence that begins with its name.

    Args:
        model: A loaded decoder-only transformers model; it keeps its own attention when it can't share.
        name: What the user called the checkpoint.
        vocabulary: Token ids that it has embeddings for.
    """
    reason = ""
    for fused in (True, False):  # torch's fused kernels don't know every shape, device and version
        forward = Forward(model, name, fused)
        try:
            _check_configuration(model)
            _check_layers(forward, vocabulary)
            _check_answers(forward, vocabulary)
            return Forward(model, name, fused)
        except NotShareable as error:
            reason = str(error)
        except Exception as error:  # whatever a model's code does with what it does not expect
            reason = f"its forward fails on packed tokens ({type(error).__name__})"
    plainly(model)
    return reason


def _check_configuration(model: Any) -> None:
    config = model.config.get_text_config()
    missing = {"position_ids", "logits_to_keep"} - inspect.signature(model.forward).parameters.keys()
    if missing:
        raise NotShareable(f"its forward takes no {' and no '.join(sorted(missing))}")
    other = set(getattr(config, "layer_types", None) or ()) - _LAYERS
    if other:
        raise NotShareable(f"it has layers of the kind {', '.join(sorted(other))}")
    if stretched := _STRETCHED & set(_values(config.to_dict(), ("rope_type", "type"))):
        raise NotShareable(f"its positions ({', '.join(sorted(stretched))}) depend on the longest prompt of a batch")


def _values(config: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    """Everything of these names, however deep."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _values(value, names)
        elif name in names and isinstance(value, str):
            yield value


class _Watching:
    """A pass that passes on, and notes what layers ask for."""

    def __init__(self, work: Any) -> None:
        self._work, self.windows = work, set[int | None]()

    def attend(self, layer: int, q: Any, k: Any, v: Any, rules: Any) -> Any:
        self.windows.add(rules.window)
        return self._work.attend(layer, q, k, v, rules)


def _check_layers(forward: Forward, vocabulary: int) -> None:
    """Every layer must come through the registered attention, and say its window when it has one."""
    import torch

    model = forward.model
    config = model.config.get_text_config()
    forest = grow([[1 % vocabulary, 2 % vocabulary]], [1])
    pieces = cut(forest)
    watching = _Watching(RowsPass(pieces, model.device))
    arrays = (pieces[0].tokens, pieces[0].depths)
    ids, positions = (torch.from_numpy(a.astype("int64")).to(model.device) for a in arrays)
    forward.prepare()
    with torch.inference_mode(), running(watching, forward.fused) as seen:
        model(input_ids=ids[None], position_ids=positions[None], use_cache=False)
    if seen.layers != config.num_hidden_layers:
        raise NotShareable("its layers have an attention of their own, or none")
    sliding = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    if sliding and watching.windows == {None}:
        raise NotShareable("its attention does not say how far back it reads")


def _check_answers(forward: Forward, vocabulary: int) -> None:
    """Log-probabilities of branches behind a trunk, and greedy steps, against one prompt after another."""
    import random

    draw = random.Random(0)

    def some(n: int) -> list[int]:
        return [draw.randrange(vocabulary) for _ in range(n)]

    head = some(_HEAD)
    contexts = [head + some(n) for n in (3, 7, 5)]
    targets = [some(n) for n in (1, 3) for _ in contexts]
    inputs = [(c + t)[:-1] for c, t in zip([*contexts, *contexts], targets, strict=True)]
    budget = Budget(tokens=1 << 12)
    got = dict(p for b in score(forward, inputs, targets, budget, range(6), flat=0) for p in b)
    style = style_of(forward.model, {"do_sample": False, "num_beams": 1, "repetition_penalty": 1.0})
    if style is None or style.remembers:
        raise NotShareable("its generation settings are beyond this engine")
    asks = [Ask(ids=ids) for ids in contexts]
    manner = Manner(style=style, stops=Stops(None, []), ends=frozenset(), room=_STEPS)
    written = dict(p for b in write(forward, asks, manner, budget, (4, 2)) for p in b)
    plainly(forward.model)
    dtype = str(forward.model.dtype).removeprefix("torch.")
    tolerance = _TOLERANCE.get(dtype, _COARSE)
    for number, (ids, target) in enumerate(zip(inputs, targets, strict=True)):
        logprobs = _own(forward.model, ids)[-len(target) :]
        wanted = sum(float(logprobs[i, token]) for i, token in enumerate(target))
        if not abs(wanted - got[number].logprob) <= tolerance * len(target):
            raise NotShareable("shared keys give it other log-probabilities")
    for number, ids in enumerate(contexts):
        logprobs = _own(forward.model, (ids + written[number])[:-1])[-_STEPS:]
        if any(float(row.max() - row[token]) > tolerance for row, token in zip(logprobs, written[number], strict=True)):
            raise NotShareable("it goes on with other tokens when keys are shared")


def _own(model: Any, ids: Sequence[int]) -> Any:
    import torch

    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0]
        return logits.float().log_softmax(-1)
