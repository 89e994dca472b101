"""The types that travel between the floors. Frozen data, standard library only; behaviour lives elsewhere.

Records themselves travel as a pandas DataFrame (Parquet on disk) with the columns of `RECORD_COLUMNS`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

Certainty = Literal["documented", "reported", "disputed", "unknown"]
CERTAINTIES: tuple[Certainty, ...] = ("documented", "reported", "disputed", "unknown")

StageKind = Literal["base", "continued", "code", "sft", "reward", "rlhf", "chat", "specialised", "release"]
STAGE_KINDS: tuple[StageKind, ...] = (
    "base", "continued", "code", "sft", "reward", "rlhf", "chat", "specialised", "release",
)  # fmt: skip

Orientation = Literal["higher", "lower", "none"]
"""Which way a metric is better. `none` (answer length) is never good or bad."""

ContrastKind = Literal["edge", "path", "sibling", "within", "cross-size", "release", "difference"]
CONTRAST_KINDS: tuple[ContrastKind, ...] = (
    "edge", "path", "sibling", "within", "cross-size", "release", "difference",
)  # fmt: skip

Answer = Literal["gained", "lost", "equivalent", "cant_tell"]
ANSWERS: tuple[Answer, ...] = ("gained", "lost", "equivalent", "cant_tell")

ClusterRole = Literal["none", "sampled", "strata"]
"""`sampled`: clusters stand for more of their kind (articles): errors are clustered.
`strata`: a fixed list that is the benchmark (BBH's 27 subtasks): errors are stratified, clustered ones shown beside."""


SUMMARIES: dict[str, str] = {
    "slope": "points per doubling of 1 + k: least-squares slope of an item's score on log2(1 + k) over k-shot settings",
    "area": "mean height of an item's curve over log2(1 + k), by trapezoids: one score for all k-shot settings",
    "mean": "mean of an item's scores over all settings (wordings)",
    "spread": "largest minus smallest score of an item over all settings: 1 where the wording decides",
    "gap": "first setting minus second: an item that was shifted (distracted, larger numbers) against itself as it was",
}
"""Scores of an item over all settings that it was asked in; each becomes a setting of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One reading of where a stage comes from."""

    parent: str
    certainty: Certainty
    """How sure the literature is of this link."""
    source: str = ""
    """Citation, or who says so."""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What was done to the parent; one node of a tree."""

    name: str
    kind: StageKind
    links: tuple[Link, ...] = ()
    """The reading that the tree is drawn with comes first, its rivals after it; empty for a root."""
    title: str = ""
    """One line for people: what this node is."""
    date: str = ""
    parameters: float | None = None
    """Number of weights; None when nobody said."""
    tokens: float | None = None
    """Training tokens of this stage; None when nobody said."""
    source: str = ""
    """Citation for the node itself."""
    note: str = ""
    uri: str = ""
    """Checkpoint folder or hub id, where one can be had."""
    revision: str = ""
    run: str = ""
    """Run folder with records of this node, instead of a checkpoint."""
    published: tuple[str, ...] = ()
    """Names under which the table of published scores lists this node."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    """What sets it apart from other stages of its kind, for the claims' contrasts: ptx, cot, untrained."""
    digest: str = ""
    """H(own content + parent's digest)."""

    @property
    def parent(self) -> str | None:
        """The parent in the reading that the tree is drawn with; None for a root."""
        return self.links[0].parent if self.links else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """What is asked, with the one metric that counts."""

    name: str
    capability: str
    metric: str
    """Name of the metric, in the field's words (exact_match, f1, chrf, acc)."""
    orientation: Orientation = "higher"
    binary: bool = True
    """Whether every score is 0 or 1 (decides McNemar or t)."""
    unit: str = "points"
    """`points` for a score between 0 and 1 (shown times 100); else the metric's own unit (characters)."""
    margin: float = 0.02
    """Differences inside ±margin are called equivalent; in the score's own unit (0.02 = 2 points)."""
    chance: float = 0.0
    """Score of a guesser."""
    cluster_role: ClusterRole = "none"
    cluster: str = ""
    """What a cluster is ("article", "subtask"), for people."""
    threshold: str = ""
    """How a continuous judgement became 0 or 1, for people."""
    scorer: str = ""
    """Which rule scores an answer."""
    settings: tuple[str, ...] = ()
    summaries: tuple[str, ...] = ()
    """Of `SUMMARIES`: what the settings amount to together. They are the task's headline, not a single setting."""
    reference: str = ""
    """Task of the suite that this one shifts: the gap to it is estimated in every setting that both have."""
    abstention: tuple[str, ...] = ()
    """Of a task that scores whether an answer abstains: the task that scores whether the same answers are right, then
    tasks scored like this one whose items have no answer. Together they say what an abstention saves."""
    calibration: bool = False
    """Whether the choices' probabilities are held against how often the taken one is right."""
    continuous: str = ""
    """Of a task whose scores are 0 or 1: the task of the same items whose scores know degrees (F1 beside exact match).
    A jump over sizes that only the former shows is the threshold's."""
    headline: bool = True
    """False for a second metric of items that another task already counts: in the ledger, not in the headlines."""
    source: str = ""
    licence: str = ""
    citation: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One term of a contrast: a node's score in a setting, times a weight."""

    node: str
    weight: float
    setting: str | None = None
    """None: every setting that the cells share, one effect each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """A weighted sum of (node, setting) cells on shared items."""

    name: str
    kind: ContrastKind
    cells: tuple[Cell, ...]
    """Weights sum to 0; the minuend (+1) comes first."""
    tasks: tuple[str, ...] = ()
    """Task names, * as wildcard, that the contrast is about; empty: all that its cells share."""
    confounds: tuple[str, ...] = ()
    """What else differs between the cells, for people."""
    allow_different_shots: bool = False
    """Pair items although the shots differ: the tree file's author says that he knows."""
    control: bool = False
    """The subtrahend is the minuend's token-matched control: both read as much, and differ in what is asked alone."""
    note: str = ""

    @property
    def child(self) -> str:
        """The node of the first cell with a positive weight."""
        return next(c.node for c in self.cells if c.weight > 0)

    @property
    def parent(self) -> str:
        """The node of the first cell with a negative weight."""
        return next(c.node for c in self.cells if c.weight < 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Nodes that differ in one quantity: the same stage at several sizes."""

    name: str
    axis: str
    """What the quantity is: parameters, tokens, instruction types …"""
    nodes: Mapping[str, float]
    """Node → its quantity, above 0, each another one; in ascending order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factorial:
    """Four nodes that cross two stages: neither, the one, the other, both."""

    name: str
    factors: tuple[str, str]
    """What the two stages are: code, instructions."""
    neither: str
    """Trained on as many tokens of something else where the other three were trained on a factor."""
    first: str
    second: str
    both: str

    @property
    def nodes(self) -> tuple[str, str, str, str]:
        """neither, first, second, both."""
        return self.neither, self.first, self.second, self.both


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Stages with their parents before them, and the contrasts that are put to the records."""

    name: str
    stages: tuple[Stage, ...]
    title: str = ""
    description: str = ""
    contrasts: tuple[Contrast, ...] = ()
    """Declared ones; edges are not among them, `edges()` gives those."""
    series: tuple[Series, ...] = ()
    """Declared ones; `attribution.series.series_of` adds those that the stages' own sizes give."""
    factorials: tuple[Factorial, ...] = ()
    """Declared ones; `attribution.designs.designs_of` adds those that the stages themselves give."""
    tasks: tuple[TaskSpec, ...] = ()
    records: str = ""
    """Path of the shipped records; empty when there are none."""
    edge_notes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By "parent -> child": confounds, allow_different_shots."""
    scales: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name → changes of the recipes ("node.field": value), for a larger or smaller tree of the same shape."""
    suite: str = ""
    """What a tree with recipes is asked when nobody names a suite."""
    digest: str = ""

    def stage(self, name: str) -> Stage:
        """The stage called `name` (KeyError when there is none)."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)

    def task(self, name: str) -> TaskSpec:
        """The task called `name` (KeyError when there is none)."""
        for task in self.tasks:
            if task.name == name:
                return task
        raise KeyError(name)

    def second_metrics(self) -> frozenset[str]:
        """What stays out of the headlines: names of tasks, and "task setting" where a summary stands for settings."""
        tasks = {task.name for task in self.tasks if not task.headline}
        return frozenset(tasks | {f"{t.name} {setting}" for t in self.tasks if t.summaries for setting in t.settings})

    def edges(self) -> tuple[Contrast, ...]:
        """Child − parent for every stage that has one: what must be explained."""
        found = []
        for stage in self.stages:
            if stage.parent is None:
                continue
            notes = self.edge_notes.get(f"{stage.parent} -> {stage.name}", {})
            found.append(
                Contrast(
                    name=f"{stage.parent} → {stage.name}",
                    kind="edge",
                    cells=(Cell(node=stage.name, weight=1.0), Cell(node=stage.parent, weight=-1.0)),
                    confounds=tuple(notes.get("confounds", ())),
                    allow_different_shots=bool(notes.get("allow_different_shots", False)),
                )
            )
        return tuple(found)


Presentation = Literal["", "document", "dialogue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSource:
    """One lm-eval task file that feeds (part of) a task of a suite."""

    path: str
    """YAML file: relative to tasks/, or `lm_eval:` and a path inside lm-eval's own tasks, or an absolute path."""
    task: str
    setting: str
    cluster: str = ""
    """Fixed cluster of all its items (a BBH subtask); empty when there is none."""
    cluster_field: str = ""
    """Field of a document that names its cluster (an article), instead of a fixed one."""
    subset_field: str = ""
    """Field of a document that names the part of the task which it belongs to (a distance); parts are estimated on
    their own too."""
    filter: str = ""
    """lm-eval filter whose result counts; empty: the task's first."""
    ladder: tuple[str, ...] = ()
    """Filters from the strictest to the most lenient, instead of one: the first that finds an answer decides. In an
    answer that was cut by the length limit only the first may look, at whole lines."""
    shots: int | None = None
    """Examples to show, instead of the file's `num_fewshot`."""
    drawn: int = 0
    """Examples to draw, of which the first `shots` are shown: settings of one ladder then show nested examples."""
    metric: str = ""
    """lm-eval metric that counts; empty: the task spec's."""
    override: Mapping[str, Any] = field(default_factory=dict)
    """Keys that replace those of the file (another filter_list, for one)."""
    presentation: Presentation = ""
    """`document`: plain text in every run. `dialogue`: the chat template in a run with --chat, in another the same
    messages as `Q: …` and `A: …`. Empty: the chat template in a run with --chat, in another plain text."""
    pair_by: str = ""
    """Template of what an item is known by, instead of its whole document: shifted items pair with what they were."""
    turns: str = ""
    """Field of a document that holds the earlier turns of its dialogue (user, assistant, user, assistant …)."""
    each_sample: bool = False
    """Score every sampled answer by itself, a record each; else the task's filters make one answer of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """What is asked of every node."""

    name: str
    title: str
    tasks: tuple[TaskSpec, ...]
    sources: tuple[TaskSource, ...]
    contrasts: tuple[tuple[str, str], ...] = ()
    """Pairs of settings (minuend, subtrahend) that `run` compares within a node: ("cot", "direct")."""
    digest: str = ""

    def task(self, name: str) -> TaskSpec:
        """The task called `name` (KeyError when there is none)."""
        for task in self.tasks:
            if task.name == name:
                return task
        raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Weights that can be loaded."""

    node: str
    uri: str
    revision: str = ""
    digest: str = ""
    """Of the weights, the tokenizer and the chat template."""


_canonical = json.JSONEncoder(sort_keys=True, allow_nan=False).encode

RequestKind = Literal["generate", "loglikelihood", "perplexity"]


@dataclass(frozen=True, kw_only=True)  # no slots: the digest is kept beside the fields
class Request:
    """One question to an engine; its fields are its identity."""

    kind: RequestKind
    text: str
    """The prompt; for `perplexity` the text whose every token is scored."""
    continuation: str = ""
    """What is scored after the prompt; `loglikelihood` only."""
    generation: Mapping[str, Any] = field(default_factory=dict)
    """until, max_gen_toks, do_sample, temperature and an engine's own; `generate` only."""
    sample: int = 0
    """Which of several sampled answers; greedy answers are all sample 0."""
    seed: int = 0
    """Of the sampling; 0 when greedy."""

    @cached_property
    def digest(self) -> bytes:
        """Of all fields, 32 bytes; computed once, because all nodes of a tree are asked the same request.

        Raises:
            TypeError, ValueError: generation settings that JSON can't hold.
        """
        settings = _canonical(dict(self.generation)) if self.generation else ""
        fields = (self.kind, self.text, self.continuation, settings, str(self.sample), str(self.seed))
        parts = [field.encode("utf-8", "surrogatepass") for field in fields]
        # every part behind its length: no two requests give the same bytes
        return hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What an engine says to one request."""

    text: str | None = None
    """Generated text, cut before the first stop string."""
    logprob: float | None = None
    """Sum over the scored tokens, natural logarithm."""
    greedy: bool | None = None
    """Whether every scored token is the most probable one."""
    finish: str = ""
    """stop or length; empty for log-likelihoods."""
    n_tokens: int | None = None
    """Tokens generated, or scored."""
    cut: int = 0
    """Tokens of the prompt that did not fit into the model's window and were dropped on the left."""
    error: str = ""
    """Why there is no answer; then nothing else is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a gate says of one rule."""

    rule: str
    status: Literal["pass", "fail", "inconclusive"]
    reason: str
    effect: Mapping[str, Any]
    """The row of the ledger that it rests on."""


Expectation = Literal["more", "less", "same", "not more", "not less"]
EXPECTATIONS: tuple[Expectation, ...] = ("more", "less", "same", "not more", "not less")

Relation = Literal["parent", "sibling", "cousin", "ancestor", "larger", "smaller", "any"]
RELATIONS: tuple[Relation, ...] = ("parent", "sibling", "cousin", "ancestor", "larger", "smaller", "any")
"""Of what a node is compared with to the node: its parent in the drawn reading, another child of that parent, a child
of the parent's sibling, an ancestor, a node of more or of fewer parameters, any other node."""

ClaimForm = Literal["contrast", "slope", "bend", "unlocked", "injected"]
CLAIM_FORMS: tuple[ClaimForm, ...] = ("contrast", "slope", "bend", "unlocked", "injected")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """Which nodes of any tree are meant."""

    kind: tuple[StageKind, ...] = ()
    """Any of these kinds; empty: every kind."""
    tags: tuple[str, ...] = ()
    """All of these tags."""
    without: tuple[str, ...] = ()
    """None of these."""
    below: tuple[StageKind, ...] = ()
    """Its parent is of one of these kinds; empty: no matter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One way to measure something: the tasks and settings of a tree that count for it."""

    capability: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    """Names, * as wildcard, with `:subset` for a part; empty: every headline task of the capability."""
    settings: tuple[str, ...] = ()
    """Settings, * as wildcard, or summaries (slope, area, mean, spread); empty: the summary area or mean where a task
    has one, else every setting."""
    minus: str = ""
    """Setting that is subtracted within the node, item by item: `cot` minus `direct`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimTest:
    """One contrast that a claim stands or falls with."""

    name: str
    """What is compared, in words: "sft − parent: zero-shot"."""
    expect: Expectation
    measure: str
    """Name of one of the file's measures."""
    form: ClaimForm = "contrast"
    """`slope`: along ten times the axis, over nodes of one sort; `bend`: that it begins at some size; `unlocked` and
    `injected`: what the unlock test says of the picked stages."""
    axis: str = "parameters"
    """Of a slope or bend."""
    child: Pick = field(default_factory=Pick)
    relation: Relation | None = None
    """None: nothing is subtracted but what the measures themselves do; the node is then held against the margin."""
    against: Pick = field(default_factory=Pick)
    against_measure: str = ""
    """What the other node is asked, where that is another setting of the same items; empty: the same measure."""
    minus: str = ""
    """A measure on other items that is subtracted: refusals of harmless requests from those of harmful ones."""
    raw: bool = False
    """Scores as they are: lower-is-better ones are not turned."""
    each: bool = False
    """Every pair of nodes by itself, instead of their mean: one that goes the other way decides."""
    margin: float | None = None
    """In the score's unit; None: the tasks' own, the largest of them."""

    @property
    def alone(self) -> bool:
        """Whether scores are held against the margin, because nothing is subtracted from them."""
        return self.relation is None and self.form == "contrast" and not self.minus


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the literature says of stages, and how a tree can confirm or refute it."""

    id: str
    text: str
    grade: str
    """C conclusion, H hypothesis, H+ strong hypothesis, G educated guess."""
    graded_by: str
    source: str
    tests: tuple[ClaimTest, ...]
    """All must hold: the claim is their conjunction."""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The claims of one file, with the measures that their tests name."""

    measures: Mapping[str, tuple[Source, ...]]
    claims: tuple[Claim, ...]
    digest: str = ""
