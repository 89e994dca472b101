"""Next-token training: pretraining on documents, supervised fine-tuning on conversations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capeval.training.attention import fast_attention
from capeval.training.data import Encoder, Rows, Source, source
from capeval.training.loop import Training, autocast, optimisers, rate, set_rate, train, update
from capeval.training.nodes import Job, Outcome
from capeval.training.recipe import Fit, Ppo, Reward, Tune

IGNORED = -100
"""Target that cross_entropy does not count."""


def fit(recipe: Fit | Tune, job: Job) -> Outcome:
    """Train the parent's weights on the recipe's data; see `Training` for what a kill leaves.

    Raises:
        EngineError: a diverging loss.
        BadFileError, MissingError, UsageError: data that can't be used.
    """
    model, tokenizer = job.load()
    data, encoder = source(recipe.data, recipe.stage, job.home), Encoder(tokenizer)
    own = optimisers(
        model, kind=recipe.optimizer, lr=recipe.lr, matrix_lr=recipe.matrix_lr, weight_decay=recipe.weight_decay
    )
    rates = {"adamw": recipe.lr, "muon": recipe.matrix_lr}

    def step(t: int) -> Mapping[str, float]:
        share = rate(t, recipe.steps, warmup=recipe.warmup, cooldown=recipe.cooldown)
        set_rate(own, share, rates)
        loss = language_model_loss(model, encoder.rows(data, recipe, t))
        update(model, own, loss, recipe.clip)
        return {"loss": loss.item(), "lr": share * recipe.lr}

    training = Training(
        node=job.node, steps=recipe.steps, parts={"model": model, **own}, folder=job.folder, watch=job.watch
    )
    with fast_attention(model):
        curve = train(training, step)
    tokens = recipe.steps * recipe.batch * recipe.context
    return Outcome(model=model, tokenizer=tokenizer, curves=curve, tokens=tokens, data=(data,))


def language_model_loss(model: Any, rows: Rows) -> Any:
    """Mean cross-entropy of the counted tokens, in nats; the graph is kept for its gradient."""
    import torch

    ids = torch.tensor(rows.ids, device=model.device)
    counts = torch.tensor(rows.counts, device=model.device)
    targets = ids[:, 1:].masked_fill(~counts[:, 1:], IGNORED)
    with autocast(model):
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    logits = logits.float()
    return torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), ignore_index=IGNORED
    )


@dataclass(frozen=True, slots=True)
class PretrainingTerm:
    """gamma · language-model loss on pretraining documents, beside another objective (`Reward`, `Ppo`)."""

    gamma: float
    data: Source
    recipe: Fit
    encoder: Encoder

    @classmethod
    def of(cls, recipe: Reward | Ppo, updates: int, encoder: Encoder, home: Path | None) -> PretrainingTerm | None:
        """The term that a recipe asks for; None when its gamma is 0.

        Args:
            recipe: What names the documents.
            updates: How often the loss is computed in all.
            encoder: Of the model's tokenizer.
            home: Folder that a relative path is meant from.
        """
        if not recipe.gamma:
            return None
        rows = Fit(
            data=recipe.ptx_data, steps=updates, batch=recipe.ptx_batch, context=recipe.context, seed=recipe.seed
        )
        return cls(recipe.gamma, source(recipe.ptx_data, rows.stage, home), rows, encoder)

    @property
    def tokens(self) -> int:
        """Read in all."""
        return self.recipe.steps * self.recipe.batch * self.recipe.context

    def loss(self, model: Any, update: int) -> Any:
        """Of update number `update`, without its weight."""
        return language_model_loss(model, self.encoder.rows(self.data, self.recipe, update))
