"""What is done to a parent to make a node: one frozen type for each stage, read strictly from a tree file.

>>> recipe({"stage": "sft", "data": "lab/sft", "steps": 300, "lr": 6e-4}).batch
8

A tree file writes a stage's recipe under its `recipe` key; `capeval train TREE --set sft.steps=100` overrides one
field. Data is named by a generator (`lab/sft`) or by the path of a JSONL file; `data.py` says what its lines hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, ClassVar, Literal, get_args, get_type_hints

from capeval import strict
from capeval.errors import BadFileError

LISTING = "capeval train --help"
Optimizer = Literal["adamw", "muon"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Init:
    """New random weights: the root of a tree that is trained from scratch."""

    stage: ClassVar[str] = "init"
    tokenizer: str
    """Generator of a tokenizer (`lab`), or a folder that holds one."""
    model: Mapping[str, Any]
    """Fields of transformers' LlamaConfig: hidden_size, num_hidden_layers, num_attention_heads, intermediate_size …"""
    embedding_std: float = 0.5
    """Standard deviation of the embeddings; heads and output projections start at zero."""
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A checkpoint that is there already: a stage with a `uri` and no recipe, from which others are trained."""

    stage: ClassVar[str] = "given"
    uri: str
    """Its folder."""
    seed: int = 0
    """Means nothing here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Next-token training on documents (`language-model`) or on the answers of conversations (`sft`)."""

    stage: ClassVar[str] = "language-model"
    data: str
    """Generator or JSONL file."""
    steps: int
    """Updates of the weights."""
    batch: int = 8
    """Rows of an update."""
    context: int = 256
    """Tokens of a row; documents are packed."""
    optimizer: Optimizer = "adamw"
    lr: float = 1e-3
    """Of AdamW; with Muon, of embeddings, head and norms."""
    matrix_lr: float = 0.01
    """Of Muon, for the matrices of the layers."""
    warmup: float = 0.03
    """Share of the steps over which the rate rises."""
    cooldown: float = 1.0
    """Share of the steps, at the end, over which it falls to 2 %."""
    weight_decay: float = 0.05
    clip: float = 1.0
    """Largest norm of the gradient."""
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tune(Fit):
    """Supervised fine-tuning: the loss counts the assistant's tokens only."""

    stage: ClassVar[str] = "sft"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """A reward model: the parent with a scalar head, trained on ranked answers, a prompt's pairs in one element."""

    stage: ClassVar[str] = "reward"
    data: str
    """Prompts; a generator with a labeller, or a JSONL file whose lines hold ranked answers."""
    prompts: int = 2000
    """How many prompts are ranked."""
    answers: int = 6
    """K: answers ranked for each prompt, the generator's canned ones among them."""
    steps: int = 140
    batch: int = 24
    """Prompts of an update."""
    optimizer: Optimizer = "adamw"
    lr: float = 3e-4
    """Of AdamW; with Muon, of embeddings, head and norms."""
    matrix_lr: float = 0.003
    """Of Muon, for the matrices of the layers."""
    temperature: float = 1.0
    """Of the parent's sampled answers."""
    max_new_tokens: int = 16
    gamma: float = 0.0
    """Weight of a language-model loss on pretraining documents, so that the judge does not forget what it knew."""
    ptx_data: str = ""
    """Documents of that loss."""
    ptx_batch: int = 4
    context: int = 256
    """Tokens of a row of them."""
    clip: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ppo:
    """Proximal policy optimisation against a reward model, with the InstructGPT objective.

    Ouyang et al. 2022 (arXiv 2203.02155), equation 2: reward − beta · KL to the parent, plus gamma · language-model
    log-likelihood of pretraining documents.
    """

    stage: ClassVar[str] = "ppo"
    data: str
    """Prompts."""
    reward: str
    """The node of the reward model."""
    steps: int
    """Iterations: so many times answers are sampled and learnt from."""
    batch: int = 128
    """Answers of an iteration."""
    epochs: int = 2
    """Passes over the answers of an iteration."""
    minibatch: int = 64
    lr: float = 2e-4
    value_lr: float = 5e-4
    beta: float = 0.15
    """Weight of the KL penalty, per token."""
    gamma: float = 0.0
    """Weight of the pretraining term; 0 is PPO, above 0 is PPO-ptx."""
    ptx_data: str = ""
    """Documents of the pretraining term."""
    ptx_batch: int = 4
    context: int = 256
    """Tokens of a row of the pretraining term."""
    clip_range: float = 0.2
    """Of the policy's ratio and of the value."""
    lam: float = 0.95
    """λ of generalised advantage estimation; rewards are not discounted."""
    temperature: float = 1.0
    max_new_tokens: int = 14
    clip: float = 1.0
    seed: int = 0


Recipe = Init | Given | Fit | Tune | Reward | Ppo
RECIPES: dict[str, type[Recipe]] = {kind.stage: kind for kind in (Init, Fit, Tune, Reward, Ppo)}


def recipe(data: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """Read one recipe.

    Args:
        data: Its fields, with `stage` among them.
        where: File and node, for messages.

    Raises:
        BadFileError: an unknown stage or field (with a did-you-mean), a field that is missing, of the wrong type or out
            of range.
    """
    kind = RECIPES[strict.one_of(data.get("stage"), RECIPES, f"{where}: stage")]
    given = {key: value for key, value in data.items() if key != "stage"}
    strict.refuse_unknown(given, {f.name for f in fields(kind)}, where, LISTING)
    if missing := [f.name for f in fields(kind) if f.default is MISSING and f.name not in given]:
        raise BadFileError(f"{where} (stage {kind.stage}) needs '{missing[0]}'")
    hints = get_type_hints(kind)
    if empty := [f.name for f in fields(kind) if f.default is MISSING and given.get(f.name, 0) in (None, "")
                 and hints[f.name] is str]:  # fmt: skip
        raise BadFileError(f"{where} (stage {kind.stage}): '{empty[0]}' is empty")
    made = kind(**{key: _value(value, hints[key], f"{where}: {key}") for key, value in given.items()})
    if isinstance(made, Ppo | Reward) and bool(made.gamma) != bool(made.ptx_data):
        raise BadFileError(f"{where}: 'gamma' and 'ptx_data' go together: a weight, and the documents that it weighs")
    return made


def as_mapping(made: Recipe) -> dict[str, Any]:
    """A recipe with every default spelled out, as JSON can hold it."""
    return {"stage": made.stage, **asdict(made)}


_MAY_BE_ZERO = ("seed", "gamma", "beta", "warmup", "cooldown", "weight_decay", "steps")
_SHARES = ("warmup", "cooldown", "lam", "clip_range")


def _value(value: Any, kind: Any, where: str) -> Any:
    name = where.rpartition(" ")[2]
    if kind in (int, float):
        found = strict.number(value, where)
        if found is None or (kind is int and found != int(found)):
            raise BadFileError(f"{where} must be a {'whole ' if kind is int else ''}number, not {value!r}")
        if found < 0 or (found == 0 and name not in _MAY_BE_ZERO):
            raise BadFileError(f"{where} must be above 0; it is {value}")
        if name in _SHARES and found > 1:
            raise BadFileError(f"{where} must lie between 0 and 1; it is {value}")
        return int(found) if kind is int else found
    if kind is str:
        return strict.text({name: value}, name, where)
    if get_args(kind) and all(isinstance(a, str) for a in get_args(kind)):
        return strict.one_of(value, get_args(kind), where)
    if not isinstance(value, Mapping):
        raise BadFileError(f"{where} must be a mapping (name: value), not {value!r}")
    return dict(value)
