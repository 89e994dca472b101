"""One item of a benchmark, as its authors publish it → one row in the hub's columns.

>>> openbookqa({"id": "7", "question": {"stem": "Ice is", "choices": [{"label": "A", "text": "cold"}]},
...             "answerKey": "A"})["choices"]
{'text': ['cold'], 'label': ['A']}

Each function takes one item and gives one row; a KeyError or ValueError is said of the file and the item.
"""

from __future__ import annotations

import re
from typing import Any

from capeval.harness.layouts.files import Row

_LETTERS = "ABCDEFGHIJ"


def number(value: Any) -> str:
    """A number as people write it: 51.0 → "51", "9.43" → "9.43"."""
    return f"{float(value):.10f}".rstrip("0").rstrip(".")


def mmlu(item: Row) -> Row:
    """The answer's letter becomes its index."""
    if len(item["choices"]) != 4:
        raise ValueError(f"'choices' must be 4 texts, not {len(item['choices'])}")
    return {
        "question": item["question"],
        "subject": item["subject"],
        "choices": item["choices"],
        "answer": _index(item["answer"], 4),
    }


def of_subject(item: Row, name: str, split: str) -> bool:
    """Whether an item is of this subject."""
    del split
    return name in ("", "all", item["subject"])


def openbookqa(item: Row) -> Row:
    """Stem and choices come out of the nested question."""
    question = item["question"]
    return {
        "id": item["id"],
        "question_stem": question["stem"],
        "choices": _choices(question["choices"], item["answerKey"]),
        "answerKey": item["answerKey"],
    }


def commonsense_qa(item: Row) -> Row:
    """As OpenBookQA, under other names."""
    question = item["question"]
    return {
        "id": item["id"],
        "question": question["stem"],
        "question_concept": question["question_concept"],
        "choices": _choices(question["choices"], item["answerKey"]),
        "answerKey": item["answerKey"],
    }


def _choices(choices: list[Row], key: str) -> Row:
    labels = [choice["label"] for choice in choices]
    if key not in labels:
        raise ValueError(f"the answer '{key}' is none of {', '.join(labels)}")
    return {"text": [choice["text"] for choice in choices], "label": labels}


def truthfulqa_choices(item: Row) -> Row:
    """Multiple choice with one right answer (MC1) and with all of them (MC2).

    The CSV has no column for MC1: its choices are the best answer, once and first, and all incorrect ones (5.0 on
    average, so chance is 0.226). MC2: all correct answers, then all incorrect ones. What the CSV lists on both sides
    (two questions) counts as correct. Whether the hub's lists are the same word for word is not known.
    """
    best, correct, incorrect = _truthfulqa_answers(item)
    wrong = [answer for answer in incorrect if answer not in (best, *correct)]
    return {
        "question": item["Question"].strip(),
        "mc1_targets": {"choices": [best, *wrong], "labels": [1] + [0] * len(wrong)},
        "mc2_targets": {"choices": correct + wrong, "labels": [1] * len(correct) + [0] * len(wrong)},
    }


def truthfulqa_generation(item: Row) -> Row:
    """Lists of answers out of texts with semicolons."""
    best, correct, incorrect = _truthfulqa_answers(item)
    return {
        "type": item["Type"],
        "category": item["Category"],
        "question": item["Question"].strip(),
        "best_answer": best,
        "correct_answers": correct,
        "incorrect_answers": incorrect,
        "source": item["Source"],
    }


def _truthfulqa_answers(item: Row) -> tuple[str, list[str], list[str]]:
    best = item["Best Answer"].strip()
    correct, incorrect = (_listed(item[f"{kind} Answers"]) for kind in ("Correct", "Incorrect"))
    if not best or not incorrect:
        raise ValueError("it needs a best answer and an incorrect one")
    return best, correct if best in correct else [best, *correct], incorrect


def _listed(text: str) -> list[str]:
    return list(dict.fromkeys(answer.strip() for answer in text.split(";") if answer.strip()))


def bbq_items(found: dict[str, list[Row]]) -> list[Row]:
    """Items of all categories: the file has a list for each."""
    return [item for items in found.values() for item in items]


def of_category(item: Row, name: str, split: str) -> bool:
    """Whether a BBQ item is of this category."""
    del split
    return name in ("", "All", item["category"])


def crows_pairs(item: Row) -> Row:
    """The first column, which has no name, is the item's number."""
    kind = item["stereo_antistereo"]
    if kind not in ("stereo", "antistereo"):
        raise ValueError(f"'stereo_antistereo' is '{kind}', neither stereo nor antistereo")
    return {"id": int(item[""])} | {
        key: item[key] for key in ("sent_more", "sent_less", "stereo_antistereo", "bias_type")
    }


def asdiv_items(root: Any) -> list[Any]:
    """The problems of ASDiv's XML."""
    return list(root.iter("Problem"))


def asdiv(problem: Any) -> Row:
    """Texts as they stand: the hub does not strip them either."""
    return {column.lower().replace("-", "_"): _child(problem, column) for column in _ASDIV}


_ASDIV = ("Body", "Question", "Solution-Type", "Answer", "Formula")


def _child(element: Any, tag: str) -> str:
    text = element.findtext(tag)
    if text is None:
        raise KeyError(tag)
    return str(text)


def svamp(item: Row) -> Row:
    """The answer as text, and body and question in one, as the hub has them."""
    body, question = item["Body"].strip(), item["Question"].strip()
    return {
        "ID": item["ID"],
        "Body": body,
        "Question": question,
        "Equation": item["Equation"],
        "Answer": number(item["Answer"]),
        "Type": item["Type"],
        "question_concat": f"{body} {question}",
    }


def multiarith(item: Row) -> Row:
    """Question and final answer, as the hub has them."""
    return {"question": item["sQuestion"].strip(), "final_ans": number(_one(item["lSolutions"]))}


def word_problem(item: Row) -> Row:
    """AddSub and SingleEq."""
    return {
        "question": item["sQuestion"].strip(),
        "answer": number(_one(item["lSolutions"])),
        "equation": _one(item["lEquations"]),
    }


def _one(values: list[Any]) -> Any:
    if len(values) != 1:
        raise ValueError(f"it has {len(values)} solutions or equations, not one")
    return values[0]


def examples(found: dict[str, Any]) -> Any:
    """The list under "examples"."""
    return found["examples"]


def strategyqa(item: Row) -> Row:
    """BIG-bench's form: the target is "Yes." or "No." and the facts that say why."""
    answer = item["target_scores"]["Yes"] == 1
    if answer == (item["target_scores"]["No"] == 1):
        raise ValueError("exactly one of Yes and No must be right")
    return {
        "question": item["input"].strip(),
        "answer": answer,
        "facts": re.sub(r"^(Yes|No)\W\s*", "", item["target"]),
    }


def mbpp_sanitized(item: Row) -> Row:
    """CodeT's form of an item in the columns of MBPP's sanitized configuration.

    The task's text is the docstring of CodeT's prompt. `code` is the signature with the body, without that docstring:
    its indentation is not the body's, and 243 of 427 would not compile. A model is to complete CodeT's `signature`.
    `test` is CodeT's function check; task 56 asks for a function of that name itself, so score by `test_list`.
    """
    head, text, _ = item["prompt"].split("'''")
    return {
        "task_id": task_number(item),
        "prompt": text.strip(),
        "code": head.rstrip() + "\n" + item["canonical_solution"].rstrip(),
        "test_imports": ["import math"] if "math." in item["test"] else [],
        "test_list": _asserts(item["test"]),
        "signature": item["prompt"],
        "entry_point": item["entry_point"],
        "test": item["test"],
    }


def mbpp_full(item: Row) -> Row:
    """The same items in the columns of MBPP's full configuration."""
    row = mbpp_sanitized(item)
    return {
        "task_id": row["task_id"],
        "text": row["prompt"],
        "code": row["code"],
        "test_list": row["test_list"],
        "test_setup_code": "\n".join(row["test_imports"]),
        "challenge_test_list": [],
    } | {key: row[key] for key in ("signature", "entry_point", "test")}


def task_number(item: Row) -> int:
    """ "MbppEval/2" → 2, MBPP's own number."""
    return int(item["task_id"].rpartition("/")[2])


def of_mbpp_split(item: Row, name: str, split: str) -> bool:
    """MBPP's splits are ranges of its numbers (Austin et al. 2021, section 2.1)."""
    del name
    task = task_number(item)
    within = {"prompt": task <= 10, "test": 10 < task <= 510, "validation": 510 < task <= 600, "train": task > 600}
    return within[split]


def _asserts(test: str) -> list[str]:
    head, *lines = [line.strip() for line in test.strip().split("\n")]
    if not head.startswith("def check(") or not lines or not all(line.startswith("assert") for line in lines):
        raise ValueError("'test' must be a function check with one assert a line")
    return lines


def xstest(item: Row) -> Row:
    """A CSV's cells are texts; the number is one again."""
    if item["label"] not in ("safe", "unsafe"):
        raise ValueError(f"'label' is '{item['label']}', neither safe nor unsafe")
    return {"id": int(item["id"])} | {key: item[key] for key in ("prompt", "type", "label", "focus", "note")}


def nota(item: Row) -> Row:
    """haltt4llm's options in order, and which one is right."""
    [answer] = [place for place, option in enumerate(item["answers"]) if option["correct"]]
    return {
        "question": item["question"],
        "direct": item["direct"],
        "choices": [option["text"] for option in item["answers"]],
        "answer": answer,
    }


def _index(letter: str, n: int) -> int:
    place = _LETTERS[:n].find(letter) if len(letter) == 1 else -1
    if place < 0:
        raise ValueError(f"the answer '{letter}' is none of {', '.join(_LETTERS[:n])}")
    return place
