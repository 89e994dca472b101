"""What YAML can't say of tracing: questions "what does this call return?" from the tests of MBPP and HumanEval.

A test that says `f(literals) == literal` gives the question and its answer, so nothing is run. One per function: the
first whose answer can't be guessed (no True or False, none of the arguments). Docstrings are left out, because they
show examples. Answers are compared as values, as the test itself compares them (`ast.literal_eval`, never `eval`).
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from typing import Any

_LONG = {"code": 1200, "call": 120, "answer": 60}
"""Characters; longer ones test patience."""


def items(dataset: Any) -> Any:
    """lm-eval's process_docs: documents of MBPP or HumanEval → code, call, answer."""
    import datasets

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a "\\d" in a benchmark's or a model's string is no business of ours
        found = [_item(doc) for doc in dataset]
    return datasets.Dataset.from_list([item for item in found if item])


def exact(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """lm-eval's process_results: whether the answer is the value that the test asks for."""
    return {"exact_match": float(same_value(results[0], doc["answer"]))}


def same_value(said: str, gold: str) -> bool:
    """Whether two literals are equal in Python; what is no literal equals nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return bool(ast.literal_eval(said.strip().strip("`").rstrip(".")[:1000]) == ast.literal_eval(gold))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False


def _item(doc: dict[str, Any]) -> dict[str, str] | None:
    if "test_list" in doc:  # MBPP
        whole, tests = doc["code"], "\n".join(doc["test_list"])
    else:
        whole, tests = doc["prompt"] + doc["canonical_solution"], doc["test"]
    code = _without_docstrings(whole)
    for call, answer in _questions(tests, doc.get("entry_point", "")):
        item = {"code": code, "call": call, "answer": answer}
        if all(len(item[key]) <= most for key, most in _LONG.items()):
            return {"task_id": str(doc["task_id"]), **item, "reasoning": ""}
    return None


def _questions(tests: str, entry: str) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(tests)):
        if not (isinstance(node, ast.Assert) and isinstance(node.test, ast.Compare)):
            continue
        call, [operator, *more] = node.test.left, node.test.ops
        if more or not (
            isinstance(operator, ast.Eq) and isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
        ):
            continue
        try:
            given = [ast.literal_eval(argument) for argument in (*call.args, *(k.value for k in call.keywords))]
            answer = ast.literal_eval(node.test.comparators[0])
        except ValueError:
            continue
        if isinstance(answer, bool) or answer is None or answer in given:
            continue
        if call.func.id == "candidate":
            call.func.id = entry
        yield ast.unparse(call), repr(answer)


def _without_docstrings(code: str) -> str:
    tree = ast.parse(code.replace("\r\n", "\n"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
