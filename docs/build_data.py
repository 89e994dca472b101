"""Rebuild docs/data.md from the table of data sets.

python docs/build_data.py
"""

from __future__ import annotations

from pathlib import Path

from capeval.harness.layouts import LAYOUTS, Layout

PAGE = Path(__file__).parent / "data.md"
HEAD = """\
<!-- python docs/build_data.py writes this page from capeval/harness/layouts/table.py -->
# Data

No benchmark ships with capeval. A task's `dataset_path` is looked up in the folder that `CAPEVAL_DATA` names, then on
the hub (`HF_HUB_OFFLINE=1` forbids it). `capeval data` says what is here and how to get the rest:

```console
CAPEVAL_DATA=/data capeval data        # every data set: items, licence, where
capeval data mmlu                      # one of them: splits, columns, how to get it; exits with 3 when it is not here
capeval data --json
```

## Any data set of the hub

In the hub's columns, one file for each split, as JSON lines (`.json` and `.parquet` too):

```
<owner>/<name>/[<configuration>/]<split>.jsonl
```

## Data sets in their authors' own formats

These files are read as their authors publish them and brought into the hub's columns. Where a split names two files,
the first that is there is read. A file is read when a task asks for it and parsed once for all its configurations.
UTF-8 with or without a byte order mark, any ends of lines. A malformed file is an error that names the file and the
item or line.

A split that a task file names must be there even if no example is shown from it, because lm-eval asks for it; where the
mirror has none, a source says `override: {training_split: null}`.

"""
TAIL = """
## What to know about them

Where the hub has other items or other splits, scores do not compare with scores on the hub's version.
"""


def page() -> str:
    """The page's text."""
    rows = [
        "| data set | `dataset_path` (`dataset_name`) | files | items | columns | licence |",
        "|---|---|---|---|---|---|",
    ]
    notes = [f"- **{one.name}**: {one.note}." for one in LAYOUTS if one.note]
    sources = [f"- {one.name}: {one.citation}; <{one.home}>" + _hub(one) for one in LAYOUTS]
    return "\n".join([
        HEAD + "\n".join([*rows, *map(_row, LAYOUTS)]),
        TAIL + "\n" + "\n".join(notes),
        "\n## Sources\n",
        *sources, "",
    ])  # fmt: skip


def _row(one: Layout) -> str:
    names = [f"`{name}`" for name in one.configs if name] if len(one.configs) < 6 else [f"{len(one.configs)} names"]
    ids = ", ".join(f"`{name}`" for name in one.ids) + (f" ({', '.join(names)})" if names else "")
    files = "; ".join(dict.fromkeys(" or ".join(f"`{file}`" for file in choice) for choice in one.files.values()))
    files = files.replace("{name}", "<name>")
    items = ", ".join(f"{split} {n:,}" for split, n in one.items.items())
    return f"| {one.name} | {ids} | {files} | {items} | {', '.join(one.columns)} | {one.licence} |"


def _hub(one: Layout) -> str:
    return "" if one.on_hub else " (not on the hub, which is never asked)"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
