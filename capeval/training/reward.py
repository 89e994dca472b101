"""A reward model: a language model with a scalar head at an answer's last token, trained on ranked answers.

All pairs of a prompt stand in one element of the batch, as in Ouyang et al. 2022 (arXiv 2203.02155), equation 1: apart,
the same answer would be learnt from K − 1 times in an epoch, and the model overfits.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from capeval.errors import BadFileError, MissingError, UsageError
from capeval.store.files import write_text
from capeval.training.attention import fast_attention
from capeval.training.data import Encoder, Labelled, Lines, Source, source, step_rng
from capeval.training.fit import PretrainingTerm
from capeval.training.loop import Training, autocast, optimisers, rate, set_rate, train, update
from capeval.training.nodes import REWARD_HEAD, Job, Outcome, load
from capeval.training.recipe import Reward
from capeval.training.sampling import Prompt, answer_ends, draw_prompt, longest_prompt, sample

RANKED = "answers.jsonl"
"""What was ranked, in the node's folder: one prompt a line, in the form that a recipe's `data` may name."""
_HELD_OUT, _MOST_HELD_OUT = 0.1, 200
"""Share of the prompts that training never sees, and the largest number of them."""
_HELD_OUT_ASKED = 4
"""Of these, how many each step is tried on; they take turns, so a point of the curve is a mean over many."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A prompt with its answers."""

    prompt: Prompt
    rows: list[list[int]]
    """Tokens of prompt and answer, for each answer."""
    scores: list[float]


@dataclass(slots=True)
class Scorer:
    """A model with a scalar head."""

    model: Any
    head: Any
    """Weights: hidden size."""

    def values(self, ids: Any, mask: Any) -> Any:
        """The head at every token: rows × tokens, float32. Rows are padded on the right."""
        with autocast(self.model):
            hidden = self.model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        return hidden.float() @ self.head

    def scores(self, ids: Any, mask: Any) -> Any:
        """The head at every row's last token."""
        last = mask.sum(1) - 1
        return self.values(ids, mask).gather(1, last[:, None])[:, 0]

    def named_parameters(self) -> list[tuple[str, Any]]:
        """Of the model and the head."""
        return [*self.model.named_parameters(), ("head", self.head)]

    def parameters(self) -> list[Any]:
        """Of the model and the head."""
        return [p for _, p in self.named_parameters()]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As a torch module's."""
        self.model.zero_grad(set_to_none=set_to_none)
        self.head.grad = None

    def state_dict(self) -> dict[str, Any]:
        """As a torch module's."""
        return {"model": self.model.state_dict(), "head": self.head.detach()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As a torch module's."""
        self.model.load_state_dict(state["model"])
        self.head.data.copy_(state["head"])


def train_reward(recipe: Reward, job: Job) -> Outcome:
    """Rank answers of the parent (or read ranked ones from a file) and learn to order them.

    Raises:
        EngineError: a diverging loss.
        BadFileError, MissingError, UsageError: data that can't be used, or in which no answer beats another.
    """
    import torch

    model, tokenizer = job.load()
    data, encoder = source(recipe.data, recipe.stage, job.home), Encoder(tokenizer)
    ends = answer_ends(model, tokenizer)
    ranked = _ranked(recipe, data, encoder, model, ends)
    _write(job.folder / RANKED, ranked, tokenizer)
    learnt, held_out = _split(ranked, recipe, job.node)
    scorer = Scorer(model, torch.nn.Parameter(torch.zeros(model.config.hidden_size, device=model.device)))
    own = optimisers(scorer, kind=recipe.optimizer, lr=recipe.lr, matrix_lr=recipe.matrix_lr, weight_decay=0.0)
    rates = {"adamw": recipe.lr, "muon": recipe.matrix_lr}
    pages = PretrainingTerm.of(recipe, recipe.steps, encoder, job.home)

    def step(t: int) -> Mapping[str, float]:
        set_rate(own, rate(t, recipe.steps, warmup=0.03, cooldown=1.0), rates)
        rows = step_rng(recipe.seed, t, "reward").sample(learnt, min(recipe.batch, len(learnt)))
        loss, accuracy = pairwise_loss(*_scored(scorer, rows))
        values = {"loss": loss.item(), "accuracy": accuracy.item()}
        if pages:
            ptx = pages.loss(model, t)
            values["loss_ptx"] = ptx.item()
            loss = loss + recipe.gamma * ptx
        update(scorer, own, loss, recipe.clip)
        if apart := [held_out[(t * _HELD_OUT_ASKED + n) % len(held_out)] for n in range(_HELD_OUT_ASKED) if held_out]:
            with torch.no_grad():
                values["held_out_accuracy"] = pairwise_loss(*_scored(scorer, apart))[1].item()
        return values

    training = Training(
        node=job.node, steps=recipe.steps, parts={"model": scorer, **own}, folder=job.folder, watch=job.watch
    )
    with fast_attention(model):
        curves = train(training, step)
    tokens = recipe.steps * recipe.batch * sum(len(row) for one in learnt for row in one.rows) // len(learnt)
    tokens += pages.tokens if pages else 0
    read = (data, pages.data) if pages else (data,)
    return Outcome(model=model, tokenizer=tokenizer, curves=curves, tokens=tokens, data=read, head=scorer.head)


def load_reward(folder: Path) -> Scorer:
    """A trained reward model.

    Raises:
        MissingError: the node isn't built, or is no reward model.
        BadFileError: files that can't be read.
    """
    import torch
    from safetensors.torch import load_file

    model, _ = load(folder)
    path = folder / REWARD_HEAD
    if not path.is_file():
        raise MissingError(f"{folder} holds no {REWARD_HEAD}: 'reward' must name a node of stage reward")
    try:
        weights = load_file(path)["weight"]
    except Exception as error:  # safetensors raises its own kind, a missing key another
        raise BadFileError(f"{path} can't be read: {error}") from error
    if weights.shape != (model.config.hidden_size,):
        raise BadFileError(
            f"{path} holds {tuple(weights.shape)} weights; the model needs ({model.config.hidden_size},)"
        )
    return Scorer(model, torch.nn.Parameter(weights.float().to(model.device)))


def pairwise_loss(scores: Any, ranks: Any) -> tuple[Any, Any]:
    """−log σ(score of the better − score of the worse), meant over a prompt's pairs, then over prompts.

    Args:
        scores: prompts × K, what the model says.
        ranks: prompts × K, what the labeller says; the higher, the better. Equal ones make no pair, nor does NaN, which
            stands for an answer that is not there.

    Returns:
        The loss, and the share of pairs that the model orders right; both 0 when there is no pair.

    Source: Ouyang et al. 2022 (arXiv 2203.02155), equation 1.
    """
    import torch

    better = (ranks[:, :, None] > ranks[:, None, :]).float()
    margin = scores[:, :, None] - scores[:, None, :]
    pairs = better.sum((1, 2))
    of_prompts = (-torch.nn.functional.logsigmoid(margin) * better).sum((1, 2)) / pairs.clamp(min=1)
    loss = of_prompts.sum() / (pairs > 0).sum().clamp(min=1)
    right = ((margin > 0).float() * better).sum() / better.sum().clamp(min=1)
    return loss, right


def right_padded(rows: Sequence[Sequence[int]], device: Any) -> tuple[Any, Any]:
    """Token ids and mask: rows × the longest row."""
    import torch

    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
    return ids, mask


def judge_of(data: Source) -> Callable[[Any, str], float] | None:
    """The labeller of the data, if it has one."""
    return cast(Labelled, data).judge if hasattr(data, "judge") else None


def _ranked(recipe: Reward, data: Source, encoder: Encoder, model: Any, ends: Sequence[int]) -> list[Ranked]:
    longest = longest_prompt(model, recipe.max_new_tokens)
    if isinstance(data, Lines):
        return _ranked_lines(recipe, data, encoder, longest, encoder.turn_end(ends))
    if not hasattr(data, "judge"):
        raise UsageError(f"'{data.name}' has no labeller, so its answers can't be ranked")
    labelled = cast(Labelled, data)
    prompts = [
        draw_prompt(data, encoder, step_rng(recipe.seed, n, recipe.data), longest, n / recipe.prompts)
        for n in range(recipe.prompts)
    ]
    extra = [list(labelled.canned(prompt.document)) for prompt in prompts]
    counts = [max(0, recipe.answers - len(one)) for one in extra]
    asked = [prompt.ids for prompt, count in zip(prompts, counts, strict=True) for _ in range(count)]
    said = sample(
        model, asked, max_new_tokens=recipe.max_new_tokens, temperature=recipe.temperature, ends=ends, seed=recipe.seed
    )
    found, place, end = [], 0, encoder.turn_end(ends)
    for prompt, canned, count in zip(prompts, extra, counts, strict=True):
        own = [answer.tokens for answer in said[place : place + count]]
        place += count
        own += [[*encoder.tokenizer.encode(text, add_special_tokens=False), end] for text in canned]
        texts = [encoder.tokenizer.decode(tokens, skip_special_tokens=True) for tokens in own]
        scores = [labelled.judge(prompt.document, text) for text in texts]
        found.append(Ranked(prompt, [[*prompt.ids, *tokens] for tokens in own], scores))
    return found


def _ranked_lines(recipe: Reward, data: Lines, encoder: Encoder, longest: int, end: int) -> list[Ranked]:
    """A file's own answers; every line at most once."""
    chosen = random.Random(recipe.seed).sample(data.documents, min(recipe.prompts, len(data.documents)))
    found = []
    for document in chosen:
        prompt = Prompt(document, encoder.prompt(document["messages"]))
        answers = [[*encoder.tokenizer.encode(text, add_special_tokens=False), end] for text in document["answers"]]
        if len(prompt.ids) + max(map(len, answers)) <= longest + recipe.max_new_tokens:
            found.append(Ranked(prompt, [[*prompt.ids, *answer] for answer in answers], list(document["scores"])))
    return found


def _split(ranked: Sequence[Ranked], recipe: Reward, node: str) -> tuple[list[Ranked], list[Ranked]]:
    """Those to learn from and those held out: no prompt is in both."""
    useful = [one for one in ranked if len(set(one.scores)) > 1]
    if not useful:
        raise BadFileError(
            f"node '{node}': no answer is better than another for any of the {len(ranked)} prompts of "
            f"'{recipe.data}', so there is nothing to learn"
        )
    distinct = list(dict.fromkeys(tuple(one.prompt.ids) for one in useful))
    random.Random(f"{recipe.seed} held out").shuffle(distinct)
    apart = set(distinct[: min(_MOST_HELD_OUT, int(len(distinct) * _HELD_OUT))])
    learnt = [one for one in useful if tuple(one.prompt.ids) not in apart]
    return learnt, [one for one in useful if tuple(one.prompt.ids) in apart]


def _scored(scorer: Scorer, ranked: Sequence[Ranked]) -> tuple[Any, Any]:
    """The model's scores and the labeller's, prompts × K; answers that a prompt lacks have 0 and NaN."""
    import torch

    device = scorer.head.device
    said = scorer.scores(*right_padded([row for one in ranked for row in one.rows], device))
    width = max(len(one.rows) for one in ranked)
    places = torch.tensor([n * width + k for n, one in enumerate(ranked) for k in range(len(one.rows))], device=device)
    scores = said.new_zeros(len(ranked) * width).index_put((places,), said)
    ranks = torch.full((len(ranked) * width,), float("nan"), device=device)
    ranks[places] = torch.tensor([float(score) for one in ranked for score in one.scores], device=device)
    return scores.view(len(ranked), width), ranks.view(len(ranked), width)


def _write(path: Path, ranked: Sequence[Ranked], tokenizer: Any) -> None:
    lines = []
    for one in ranked:
        start = len(one.prompt.ids)
        answers = [tokenizer.decode(row[start:], skip_special_tokens=True) for row in one.rows]
        document = {"messages": one.prompt.document["messages"], "answers": answers, "scores": one.scores}
        lines.append(json.dumps(document, ensure_ascii=False))
    write_text(path, "\n".join(lines) + "\n")
