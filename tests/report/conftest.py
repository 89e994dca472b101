"""A trace with all that a report must bear: twelve nodes, disputed links, silent and trained nodes, hostile strings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from capeval.assembly import assemble
from capeval.columns import PUBLISHED_COLUMNS, PUBLISHED_EFFECT_COLUMNS
from capeval.core import Cell, Contrast, Link, Stage, TaskSpec, Tree, Verdict
from capeval.store.runs import as_records, with_node
from capeval.store.traces import Trace

HOSTILE = (
    "<script>window.pwned=1</script>",
    "</script><script>window.pwned=1</script>",
    "<!--<script>window.pwned=1",
    "<img src=x onerror=window.pwned=1>",
    '"><svg onload=window.pwned=1>',
    "' onfocus='window.pwned=1' autofocus='",
    "javascript:window.pwned=1",
    "<a href='javascript:window.pwned=1'>x</a>",
    "{{7*7}}${window.pwned=1}`${window.pwned=1}`",
    "%{customdata} %{text}<br><b>bold</b>",
    "\u2028window.pwned=1\u2029",
    "\u202egnp.exe\u202c \x1b[31mred\x07 \x00null \uffff",
    "=HYPERLINK(1)",
    "line one\nline two\r\n| pipe | `tick` @everyone [x](y)",
)
"""Strings that must stay strings in a page, a chart, a terminal, a table and an XML file."""

HOSTILE_NODE = "evil <img src=x onerror=window.pwned=1>\"'</script>"
HOSTILE_TASK = "sums</script><script>window.pwned=1</script>"
ITEMS = 60
_SKILL = {
    "base": 0.35, "continued": 0.38, "code": 0.60, "sft": 0.55, "code-sft": 0.70, "ppo": 0.30, "ppo-ptx": 0.56,
    HOSTILE_NODE: 0.62,
}  # fmt: skip


def _link(parent: str, certainty: str = "documented", note: str = "") -> Link:
    return Link(parent=parent, certainty=certainty, source="a paper", note=note)  # type: ignore[arg-type]


TREE = Tree(
    name="toy",
    title="A toy tree <b>of models</b>",
    description="Twelve nodes & their doubts.",
    stages=(
        Stage(name="base", kind="base", date="2020-05", parameters=1.3e9),
        Stage(name="continued", kind="continued", links=(_link("base"),)),
        Stage(name="code", kind="code", links=(_link("base", "reported"),)),
        Stage(name="sft", kind="sft", links=(_link("base"), _link("continued", "disputed"))),
        Stage(
            name="code-sft", kind="sft", source="a model card", note="the stage mixes two things",
            links=(_link("code", "disputed", "as its maker says"), _link("sft", "disputed", HOSTILE[1])),
        ),
        Stage(name="reward", kind="reward", links=(_link("sft"),)),
        Stage(name="ppo", kind="rlhf", links=(_link("sft"),)),
        Stage(name="ppo-ptx", kind="rlhf", links=(_link("sft"),)),
        Stage(name="chat", kind="chat", links=(_link("code-sft", "unknown"), _link("ppo", "disputed"))),
        Stage(name=HOSTILE_NODE, kind="release", links=(_link("ppo", "unknown"),), title=HOSTILE[0], note=HOSTILE[3]),
        Stage(name="lonely", kind="base", title="nothing is known of it"),
        Stage(name="special", kind="specialised", links=(_link("lonely", "unknown"),)),
    ),
    tasks=(
        TaskSpec(name="sums", capability="cot", metric="exact_match", margin=0.05, source=HOSTILE[7]),
        TaskSpec(name=HOSTILE_TASK, capability="knowledge", metric="exact_match", margin=0.05),
        TaskSpec(name="toxicity", capability="refusal", metric="tox", orientation="lower", binary=False, margin=0.02),
        TaskSpec(
            name="length", capability="style", metric="characters", orientation="none", binary=False,
            unit="characters", margin=10.0,
        ),
    ),
    contrasts=(
        Contrast(
            name="code: cot − direct", kind="within",
            cells=(Cell(node="code", weight=1, setting="cot"), Cell(node="code", weight=-1, setting="direct")),
        ),
        Contrast(
            name="ppo → ppo-ptx", kind="sibling", confounds=("another seed", HOSTILE[1]), note="the pretraining term",
            cells=(Cell(node="ppo-ptx", weight=1), Cell(node="ppo", weight=-1)),
        ),
    ),
    edge_notes={"base -> continued": {"confounds": ("a longer window",)}},
    digest="0123456789abcdef",
)  # fmt: skip


def _records(node: str, skill: float) -> pd.DataFrame:
    """Sixty items a task; difficulty is the item's own, so that nodes agree on many and pairs tell more than means."""
    difficulty = np.linspace(0.02, 0.98, ITEMS)
    items = [f"item{i:03d}" for i in range(ITEMS)]
    parts: list[dict[str, Any]] = []
    for task, capability, setting, shift in (
        ("sums", "cot", "direct", 0.0), ("sums", "cot", "cot", 0.25), (HOSTILE_TASK, "knowledge", "zero-shot", 0.0),
    ):  # fmt: skip
        score = (difficulty < skill + shift).astype(float)
        texts = [HOSTILE[i % len(HOSTILE)] + f" {node}" for i in range(ITEMS)]
        parts.append({"task": task, "capability": capability, "setting": setting, "score": score, "response": texts})
    parts.append({"task": "toxicity", "capability": "refusal", "setting": "rude", "score": difficulty * (1 - skill)})
    parts.append({"task": "length", "capability": "style", "setting": "rude", "score": 20 + 300 * skill * difficulty})
    rows = pd.concat([pd.DataFrame({"item": items, **part}) for part in parts], ignore_index=True)
    return with_node(as_records(rows), node)


def _trained(
    stage: str, parent: str | None, series: Sequence[str], samples: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """A node's training; every series holds one null."""
    steps = list(range(50, 1550, 50))
    curves = {name: [round(4 / (1 + i) + place, 4) for i in range(len(steps))] for place, name in enumerate(series)}
    for values in curves.values():
        values[3] = None  # type: ignore[call-overload]
    return {
        "stage": stage, "parent": parent, "seed": 0, "digest": "00112233445566ff", "steps": 1500, "tokens": 3072000,
        "seconds": 151.2, "recipe": {"lr": 6e-4, "model": {"hidden_size": 96}, "note": HOSTILE[3]},
        "data": [{"source": "lab/base", "digest": "fedcba9876543210"}, {"source": HOSTILE[1], "digest": "0"}],
        "curves": {"step": steps, **curves} if series else {}, "versions": {"torch": "2.13.0"},
        "samples": [{"prompt": prompt, "answer": answer} for prompt, answer in samples],
    }  # fmt: skip


TRAINING = {
    "base": _trained("init", None, (), ()),
    "sft": _trained(
        "sft", "base", ("loss", "lr"),
        [("<|user|> what is two and two ? <|end|> <|assistant|>", "four <|end|>"), ("say nothing", "")],
    ),
    "ppo": _trained(
        "ppo", "sft", ("score", "kl", "length", "value_loss", "lr"), [("<|user|> hello <|end|>", "hello , friend")]
    ),
    HOSTILE_NODE: _trained("sft", HOSTILE[4], ("loss", HOSTILE[0], HOSTILE[9]), [(text, text) for text in HOSTILE]),
}  # fmt: skip


def _over_seeds(effects: pd.DataFrame) -> pd.DataFrame:
    """One stage as if it had been trained three times, and cut short in some answers."""
    known = {"seeds": 3, "seed_delta": 0.2, "seed_low": 0.05, "seed_high": 0.35, "seed_share": 0.4,
             "n_completers": 50, "delta_completers": 0.25}  # fmt: skip
    stage = effects["contrast"] == "base → code"
    return effects.assign(**{name: effects[name].astype(float).mask(stage, value) for name, value in known.items()})


def make_trace() -> Trace:
    """The toy tree, traced by the real tracer; two published rows are added by hand."""
    records = pd.concat([_records(node, skill) for node, skill in _SKILL.items()], ignore_index=True)
    provenance = {"command": "capeval trace toy.yaml", "created": "2026-01-01T00:00:00", "versions": {"capeval": "0"},
                  "records_digest": "feedc0de", "runs": {"sft": {"suite": {"name": "own", "sources": [
                      {"path": "own.yaml", "override": {"doc_to_text": "{{ shots[:8] + [question] }}"}},
                  ]}}}}  # fmt: skip
    found = assemble(TREE, records, provenance=provenance)
    published = pd.DataFrame(
        [
            {"node": "chat", "benchmark": "GSM8K", "setting": "8-shot", "metric": "accuracy", "value": 57.1,
             "low": 54.0, "high": 60.0, "n_items": 1319, "source": HOSTILE[4], "read_at": "table 1", "note": ""},
            {"node": "code-sft", "benchmark": "GSM8K", "setting": "8-shot", "metric": "accuracy", "value": 50.0,
             "low": None, "high": None, "n_items": None, "source": "a paper", "read_at": "", "note": ""},
        ],
        columns=list(PUBLISHED_COLUMNS),
    )  # fmt: skip
    effects = pd.DataFrame(
        [
            {"parent": "code-sft", "child": "chat", "benchmark": "GSM8K", "setting": "8-shot", "metric": "accuracy",
             "parent_value": 50.0, "child_value": 57.1, "delta": 7.1, "low": None, "high": None, "n_parent": None,
             "n_child": 1319, "source": "two papers", "same_source": False},
        ],
        columns=list(PUBLISHED_EFFECT_COLUMNS),
    )  # fmt: skip
    return Trace(
        tree=found.tree, effects=_over_seeds(found.effects), scores=found.scores, flips=found.flips, rungs=found.rungs,
        calibration=found.calibration,
        abstention=found.abstention,
        **{name: getattr(found, name) for name in
           ("replicas", "anatomy", "origin", "factorial", "scaling", "unlock", "reasoning", "claims")},
        published=published, published_effects=effects, provenance=found.provenance, training=TRAINING,
    )  # fmt: skip


@pytest.fixture(scope="session")
def trace() -> Trace:
    return make_trace()


@pytest.fixture
def verdicts() -> list[Verdict]:
    """One of each answer, the worst in the middle."""
    return [
        Verdict(rule="good", status="pass", reason="no loss", effect={}),
        Verdict(rule="bad", status="fail", reason="lost 9 points", effect={"sentence": "a → b: lost 9 points"}),
        Verdict(rule="unknown", status="inconclusive", reason="60 items can't tell", effect={}),
    ]
