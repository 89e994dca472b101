"""What YAML can't say of code tasks: which part of an answer is the program, and running it with its tests.

Answers come as bodies (a base model goes on from the signature), as whole functions, or as prose around a fenced block;
`extract` takes the program from any of them and says how (its *rung*), `execute` runs it in capeval's sandbox, and
`passed` counts. One row per item whatever the number of samples.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

from capeval.sandbox import run_many
from capeval.stats.pass_at_k import pass_at_k

Doc = dict[str, Any]
_FENCE = re.compile(r"^[ \t]*```[ \t]*(\w*)[^\n]*$", re.MULTILINE)
_TOP = re.compile(r"^(?:from \w|import \w|def \w|async def \w|class \w|@\w)", re.MULTILINE)
_PROSE = re.compile(
    r"^(?!def |async def |class |@|from |import |if |for |while |try:|with |except|finally|else|elif |assert |print\(|"
    r"[\w.\[\]]+ *[-+*/|&:]?= ?\S|[\w.]+\(|[#\"')\]}]|r\"|'''|$)\S.*",
    re.MULTILINE,
)
KS = (1, 10)


def extract(answers: list[list[str]], docs: Sequence[Doc]) -> list[list[dict[str, str]]]:
    """lm-eval's filter: for every sample the program in it, without tests, and the rung that it was found on."""
    return [[solution(text, doc) for text in samples] for samples, doc in zip(answers, docs, strict=True)]


def execute(found: list[list[dict[str, str]]], docs: Sequence[Doc]) -> list[list[dict[str, str]]]:
    """lm-eval's filter: every solution with the status of its run; all at once, because they run side by side."""
    programs = [one["code"] + tests(doc) for samples, doc in zip(found, docs, strict=True) for one in samples]
    outcomes = iter(run_many(programs))
    return [[{"status": next(outcomes).status, **one} for one in samples] for samples in found]


def passed(doc: Doc, results: list[list[dict[str, str]]]) -> dict[str, float]:
    """lm-eval's process_results: pass@k from the samples of one item, for every k that they suffice for."""
    del doc
    if not results[0]:  # nothing at all was answered: the harness asks for the metrics' names
        return {f"pass@{k}": 0.0 for k in KS}
    n, c = len(results[0]), sum(one["status"] == "passed" for one in results[0])
    return {f"pass@{k}": pass_at_k(n=n, c=c, k=k) for k in KS if k <= n}


def solution(text: str, doc: Doc) -> dict[str, str]:
    """The program that an answer holds: fenced block, else from the function's definition on, else a body."""
    text, entry = text.replace("\r\n", "\n"), entry_point(doc)
    rung, code = "fenced", _fenced(text, entry)
    if code is None:
        rung, code = ("def", _whole(text)) if _defines(text, entry) else ("body", text)
    stub = "" if "test_list" in doc else str(doc["prompt"])
    if _defines(code, entry):
        # the stub says what the function may use: imports and helpers; it is defined anew by what follows
        return {"rung": rung, "code": f"{stub}\n\n{code}" if stub else code}
    return {"rung": rung, "code": stub + _as_body(code) if stub else code}


def tests(doc: Doc) -> str:
    """What a program must survive, to stand behind it."""
    if "test_list" in doc:  # MBPP
        return "\n\n" + "\n".join([*(doc.get("test_imports") or ()), *doc["test_list"]]) + "\n"
    return f"\n\n{doc['test']}\n\ncheck({doc['entry_point']})\n"


def entry_point(doc: Doc) -> str:
    """Name of the function that is asked for; MBPP on the hub does not say it: what a test calls and `code` defines."""
    if "entry_point" in doc:
        return str(doc["entry_point"])
    called = [n.func.id for n in ast.walk(ast.parse(doc["test_list"][0]))
              if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]  # fmt: skip
    return next(name for name in called if _defines(doc["code"], name))


def _defines(code: str, name: str) -> bool:
    return re.search(rf"^(?:async )?def {re.escape(name)}\b|^{re.escape(name)} *=", code, re.MULTILINE) is not None


def _fenced(text: str, entry: str) -> str | None:
    """The fenced block that defines the function, else the first one; None when there is none.

    A fence without a partner opens a block that the answer's end closes, unless code stands before it: then it closes
    that code, as when a base model goes on from a prompt that is itself fenced.
    """
    marks = list(_FENCE.finditer(text))
    if not marks:
        return None
    if len(marks) == 1 and not marks[0][1] and text[: marks[0].start()].strip():
        return text[: marks[0].start()] if _is_code(text[: marks[0].start()], entry) else text[marks[0].end() + 1 :]
    ends = [mark.start() for mark in marks[1::2]]
    ends += [len(text)] * (len(marks[::2]) - len(ends))
    blocks = [text[mark.end() + 1 : end] for mark, end in zip(marks[::2], ends, strict=True)]
    return next((block for block in blocks if _defines(block, entry)), blocks[0])


def _is_code(text: str, entry: str) -> bool:
    return _defines(text, entry) or text.lstrip("\n")[:1] in (" ", "\t")


def _whole(text: str) -> str:
    """Without the prose before the first definition or import, and from the next line of prose at the margin on."""
    top = _TOP.search(text)
    before = list(_PROSE.finditer(text, 0, top.start())) if top else []
    text = text[before[-1].end() if before else 0 :]
    end = _PROSE.search(text)
    return text[: end.start()] if end else text


def _as_body(code: str) -> str:
    """A body with its indentation: chat models strip the first line's, or all of it."""
    first, *rest = code.lstrip("\n").split("\n")
    if not first.strip() or first[0] in " \t":
        return "\n".join([first, *rest])
    depths = [len(line) - len(line.lstrip()) for line in rest if line.strip()]
    level = min(depths, default=0)
    if level and first.rstrip().endswith(":") and depths[0] == level:
        level -= 4  # all that follows belongs to the block that the first line opens
    if level > 0:
        return "\n".join([" " * level + first, *rest])
    return "\n".join("    " + line for line in (first, *rest))
