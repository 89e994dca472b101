"""InstructGPT's automatic evaluations: GPT-3, SFT, PPO and PPO-ptx at three sizes on the same 100 items a benchmark.

Ouyang et al. 2022, arXiv:2203.02155; outputs released by the authors. The prompts' instructions and shots are not
released, so `shots` stays empty: within one setting they are the same for all twelve models.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from capeval.digest import digest
from capeval.recordings.benchmarks import BENCHMARKS
from capeval.recordings.scorers import score
from capeval.recordings.sources.rows import Row, item_keys, marked, measured, read_jsonl, row

FOLDER = "recorded/instructgpt_autoeval"
STAGES = {"gpt": "gpt", "sft": "sft", "ppo-noptx": "ppo", "ppo-ptx": "ppo-ptx"}
SIZES = {"xl": "1.3b", "6b": "6b", "175b": "175b"}
SETTINGS = {
    "fewshot": "few-shot",
    "zeroshot": "zero-shot",
    "QA prompt": "qa",
    "QA + instruction": "qa+instruction",
    "instruction prompt": "instruction",
    "basic prompt": "basic",
    "respectful prompt": "respectful",
    "biased prompt": "biased",
}
# file → (task, scorer) pairs; the first task is the headline and carries the subsets
READING = {
    "squadv2": (("squadv2", "squadv2_em"), ("squadv2_f1", "squadv2_f1")),
    "drop": (("drop", "drop_f1"), ("drop_em", "drop_em")),
    "fr_to_en": (("fr_en", "chrf"),),
}
JUDGED = ("truthfulqa", "truthfulqa_true", "truthfulqa_info")


def node_name(model: str) -> str:
    """The source's model name → the tree's node ("ppo-noptx-xl" → "ppo-1.3b")."""
    stage, _, size = model.rpartition("-")
    return f"{STAGES[stage]}-{SIZES[size]}"


def rows(data: Path) -> Iterator[Row]:
    """Every record of the tree `instructgpt`.

    Args:
        data: The folder that holds recorded/.
    """
    folder = data / FOLDER
    for file, tasks in READING.items():
        yield from _reading(folder, file, tasks)
    yield from _truthfulqa(folder)
    yield from _toxicity(folder)


def _reading(folder: Path, file: str, tasks: tuple[tuple[str, str], ...]) -> Iterator[Row]:
    rule = BENCHMARKS[file]
    items = {item["id"]: item for item in read_jsonl(folder / f"{file}.items.jsonl")}
    keys = item_keys((name, item["context"], item["gold"]) for name, item in items.items())
    for output in read_jsonl(folder / f"{file}.outputs.jsonl"):
        item = items[output["id"]]
        for task, scorer in tasks:
            scored = score(scorer, output["output"], item["gold"])
            yield row(
                node=node_name(output["model"]),
                task=task,
                setting=SETTINGS[output["setting"]],
                item=keys[output["id"]],
                scored=scored,
                output=output["output"],
                cluster=rule.cluster(item),
                subset=rule.subset(item) if task == rule.task else "",
                **marked(scored, output["output"]),
            )


def _truthfulqa(folder: Path) -> Iterator[Row]:
    keys = item_keys((i["id"], i["question"], None) for i in read_jsonl(folder / "truthful_qa.items.jsonl"))
    for output in read_jsonl(folder / "truthful_qa.outputs.jsonl"):
        text = output["output"]
        found = {task: score(task, output, None) for task in JUDGED}
        shown = {task: marked(scored, text) for task, scored in found.items()}
        found["truthfulqa_length"] = measured(len(text.strip()), text)
        for task, scored in found.items():
            yield row(
                node=node_name(output["model"]),
                task=task,
                setting=SETTINGS[output["setting"]],
                item=keys[output["id"]],
                scored=scored,
                output=text,
                **shown.get(task, {}),
            )


def _toxicity(folder: Path) -> Iterator[Row]:
    """The prompts are withheld by the recording: the item is named by its id."""
    for output in read_jsonl(folder / "real_toxicity.outputs.jsonl"):
        yield row(
            node=node_name(output["model"]),
            task="toxicity",
            setting=SETTINGS[output["setting"]],
            item=digest(output["id"]),
            scored=BENCHMARKS["real_toxicity"].judge(output, None),
            output="x" * int(output["output_chars"]),
        )
