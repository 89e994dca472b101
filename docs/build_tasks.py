"""Rebuild the tables of tasks/README.md from the suites.

python docs/build_tasks.py
"""

from __future__ import annotations

import re
from pathlib import Path

from capeval.catalogue import catalogue, tasks
from capeval.suites import load_suite

PAGE = Path(__file__).parent.parent / "tasks" / "README.md"
_MARK = "<!-- {}: python docs/build_tasks.py -->"


def page() -> str:
    """The page's text, with its tables anew."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in (("suites", _suites()), ("tasks", _tasks())):
        begin, end = re.escape(_MARK.format(name)), re.escape(f"<!-- /{name} -->")
        whole = f"{_MARK.format(name)}\n\n{table}\n\n<!-- /{name} -->"
        text, found = re.subn(f"{begin}.*?{end}", lambda _, whole=whole: whole, text, flags=re.DOTALL)
        assert found == 1, f"{PAGE} lacks the marks of {name}"
    return text


def _suites() -> str:
    rows = [f"| `{row['suite']}` | {row['about']} | {row['tasks']} | {row['files']} |" for row in catalogue("suites")]
    return "\n".join(["| suite | what it asks | tasks | files |", "|---|---|--:|--:|", *rows])


def _tasks() -> str:
    parts = []
    for suite in dict.fromkeys(row["suite"] for row in catalogue("tasks")):
        head = "| task | capability | settings, **summaries** | metric | chance | clusters | licence | citation |"
        rows = [head, "|---|---|---|---|--:|---|---|---|"]
        specs = {task.name: task for task in load_suite(suite).tasks}
        for row in tasks(suite):
            spec = specs[row["task"]]
            told = ", ".join([*spec.settings, *(f"**{summary}**" for summary in spec.summaries)])
            better = {"higher": "", "lower": " (lower is better)", "none": " (neither way is better)"}[spec.orientation]
            rows.append(
                f"| {spec.name} | {spec.capability} | {told} | {spec.metric}{better} | {spec.chance:g} | "
                f"{row['cluster'] or 'none'} | {spec.licence} | {row['citation']} |"
            )
        parts.append(f"### {suite}\n\n" + "\n".join(rows))
    return "\n\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
