"""A task file → lm-eval's task, without lm-eval's index of 14,000 files; or what is wrong with the file, in words."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from capeval import sandbox
from capeval.core import TaskSource
from capeval.errors import BadFileError, CapevalError, UsageError, unknown
from capeval.harness.mirror import DataSource, load_data
from capeval.suites import task_file

SHOT_SEED = 1234
"""Seed of drawn examples: lm-eval's default, so that both draw the same."""
_FIELD = re.compile(r"\{\{\s*(\w+)\s*\}\}")
"""A template that shows one field as it is."""
_TEMPLATES = ("doc_to_text", "doc_to_target", "doc_to_choice", "description", "gen_prefix")


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
        raise BadFileError(f"{source.path}: {_in_words(error, {})}") from error


@contextmanager
def templates_compiled_once() -> Iterator[None]:
    """Keep lm-eval from compiling its templates for every document, which takes most of the time of its prompts."""
    from lm_eval.utils import env

    compiled = lru_cache(maxsize=256)(type(env).from_string.__get__(env))
    env.from_string = compiled
    try:
        yield
    finally:
        env.__dict__.pop("from_string", None)  # the class's is there again


def build(source: TaskSource) -> Any:
    """The lm-eval task of a source, with its data resolved by us, its shots seeded and nested.

    Raises:
        BadFileError: naming the file, the key and what to do.
        UsageError: tasks that need images, or run generated code outside capeval's sandbox.
        MissingError: a data set or the sandbox is not here.
    """
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._yaml_loader import load_yaml

    path = task_file(source)
    config: dict[str, Any] = {}
    try:
        _check_code(path, load_yaml(path, resolve_func=False) | source.override)  # before it can load its functions
        config = load_yaml(path)
        if not isinstance(config.get("task"), str) or "group" in config:
            raise BadFileError(f"{path} is no single lm-eval task; a suite lists the task files of a group instead")
        config |= source.override
        if source.shots is not None:
            config["num_fewshot"] = source.shots
        config["custom_dataset"] = config.get("custom_dataset") or partial(_resolve, _data_source(config, path.parent))
        config["dataset_kwargs"] = None
        [task] = TaskManager(include_defaults=False).load([config])["tasks"].values()
    except CapevalError:
        raise
    except Exception as error:  # a task file can be wrong in any way, and may run its own code
        raise BadFileError(f"{path}: {_in_words(error, config)}") from error
    _check_code(path, config | {"unsafe_code": getattr(task, "UNSAFE_CODE", False)})
    if getattr(task, "MULTIMODAL", False):
        raise UsageError(f"{path} shows images or sound; capeval asks about text only")
    _check_question(path, config, task)
    if task.config.num_fewshot is None:
        task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(seed=SHOT_SEED)
    _nest_shots(task, max(task.config.num_fewshot, source.drawn))
    return task


def check_document(path: str, task: Any, doc: Any, number: int) -> None:
    """Refuse an item that can't be asked, or that nobody could answer rightly.

    Args:
        path: The task file, for the message.
        task: lm-eval's task.
        doc: The document.
        number: Its place in the file, from 1.

    Raises:
        BadFileError: naming the file, the key, the document and the field.
    """
    where = f"{path}: document {number}"
    _check_fields(where, task, doc)
    if task.OUTPUT_TYPE == "multiple_choice":
        _check_choices(where, task, doc)


def _check_fields(where: str, task: Any, doc: Any) -> None:
    """A field that is not there would be shown as the word None."""
    for key in ("doc_to_text", "doc_to_target"):
        template = getattr(task.config, key, None)
        for field in _FIELD.findall(template) if isinstance(template, str) and isinstance(doc, dict) else ():
            if field in doc and doc[field] is None:
                raise BadFileError(f"{where} has no '{field}', which {key} shows")


def _check_choices(where: str, task: Any, doc: Any) -> None:
    """Fewer than two choices, an empty one, or no right one."""
    choices = task.doc_to_choice(doc)
    if len(choices) < 2 or any(not str(choice) for choice in choices):
        what = "an empty choice" if len(choices) > 1 else f"{len(choices)} choice{'s' * (len(choices) != 1)}"
        raise BadFileError(f"{where}: doc_to_choice gives {what}; a choice needs at least two texts with content")
    given = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    for target in given if isinstance(given, list) else [given]:
        known = 0 <= target < len(choices) if isinstance(target, int) else target in choices
        if not known:
            key = "doc_to_text" if task.multiple_input else "doc_to_target"
            raise BadFileError(
                f"{where}: {key} gives {target!r}, which is none of its {len(choices)} choices; it must be the right "
                "choice's text or its place, counted from 0"
            )


def _in_words(error: BaseException, config: Mapping[str, Any]) -> str:
    """What lm-eval, Jinja or a data set said, with the key and the remedy where they can be known."""
    said = (str(error).strip() or "no message").splitlines()[0]
    if found := re.search(r"unexpected keyword argument '(\w+)'", said):
        return str(unknown("key", found[1], _keys(), "tasks/README.md"))
    if type(error).__module__.startswith("jinja2"):
        doc = _first(config)
        has = f"; the documents have {', '.join(doc)}" if doc else ""
        return f"the template {_guilty(config, doc)}can't be rendered: {said}{has}"
    if isinstance(error, re.error):
        return f"the regular expression of a filter is malformed: {said}"
    if "Sample larger than population" in said or "few-shot samples requested" in said or "fewshot samples" in said:
        return (
            f"there are fewer examples than are to be shown ({said}): lower num_fewshot (or 'shots' in the suite), or "
            "name another fewshot_split"
        )
    if isinstance(error, IndexError) and "out of bounds for size 0" in said:
        splits = " or ".join(str(config[s]) for s in ("test_split", "validation_split") if config.get(s)) or "asked"
        return f"the split '{splits}' holds no documents (after process_docs); there is nothing to ask"
    if isinstance(error, KeyError) and (split := _split(said, config)):
        return f"{split} is {said}, a split that the data set lacks"
    if isinstance(error, IndexError) and config.get("output_type") == "multiple_choice":
        return f"its first document has no choices, an empty one, or none that doc_to_target names ({said})"
    return f"lm-eval can't work with it: {type(error).__name__}: {said}"


def _keys() -> list[str]:
    from lm_eval.api.task import TaskConfig

    return [field.name for field in dataclasses.fields(TaskConfig)]


def _guilty(config: Mapping[str, Any], doc: Mapping[str, Any]) -> str:
    """The key whose template can't be rendered for this document; '' if all can."""
    from jinja2 import TemplateError
    from lm_eval.utils import apply_template

    for key in _TEMPLATES:
        try:
            if isinstance(text := config.get(key), str):
                apply_template(text, dict(doc))
        except TemplateError:
            return f"{key} "
    return ""


def _split(said: str, config: Mapping[str, Any]) -> str:
    keys = ("test_split", "validation_split", "training_split", "fewshot_split")
    return next((key for key in keys if config.get(key) and repr(config[key]) == said), "")


def _first(config: Mapping[str, Any]) -> dict[str, Any]:
    """The first document that would be asked; empty where that can't be known."""
    try:
        data = config["custom_dataset"](**(config.get("metadata") or {}))
        split = next(config[key] for key in ("test_split", "validation_split") if config.get(key) in data)
        return dict(data[split][0])
    except Exception:  # only for a message
        return {}


def _check_question(path: Path, config: Mapping[str, Any], task: Any) -> None:
    """A bare word that is no column would be asked as it stands, the same of every item."""
    asked = config.get("doc_to_text")
    if isinstance(asked, str) and re.fullmatch(r"[A-Za-z_]\w*", asked) and asked not in task.features:
        raise BadFileError(
            f"{path}: doc_to_text is '{asked}', which is no column of the documents ({', '.join(task.features)}); "
            f"a text that every item shares is written {{{{'{asked}'}}}}"
        )


def _nest_shots(task: Any, drawn: int) -> None:
    """Always draw so many examples and show the first of them: fewer are then a part of more, item by item."""
    if not hasattr(task, "sampler"):
        return
    draw = task.sampler.sample

    def sample(n: int, *args: Any, **kwargs: Any) -> Any:
        return draw(drawn, *args, **kwargs)[:n]

    task.sampler.sample = sample


def _check_code(path: Path, config: Mapping[str, Any]) -> None:
    """What a model writes runs in the sandbox, or not at all."""
    if not config.get("unsafe_code"):
        return
    if (config.get("metadata") or {}).get("sandbox") != "capeval":
        raise UsageError(
            f"{path} runs code that the model writes inside this process; capeval runs such code in its sandbox only: "
            "use the suite 'code' (HumanEval, MBPP), or score with capeval.sandbox as tasks/code/ does"
        )
    sandbox.check()


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
