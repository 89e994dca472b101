"""Suite → lm-eval tasks → documents → requests."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import util
from typing import Any

import numpy as np

from capeval.core import Request, Suite, TaskSource, TaskSpec
from capeval.digest import digest
from capeval.errors import BadFileError, CapevalError, MissingError, UsageError, unknown
from capeval.harness.mirror import DataSource, load_data
from capeval.store.items import item_digest
from capeval.suites import task_file

SHOT_SEED = 1234
"""Seed of drawn examples: lm-eval's default, so that both draw the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How documents are shown."""

    chat: Callable[..., str] | None = None
    """The checkpoint's chat template, applied; None shows plain text."""
    template: str = ""
    """That template's text, for the digest."""
    system: str = ""
    """System prompt; in plain text it comes first."""

    @property
    def presentation(self) -> str:
        """The label that goes into the records: runs that differ in it are compared, but marked."""
        if self.chat is None:
            return f"document with system prompt {digest(self.system)}" if self.system else "document"
        return f"chat {digest(self.template, self.system)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One item: what lm-eval asks about it."""

    doc: Any
    item: str
    shots: str
    instances: tuple[Any, ...]
    requests: tuple[tuple[Request, ...], ...]
    """For every instance one request, or several samples of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One task file with its documents."""

    source: TaskSource
    spec: TaskSpec
    task: Any
    filter: str
    presentation: str
    documents: tuple[Document, ...]


def prepare(suite: Suite, form: Form, *, limit: int | None = None, seed: int = 0) -> list[Asked]:
    """Build every task file of a suite.

    Args:
        suite: What is asked.
        form: How it is shown.
        limit: Only the first documents of every task file; None for all.
        seed: Of sampled answers (shots are drawn with lm-eval's own seed).

    Raises:
        MissingError: lm-eval or a data set is not here.
        BadFileError: a task file that lm-eval can't build, an unknown filter or metric.
        UsageError: tasks that need images or run generated code.
    """
    if util.find_spec("lm_eval") is None:
        raise MissingError("running a suite needs lm-eval, which is not installed: pip install 'capeval[hf]'")
    with _lm_evals_world():
        asked = []
        for source in suite.sources:
            with blaming(source):
                asked.append(_ask(source, suite.task(source.task), form, limit, seed))
        return asked


@contextmanager
def blaming(source: TaskSource) -> Iterator[None]:
    """Whatever a task file makes lm-eval raise is said of that file; what capeval raises itself passes.

    Raises:
        BadFileError: naming the task file and what lm-eval said.
    """
    try:
        yield
    except CapevalError:
        raise
    except (Exception, SystemExit) as error:  # task files are anybody's code, and may even exit
        said = (str(error).strip() or "no message").splitlines()[0]
        raise BadFileError(f"{source.path}: lm-eval can't work with it: {type(error).__name__}: {said}") from error


def requests_of(asked: Sequence[Asked]) -> list[Request]:
    """All requests, in the order in which `records` takes the replies."""
    return [r for one in asked for document in one.documents for samples in document.requests for r in samples]


def _ask(source: TaskSource, spec: TaskSpec, form: Form, limit: int | None, seed: int) -> Asked:
    task = _build(source)
    names = [f.name for f in task._filters]
    chosen = source.filter or names[0]
    if chosen not in names:
        raise BadFileError(f"{source.path}: {unknown('filter', chosen, names, 'capeval list tasks')}")
    documents = tuple(_documents(task, form, limit, seed))
    if not documents:
        raise BadFileError(f"{source.path}: the task has no documents")
    _check_metric(task, source, spec, documents[0])
    return Asked(
        source=source, spec=spec, task=task, filter=chosen, presentation=form.presentation, documents=documents
    )


def _check_metric(task: Any, source: TaskSource, spec: TaskSpec, document: Document) -> None:
    """Score nothing at all once: a metric that the task lacks is then known before any model is asked."""
    nothing = {"generate_until": "", "loglikelihood": (-1.0, False), "loglikelihood_rolling": -1.0}
    try:
        results = task.process_results(document.doc, [nothing[i.request_type] for i in document.instances])
    except Exception:  # some metrics can't score nothing; the real answers will tell
        return
    name = source.metric or spec.metric
    if name not in results:
        raise BadFileError(f"{source.path}: {unknown('metric', name, results, 'capeval list tasks')}")


def _build(source: TaskSource) -> Any:
    """The lm-eval task of a YAML file, with its data resolved by us and without lm-eval's index of 14,000 files."""
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._yaml_loader import load_yaml

    path = task_file(source)
    try:
        config = load_yaml(path)
        if not isinstance(config.get("task"), str) or "group" in config:
            raise BadFileError(f"{path} is no single lm-eval task; a suite lists the task files of a group instead")
        config |= source.override
        config["custom_dataset"] = config.get("custom_dataset") or partial(_resolve, _data_source(config, path.parent))
        config["dataset_kwargs"] = None
        [task] = TaskManager(include_defaults=False).load([config])["tasks"].values()
    except CapevalError:
        raise
    except Exception as error:  # a task file can be wrong in any way, and may run its own code
        raise BadFileError(f"lm-eval can't build the task {path}: {type(error).__name__}: {error}") from error
    if getattr(task, "UNSAFE_CODE", False):
        raise UsageError(f"{path} runs code that the model writes; capeval has no sandbox for it")
    if getattr(task, "MULTIMODAL", False):
        raise UsageError(f"{path} shows images or sound; capeval asks about text only")
    if task.config.num_fewshot is None:
        task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(seed=SHOT_SEED)
    return task


def _data_source(config: dict[str, Any], home: Any) -> DataSource:
    return DataSource(
        path=str(config.get("dataset_path") or ""),
        name=str(config.get("dataset_name") or ""),
        kwargs=dict(config.get("dataset_kwargs") or {}),
        home=home,
    )


def _resolve(source: DataSource, **metadata: Any) -> Any:
    """lm-eval calls this with the task's metadata."""
    del metadata
    return load_data(source)


def _documents(task: Any, form: Form, limit: int | None, seed: int) -> Iterator[Document]:
    """As lm-eval's `build_all_requests`, with the shots noted."""
    for number, doc in task.doc_iterator(rank=0, limit=limit, world_size=1):
        state = task.sampler.rnd.getstate() if hasattr(task, "sampler") else None
        context = plain = _context(task, doc, Form())
        if form.chat or form.system:
            if state is not None:
                task.sampler.rnd.setstate(state)  # the same shots once more
            context = _context(task, doc, form)
        built = task.construct_requests(
            doc=doc,
            ctx=context,
            metadata=(task.config.task, number, task.config.repeats),
            apply_chat_template=form.chat is not None,
            chat_template=form.chat,
        )
        instances = tuple(built) if isinstance(built, list) else (built,)
        yield Document(
            doc=doc,
            item=item_digest(doc if isinstance(doc, dict) else {"doc": doc}),
            shots=digest(_before_the_question(task, doc, plain)),
            instances=instances,
            requests=tuple(tuple(_requests(instance, seed)) for instance in instances),
        )


def _context(task: Any, doc: Any, form: Form) -> Any:
    return task.fewshot_context(
        doc,
        num_fewshot=task.config.num_fewshot,
        system_instruction=form.system or None,
        apply_chat_template=form.chat is not None,
        fewshot_as_multiturn=form.chat is not None,
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
def _lm_evals_world() -> Iterator[None]:
    """lm-eval's seeds (some tasks draw at random while they load), without its log lines; all as before afterwards."""
    import datasets

    logger = logging.getLogger("lm_eval")
    level, states, bars = logger.level, (random.getstate(), np.random.get_state()), datasets.is_progress_bar_enabled()
    random.seed(0)
    np.random.seed(SHOT_SEED)
    logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        logger.setLevel(level)
        if bars:
            datasets.enable_progress_bars()
