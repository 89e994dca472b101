"""Replies → lm-eval's filters and metrics → records."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from capeval.columns import NO_RUNG
from capeval.core import Reply
from capeval.digest import digest
from capeval.errors import BadFileError, not_among
from capeval.harness.prepare import Asked, Document
from capeval.harness.taskfile import blaming, templates_compiled_once
from capeval.item_metrics import NOTHING, PERPLEXITIES, likeliest, pooled
from capeval.marks import declined, ends_in, forgiven, marks_of
from capeval.store.runs import as_records, number_repeats

_REFUSALS = ("declined", "abstained")
"""Results that say of an answer whether it refuses. They are read from its beginning: how it ends does not matter."""
_FAILED = "scoring failed"
_BY_WORDS = {"exact_match": True, "em": True, "f1": False}
"""Metrics that an answer's form can cost: whether all of the gold must be there to be forgiven."""
_BY_NUMBER = ("same_number",)
_CODE = "pass@"
Replies = list[list[Reply]]
"""Per instance of a document, its samples."""


def records(asked: Sequence[Asked], replies: Sequence[Reply]) -> pd.DataFrame:
    """Score all replies.

    Args:
        asked: What `prepare` gave.
        replies: One for each of `requests_of(asked)`, in that order.

    Raises:
        BadFileError: a metric that the task does not have, or that has no value for a single item.
    """
    following = iter(replies)
    rows: list[dict[str, Any]] = []
    for one in asked:
        with blaming(one.source), templates_compiled_once():
            rows += _score_file(one, following)
    frame = pd.DataFrame(rows)
    frame["item"] = frame.groupby(["task", "setting", "sample"], sort=False)["item"].transform(number_repeats)
    return as_records(frame)


def _score_file(asked: Asked, following: Iterator[Reply]) -> list[dict[str, Any]]:
    """Rows of one task file."""
    answers = [[[next(following) for _ in samples] for samples in d.requests] for d in asked.documents]
    if not asked.source.each_sample:
        return _score_answers(asked, answers)
    rows = []
    for number in range(max(len(samples) for document in answers for samples in document)):
        one = [[samples[number : number + 1] for samples in document] for document in answers]
        rows += [row | {"sample": number} for row in _score_answers(asked, one)]
    return rows


def _score_answers(asked: Asked, answers: Sequence[Replies]) -> list[dict[str, Any]]:
    """A row per document; filters see all the file's answers at once, as some of them need to."""
    instances = []
    for document, given in zip(asked.documents, answers, strict=True):
        for instance, samples in zip(document.instances, given, strict=True):
            instance.resps = [_response(instance.request_type, reply, asked) for reply in samples]
            instance.filtered_resps = {}
            instances.append(instance)
    asked.task._instances = instances
    asked.task.apply_filters()
    rows = [_row(asked, document, given) for document, given in zip(asked.documents, answers, strict=True)]
    if all(str(row["error"]).startswith(_FAILED) for row in rows):
        raise BadFileError(f"{asked.source.path}: no item could be scored; the first says: {rows[0]['error']}")
    return rows


def _response(kind: str, reply: Reply, asked: Asked) -> Any:
    """A reply as lm-eval's own models return it; a ladder reads whole lines only of an answer that was cut."""
    if kind == "generate_until":
        text = reply.text or ""
        return text.rpartition("\n")[0] if asked.source.ladder and reply.finish == "length" else text
    logprob = -math.inf if reply.logprob is None else reply.logprob
    return logprob if kind == "loglikelihood_rolling" else (logprob, bool(reply.greedy))


def _row(asked: Asked, document: Document, replies: Replies) -> dict[str, Any]:
    flat = [reply for samples in replies for reply in samples]
    error = next((reply.error for reply in flat if reply.error), "")
    instances = sorted(document.instances, key=lambda instance: instance.idx)
    rung = _rung(asked, instances, cut=any(reply.finish == "length" for reply in flat))
    filtered = [instance.filtered_resps[rung or asked.filter] for instance in instances]
    results, problem = ({}, error) if error else _results(asked, document.doc, filtered)
    score = math.nan if problem else _score(asked, results)
    row = {
        "task": asked.spec.name,
        "capability": asked.spec.capability,
        "setting": asked.source.setting,
        "subset": str(document.doc[field]) if (field := asked.source.subset_field) else "",
        "item": document.item,
        "cluster": str(document.doc[field]) if (field := asked.source.cluster_field) else asked.source.cluster,
        "sample": 0,
        "score": score,
        "shots": document.shots,
        # a prompt that lost its beginning is another presentation of the item: compared, but marked
        "presentation": f"{asked.presentation}, cut" if any(reply.cut for reply in flat) else asked.presentation,
        "prompt_digest": digest([r.text for samples in document.requests for r in samples[:1]]),
        "error": problem,
        "rung": (rung or NO_RUNG) if asked.source.ladder else "",
    }
    if flat[0].text is not None:
        worst = 1.0 if asked.spec.orientation == "lower" else 0.0
        marks = _marks(asked, document.doc, flat[0].text, score)
        return row | _generated(flat, filtered[0], results, wrong=score == worst) | marks
    return row | _scored(asked, document, flat)


def _rung(asked: Asked, instances: Sequence[Any], *, cut: bool) -> str:
    """The first filter of the ladder that found an answer, '' when none did; of a cut answer only the first looks."""
    for name in asked.ladder[:1] if cut else asked.ladder:
        if not all(_nothing(instance.filtered_resps[name]) for instance in instances):
            return name
    return ""


def _nothing(filtered: Any) -> bool:
    if isinstance(filtered, list):
        return all(map(_nothing, filtered))
    return isinstance(filtered, str) and filtered.strip() in NOTHING


def scoring_rules(asked: Sequence[Asked]) -> dict[str, str]:
    """By "task setting cluster": digest of the filter and metric that decide the score, for runs to be compared by."""
    rules = {}
    for one in asked:
        config, metric = one.task.config, one.metric
        filters = [f for name in one.ladder for f in config.filter_list or () if f.get("name") == name]
        metrics = [m for m in config.metric_list or () if m.get("metric") == metric]
        rule = json.dumps(
            [str(config.output_type), filters, metrics, *one.ladder, metric], default=_name, sort_keys=True
        )
        rules[" ".join(filter(None, (one.source.task, one.source.setting, one.source.cluster)))] = digest(rule)
    return rules


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", type(function).__name__)


def _results(asked: Asked, doc: Any, filtered: list[Any]) -> tuple[dict[str, Any], str]:
    """(metrics, error): a metric that fails on one document makes that score missing, not wrong."""
    try:
        return dict(asked.task.process_results(doc, filtered)), ""
    except Exception as error:  # metrics are anybody's code
        return {}, f"{_FAILED}: {type(error).__name__}: {error}"


def _score(asked: Asked, results: dict[str, Any]) -> float:
    name = asked.metric
    if name not in results:
        raise BadFileError(f"{asked.source.path}: {not_among('metric', name, results)}")
    value = _number(name, results[name], asked)
    if asked.spec.unit == "points" and not 0.0 <= value <= 1.0:
        raise BadFileError(
            f"{asked.source.path}: {name} is {value:g} for an item, but points are between 0 and 1; give task "
            f"'{asked.spec.name}' the metric's own unit (unit: …) in the suite"
        )
    return value


def _number(name: str, value: Any, asked: Asked) -> float:
    if name in PERPLEXITIES and isinstance(value, tuple):
        return pooled(name, *value)
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise BadFileError(
            f"{asked.source.path}: {name} is a number of the whole task, not of an item, so nothing can be paired; "
            "choose another metric of the task"
        ) from error


def _generated(replies: list[Reply], filtered: Any, results: dict[str, Any], *, wrong: bool) -> dict[str, Any]:
    """The reply's part of a record; a flag says why an answer is wrong, so a right one that rambled on has none.

    A task whose `process_results` gives one of `_REFUSALS` among its metrics says itself which answers refuse.
    """
    first = replies[0]
    text = first.text or ""
    taken = filtered[0] if isinstance(filtered, list) and len(filtered) == 1 else filtered
    taken = taken if isinstance(taken, str) else json.dumps(taken, ensure_ascii=False, default=str)
    nothing = taken.strip() in NOTHING
    reasons = {
        "empty": not text.strip(),
        "refused": any(map(results.get, _REFUSALS)),
        "truncated": first.finish == "length" and not results.keys() & set(_REFUSALS),
        "unextracted": nothing,
    }
    return {
        "response": text,
        "extracted": None if nothing else taken,
        "finish": first.finish,
        "n_tokens": first.n_tokens,
        "length": len(text),
        "flag": next((flag for flag, holds in reasons.items() if holds), "") if wrong else "",
    }


def _marks(asked: Asked, doc: Any, text: str, score: float) -> dict[str, float | None]:
    """What an answer's text shows beyond its score; code is no prose, and only whether it declines is read of it."""
    if asked.metric.startswith(_CODE):
        return {"declined": float(declined(text))}
    if asked.metric in _BY_WORDS and asked.spec.orientation == "higher":
        golds = _golds(asked.task, doc)
        lenient = forgiven(text, golds, whole=_BY_WORDS[asked.metric]) if golds else math.nan
    elif asked.metric in _BY_NUMBER:
        lenient = max((ends_in(text, gold.rpartition("####")[2]) for gold in _golds(asked.task, doc)), default=math.nan)
    else:
        lenient = math.nan
    return marks_of(text, score=score, lenient=lenient)


def _golds(task: Any, doc: Any) -> list[str]:
    """The references, where a task tells them as text or number; tasks are anybody's code."""
    try:
        target = task.doc_to_target(doc)
    except Exception:
        return []
    listed = list(target) if isinstance(target, list | tuple) else [target]
    return [str(gold) for gold in listed if isinstance(gold, str | int | float) and str(gold).strip()]


def _scored(asked: Asked, document: Document, replies: list[Reply]) -> dict[str, Any]:
    """What was scored with its log-probability, and the choice that the metric takes."""
    logprobs = [reply.logprob for reply in replies if reply.logprob is not None]
    if len(logprobs) < len(replies):
        return {}
    gold = _gold_logprob(asked, document, logprobs)
    if len(logprobs) == 1:
        return {"response": f"{logprobs[0]:.6g}", "extracted": None, "gold_logprob": gold}
    choices = [samples[0].continuation.strip() or samples[0].text for samples in document.requests]
    response = json.dumps(list(zip(choices, logprobs, strict=True)), ensure_ascii=False)
    return {
        "response": response,
        "extracted": likeliest(choices, logprobs, asked.metric),
        "gold_logprob": gold,
    }


def _gold_logprob(asked: Asked, document: Document, logprobs: Sequence[float]) -> float | None:
    """Log-probability of the right continuation or choice, of several right ones together; None where none is known."""
    kind, task, doc = asked.task.config.output_type, asked.task, document.doc
    if kind == "loglikelihood" and len(logprobs) == 1:
        return _finite(logprobs[0])
    if kind != "multiple_choice":
        return None
    choices = task.doc_to_choice(doc)
    gold = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    right = [choices.index(one) if isinstance(one, str) and one in choices else one
             for one in (gold if isinstance(gold, list) else [gold])]  # fmt: skip
    known = [logprobs[i] for i in right if isinstance(i, int) and 0 <= i < min(len(choices), len(logprobs))]
    if not known or not math.isfinite(most := max(known)):
        return None
    return most + math.log(sum(math.exp(one - most) for one in known))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
