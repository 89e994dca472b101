"""Proximal policy optimisation of a language model against a reward model, with the pretraining term of InstructGPT.

Schulman et al. 2017 (arXiv 1707.06347) for the clipped losses, Schulman et al. 2016 (arXiv 1506.02438) for the
advantages, Ouyang et al. 2022 (arXiv 2203.02155), equation 2 and appendix C.4, for what is maximised: the reward of an
answer − beta · KL to the parent, a token at a time, + gamma · log-likelihood of pretraining documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from capeval.training.attention import fast_attention
from capeval.training.data import Encoder, Source, source, step_rng
from capeval.training.fit import PretrainingTerm
from capeval.training.loop import Training, autocast, optimisers, set_rate, train, update
from capeval.training.nodes import Job, Outcome
from capeval.training.recipe import Ppo
from capeval.training.reward import Scorer, judge_of, load_reward, right_padded
from capeval.training.sampling import Answer, Prompt, answer_ends, draw_prompt, longest_prompt, sample

_NORMALISED_ON = 512
"""Answers of the parent whose mean reward becomes 0 and whose spread becomes 1."""
_UNFINISHED = 1.0
"""What an answer loses that was cut before its end, in the same units."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Answers of one iteration; every tensor is answers × (tokens − 1): place t is where token t + 1 is predicted."""

    ids: Any
    """answers × tokens."""
    mask: Any
    """answers × tokens: 1 where there is one."""
    said: Any
    """1.0 where the predicted token is the answer's."""
    old: Any
    """Log-probability of the predicted token when it was sampled."""
    values: Any
    """What the critic thought then."""
    advantages: Any
    """Whitened."""
    returns: Any

    def part(self, rows: Any) -> Batch:
        """Some of the answers."""
        names = ("ids", "mask", "said", "old", "values", "advantages", "returns")
        return Batch(*(getattr(self, name)[rows] for name in names))


def ppo(recipe: Ppo, job: Job) -> Outcome:
    """Sample answers, judge them, learn from them; again and again.

    Raises:
        EngineError: a diverging score or loss.
        BadFileError, MissingError, UsageError: data or a reward model that can't be used.
    """
    import torch

    if job.reward is None:
        raise ValueError("PPO needs the folder of its reward model")
    policy, tokenizer = job.load()
    reference, _ = job.load()
    judge, critic = load_reward(job.reward), load_reward(job.reward)
    rollout = _Rollout(recipe, source(recipe.data, recipe.stage, job.home), Encoder(tokenizer), reference, judge)
    pages = PretrainingTerm.of(recipe, recipe.steps * recipe.epochs, rollout.encoder, job.home)
    learning = {
        "policy": optimisers(policy, kind="adamw", lr=recipe.lr, matrix_lr=recipe.lr, weight_decay=0.0),
        "critic": optimisers(critic, kind="adamw", lr=recipe.value_lr, matrix_lr=recipe.value_lr, weight_decay=0.0),
    }
    set_rate(learning["policy"], 1.0, {"adamw": recipe.lr})
    set_rate(learning["critic"], 1.0, {"adamw": recipe.value_lr})

    def step(t: int) -> Mapping[str, float]:
        batch, seen = rollout(policy, critic, t)
        totals = {"policy_loss": 0.0, "value_loss": 0.0} | ({"loss_ptx": 0.0} if pages else {})
        parts = 0
        for epoch in range(recipe.epochs):
            order = list(range(recipe.batch))
            step_rng(recipe.seed, t, f"epoch {epoch}").shuffle(order)
            for start in range(0, recipe.batch, recipe.minibatch):
                part = batch.part(torch.tensor(order[start : start + recipe.minibatch], device=policy.device))
                new = _log_probabilities(policy, part.ids, part.mask, recipe.temperature)
                loss = clipped_policy_loss(new, part.old, part.advantages, part.said, recipe.clip_range)
                totals["policy_loss"] += loss.item()
                if pages and start == 0:
                    ptx = pages.loss(policy, t * recipe.epochs + epoch)
                    totals["loss_ptx"] += ptx.item() / recipe.epochs
                    loss = loss + recipe.gamma * ptx
                update(policy, learning["policy"], loss, recipe.clip)
                values = critic.values(part.ids, part.mask)[:, :-1]
                loss = clipped_value_loss(values, part.values, part.returns, part.said, recipe.clip_range)
                totals["value_loss"] += loss.item()
                update(critic, learning["critic"], loss, recipe.clip)
                parts += 1
        totals["policy_loss"] /= parts
        totals["value_loss"] /= parts
        return seen | totals

    training = Training(
        node=job.node,
        steps=recipe.steps,
        parts={
            "policy": policy,
            "critic": critic,
            **{f"{name} {kind}": one for name, own in learning.items() for kind, one in own.items()},
        },
        folder=job.folder,
        watch=job.watch,
        whole=False,
    )
    with fast_attention(policy), fast_attention(reference), fast_attention(judge.model), fast_attention(critic.model):
        rollout.normalise()
        critic.head.data /= rollout.spread  # it foretells rewards in these units
        curves = train(training, step)
    said = sum(curves.get("length", ())) / max(1, len(curves["step"])) * recipe.batch * recipe.steps
    tokens = round(said) + (pages.tokens if pages else 0)
    data = (rollout.data, pages.data) if pages else (rollout.data,)
    return Outcome(model=policy, tokenizer=tokenizer, curves=curves, tokens=tokens, data=data)


class _Rollout:
    """Answers of the policy with everything that learning from them needs."""

    def __init__(self, recipe: Ppo, data: Source, encoder: Encoder, reference: Any, judge: Scorer) -> None:
        self.recipe, self.data, self.encoder, self.reference, self.judge = recipe, data, encoder, reference, judge
        self.ends = answer_ends(reference, encoder.tokenizer)
        self.longest = longest_prompt(reference, recipe.max_new_tokens)
        self.mean, self.spread = 0.0, 1.0

    def normalise(self) -> None:
        """Measure the parent's rewards."""
        prompts, answers = self._answers(self.reference, -1, _NORMALISED_ON)
        scores = self._scores(prompts, answers)
        self.mean, self.spread = float(scores.mean()), max(float(scores.std()), 1e-3)

    def __call__(self, policy: Any, critic: Scorer, t: int) -> tuple[Batch, dict[str, float]]:
        """Answers of iteration t, and its points of the curve: score, kl (nats an answer), length (tokens), judged."""
        import torch

        recipe = self.recipe
        prompts, answers = self._answers(policy, t, recipe.batch)
        ids, mask = right_padded(_rows(prompts, answers), policy.device)
        starts = torch.tensor([len(prompt.ids) for prompt in prompts], device=policy.device)
        ends = mask.sum(1)
        places = torch.arange(1, ids.shape[1], device=policy.device)[None]
        said = ((places >= starts[:, None]) & (places < ends[:, None])).float()
        with torch.no_grad():
            old = _log_probabilities(policy, ids, mask, recipe.temperature)
            parent = _log_probabilities(self.reference, ids, mask, recipe.temperature)
            values = critic.values(ids, mask)[:, :-1] * said
            score = self._rewards(prompts, answers)
            kl = (old - parent) * said
            rewards = -recipe.beta * kl
            rewards[torch.arange(len(ids)), ends - 2] += score
            gained, returns = advantages(rewards, values, said, recipe.lam)
        seen = {
            "score": score.mean().item(),
            "kl": kl.sum(1).mean().item(),
            "length": sum(len(answer.tokens) for answer in answers) / len(answers),
        }
        if labeller := judge_of(self.data):
            texts = [self.encoder.tokenizer.decode(answer.ids, skip_special_tokens=True) for answer in answers]
            judged = [labeller(prompt.document, text) for prompt, text in zip(prompts, texts, strict=True)]
            seen["judged"] = sum(judged) / len(judged)
        return Batch(ids, mask, said, old, values, whitened(gained, said), returns), seen

    def _answers(self, model: Any, t: int, count: int) -> tuple[list[Prompt], list[Answer]]:
        recipe = self.recipe
        progress = max(0, t) / max(1, recipe.steps)
        rng = step_rng(recipe.seed, t, recipe.data)
        prompts = [draw_prompt(self.data, self.encoder, rng, self.longest, progress) for _ in range(count)]
        answers = sample(
            model, [prompt.ids for prompt in prompts], max_new_tokens=recipe.max_new_tokens,
            temperature=recipe.temperature, ends=self.ends, seed=step_rng(recipe.seed, t, "sample").getrandbits(62),
        )  # fmt: skip
        return prompts, answers

    def _scores(self, prompts: Sequence[Prompt], answers: Sequence[Answer]) -> Any:
        import torch

        with torch.no_grad():
            return self.judge.scores(*right_padded(_rows(prompts, answers), self.judge.head.device))

    def _rewards(self, prompts: Sequence[Prompt], answers: Sequence[Answer]) -> Any:
        import torch

        scores = self._scores(prompts, answers)
        cut = torch.tensor([answer.end is None for answer in answers], device=scores.device)
        return (scores - self.mean) / self.spread - _UNFINISHED * cut


def advantages(rewards: Any, values: Any, said: Any, lam: float) -> tuple[Any, Any]:
    """Generalised advantage estimates of undiscounted rewards, and the returns that the critic should have foretold.

    Args:
        rewards: answers × places.
        values: Of the state before each token, of the same shape.
        said: 1.0 at the answer's places, which stand together; elsewhere both results mean nothing.
        lam: λ; 1 is the sum of the rewards to come minus the value, 0 the one-step difference.

    Source: Schulman et al. 2016 (arXiv 1506.02438), equation 16, with γ = 1.
    """
    import torch

    found, after, ahead = torch.zeros_like(rewards), torch.zeros_like(rewards[:, 0]), torch.zeros_like(rewards[:, 0])
    for place in reversed(range(rewards.shape[1])):
        here = said[:, place]
        after = (rewards[:, place] + ahead - values[:, place] + lam * after) * here
        ahead = values[:, place] * here
        found[:, place] = after
    return found, found + values


def whitened(advantages: Any, said: Any) -> Any:
    """Mean 0 and standard deviation 1 over the answers' places."""
    count = said.sum().clamp(min=1)
    mean = (advantages * said).sum() / count
    variance = ((advantages - mean) ** 2 * said).sum() / count
    return (advantages - mean) / (variance.sqrt() + 1e-6)


def clipped_policy_loss(new: Any, old: Any, advantages: Any, said: Any, clip_range: float) -> Any:
    """Minus the smaller of ratio · advantage and the same with the ratio held within 1 ± clip_range; mean over places.

    Source: Schulman et al. 2017 (arXiv 1707.06347), equation 7.
    """
    import torch

    ratio = ((new - old) * said).exp()
    gain = torch.minimum(ratio * advantages, ratio.clamp(1 - clip_range, 1 + clip_range) * advantages)
    return -(gain * said).sum() / said.sum().clamp(min=1)


def clipped_value_loss(values: Any, old: Any, returns: Any, said: Any, clip_range: float) -> Any:
    """The larger of two squared errors: the value's, and that of the value held within old ± clip_range; half the mean.

    As in the code that InstructGPT's builds on (Ziegler et al. 2019, arXiv 1909.08593).
    """
    import torch

    held = torch.minimum(torch.maximum(values, old - clip_range), old + clip_range)
    errors = torch.maximum((values - returns) ** 2, (held - returns) ** 2)
    return 0.5 * (errors * said).sum() / said.sum().clamp(min=1)


def _rows(prompts: Sequence[Prompt], answers: Sequence[Answer]) -> list[list[int]]:
    return [[*prompt.ids, *answer.tokens] for prompt, answer in zip(prompts, answers, strict=True)]


def _log_probabilities(model: Any, ids: Any, mask: Any, temperature: float) -> Any:
    """Of every token but the first, under the distribution that answers are sampled from: rows × (tokens − 1)."""
    import torch

    with autocast(model):
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
    logits = logits.float() / temperature
    return -torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
