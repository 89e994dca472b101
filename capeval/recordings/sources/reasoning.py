"""Reasoning outputs of the GPT-3.5 family: BBH, TAT-QA, nine zero-shot sets, programs of thoughts, GSM8K tuning.

Items are named by the digest of question and gold in the benchmark's own files, so that sources pair with each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from capeval.errors import MissingError
from capeval.recordings.benchmarks import BENCHMARKS, SETS, answer_of
from capeval.recordings.sources.rows import Row, item_keys, marked, read_jsonl, row

ERROR_EMPTY = "api: empty output"
PROGRAMS = {  # file of program_of_thoughts → (task, setting)
    "gsm8k.zero-shot-pot": ("gsm8k", "zero-shot-pot"),
    "gsm8k.8-shot-pot": ("gsm8k", "few-shot-pot"),
    "svamp.zero-shot-pot": ("svamp", "zero-shot-pot"),
    "svamp.few-shot-pot": ("svamp", "few-shot-pot"),
    "multiarith.zero-shot-pot": ("multiarith", "zero-shot-pot"),
    "aqua.few-shot-pot": ("aqua", "few-shot-pot"),
}
TUNED = {  # model of gsm8k_openai_2021 → (node, setting)
    "gpt3-6b_finetuning": ("gpt3-6b-gsm8k", "finetuned"),
    "gpt3-6b_verification": ("gpt3-6b-gsm8k", "finetuned-verifier"),
    "gpt3-175b_finetuning": ("gpt3-175b-gsm8k", "finetuned"),
    "gpt3-175b_verification": ("gpt3-175b-gsm8k", "finetuned-verifier"),
}


def rows(data: Path) -> Iterator[Row]:
    """Every reasoning record of the tree `gpt-3.5`.

    Args:
        data: The folder that holds recorded/, gsm8k/, math_ood/ and bbh/.
    """
    yield from _bbh(data)
    yield from _tatqa(data / "recorded/program_of_thoughts")
    keys = {task: item_keys(documents(task, data)) for task in SETS}
    for task, (scorer, zero_shot, plan) in SETS.items():
        for setting in ("zero-shot", "zero-shot-cot"):
            path = data / f"recorded/zero_shot_cot/{zero_shot}.{setting}.jsonl"
            yield from _extracted(path, task, setting, scorer, keys[task])
        yield from _extracted(data / f"recorded/plan_and_solve/{plan}.jsonl", task, "zero-shot-ps+", scorer, keys[task])
    for file, (task, setting) in PROGRAMS.items():
        path = data / f"recorded/program_of_thoughts/{file}.jsonl"
        yield from _extracted(path, task, setting, SETS[task][0], keys[task])
    yield from _tuned(data / "recorded/gsm8k_openai_2021/outputs.jsonl", keys["gsm8k"])


def documents(task: str, data: Path) -> Iterator[tuple[str, str, Any]]:
    """(id, question, gold) of a benchmark's items in their file's order; ids as the recordings have them."""
    if task == "gsm8k":
        for n, d in enumerate(read_jsonl(data / "gsm8k/test.jsonl")):
            yield f"gsm8k/test/{n}", d["question"], d["answer"].split("####")[-1].strip()
    elif task == "aqua":
        for n, d in enumerate(read_jsonl(data / "math_ood/AQuA_test.jsonl")):
            yield f"aqua/test/{n}", d["question"] + "\n" + "\n".join(d["options"]), d["correct"]
    elif task == "commonsenseqa":
        for n, d in enumerate(read_jsonl(data / "math_ood/commonsenseqa_dev.jsonl")):
            options = "\n".join(f"{c['label']} {c['text']}" for c in d["question"]["choices"])
            yield f"commonsenseqa/dev/{n}", f"{d['question']['stem']}\n{options}", d["answerKey"]
    else:
        files = {"multiarith": "MultiArith", "svamp": "SVAMP", "addsub": "AddSub", "singleeq": "SingleEq"}
        listed = _read(data / f"math_ood/{files.get(task, task)}.json")
        for n, d in enumerate(listed["examples"] if isinstance(listed, dict) else listed):
            yield f"{task}/{n}", *_question(d)


def _question(document: dict[str, Any]) -> tuple[str, Any]:
    if "sQuestion" in document:
        return document["sQuestion"].strip(), document["lSolutions"][0]
    if "Body" in document:
        return f"{document['Body']} {document['Question']}", document["Answer"]
    return document["question"], document["answer"]


def _read(path: Path) -> Any:
    if not path.is_file():
        raise MissingError(f"there is no {path}; set CAPEVAL_DATA (or --data) to the folder that holds it")
    return json.loads(path.read_text(encoding="utf-8"))


def _bbh(data: Path) -> Iterator[Row]:
    """Both settings under lm-eval's rules. One recorded row a setting has no id (its item is not in BBH): left out."""
    outputs = list(read_jsonl(data / "recorded/bbh_code-davinci-002/outputs.jsonl"))
    keys: dict[str, str] = {}
    for task in dict.fromkeys(output["task"] for output in outputs):
        examples = _read(data / f"bbh/{task}.json")["examples"]
        keys |= item_keys((f"{task}/{n}", d["input"], d["target"]) for n, d in enumerate(examples))
    rule = BENCHMARKS["bbh"]
    for output in outputs:
        if output["id"] is None:
            continue
        setting = output["setting"].removeprefix("3-shot-")
        scored = rule.judge(output, output["output"])
        yield row(
            node=output["model"],
            task="bbh",
            setting=setting,
            item=keys[output["id"]],
            scored=scored,
            output=output["output"],
            cluster=rule.cluster(output),
            shots="bbh-3-shot",
            **marked(scored, output["output"]),
        )


def _tatqa(folder: Path) -> Iterator[Row]:
    rule = BENCHMARKS["tatqa"]
    items = {item["id"]: item for item in read_jsonl(folder / "tatqa.items.jsonl")}
    keys = item_keys((n, [i["question"], i["table"], i["text"]], [i["gold"], i["scale"]]) for n, i in items.items())
    for output in read_jsonl(folder / "tatqa.outputs.jsonl"):
        model, both = output["model"], items[output["id"]] | output
        scored = rule.judge(both, output["output"])
        failed = scored.score is None
        yield row(
            node=model,
            task="tatqa",
            setting=output["setting"].removeprefix("few-shot-"),
            item=keys[output["id"]],
            scored=scored,
            output=None if failed else output["output"],
            cluster=rule.cluster(both),
            shots=f"pot-few-shot-for-{model}",
            error=ERROR_EMPTY if failed else "",
            **marked(scored, output["output"]),
        )


def _extracted(path: Path, task: str, setting: str, scorer: str, keys: dict[str, str]) -> Iterator[Row]:
    """Sources that recorded the extracted answer (`pred`): it is compared anew, by value where it is a number.

    A program has no marks: its lines are no sentences, and its result stands outside of it.
    """
    judge = answer_of(scorer)
    for output in read_jsonl(path):
        scored = judge(output, output["output"])
        yield row(
            node=output["model"],
            task=task,
            setting=setting,
            item=keys[output["id"]],
            scored=scored,
            output=output["output"],
            shots=f"pot-{setting}" if setting == "few-shot-pot" else "",
            **marked(scored, None if setting.endswith("pot") else output["output"]),
        )


def _tuned(path: Path, keys: dict[str, str]) -> Iterator[Row]:
    for output in read_jsonl(path):
        node, setting = TUNED[output["model"]]
        scored = BENCHMARKS["gsm8k_openai_2021"].judge(output, output["output"])
        yield row(
            node=node,
            task="gsm8k",
            setting=setting,
            item=keys[output["id"]],
            scored=scored,
            output=output["output"],
            **marked(scored, output["output"]),
        )
