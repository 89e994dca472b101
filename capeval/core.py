"""The types that travel between the floors. Frozen data, standard library only; behaviour lives elsewhere.

Records themselves travel as a pandas DataFrame (Parquet on disk) with the columns of `RECORD_COLUMNS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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

RECORD_COLUMNS: dict[str, str] = {
    "task": "what is asked; pairs only with itself",
    "capability": "the suite's capability that the task counts for",
    "setting": "how it is asked: direct, cot, few-shot, zero-shot, a prompt's name",
    "subset": "a part of the task that is also estimated on its own (answerable); empty when there is none",
    "item": "digest of the document, with #2, #3 … for its repetitions",
    "cluster": "what the item shares with others (BBH subtask, article); empty when there is none",
    "sample": "0, 1 … when an item is asked several times",
    "score": "a float, or missing; missing is never 0",
    "shots": "digest (or label) of what was shown besides the question's presentation; pairs must agree in it",
    "presentation": "digest (or label) of the form: document or chat template, system prompt; may differ, marked",
    "prompt_digest": "digest of the full text that was sent; empty when unknown",
    "response": "what the model said; missing when only numbers are kept",
    "extracted": "what the filter took from it; missing when nothing could be extracted",
    "finish": "why generation ended: stop, length, or empty for log-likelihoods",
    "n_tokens": "tokens generated, or missing",
    "length": "characters answered, or missing",
    "flag": "truncated, unextracted, refused, empty or '' : why an answer counts as wrong beyond being wrong",
    "rung": "the filter of the ladder that found the answer, `not found` where none did; empty without a ladder",
    "error": "an engine's, API's or data set's failure; then the score is missing",
}
"""One row per item and sample. A tree's records have the column `node` in front."""

NO_RUNG = "not found"
"""Stands where a ladder found no answer."""

WHY_WRONG = ("truncated", "unextracted", "refused", "empty")
"""What an answer can be beyond being wrong; its shares stand beside the scores."""
FLAGS = ("", *WHY_WRONG)

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
class Tree:
    """Stages with their parents before them, and the contrasts that are put to the records."""

    name: str
    stages: tuple[Stage, ...]
    title: str = ""
    description: str = ""
    contrasts: tuple[Contrast, ...] = ()
    """Declared ones; edges are not among them, `edges()` gives those."""
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


RequestKind = Literal["generate", "loglikelihood", "perplexity"]


@dataclass(frozen=True, slots=True, kw_only=True)
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


EFFECT_COLUMNS: dict[str, str] = {
    "tree": "name of the tree",
    "kind": "edge, path, sibling, within, cross-size, release or difference",
    "parent": "the node that is subtracted",
    "child": "the node that it is subtracted from",
    "capability": "what the task measures",
    "task": "task, or task:subset",
    "setting": "how it was asked; 'cot − direct' within a node, 'cot − ood-gsm8k' for a gap to other items",
    "n": "items that both ends have a score for; of a gap to other items those of both sets",
    "dropped": "items that only one end has, or with a missing score, or with different shots",
    "gained": "items on which the child is better",
    "lost": "items on which the child is worse",
    "delta": "child − parent, in the score's unit (0.02 = 2 points); its sign is not turned for lower-is-better",
    "low": "lower end of the marginal 95 % interval of delta",
    "high": "upper end of it",
    "p": "two-sided p",
    "p_adjusted": "after Benjamini-Hochberg within the family",
    "mde": "smallest true difference that this many items would have shown with 80 % power",
    "answer": "gained, lost, equivalent or cant_tell",
    "confounds": "what else differs between the ends, joined by '; '",
    "contrast": "name of the contrast",
    "label": "the answer in words for this metric: gained, lost, increased, decreased, equivalent, can't tell",
    "reason": "why it can't be told, or 'negligible', or ''",
    "orientation": "which way the metric is better",
    "metric": "name of the metric",
    "unit": "points or the metric's own unit",
    "margin": "differences inside ±margin count as equivalent",
    "parent_score": "mean of the parent on the paired items; of a node's gap that of the reference",
    "child_score": "mean of the child on the paired items; of a node's gap that of the shifted set",
    "low_equivalence": "lower end of the 1 − 2α (90 %) interval that equivalence and gates are judged by",
    "high_equivalence": "upper end of it",
    "se": "standard error of delta",
    "n_clusters": "clusters among the paired items; 0 when there are none",
    "low_clustered": "for strata: the interval that generalises to other tasks of the kind; else missing",
    "high_clustered": "likewise",
    "n_needed": "items that telling ±margin would take, from the observed discordance; missing if n suffices",
    "method": "test and interval used",
    "family": "which effects share the multiplicity adjustment",
    "sentence": "the verdict in words",
    "certainty": "how sure the parent link is, for edges; else ''",
}
"""Columns of the effect ledger; the first nineteen are the stable interface of summary.json."""

LEDGER_COLUMNS = tuple(EFFECT_COLUMNS)[:19]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a gate says of one rule."""

    rule: str
    status: Literal["pass", "fail", "inconclusive"]
    reason: str
    effect: Mapping[str, Any]
    """The row of the ledger that it rests on."""


SCORE_COLUMNS: dict[str, str] = {
    "node": "name of the node",
    "task": "task, or task:subset",
    "setting": "how it was asked",
    "capability": "what the task measures",
    "score": "mean over items (several samples of one item are averaged first)",
    "low": "lower end of the 95 % interval",
    "high": "upper end of it",
    "n": "items with a score",
    "missing": "items without one (engine, API or data errors)",
    "truncated": "share of answers cut by the length limit, among items with a score",
    "unextracted": "share from which no answer could be extracted",
    "refused": "share that refused",
    "empty": "share that said nothing",
    "n_clusters": "clusters among the items; 0 when there are none",
    "metric": "name of the metric",
    "orientation": "which way it is better",
    "unit": "points or the metric's own unit",
    "chance": "score of a guesser",
}
"""Columns of a trace's score table: one row per node, task and setting."""

RUNG_COLUMNS: dict[str, str] = {
    "node": "name of the node",
    "task": "task, or task:subset",
    "setting": "how it was asked",
    "rung": "filter of the ladder that found the answers, or `not found`",
    "n": "items",
    "share": "of the items of this node, task and setting",
    "score": "mean over the items of this rung",
}
"""By which rung of the extraction ladder answers were found: one row per node, task, setting and rung."""

CALIBRATION_COLUMNS: dict[str, str] = {
    "node": "name of the node",
    "task": "task",
    "setting": "how it was asked",
    "n": "items whose choices have log-probabilities",
    "accuracy": "share of right ones among them",
    "confidence": "mean probability of the choice taken; above the accuracy: too sure",
    "brier": "mean (confidence − right)²",
    "ece": "adaptive calibration error, bins of equal mass",
    "low": "lower end of its 95 % interval",
    "high": "upper end",
    "ece_if_calibrated": "the error that luck alone gives on as many items",
    "aurc": "mean risk (share wrong) of the k surest answers over all k: the area under the risk-coverage curve",
    "aurc_excess": "how much of it a better order of the same answers would save",
    "curve": "JSON: [coverage, risk] at some of the curve's points, the surest answers first",
}
"""How sure a node is against how right it is: one row per node, task and setting."""

ABSTENTION_COLUMNS: dict[str, str] = {
    "node": "name of the node",
    "task": "task that scores whether an answer abstains",
    "setting": "how it was asked",
    "n": "items, those without an answer included",
    "answered": "items that were answered",
    "wrong": "answers that are wrong; any answer to an item without one is",
    "coverage": "share of the items that were answered",
    "coverage_low": "lower end of its 95 % interval",
    "coverage_high": "upper end",
    "risk": "share of the answers that are wrong",
    "risk_low": "lower end of its 95 % interval",
    "risk_high": "upper end",
}
"""What a node answers, and how often it is wrong when it does: one row per node, task and setting."""

PUBLISHED_COLUMNS: dict[str, str] = {
    "node": "name of the node",
    "benchmark": "what was asked, in the source's words",
    "setting": "how",
    "metric": "which metric",
    "value": "the published score, in the metric's own unit",
    "low": "lower end of the 95 % Wilson interval; missing when n_items is unknown or the metric is no rate",
    "high": "upper end of it",
    "n_items": "items behind the score, or missing",
    "source": "citation",
    "read_at": "where in the source",
    "note": "caveats",
}
"""Published aggregates: context and unpaired intervals, never paired."""

PUBLISHED_EFFECT_COLUMNS: dict[str, str] = {
    "parent": "the node that is subtracted",
    "child": "the node that it is subtracted from",
    "benchmark": "what was asked",
    "setting": "how",
    "metric": "which metric",
    "parent_value": "published score of the parent",
    "child_value": "published score of the child",
    "delta": "child − parent",
    "low": "lower end of the unpaired 95 % interval (Newcombe), or missing",
    "high": "upper end of it",
    "n_parent": "items behind the parent's score, or missing",
    "n_child": "items behind the child's",
    "source": "citations of both ends",
    "same_source": "whether both ends come from one source",
}

FLIP_COLUMNS: dict[str, str] = {
    "kind": "kind of the contrast",
    "parent": "the node that is subtracted",
    "child": "the node that it is subtracted from",
    "task": "task",
    "setting": "how it was asked",
    "item": "digest of the document",
    "cluster": "cluster of the item",
    "parent_score": "score of the parent",
    "child_score": "score of the child",
    "parent_flag": "flag of the parent's answer",
    "child_flag": "flag of the child's answer",
    "parent_response": "what the parent said, or missing",
    "child_response": "what the child said, or missing",
}
"""Items on which the two ends of an edge differ."""
