"""Suite → lm-eval tasks → documents → requests."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import util
from typing import Any

import numpy as np

from capeval.core import Request, Suite, TaskSource, TaskSpec
from capeval.digest import digest
from capeval.errors import BadFileError, MissingError, UsageError, not_among
from capeval.harness.forms import Form, after_turns, form_of
from capeval.harness.taskfile import SHOT_SEED, blaming, build, check_document, templates_compiled_once
from capeval.store.items import item_digest

Items = Mapping[tuple[str, str], Collection[str]]
"""(task, setting) → digests of documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One item: what lm-eval asks about it."""

    doc: Any
    item: str
    shots: str
    instances: tuple[Any, ...]
    requests: tuple[tuple[Request, ...], ...]
    """For every instance one request, or several samples of it."""
    dropped: int = 0
    """Shots that were left out because the model's window has no room for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One task file with its documents."""

    source: TaskSource
    spec: TaskSpec
    task: Any
    ladder: tuple[str, ...]
    """Filters that look for the answer, in this order; one when the source has no ladder."""
    form: Form
    limit: int | None
    seed: int
    documents: tuple[Document, ...]
    items: frozenset[str] = frozenset()
    """Only these, by the digest of their document; empty: all."""

    @property
    def filter(self) -> str:
        """The filter that counts, the strictest of a ladder."""
        return self.ladder[0]

    @property
    def metric(self) -> str:
        """The metric that counts: the source's own, or the task's."""
        return self.source.metric or self.spec.metric

    @property
    def presentation(self) -> str:
        """The form's label, as records have it."""
        return self.form.presentation

    @property
    def label(self) -> str:
        """Task and setting, as manifests name them."""
        return f"{self.source.task} {self.source.setting}"


def prepare(
    suite: Suite, form: Form, *, limit: int | None = None, seed: int = 0, items: Items | None = None
) -> list[Asked]:
    """Build every task file of a suite.

    Args:
        suite: What is asked.
        form: How it is shown, where a source does not say otherwise (`TaskSource.presentation`).
        limit: Only the first documents of every task file; None for all.
        seed: Of sampled answers (shots are drawn with lm-eval's own seed).
        items: Only these; every task and setting of the suite is among the keys. Whoever is asked less is shown the
            same shots.

    Raises:
        MissingError: lm-eval, a data set or the sandbox that a task needs is not here.
        BadFileError: a task file that lm-eval can't build, an unknown filter or metric, earlier turns that can't be
            shown.
        UsageError: tasks that need images, or run generated code outside capeval's sandbox.
    """
    if util.find_spec("lm_eval") is None:
        raise MissingError("running a suite needs lm-eval, which is not installed: pip install 'capeval[hf]'")
    with in_lm_evals_world():
        asked = []
        for source in suite.sources:
            with blaming(source):
                wanted = frozenset(items[source.task, source.setting]) if items else frozenset()
                one = _ask(source, suite.task(source.task), form, limit, seed, wanted)
            if one.documents:
                asked.append(one)
        return asked


def fit(asked: Sequence[Asked], overflow: Callable[[Request], int]) -> list[Asked]:
    """Leave out whole shots, the last ones first, where a prompt is longer than what the model can read.

    Args:
        asked: What `prepare` gave.
        overflow: Tokens of a request that the model's window has no room for, 0 when it fits.

    Raises:
        UsageError: when no item of a file fits even without shots (not where a limit lets only some be looked at).
    """
    return [_fitted(one, overflow) for one in asked]


def _fitted(one: Asked, overflow: Callable[[Request], int]) -> Asked:
    def too_long(document: Document) -> bool:
        return any(overflow(samples[0]) for samples in document.requests)

    if one.task.config.num_fewshot and any(map(too_long, one.documents)):
        with in_lm_evals_world(), blaming(one.source):
            one.task.set_fewshot_seed(seed=SHOT_SEED)
            one = replace(one, documents=tuple(_documents(one, too_long)))
    rolling = one.task.OUTPUT_TYPE == "loglikelihood_rolling"  # any length is read, window by window
    if not rolling and one.limit is None and not one.items and all(map(too_long, one.documents)):
        least = min(overflow(samples[0]) for document in one.documents for samples in document.requests)
        raise UsageError(
            f"{one.source.path}: every item is longer than the model can read, by {least} tokens at least, also "
            "without examples; choose a suite with shorter items and answers, or a checkpoint with a longer window"
        )
    return one


def requests_of(asked: Sequence[Asked]) -> list[Request]:
    """All requests, in the order in which `records` takes the replies."""
    return [r for one in asked for document in one.documents for samples in document.requests for r in samples]


def _ask(source: TaskSource, spec: TaskSpec, form: Form, limit: int | None, seed: int, items: frozenset[str]) -> Asked:
    task = build(source)
    names = [f.name for f in task._filters]
    ladder = source.ladder or (source.filter or names[0],)
    for chosen in ladder:
        if chosen not in names:
            raise BadFileError(f"{source.path}: {not_among('filter', chosen, names)}")
    _check_turns(task, source)
    one = Asked(
        source=source, spec=spec, task=task, ladder=ladder, form=form_of(source, form), limit=limit, seed=seed,
        documents=(), items=items,
    )  # fmt: skip
    documents = tuple(_documents(one))
    if not documents and not items:
        raise BadFileError(f"{source.path}: the task has no documents")
    _check_labels(source, documents)
    if source.pair_by and len(documents) > 1 and len({document.item for document in documents}) == 1:
        raise BadFileError(f"{source.path}: pair_by gives every document the same name; use what tells them apart")
    if documents:  # none of the items may be of this file
        _check_metric(one, documents[0])
    return replace(one, documents=documents)


def _check_turns(task: Any, source: TaskSource) -> None:
    """Earlier turns stand before one question: no shots between them, no text of their own for each choice."""
    if not source.turns:
        return
    if task.config.num_fewshot:
        raise BadFileError(
            f"{source.path}: with 'turns' nothing but them stands before the question, but num_fewshot is "
            f"{task.config.num_fewshot}; add 'override: {{num_fewshot: 0}}' to the source"
        )
    if task.OUTPUT_TYPE == "loglikelihood_rolling" or getattr(task, "multiple_input", False):
        raise BadFileError(
            f"{source.path}: 'turns' need one question that they stand before; a text whose every token is scored has "
            "none, and choices with texts of their own have several"
        )


def _check_labels(source: TaskSource, documents: Sequence[Document]) -> None:
    for key in ("cluster_field", "subset_field"):
        field = getattr(source, key)
        for number, document in enumerate(documents if field else (), start=1):
            if field not in document.doc:
                raise BadFileError(f"{source.path}: {not_among(key, field, document.doc)}")
            if document.doc[field] in (None, ""):
                what = key.removesuffix("_field")
                raise BadFileError(f"{source.path}: document {number} has no '{field}', which names its {what}")


def _check_metric(one: Asked, document: Document) -> None:
    """Filter and score nothing at all once: what is wrong with either is then known before any model is asked."""
    task = one.task
    for instance in document.instances:
        instance.resps, instance.filtered_resps = [""] * (instance.repeats or 1), {}
    if task.OUTPUT_TYPE == "generate_until":
        task._instances = list(document.instances)
        task.apply_filters()
    nothing = {"generate_until": "", "loglikelihood": (-1.0, False), "loglikelihood_rolling": -1.0}
    try:
        results = task.process_results(document.doc, [nothing[i.request_type] for i in document.instances])
    except Exception:  # some metrics can't score nothing; the real answers will tell
        return
    if one.metric not in results:
        raise BadFileError(f"{one.source.path}: {not_among('metric', one.metric, results)}")


def _documents(one: Asked, too_long: Callable[[Document], bool] | None = None) -> Iterator[Document]:
    """As lm-eval's `build_all_requests`, with the shots noted; whole shots are left out while a prompt is too long."""
    for number, doc in one.task.doc_iterator(rank=0, limit=one.limit, world_size=1):
        check_document(one.source.path, one.task, doc, number + 1)
        draw = one.task.sampler.rnd.getstate() if hasattr(one.task, "sampler") else None
        shots = one.task.config.num_fewshot
        document = _document(one, doc, number, shots, draw)
        after = one.task.sampler.rnd.getstate() if draw is not None else None
        while too_long and shots and too_long(document):
            shots -= 1
            document = _document(one, doc, number, shots, draw)
        if after is not None:
            one.task.sampler.rnd.setstate(after)  # the next item draws what it would have drawn anyway
        if not one.items or document.item in one.items:
            yield document


def _document(one: Asked, doc: Any, number: int, shots: int, draw: Any) -> Document:
    """One item with so many shots; `draw` is the sampler's state before it draws for this item."""
    task, source, form = one.task, one.source, one.form

    def context(form: Form) -> Any:
        if draw is not None:
            task.sampler.rnd.setstate(draw)  # the same shots every time
        return _context(task, doc, form, shots)

    plain = context(Form())
    shown = after_turns(form, doc, source, number) if source.turns else form
    built = task.construct_requests(
        doc=doc,
        ctx=context(shown) if form.chat or form.system else plain,
        metadata=(task.config.task, number, task.config.repeats),
        apply_chat_template=form.templated,  # plain text keeps the space between "A:" and a choice
        chat_template=form.chat,
    )
    instances = tuple(built) if isinstance(built, list) else (built,)
    return Document(
        doc=doc,
        item=_item(doc, source.pair_by),
        shots=digest(_before_the_question(task, doc, plain)),
        instances=instances,
        requests=tuple(tuple(_requests(instance, one.seed)) for instance in instances),
        dropped=task.config.num_fewshot - shots,
    )


def _item(doc: Any, pair_by: str) -> str:
    """What the item is called: a digest of its document, or of what the source's template says of it."""
    from lm_eval.utils import apply_template

    if pair_by:
        return item_digest({"pair_by": " ".join(str(apply_template(pair_by, doc)).split())})
    return item_digest(doc if isinstance(doc, dict) else {"doc": doc})


def _context(task: Any, doc: Any, form: Form, shots: int) -> Any:
    return task.fewshot_context(
        doc,
        num_fewshot=shots,
        system_instruction=form.system or None,
        apply_chat_template=form.chat is not None,
        fewshot_as_multiturn=form.chat is not None and form.shots_as == "turns",
        chat_template=form.chat,
        gen_prefix=task.doc_to_prefix(doc),
    )


def _before_the_question(task: Any, doc: Any, context: Any) -> str:
    """Description and shots in plain text: what is shown of other documents, whatever the form."""
    text = context[0] if isinstance(context, list) else context
    question = task.doc_to_choice(doc)[0] if isinstance(context, list) else task.doc_to_text(doc)
    return str(text).rpartition(str(question))[0] if question else str(text)


def _requests(instance: Any, seed: int) -> Iterator[Request]:
    kind, arguments = instance.request_type, instance.args
    if kind == "loglikelihood":
        yield Request(kind="loglikelihood", text=arguments[0], continuation=arguments[1])
    elif kind == "loglikelihood_rolling":
        yield Request(kind="perplexity", text=arguments[0])
    else:
        generation = _generation(arguments[1])
        sampled = bool(generation["do_sample"])
        for sample in range(instance.repeats or 1):
            # greedy answers are all the same one: asked once
            yield Request(
                kind="generate",
                text=arguments[0],
                generation=generation,
                sample=sample if sampled else 0,
                seed=seed if sampled else 0,
            )


def _generation(kwargs: dict[str, Any]) -> dict[str, Any]:
    from lm_eval.models.utils import normalize_gen_kwargs

    settings = dict(normalize_gen_kwargs(kwargs))
    settings["until"] = [s for s in settings.get("until") or [] if isinstance(s, str)]
    if not settings.get("do_sample"):
        settings.pop("temperature", None)
    return settings


@contextmanager
def in_lm_evals_world() -> Iterator[None]:
    """lm-eval's seeds (some tasks draw at random while they load), without its log lines; all as before afterwards."""
    import datasets

    logger = logging.getLogger("lm_eval")
    level, states, bars = logger.level, (random.getstate(), np.random.get_state()), datasets.is_progress_bar_enabled()
    random.seed(0)
    np.random.seed(SHOT_SEED)
    logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        with templates_compiled_once():
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        logger.setLevel(level)
        if bars:
            datasets.enable_progress_bars()
