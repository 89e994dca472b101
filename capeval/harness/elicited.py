"""Other ways to ask what a suite asks: with examples, step by step, several samples; and how probable the gold is.

>>> [one.setting for one in elicited(load_suite("lab/truthfulness").sources[0], ["asked"])]     # doctest: +SKIP
['8-shot (elicited)', 'step by step (elicited)', 'best of 8 (elicited)', 'log-probability of the gold (elicited)']

Each is the suite's own source with its shots or its generation settings replaced, so that any lm-eval task can be
elicited and is scored as it always is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from capeval.attribution.elicitation import GOLD, STEPWISE, name_of, plain_settings, shows_the_way
from capeval.core import TaskSource
from capeval.harness.prepare import in_lm_evals_world
from capeval.harness.taskfile import blaming, build
from capeval.store.items import item_digest

SHOTS = 8
SAMPLES = 8
TEMPERATURE = 0.7
TRIGGER = "Let's think step by step."
"""Kojima et al. 2022, arXiv:2205.11916."""
ROOM = 256
"""Tokens that an answer in steps may have, where the task's own limit is lower."""
_SCORED = {
    "output_type": "loglikelihood", "metric_list": [{"metric": "acc"}], "filter_list": None, "generation_kwargs": None,
    "process_results": None, "repeats": 1,
}  # fmt: skip
"""Turns a task that generates into one that scores its gold."""


def elicited(source: TaskSource, settings: Sequence[str], *, templated: bool = False) -> list[TaskSource]:
    """The source in the elicited settings that make sense for it.

    - *k-shot*: up to `SHOTS` examples from where the task file says that examples come from, unless the suite shows
      examples in another setting already, earlier turns stand before the question, or the examples are themselves
      among what is asked.
    - *step by step*: the answer begins with `TRIGGER`; for generated answers of tasks without such a setting.
    - *best of k*: `SAMPLES` samples of a generated answer, each scored by itself.
    - *log-probability of the gold*: of tasks that generate; where choices are scored, it is known already.

    Args:
        source: A source with a plain setting.
        settings: All settings of its task in the suite.
        templated: Whether the checkpoint's chat template shows it; in plain text the gold stands behind a space.

    Raises:
        BadFileError, MissingError, UsageError: as `prepare`.
    """
    with in_lm_evals_world(), blaming(source):
        task = build(source)
        shots = 0 if source.turns or any(map(shows_the_way, settings)) else _examples(task)
    several = len(plain_settings(settings)) > 1

    def otherwise(how: str, *, override: Mapping[str, Any] | None = None, **changes: Any) -> TaskSource:
        name = name_of(how, source.setting, several=several)
        return replace(source, setting=name, override={**source.override, **(override or {})}, **changes)

    found = [otherwise(f"{shots}-shot", shots=shots, drawn=shots)] if shots else []
    if task.OUTPUT_TYPE != "generate_until":
        return found
    generation = dict(task.config.generation_kwargs or {})
    if not (STEPWISE & set(settings) or task.config.gen_prefix):
        long = generation | {"max_gen_toks": max(ROOM, int(generation.get("max_gen_toks") or 0))}
        found.append(otherwise("step by step", override={"gen_prefix": TRIGGER, "generation_kwargs": long}))
    sampled = {"generation_kwargs": generation | {"do_sample": True, "temperature": TEMPERATURE}, "repeats": SAMPLES}
    found.append(otherwise(f"best of {SAMPLES}", override=sampled, each_sample=True))
    if gold := _gold(task, "" if templated else task.config.target_delimiter):
        override = _SCORED | {"doc_to_target": gold}
        found.append(otherwise(GOLD, override=override, filter="", ladder=(), metric="acc"))
    return found


def _examples(task: Any) -> int:
    """How many examples can be shown; 0 where the file shows some, or they would be drawn from what is asked."""
    if task.config.num_fewshot:
        return 0
    own = task.fewshot_cfg.split is not None or task.fewshot_cfg.samples is not None
    spare = task.has_training_docs() or (task.has_validation_docs() and task.has_test_docs())
    if not (own or spare):
        return 0
    examples = [item_digest(doc) for doc in task.fewshot_docs() if isinstance(doc, dict)]
    asked = {item_digest(doc) for doc in task.eval_docs if isinstance(doc, dict)}
    return 0 if asked & set(examples) else min(SHOTS, len(examples))


def _gold(task: Any, delimiter: str) -> str:
    """Template of the right answer as it would follow the question; empty where it is not one text, or no template."""
    template, target = task.config.doc_to_target, task.doc_to_target(next(iter(task.eval_docs)))
    if not isinstance(template, str) or not isinstance(target, str) or not target.strip():
        return ""
    return delimiter + (f"{{{{{template}}}}}" if template in task.features else template)
