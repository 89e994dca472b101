"""Recorded outputs through our tasks' filters, ladders and metrics: `python -m benchmarks.rescore > docs/rescoring.md`.

Nothing is generated: what real systems once answered is scored as if a model had just said it. CAPEVAL_DATA names the
folder with the recordings; without it there is nothing to print. Three minutes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.disagreements import reason
from capeval.core import TaskSource
from capeval.errors import MissingError
from capeval.harness import Asked, Form, names, prepare, rescore
from capeval.harness.mirror import mirror
from capeval.recordings.sources.reasoning import documents
from capeval.suites import load_suite

PUBLISHED = {"direct": 52.4, "cot": 74.0}
"""What code-davinci-002 is to score on BBH, percent."""
LADDER = ("strict-match", "flexible-extract")
BBH_KNOWN_BY = "{{input}}\n{{target}}"
LAST_CHOICE = r"(\([A-R]\)|(?i:\b(?:true|false|yes|no|valid|invalid)\b)|-?\d+)"
"""What could be an answer to most BBH subtasks, for the rung that was tried and left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One data set of the zero-shot chain-of-thought logs, and the task that scores it."""

    name: str
    suite: str
    task: str
    file: str
    known_by: str = "{{question}}"


LOGS = (
    Log(name="gsm8k", suite="cot", task="gsm8k", file="gsm8k"),
    Log(name="multiarith", suite="ood", task="multiarith", file="multiarith"),
    Log(name="svamp", suite="ood", task="svamp", file="svamp", known_by="{{question_concat}}"),
    Log(name="addsub", suite="ood", task="addsub", file="addsub"),
    Log(name="singleeq", suite="ood", task="singleeq", file="singleeq"),
    Log(name="aqua", suite="zero_shot_cot", task="aqua", file="aqua", known_by="{{question}} {{options|join(' ')}}"),
    Log(
        name="commonsenseqa", suite="zero_shot_cot", task="commonsenseqa", file="commonsensqa",
        known_by="{{question}} {% for t in choices.text %}{{choices.label[loop.index0]}} {{t}} {% endfor %}",
    ),
    Log(name="coin_flip", suite="zero_shot_cot", task="coin-flip", file="coin_flip"),
    Log(name="last_letters", suite="zero_shot_cot", task="last-letters", file="last_letters"),
)  # fmt: skip
PLANS = {"gsm8k": "gsm8k", "multiarith": "MultiArith", "svamp": "SVAMP", "addsub": "AddSub", "singleeq": "SingleEq"}


def ask(suite: str, task: str, setting: str, **changes: Any) -> list[Asked]:
    """The suite's task in one setting. No shots: prompts don't matter to texts that are already there."""
    found = load_suite(suite)
    sources = [s for s in found.sources if s.task == task and s.setting == setting]
    return prepare(replace(found, sources=tuple(_changed(s, changes) for s in sources)), Form())


def _changed(source: TaskSource, changes: Mapping[str, Any]) -> TaskSource:
    return replace(source, shots=0, **changes)


def bbh(data: Path, setting: str) -> pd.DataFrame:
    """Recorded rows of a setting (cot, direct), by what their items are known by; the row without an id has none."""
    rows = _read(data / "recorded/bbh_code-davinci-002/outputs.jsonl")
    rows = rows[(rows["setting"] == f"3-shot-{setting}") & rows["id"].notna()].sort_values(["task", "item_index"])
    files = {task: json.loads((data / f"bbh/{task}.json").read_text())["examples"] for task in rows["task"].unique()}
    items = [files[task][int(n)] for task, n in zip(rows["task"], rows["item_index"], strict=True)]
    return rows.assign(known_by=names([f"{item['input']}\n{item['target']}" for item in items]))


def recorded(rows: pd.DataFrame, name: str, data: Path) -> pd.DataFrame:
    """One model's rows about a data set, by what its items are known by, in the data set's order."""
    places = {found: (place, question) for place, (found, question, _) in enumerate(documents(name, data))}
    rows = rows.assign(place=[places[found][0] for found in rows["id"]]).sort_values("place", kind="stable")
    return rows.assign(known_by=names([places[found][1] for found in rows["id"]]))


def scored(asked: Sequence[Asked], rows: pd.DataFrame, known_by: str = "{{question}}") -> pd.DataFrame:
    """The rows with our score, extracted and rung beside what was recorded; a text without a document has no score."""
    records = rescore(asked, dict(zip(rows["known_by"], rows["output"], strict=True)), known_by)
    ours = records[["known_by", "cluster", "score", "extracted", "rung", "flag"]]
    both = rows.merge(ours, on="known_by", how="left")
    if "correct" in both:
        both["agrees"] = both["score"] == both["correct"].astype(float)
    return both


def logs(data: Path) -> Iterator[tuple[Log, str, pd.DataFrame]]:
    """Every data set and setting of the zero-shot logs, scored, with the reason where the verdicts differ."""
    for log in LOGS:
        for setting, ours in (("zero-shot", "direct"), ("zero-shot-cot", "cot")):
            rows = _read(data / f"recorded/zero_shot_cot/{log.file}.{setting}.jsonl")
            if ours == "direct":  # without the end of the prompt, which the source repeats
                rows = rows.assign(output=rows["answer_stage_output"])
            both = scored(ask(log.suite, log.task, ours), recorded(rows, log.name, data), log.known_by)
            both["reason"] = ["" if row["agrees"] else reason(row) for row in both.to_dict("records")]
            yield log, setting, both


def tuned(data: Path) -> dict[str, pd.DataFrame]:
    """GSM8K outputs of the models that were trained on it, by model, not yet scored."""
    rows = _read(data / "recorded/gsm8k_openai_2021/outputs.jsonl")
    return {str(model): recorded(part, "gsm8k", data) for model, part in rows.groupby("model", sort=False)}


def main() -> None:
    """Print the page."""
    data = mirror()
    if data is None or not (data / "recorded").is_dir():
        raise MissingError("there are no recorded outputs: set CAPEVAL_DATA to a folder that holds recorded/")
    found = list(logs(data))
    parts = [_HEAD, *bbh_page(data), *gsm8k_page(data, found), *logs_page(found), *plans_page(data)]
    print("\n".join(parts))


def bbh_page(data: Path) -> Iterator[str]:
    """BBH in both settings, and what a second rung would add."""
    yield _BBH
    yield _line("setting", "items", "micro", "expected", "macro", "nothing extracted", "cut at the task's stops")
    yield _line(*["---"] * 7)
    for setting, published in PUBLISHED.items():
        asked, rows = ask("cot", "bbh", setting), bbh(data, setting)
        both, cut = scored(asked, rows, BBH_KNOWN_BY), scored(asked, _stopped(rows, asked), BBH_KNOWN_BY)
        macro = both.groupby("cluster")["score"].mean().mean()
        nothing = int(both["extracted"].isna().sum())
        yield _line(
            setting, f"{both['score'].notna().sum():,}", _points(both["score"]), published, f"{100 * macro:.1f}",
            nothing, _points(cut["score"]),
        )  # fmt: skip
        if setting == "cot":
            cut_short = both.loc[both["extracted"].isna(), "cluster"].value_counts()
    rungs = scored(_with_last_choice(), bbh(data, "cot"), BBH_KNOWN_BY)
    second = rungs[rungs["rung"] == "last-choice"]
    yield _SECOND_RUNG.format(
        looked=len(second), right=int(second["score"].sum()), score=_points(rungs["score"]),
        more=100 * second["score"].sum() / len(rungs), most=cut_short.index[0], n=cut_short.iloc[0],
    )  # fmt: skip


def _stopped(rows: pd.DataFrame, asked: Sequence[Asked]) -> pd.DataFrame:
    """The texts up to the first stop string, where the task would have ended them."""
    until = asked[0].documents[0].requests[0][0].generation["until"]
    return rows.assign(output=[min((text.split(stop)[0] for stop in until), key=len) for text in rows["output"]])


def _with_last_choice() -> list[Asked]:
    """BBH cot with a second rung."""
    own = ask("cot", "bbh", "cot")[0].task.config.filter_list
    last = {"function": "regex", "regex_pattern": LAST_CHOICE, "group_select": -1}
    rungs = [*own, {"name": "last-choice", "filter": [last, {"function": "take_first"}]}]
    return ask("cot", "bbh", "cot", filter="", ladder=("get-answer", "last-choice"), override={"filter_list": rungs})


def gsm8k_page(data: Path, found: Sequence[tuple[Log, str, pd.DataFrame]]) -> Iterator[str]:
    """Every rule on every recording of GSM8K."""
    rules = [ask("cot", "gsm8k", "cot", ladder=rungs) for rungs in (LADDER, LADDER[:1], LADDER[1:])]
    rules.append(ask("ood", "gsm-hard-pairs", "in-distribution"))
    yield _GSM8K
    yield _line(
        "recording", "items", "recorded", "ladder", "agree", "strict rung alone", "flexible alone", "differs in",
        "by value", "differs in",
    )  # fmt: skip
    yield _line(*["---"] * 10)
    texts = tuned(data) | {f"text-davinci-002, {s}": both for log, s, both in found if log.name == "gsm8k"}
    for name, rows in texts.items():
        rows = rows[["known_by", "output", "correct"]]
        by = [scored(asked, rows) for asked in rules]
        yield _line(
            name, f"{len(rows):,}", _points(rows["correct"]), _points(by[0]["score"]), _share(by[0]["agrees"]),
            f"{_points(by[1]['score'])} ({by[1]['extracted'].notna().sum()} found)",
            _points(by[2]["score"]), int((by[0]["score"] != by[2]["score"]).sum()),
            _points(by[3]["score"]), int((by[0]["score"] != by[3]["score"]).sum()),
        )  # fmt: skip
    yield _GSM8K_TAIL


def logs_page(found: Sequence[tuple[Log, str, pd.DataFrame]]) -> Iterator[str]:
    """Agreement of each log, and why verdicts differ."""
    yield _LOGS
    yield _line("data set", "setting", "items", "recorded", "ours", "agree", "only ours right", "only theirs right")
    yield _line(*["---"] * 8)
    for log, setting, both in found:
        apart = both[~both["agrees"]]
        yield _line(
            log.name, setting, f"{len(both):,}", _points(both["correct"]), _points(both["score"]),
            _share(both["agrees"]), int((apart["score"] == 1).sum()), int((apart["score"] == 0).sum()),
        )  # fmt: skip
    apart = pd.concat([both[~both["agrees"]] for _, _, both in found])
    counts = apart.groupby("reason")["score"].agg(["size", "sum"]).sort_values("size", ascending=False)
    yield _REASONS.format(n=len(apart), of=sum(len(both) for _, _, both in found))
    yield _line("why", "items", "only ours right", "only theirs right")
    yield _line(*["---"] * 4)
    for why, (size, right) in counts.iterrows():
        yield _line(why, int(size), int(right), int(size - right))


def plans_page(data: Path) -> Iterator[str]:
    """What can't be rescored."""
    yield _PLANS
    yield _line("data set", "items", "recorded", "ours, from a text without the answer", "agree")
    yield _line(*["---"] * 5)
    for log in LOGS:
        if log.name in PLANS:
            rows = _read(data / f"recorded/plan_and_solve/{PLANS[log.name]}.jsonl")
            both = scored(ask(log.suite, log.task, "cot"), recorded(rows, log.name, data), log.known_by)
            yield _line(
                log.name, f"{len(both):,}", _points(both["correct"]), _points(both["score"]), _share(both["agrees"])
            )


def _read(path: Path) -> pd.DataFrame:
    with path.open(encoding="utf-8") as lines:
        return pd.DataFrame([json.loads(line) for line in lines])


def _line(*cells: Any) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _points(scores: pd.Series) -> str:
    return f"{100 * scores.astype(float).mean():.2f}"


def _share(agrees: pd.Series) -> str:
    return f"{int(agrees.sum()):,} ({100 * agrees.mean():.1f} %)"


_HEAD = """\
<!-- python -m benchmarks.rescore > docs/rescoring.md writes this page -->
# Recorded outputs through our tasks

What real systems once answered, scored by the tasks of the suites `cot`, `ood` and `zero_shot_cot` (their filters,
ladders and metrics, `capeval.harness.rescore`) as if a model had just said it, against what was published or recorded.
Numbers only; scores are percent of items. `tests/test_rescore.py` holds the page to it.
"""
_BBH = """\
## BIG-Bench Hard, code-davinci-002

6,511 outputs a setting (Suzgun et al. 2022). One a setting has no id, because its item (of snarks) is not in BBH, and
one item of BBH has no output: 6,510 are scored. Direct is the first line, cot is what follows "the answer is"
(lm-eval's get-answer). Micro is over items; macro is over the 27 subtasks, as Chung et al. 2022 give it (73.7 with a
chain of thought). The recordings end where the authors ended them; the last column ends them where the tasks would
(lm-eval's stop strings: an empty line, the letter Q).
"""
_SECOND_RUNG = """
Chains that don't say "the answer is" break off in the middle, most of them while sorting ({n} of {most}). A second rung
for them (the last option letter, truth value, yes, no or number) would look at {looked} and find {right} right: {score}
instead, {more:+.2f} points. Not worth a rule: `get-answer` alone stays.
"""
_GSM8K = """\
## GSM8K: the ladder strict-match, flexible-extract

GPT-3 6B and 175B trained on GSM8K, without and with a verifier (Cobbe et al. 2021), and the zero-shot logs below.
Beside the ladder: each rung alone, and the rule of the suite `ood`, which compares values; on how many items a score
differs from the ladder's.
"""
_GSM8K_TAIL = """
The trained models end with "A: 18" and never say "The answer is": the strict rung finds nothing, and alone it would
score 0 where the models are right up to 56 % of the time.
"""
_LOGS = """\
## Zero-shot chains of thought, text-davinci-002

Logs of Kojima et al. 2022. Zero-shot is scored by the tasks' setting direct. With a chain of thought (setting cot) the
recorded text is the reasoning with the reply to a second question ("Therefore, the answer (arabic numerals) is"). GSM8K
is scored by the suite `cot`, the other word problems by `ood`, the rest by `zero_shot_cot`. No logs are at hand for
ASDiv, GSM-Hard and StrategyQA.

Three rules were written after reading these logs (letters spelt apart, "A through E" names no option, "3 and 1/4" is
one number), so that full agreement on letters and options shows no more than that the rules do what they say.
"""
_REASONS = """
{n} of {of:,} verdicts differ. Each is explained by a rule in `benchmarks/disagreements.py`:
"""
_PLANS = """
## What can't be rescored: plan-and-solve, text-davinci-003

The recorded texts of Wang et al. 2023 lack the second reply, of which their verdicts were taken. The last number of the
plan is mostly the answer, but not always, so these agreements say nothing about the scorers:
"""


if __name__ == "__main__":
    main()
