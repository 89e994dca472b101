"""The columns of every table that travels: records, and what is made of them. A name, and what it says.

Tables travel as pandas DataFrames (Parquet on disk); what else travels is in `core`. Standard library only.
"""

from __future__ import annotations

RECORD_COLUMNS: dict[str, str] = {
    "task": "what is asked; pairs only with itself",
    "capability": "the suite's capability that the task counts for",
    "setting": "how it is asked: direct, cot, few-shot, zero-shot, a prompt's name",
    "subset": "a part of the task that is also estimated on its own (answerable); empty when there is none",
    "item": "digest of the document, with #2, #3 … for its repetitions",
    "cluster": "what the item shares with others (BBH subtask, article); empty when there is none",
    "sample": "0, 1 … when an item is asked several times",
    "score": "a float, or missing; missing is never 0",
    "gold_logprob": "log-probability of the right answer in nats, where it was scored; or missing",
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
    "lenient": "score of the same answer with its form forgiven (the gold found in a sentence), or missing",
    "steps": "reasoning steps in the answer (sentences or lines before the final one), or missing",
    "slips": "calculations in the answer that are wrong when computed again, or missing where there are none to check",
    "declined": "1 where the answer says that it can't, won't or doesn't know, else 0; missing where nobody looked",
    "error": "an engine's, API's or data set's failure; then the score is missing",
}
"""One row per item and sample. A tree's records have the column `node` in front."""

NO_RUNG = "not found"
"""Stands where a ladder found no answer."""

WHY_WRONG = ("truncated", "unextracted", "refused", "empty")
"""What an answer can be beyond being wrong; its shares stand beside the scores."""

FLAGS = ("", *WHY_WRONG)

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
    "mde": "smallest true difference that these items would have shown with 80 % power, at the level of the adjusted p",
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
    "grade": "evidence: A (three trained seeds and a control), B (adjusted p), C (unadjusted p), D (none of these)",
    "grade_reason": "what keeps the grade from being A, in words; '' for A",
    "seeds": "training runs of this contrast; 1: these weights only",
    "seed_delta": "mean of delta over them; missing with one",
    "seed_low": "lower end of its 95 % t interval over training runs, on the same items",
    "seed_high": "upper end of it",
    "seed_share": "of the variance of one run's delta, the share that is the training run's own; missing with one",
    "delta_completers": "delta on the items that no end left truncated, unextracted, refused or empty",
    "n_completers": "how many these are",
}
"""Columns of the effect ledger; the first nineteen are the stable interface of summary.json."""

LEDGER_COLUMNS = tuple(EFFECT_COLUMNS)[:19]

REPLICA_COLUMNS: dict[str, str] = {
    "replica": "which training run: 0 is the one that the ledger is about",
    "kind": "kind of the contrast",
    "contrast": "name of the contrast",
    "parent": "the node that is subtracted",
    "child": "the node that it is subtracted from",
    "task": "task, or task:subset",
    "setting": "how it was asked",
    "n": "items that both ends have a score for",
    "delta": "child − parent of this training run, in the score's unit",
    "reason": "why nothing could be told of this run's ends, or ''",
    "share": "of the variance of one run's delta, the share that is the training run's own, from all runs of the row",
}
"""What each training run says of each effect: one row per run, contrast, task and setting; none without replicas."""

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
    "parent_length": "characters that the parent answered, or missing",
    "child_length": "characters that the child answered, or missing",
    "cause": "why the worse end is worse: one of `attribution.causes.CAUSES`; '' where none is better",
}
"""Items on which the two ends of an edge differ."""

ANATOMY_COLUMNS: dict[str, str] = {
    "kind": "kind of the contrast",
    "contrast": "name of the contrast",
    "parent": "the node that is subtracted",
    "child": "the node that it is subtracted from",
    "task": "task, or task:subset",
    "setting": "how it was asked",
    "cause": "one of `attribution.causes.CAUSES`, or `small changes` for all that is no flip",
    "n": "items that both ends have a score for",
    "lost": "items that were lost by this cause",
    "gained": "items that were gained, which the parent had wrong by it",
    "delta": "child − parent on those n items, as in the ledger",
    "net": "what the cause adds to delta; over all causes they add up to it",
    "low": "lower end of the marginal 95 % interval of net",
    "high": "upper end of it",
    "worse_length": "median characters of the worse answers, or missing",
    "better_length": "median characters of the better answers to the same items, or missing",
    "share": "of the items lost on this contrast, task and setting, or missing where none was lost",
    "orientation": "which way the metric is better",
    "unit": "points or the metric's own unit",
    "sentence": "the row in words",
}
"""The difference of two nodes, split by why items flipped: one row per contrast, task, setting and cause."""

ORIGIN_COLUMNS: dict[str, str] = {
    "path": "nodes from root to leaf that were asked, joined by ' → '",
    "leaf": "the last of them",
    "capability": "what the task measures",
    "task": "task, or task:subset",
    "setting": "how it was asked",
    "node": "node whose stage this row is about; the first node's row holds its own score",
    "parent": "the node before it on the path that was asked; '' for the first",
    "role": "origin, gave, took or none; root for a first node that is not the origin",
    "score": "mean of the node on the items that the whole path shares",
    "contribution": "node − parent on those items; the first score and all contributions add up to the leaf's score",
    "low": "lower end of the 95 % interval of the contribution",
    "high": "upper end of it",
    "p": "two-sided p of no contribution",
    "p_adjusted": "after Benjamini-Hochberg over all stages, tasks and settings, each once however many paths share it",
    "n": "items that the whole path shares",
    "support": "share of draws of these items in which this node adds the most above chance",
    "left": "share of what the origin adds above chance that is left at the leaf, in its row; else missing",
    "left_low": "lower end of its 95 % percentile interval",
    "left_high": "upper end of it",
    "chance": "score of a guesser, above which a gain counts; missing where the metric has none",
    "seeds": "training runs that were asked the whole path",
    "seed_support": "of them, the share in which this node adds the most",
    "orientation": "which way the metric is better",
    "unit": "points or the metric's own unit",
    "reason": "why nothing can be told of this stage, or ''",
    "confounds": "what else differs between the ends of the stage",
    "ended": "why the path ends before the last node that was asked, or ''",
    "sentence": "the verdict on the path in words, in the origin's row (in the first where no stage is the origin)",
}
"""Which stage of a path gave a capability: one row per root-to-leaf path, task, setting and node."""

FACTORIAL_COLUMNS: dict[str, str] = {
    "design": "names of the four nodes: neither, first only, second only, both",
    "factors": "what the two factors are: code × instructions",
    "task": "task, or task:subset",
    "setting": "how it was asked; 'cot − direct' for the gain within a node",
    "capability": "what the task measures",
    "effect": "first, second or interaction",
    "name": "the same by the factors' names: code, instructions, code × instructions",
    "n": "items that all four nodes have a score for",
    "delta": "size of the effect, in the score's unit; its sign is not turned for lower-is-better",
    "low": "lower end of the 95 % interval",
    "high": "upper end of it",
    "p": "two-sided p",
    "p_adjusted": "after Benjamini-Hochberg over all factorial effects",
    "low_equivalence": "lower end of the 1 − 2α interval that equivalence is judged by",
    "high_equivalence": "upper end of it",
    "mde": "smallest true effect that this many items would have shown with 80 % power",
    "answer": "gained, lost, equivalent or cant_tell",
    "score_neither": "mean of the node without both, on these items",
    "score_first": "of the one with the first factor only",
    "score_second": "of the one with the second factor only",
    "score_both": "of the one with both",
    "orientation": "which way the metric is better",
    "unit": "points or the metric's own unit",
    "margin": "differences inside ±margin count as equivalent",
    "reason": "why nothing can be told, or ''",
    "seeds": "training runs behind seed_low, seed_high; 1 where only the items' error is known",
    "seed_low": "lower end of the 95 % t interval over training runs, or missing",
    "seed_high": "upper end of it",
    "confounds": "what else differs between the four nodes",
    "sentence": "the verdict in words",
}
"""2 × 2 designs: one row per design, task, setting and effect."""

SCALING_COLUMNS: dict[str, str] = {
    "series": "what is compared over sizes: the stage kind, or what its nodes are called",
    "axis": "parameters, tokens or instruction types",
    "nodes": "names of the nodes in ascending order, joined by ', '",
    "sizes": "their sizes, joined by ', '",
    "task": "task, or task:subset",
    "setting": "how it was asked; 'cot − direct' for the gain of reasoning",
    "capability": "what the task measures",
    "n": "items that all sizes have a score for",
    "dropped": "items that only some of the sizes have",
    "slope": "score gained per tenfold size, within items",
    "low": "lower end of the 95 % interval of the slope",
    "high": "upper end of it",
    "p": "two-sided p of no slope",
    "p_adjusted": "after Benjamini-Hochberg over all slopes",
    "change": "size at which the score begins to rise or fall; missing with fewer than five sizes or no certain bend",
    "change_low": "lower end of its 95 % interval",
    "change_high": "upper end of it",
    "p_change": "p of a bend against a straight line, or missing",
    "p_change_adjusted": "after Benjamini-Hochberg over all bends; `change` is there where it is at most alpha",
    "before": "mean score before the change, or missing",
    "after": "score gained per tenfold size after the change, or missing",
    "curve": "JSON: [size, mean, low, high] of every size, on the items that all sizes have a score for",
    "continuous": "the continuous companion: a task, or log-probability of the gold; '' where there is none",
    "continuous_slope": "the companion's slope per tenfold size, in its own unit",
    "continuous_low": "lower end of its 95 % interval",
    "continuous_high": "upper end of it",
    "continuous_change": "size at which the companion begins to change, by least squares; missing where it is straight",
    "continuous_p_change": "p of a bend of the companion, not adjusted: it is looked at beside the score's",
    "continuous_unit": "unit of the companion",
    "continuous_curve": "JSON: as `curve`",
    "warning": "what to beware of: a bend in the thresholded metric only, sizes too few",
    "orientation": "which way the metric is better",
    "unit": "points or the metric's own unit",
    "sentence": "the verdict in words",
}
"""Scores against log size: one row per series, axis, task and setting."""

ASK_AGAIN_COLUMNS: dict[str, str] = {
    "parent": "node to ask",
    "task": "task",
    "setting": "the plain setting in which its child newly solves items",
    "item": "digest of the document: newly solved by a child, or a control item as hard",
}
"""What parents are asked again by `--elicit`: one row per node, task, setting and item."""

UNLOCK_COLUMNS: dict[str, str] = {
    "parent": "node that is asked again in elicited settings",
    "child": "node that newly solves items",
    "capability": "what the task measures",
    "task": "task",
    "setting": "the plain setting in which the child newly solves",
    "elicited": "settings in which the parent was asked again, joined by ', '",
    "n_new": "items that the child solves and the parent does not, as far as they are compared",
    "n_control": "items that neither solves, as hard as some new one; 0: the new ones are held against guessing alone",
    "share_new": "share of the new ones that the parent solves when elicited, corrected for guessing",
    "share_control": "that share among the control items of equal difficulty, or missing",
    "delta": "share_new − share_control, or missing",
    "low": "lower end of the 95 % interval of delta; without control items, of share_new",
    "high": "upper end of it",
    "most": "upper end of the 1 − 2α interval of the same: `injected` where it is below the margin",
    "p": "of a delta of at most the margin; below α where the interval lies above the margin",
    "p_adjusted": "after Benjamini-Hochberg over all edges, tasks and settings",
    "margin": "a smaller difference counts as none",
    "logprob": "difference of the gold's log-probability under the parent, new − control items, in nats, or missing",
    "answer": "unlocked, injected or cant_tell",
    "confounds": "what weakens the answer",
    "sentence": "the verdict in words",
}
"""Was it there before? One row per edge, task and setting with newly solved items."""

REASONING_COLUMNS: dict[str, str] = {
    "parent": "node that reads the child's chain of thought",
    "child": "node that wrote it",
    "task": "task",
    "setting": "how it was asked",
    "group": "items: `gained` (child right, parent wrong), `both` right",
    "n": "chains read",
    "ratio": "mean log-likelihood ratio child − parent per token of the chain, in nats",
    "low": "lower end of its 95 % interval",
    "high": "upper end of it",
    "parts_at": "median place in the chain (0 its beginning, 1 its end) where the two part, or missing",
    "ends_right": "share in which the parent, given the chain, finds the gold answer likelier than what it said",
    "ends_low": "lower end of its 95 % interval",
    "ends_high": "upper end of it",
    "answer": "knows (but does not say), cannot or cant_tell",
    "sentence": "the verdict in words",
}
"""The child's chains read by the parent: one row per edge, task, setting and group of items."""

CLAIM_COLUMNS: dict[str, str] = {
    "claim": "id in model_zoo/claims.yaml",
    "text": "what is claimed",
    "literature": "grade in the literature: C, H, H+ or G",
    "source": "who says so",
    "test": "which test of the claim this row is; 'claim' in the row that sums it up",
    "contrast": "what was compared, by the names of this tree's nodes",
    "task": "tasks that it rests on",
    "setting": "how they were asked",
    "verdict": "supported, contradicted, undecided or untestable",
    "reason": "what is missing, or why it can't be decided",
    "delta": "the effect, in the score's unit",
    "low": "lower end of the 95 % interval",
    "high": "upper end of it",
    "p": "p of the claim's own hypothesis",
    "p_adjusted": "after Holm over the claims of this trace",
    "n": "items",
    "n_needed": "items that it would take, where undecided",
    "unit": "points or the metric's own unit",
    "by_task": "the effect on each task, where there are several; they need not agree",
    "seeds": "training runs that it rests on",
    "seed_low": "lower end of the 95 % t interval over training runs; missing with one",
    "seed_high": "upper end of it",
    "grade": "evidence grade A to D",
    "grade_reason": "what keeps the grade from being A, in words",
    "confounds": "what else differs",
    "sentence": "the verdict in words",
}
"""What a tree says of the literature's claims: a row per claim, and one per test of it."""

PLAN_COLUMNS: dict[str, str] = {
    "about": "claim, design (2 × 2), control, items or seeds",
    "what": "the claim, stage or contrast",
    "task": "task, or missing where it is about none",
    "setting": "how it was asked, or missing",
    "problem": "what keeps it from being known",
    "effect": "true difference that is to be found, in the score's unit",
    "unit": "points or the metric's own unit",
    "have": "items, or training runs",
    "need": "items, or training runs, that it takes; missing where that is unknown",
    "remedy": "what to do",
}
"""What is missing to identify what a tree is asked: a row per claim, branch and contrast."""
