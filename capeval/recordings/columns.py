"""Rows + a mapping of fields to columns → answers of one model. What the JSONL and the CSV importers share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from capeval.errors import BadFileError, UsageError, unknown
from capeval.recordings.answers import Answer
from capeval.recordings.benchmarks import Benchmark
from capeval.recordings.options import ImportOptions
from capeval.recordings.tables import Row, require_columns

FIELDS: dict[str, str] = {
    "item": "what names the item; the same in every model's rows",
    "model": "which model answered",
    "setting": "how it was asked",
    "sample": "0, 1 … when an item is asked several times",
    "response": "what the model said",
    "responses": "a list of what it said, several samples of one ask",
    "extracted": "what was taken from it",
    "gold": "the right answer, for a scorer",
    "score": "the recorded score, 0 to 1 or true / false",
    "cluster": "what the item shares with others",
    "subset": "a part of the task that counts on its own",
    "n_tokens": "tokens generated",
    "length": "characters answered",
}
"""Fields that `--map FIELD=COLUMN` knows. A scorer that reads a mapping gets one by KEY:COLUMN+KEY:COLUMN."""

GOLDLESS = ("verdict", "truthfulqa", "truthfulqa_true", "truthfulqa_info")
"""Scorers of judgements that somebody recorded: they need no right answer."""

SETTING = "default"
"""Setting of rows that name none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an importer found."""

    tasks: Mapping[str, list[Answer]]
    """Answers by task."""
    model: str
    files: tuple[Path, ...] = ()
    specs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What the file itself says about a task, as fields of `TaskSpec`."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Rows left out, by reason."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """More for the manifest (versions, for example)."""


def field_columns(names: Mapping[str, str], rows: list[Row], path: Path) -> dict[str, str]:
    """Checked fields → columns, without those that were mapped to nothing.

    Raises:
        UsageError: a field that does not exist.
        BadFileError: a column that no row has.
    """
    for name in names:
        if name not in FIELDS:
            raise unknown("field", name, FIELDS, "capeval import --help")
    columns = {name: column for name, column in names.items() if column}
    require_columns([part for column in columns.values() for part in _parts(column, rows).values()], rows, path)
    return columns


def collect(
    rows: list[Row],
    columns: Mapping[str, str],
    options: ImportOptions,
    path: Path,
    benchmark: Benchmark | None = None,
) -> tuple[list[Answer], dict[str, int], str]:
    """The answers of the chosen model and setting, the rows left out by reason, and the model's name.

    Args:
        rows: All rows of the file.
        columns: Fields → columns.
        options: model, setting, scorer and gold count here.
        path: For messages.
        benchmark: Names clusters and subsets that no column holds, and judges where there is neither a scorer nor a
            score.

    Raises:
        UsageError: several models and none chosen, or an unknown model or setting.
        BadFileError: no row with an item, or neither a score nor a scorer.
    """
    if not options.scorer and "score" not in columns and benchmark is None:
        raise BadFileError(
            f"{path} has no recorded score that is known by name. Say which column holds it (--map score=COLUMN), or "
            "which scorer judges the responses (--scorer NAME)."
        )
    model, rows = _choose(rows, columns.get("model"), options.model, "model", path)
    if options.setting and "setting" in columns:
        _, rows = _choose(rows, columns["setting"], options.setting, "setting", path)
    columns = {"gold": options.gold, **columns}
    present = {column for row in rows for column in row.data}
    if options.gold != "gold" or columns["gold"] != "gold":
        require_columns(_parts(columns["gold"], rows).values(), rows, path)
    elif options.scorer and "gold" not in present and options.scorer not in GOLDLESS:
        raise BadFileError(
            f"{path} has no column 'gold' with the right answers for the scorer '{options.scorer}'; --gold names the "
            f"column. Its columns: {', '.join(sorted(present))}"
        )
    dropped: Counter[str] = Counter()
    answers: list[Answer] = []
    for row in rows:
        if row.data.get(columns["item"]) in (None, ""):
            dropped["no item id"] += 1
            continue
        answers += _answers(row, columns, options, benchmark)
    if not answers:
        raise BadFileError(f"{path} has no row with an item id in its column '{columns['item']}'")
    return answers, dict(dropped), model


def _choose(rows: list[Row], column: str | None, wanted: str, what: str, path: Path) -> tuple[str, list[Row]]:
    """The rows whose `column` is `wanted`; without a wish there must be one value only."""
    if column is None:
        return wanted, rows
    values = Counter(str(row.data.get(column)) for row in rows)
    if wanted and wanted not in values:
        listed = ", ".join(f"{name} ({n} rows)" for name, n in values.items())
        raise UsageError(f"{unknown(what, wanted, values, f'--{what} NAME')} {path.name} holds: {listed}")
    if not wanted and len(values) > 1:
        raise UsageError(
            f"{path} holds several {what}s: {', '.join(values)}. Choose one: --{what} '{next(iter(values))}'"
        )
    wanted = wanted or next(iter(values))
    return wanted, [row for row in rows if str(row.data.get(column)) == wanted]


def _parts(column: str, rows: list[Row]) -> dict[str, str]:
    """KEY:COLUMN+KEY:COLUMN as a mapping; a plain column under the key ''."""
    if ":" not in column or any(column in row.data for row in rows):
        return {"": column}
    return {key: name for key, _, name in (part.partition(":") for part in column.split("+"))}


def _answers(row: Row, columns: Mapping[str, str], options: ImportOptions, benchmark: Benchmark | None) -> list[Answer]:
    """One answer, or one per sample."""

    def get(name: str) -> Any:
        if name not in columns:
            return None
        parts = _parts(columns[name], [row])
        return row.data.get(parts[""]) if "" in parts else {key: row.data.get(column) for key, column in parts.items()}

    responses = get("responses") if "responses" in columns else [get("response")]
    if not isinstance(responses, list) or not responses:
        raise BadFileError(f"{row.where}: '{columns['responses']}' must be a list of samples that is not empty")
    scores = get("score")
    if not (isinstance(scores, list) and "responses" in columns):
        scores = [scores] * len(responses)
    if len(scores) != len(responses):
        raise BadFileError(f"{row.where}: {len(responses)} samples but {len(scores)} scores")
    first = _whole(get("sample"), row.where, "sample")
    own = benchmark if not options.scorer and "score" not in columns else None
    groups = _groups(row, benchmark) | {
        name: _text(get(name)) or "" for name in ("cluster", "subset") if name in columns
    }
    return [
        Answer(
            where=row.where,
            item=str(get("item")),
            setting=_text(get("setting")) or options.setting or SETTING,
            sample=first + index,
            response=response,
            extracted=_text(get("extracted")),
            gold=get("gold"),
            score=score,
            judge=partial(own.judge, row.data) if own else None,
            n_tokens=_number(get("n_tokens"), row.where, "n_tokens"),
            length=_number(get("length"), row.where, "length"),
            **groups,
        )
        for index, (response, score) in enumerate(zip(responses, scores, strict=True))
    ]


def _groups(row: Row, benchmark: Benchmark | None) -> dict[str, str]:
    """Cluster and subset by the benchmark's rule."""
    if benchmark is None:
        return {}
    try:
        return {"cluster": benchmark.cluster(row.data), "subset": benchmark.subset(row.data)}
    except (KeyError, TypeError, AttributeError) as error:
        raise BadFileError(
            f"{row.where}: the benchmark '{benchmark.task}' can't read this row ({type(error).__name__}: {error}); it "
            f"reads the columns {', '.join(benchmark.needs)}"
        ) from error


def _text(value: Any) -> str | None:
    return None if value is None else value if isinstance(value, str) else str(value)


def _whole(value: Any, where: str, what: str) -> int:
    number = _number(value, where, what)
    if number is None:
        return 0
    if number != int(number) or not 0 <= number < 2**31:
        raise BadFileError(f"{where}: '{what}' must be a whole number from 0, not {value!r}")
    return int(number)


def _number(value: Any, where: str, what: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadFileError(f"{where}: '{what}' must be a number, not {str(value)[:40]!r}") from error
    if number != number or abs(number) == float("inf"):
        raise BadFileError(f"{where}: '{what}' must be finite, not {value!r}")
    return number
