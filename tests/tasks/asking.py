"""Ask a part of a shipped suite, and answer in its place."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pandas as pd

from capeval.core import Reply
from capeval.harness import Asked, Form, prepare, records, requests_of
from capeval.shipped import folder
from capeval.suites import load_suite


def module(path: str) -> ModuleType:
    """A module beside the task files, as lm-eval's `!function` loads it."""
    spec = importlib.util.spec_from_file_location(path.replace("/", "_"), folder("tasks") / f"{path}.py")
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def asked(suite: str, task: str, *, limit: int | None = None) -> dict[str, Asked]:
    """Setting → the first task file that a suite's task asks in it."""
    whole = load_suite(suite)
    sources = {s.setting: s for s in reversed(whole.sources) if s.task == task}
    return {a.source.setting: a for a in prepare(replace(whole, sources=tuple(sources.values())), Form(), limit=limit)}


def prompts(one: Asked) -> list[str]:
    """What each document's first request asks."""
    return [document.requests[0][0].text for document in one.documents]


def answered(one: Asked, answer: Callable[[dict[str, Any]], str]) -> pd.DataFrame:
    """Records of a text for each document."""
    return records([one], [Reply(text=answer(d.doc), finish="stop", n_tokens=1) for d in one.documents])


def chosen(one: Asked, choice: Callable[[dict[str, Any]], int]) -> pd.DataFrame:
    """Records of a model that is sure of one choice of each document."""
    replies = []
    for document in one.documents:
        taken = choice(document.doc)
        replies += [
            Reply(logprob=-0.1 if i == taken else -50.0, greedy=i == taken) for i in range(len(document.requests))
        ]
    assert len(replies) == len(requests_of([one]))
    return records([one], replies)
