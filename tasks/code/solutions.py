"""What YAML can't say of code tasks: which part of an answer is the program, and running it with its tests.

Answers come as bodies (a base model goes on from the signature), as whole functions, or as prose around a fenced block;
`extract` takes the program from any of them and says how (its *rung*), `execute` runs it in capeval's sandbox, and
`passed` counts. One row per item whatever the number of samples.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Sequence
from typing import Any

from capeval.sandbox import run_many
from capeval.stats.pass_at_k import pass_at_k

Doc = dict[str, Any]
_THOUGHT = re.compile(r"\A.*</think>", re.DOTALL)
_FENCE = re.compile(r"^([ \t]*)```[ \t]*(\w*)[^\n]*$", re.MULTILINE)
_FENCE_AT_END = re.compile(r"^((?:(?!```).)*[^\s`])[ \t]*```[ \t]*$", re.MULTILINE)
"""A closing fence on the last line of code, and no other fence on that line."""
_FUTURE = re.compile(r"^from __future__ import .*\n?", re.MULTILINE)
_QUOTED = re.compile(r"(\"\"\"|\'\'\').*?(?:\1|\Z)", re.DOTALL)
_COMMENT = re.compile(r"#.*")
_OPENERS = (":", "(", "[", "{", ",", "\\")
_MARGIN = re.compile(r"^[^\s#].*", re.MULTILINE)
_SUPPORT = re.compile(r"from |import |def |async def |class |@|[A-Z_]+ *=|[)\]}]")
_KEYWORDS = frozenset({"from", "import", "as", "def", "async", "class"})
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
    text, entry = _THOUGHT.sub("", text.replace("\r\n", "\n")), entry_point(doc)
    rung, code = "fenced", _fenced(_FENCE_AT_END.sub(r"\1\n```", text), entry)
    if code is None:
        rung, code = ("def", _whole(text)) if _defines(text, entry) else ("body", text)
    stub = "" if "test_list" in doc else str(doc["prompt"])
    if not _defines(code, entry):
        return {"rung": rung, "code": stub + _as_body(code) if stub else code}
    # the stub says what the function may use: imports and helpers; it is defined anew by what follows
    future = "".join(line.rstrip("\n") + "\n" for line in _FUTURE.findall(code))
    code = _FUTURE.sub("", code) if future else code
    return {"rung": rung, "code": future + (f"{stub}\n\n{code}" if stub else code)}


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
    before = text[: marks[0].start()]
    if not marks[0][2] and _defines(before, entry):
        return _whole(before)
    if not marks[0][2] and len(marks) % 2 and before.lstrip("\n")[:1] in (" ", "\t"):
        return before
    ends = [mark.start() for mark in marks[1::2]]
    ends += [len(text)] * (len(marks[::2]) - len(ends))
    return _chosen(
        [_block(text[m.end() + 1 : end], m[1], entry) for m, end in zip(marks[::2], ends, strict=True)], entry
    )


def _block(text: str, indentation: str, entry: str) -> str:
    """A fenced block without the indentation of its fence, which a list gives it."""
    text = re.sub(rf"^[ \t]{{1,{len(indentation)}}}", "", text, flags=re.MULTILINE) if indentation else text
    flush = textwrap.dedent(text)
    return flush if _defines(flush, entry) else text


def _chosen(blocks: list[str], entry: str) -> str:
    """The first block that defines the function and does more than repeat the stub, behind the helpers that it uses."""
    defining = [n for n, block in enumerate(blocks) if _defines(block, entry)]
    if not defining:
        return blocks[0]
    n = next((n for n in defining if not _hollow(blocks[n])), defining[0])
    return "\n\n".join([*(block for block in blocks[:n] if _serves(block, blocks[n], entry)), blocks[n]])


def _hollow(block: str) -> bool:
    """Whether nothing stands behind its last signature but a docstring."""
    bare = _COMMENT.sub("", _QUOTED.sub("", block)).rstrip()
    return re.search(r":\s*(?:pass|\.\.\.)?\Z", bare) is not None


def _serves(block: str, user: str, entry: str) -> bool:
    """Whether a block holds imports, constants and definitions only, and another one uses some of them."""
    margin = _MARGIN.findall(_masked(block))
    if _defines(block, entry) or not all(map(_SUPPORT.match, margin)):
        return False
    return not (set(re.findall(r"\w+", " ".join(margin))) - _KEYWORDS).isdisjoint(re.findall(r"\w+", user))


def _masked(text: str) -> str:
    """The same length, with what stands in triple quotes made unreadable: it can look like prose, or like code."""
    return _QUOTED.sub(lambda quoted: re.sub(r"[^\n]", "#", quoted[0]), text)


def _whole(text: str) -> str:
    """Without the prose before the first definition or import, and from the next line of prose at the margin on."""
    masked = _masked(text)
    top = _TOP.search(masked)
    before = list(_PROSE.finditer(masked, 0, top.start())) if top else []
    return _until_prose(text[before[-1].end() if before else 0 :])


def _until_prose(text: str) -> str:
    end = _PROSE.search(_masked(text))
    return text[: end.start()] if end else text


def _as_body(code: str) -> str:
    """A body with its indentation: chat models strip the first line's, or all of it, and some indent by 2 or a tab."""
    code = re.sub(r"\A(?:[ \t]*\n)+", "", code)
    code = re.sub(r"^[ \t]+", lambda space: space[0].expandtabs(4), code, flags=re.MULTILINE)
    first, *rest = code.split("\n")
    own, depths = _depth(first), [_depth(line) for line in rest if line.strip() and line[0] != "#"]
    deep, shallow = (depths or [0])[0], min(filter(None, depths), default=0)
    opens = _COMMENT.sub("", first).rstrip().endswith(_OPENERS)
    # the first line alone: what follows is deeper without having been opened, or too deep, or comes back to a depth
    alone = own < 4 and deep > own and (not opens or deep > shallow or deep > own + 4)
    if own == 0 and (not alone or re.search(r"^return\b", _masked(code).partition("\n")[2], re.MULTILINE)):
        return "\n".join("    " + line for line in (first, *rest))
    if alone:
        first = " " * min(4, shallow) + first.lstrip()
    code = _until_prose("\n".join([first, *rest]))
    if _depth(first) == 4:
        return code
    after = _MARGIN.search(code)
    inside, outside = (code[: after.start()], code[after.start() :]) if after else (code, "")
    return textwrap.indent(textwrap.dedent(inside), "    ") + outside


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())
