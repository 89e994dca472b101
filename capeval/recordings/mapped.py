"""Any JSONL, CSV or TSV file, with the user's word on which column holds what.

capeval import answers.csv --format mapped --map item=qid,score=is_right,response=text --task quiz --node sft
"""

from __future__ import annotations

from pathlib import Path

from capeval.errors import UsageError
from capeval.recordings.columns import Imported, collect, field_columns
from capeval.recordings.options import ImportOptions
from capeval.recordings.tables import read_rows


def read(path: Path, options: ImportOptions) -> Imported:
    """Read a file by `options.mapping`; `score` and `item` also count as mapped when columns of these names exist.

    Raises:
        UsageError: an unknown field, a folder instead of a file.
        BadFileError: malformed rows or missing columns.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the file whose columns are to be mapped")
    rows = read_rows(path)
    present = {column for row in rows for column in row.data}
    names: dict[str, str] = {name: name for name in ("item", "model", "setting", "score") if name in present}
    if options.score:
        names["score"] = options.score
    names |= dict(options.mapping)
    if "item" not in names:
        raise UsageError(
            f"say which column of {path.name} names the item: --map item=COLUMN ({', '.join(sorted(present))})"
        )
    columns = field_columns(names, rows, path)
    answers, dropped, model = collect(rows, columns, options, path)
    return Imported(tasks={options.task or path.stem: answers}, model=model, files=(path,), dropped=dropped)
