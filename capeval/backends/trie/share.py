"""Can a model's keys be shared? Asked once, when it is loaded, by trying it against the model's own forward.

What is known to fail is refused by its configuration; whatever passes must give the same log-probabilities and go on
with the same tokens, on a small tree that uses a trunk, branches of several lengths, and steps.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from capeval.backends.trie.attention import running
from capeval.backends.trie.budget import Budget
from capeval.backends.trie.errors import NotShareable
from capeval.backends.trie.forest import FLAT, NO_TRUNK, Share, cut, grow
from capeval.backends.trie.forward import Counts, Forward
from capeval.backends.trie.keys import Trunk
from capeval.backends.trie.passes import RowsPass
from capeval.backends.trie.pick import Style
from capeval.backends.trie.stops import Stops
from capeval.backends.trie.write import Ask, Manner, write

_LAYERS = frozenset({"full_attention", "sliding_attention"})
_STRETCHED = frozenset({"dynamic", "longrope"})
"""Rotary positions that depend on the longest prompt of a batch."""
_TOLERANCE = {"float64": 1e-6, "float32": 1e-3}
"""Of logits. Half precision, whose own sums differ from batch to batch, is held to `_NEAR` alone."""
_NEAR = 0.25
"""Of what the logits change when the trunk is not read: so near must they come to the model's own."""
_HEAD, _STEPS = 12, 3


def try_sharing(model: Any, name: str, vocabulary: int) -> Forward | str:
    """A forward that shares keys, or why this model's can't be: the end of a sentence that begins with its name.

    Args:
        model: A loaded decoder-only transformers model; it keeps its own attention when it can't share.
        name: What the user called the checkpoint.
        vocabulary: Token ids that it has embeddings for.
    """
    import torch

    reasons = []
    try:
        _check_configuration(model)
        for fused in (True, False):  # torch's fused kernels don't know every shape, device and version
            forward = Forward(model, name, fused)
            try:
                _check_layers(forward, vocabulary)
                _check_answers(forward, vocabulary)
                return replace(forward, counts=Counts())
            except (NotShareable, torch.cuda.OutOfMemoryError):
                raise
            except Exception as error:  # whatever kernels and a model's code do with what they don't expect
                reasons.append(f"its forward fails on packed tokens ({type(error).__name__})")
            finally:
                forward.plainly()
    except NotShareable as error:
        reasons.append(str(error))
    return reasons[0]


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
    """Logits behind a trunk and within a tree, and greedy steps, against one prompt after another."""
    import random

    draw = random.Random(0)
    head, *tails = ([draw.randrange(vocabulary) for _ in range(n)] for n in (_HEAD, 3, 7, 5))
    contexts = [head + tail for tail in tails]
    asks = [Ask(ids=ids) for ids in contexts]
    # a model's own settings for generation are looked at when it generates
    manner = Manner(style=Style([], False, False), stops=Stops(None, []), ends=frozenset(), room=_STEPS)
    budget = Budget(tokens=1 << 12)
    written = dict(pair for batch in write(forward, asks, manner, budget, Share(4, 2)) for pair in batch)
    sequences = [(ids + written[number])[:-1] for number, ids in enumerate(contexts)]
    as_trunk, as_tree = (_ours(forward, sequences, flat) for flat in (0, FLAT))
    model = forward.plainly()
    wanted = [_own(model, ids) for ids in sequences]
    # what a token would be followed by if nothing of the head were read
    blind = [_own(model, ids[_HEAD:]) for ids in sequences]
    near = min(_NEAR * float((w[-1] - b[-1]).std()) for w, b in zip(wanted, blind, strict=True))
    near = min(near, _TOLERANCE.get(str(model.dtype).removeprefix("torch."), near))
    for number, own in enumerate(wanted):
        for ours in (as_trunk[number], as_tree[number]):
            if not float((ours - own[-1]).std()) <= near:
                raise NotShareable("shared keys give it other log-probabilities")
        steps = zip(own[-_STEPS:], written[number], strict=True)
        if any(not float(row.max() - row[token]) <= 4 * near for row, token in steps):
            raise NotShareable("it goes on with other tokens when keys are shared")


def _ours(forward: Forward, sequences: Sequence[Sequence[int]], flat: int) -> list[Any]:
    """Logits behind each sequence, (vocabulary)."""
    forest = grow(sequences, [1] * len(sequences))
    trunks: dict[int, Trunk | None] = {NO_TRUNK: None}
    found: dict[int, Any] = {}
    for piece in cut(forest, flat):
        trunk = trunks[piece.continues]
        made = Trunk(length=len(piece) + (trunk.length if trunk else 0), parent=trunk)
        work = RowsPass([piece], forward.model.device, trunk, made)
        logits = forward.read(work, [piece], range(len(piece)))
        found |= dict(zip(piece.places.tolist(), logits.float(), strict=True))
        trunks[piece.makes] = trunks[piece.makes] if piece.makes == NO_TRUNK else made
    return [found[int(tail[0])] for tail in forest.tails]


def _own(model: Any, ids: Sequence[int]) -> Any:
    """Logits of a sequence, (tokens, vocabulary)."""
    import torch

    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0].float()
