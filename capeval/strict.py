"""Reads YAML and plain data into the travelling types, strictly: a typo would otherwise become a wrong claim.

>>> read_yaml(Path("model_zoo/opt.yaml"))["name"]     # doctest: +SKIP
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml

from capeval.core import SUMMARIES, ClusterRole, Orientation, TaskSpec
from capeval.errors import BadFileError, unknown

T = TypeVar("T")


class _Loader(yaml.SafeLoader):
    """SafeLoader that leaves dates as text: JSON (and so the digest) can't hold YAML 1.1's date objects.

    A key that is written twice is refused: YAML would silently let the last one win.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key '{key.value}' is written twice; keep one of the two", key.start_mark
                    )
                seen.add(key.value)
        return node


_Loader.yaml_implicit_resolvers = {
    key: [(tag, regex) for tag, regex in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for key, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds: text keys, and values that JSON can hold too.

    Raises:
        BadFileError: when it can't be read, is empty or no mapping, has a key twice, or holds NaN, infinity or a value
            that is neither text, number, list nor mapping.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise BadFileError(f"{path} can't be read as YAML: {error}") from error
    if data is None:
        raise BadFileError(f"{path} is empty; it must hold a mapping (name: …)")
    if not isinstance(data, dict):
        raise BadFileError(f"{path} must hold a mapping (name: …), not {type(data).__name__}")
    try:
        _refuse_unwritable(data, str(path), "")
    except RecursionError as error:
        raise BadFileError(f"{path} is nested too deeply, or an alias (*name) holds itself") from error
    return data


def refuse_unknown(data: Mapping[str, Any], keys: Iterable[str], where: str, listing: str) -> None:
    """Refuse keys that mean nothing, with a did-you-mean.

    Raises:
        BadFileError: naming `where` (file and part) and the nearest key.
    """
    known = sorted(keys)
    for key in data:
        if key not in known:
            raise BadFileError(f"{where}: {unknown('key', str(key), known, listing)}")


def mappings(data: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    """The list of mappings under `key`; empty when the key is absent."""
    value = data.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise BadFileError(f"{where}: '{key}' must be a list of mappings (- name: …)")
    return value


def mapping(data: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    """The mapping under `key`; empty when the key is absent."""
    value = data.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadFileError(f"{where}: '{key}' must be a mapping (name: value), not {value!r}")
    return value


def text(data: Mapping[str, Any], key: str, where: str, default: str = "") -> str:
    """The text under `key`, `default` when it is absent; a number counts as its text (a node may be called 2024)."""
    value = data.get(key)
    if value is None:
        return default
    if isinstance(value, list | dict | bool):
        raise BadFileError(f"{where}: '{key}' must be text, not {value!r}")
    return str(value)


def texts(data: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    """The list of texts under `key`; empty when it is absent. A single text is refused: it would be read by letters."""
    value = data.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or any(v is None or isinstance(v, list | dict | bool) for v in value):
        raise BadFileError(f"{where}: '{key}' must be a list of texts ([one, two]), not {value!r}")
    return tuple(map(str, value))


def flag(data: Mapping[str, Any], key: str, where: str, *, default: bool) -> bool:
    """true or false under `key`, `default` when it is absent."""
    value = data.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise BadFileError(f"{where}: '{key}' must be true or false, not {value!r}")
    return value


def number(value: Any, where: str) -> float | None:
    """A finite number, or None; also from text, because YAML 1.1 reads 175e9 as text."""
    if value is None:
        return None
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise BadFileError(f"{where} must be a number, not {value!r}")
    return found


def one_of(value: Any, allowed: Iterable[str], where: str) -> Any:
    """`value`, if it is one of `allowed`."""
    allowed = list(allowed)
    if value not in allowed:
        raise BadFileError(f"{where} must be one of {', '.join(allowed)}; it is {value!r}")
    return value


def build(kind: type[T], data: Mapping[str, Any]) -> T:
    """A travelling type from its `asdict` form; lists become tuples, keys of newer versions are passed over."""
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k in known})


def task_spec(data: Mapping[str, Any], where: str) -> TaskSpec:
    """A task spec as people write it in a tree or suite file.

    Raises:
        BadFileError: unknown keys, missing name / capability / metric, a value of the wrong type, a margin that is not
            above 0.
    """
    where = f"{where}: task '{data.get('name') or '?'}'"
    refuse_unknown(data, {f.name for f in fields(TaskSpec)}, where, "capeval list tasks")
    clean: dict[str, Any] = {key: text(data, key, where) for key in _TASK_TEXT}
    if ":" in str(data.get("name")):
        raise BadFileError(f"{where}: a task's name can't hold ':', which stands before a subset")
    for key in ("name", "capability", "metric"):
        if not clean[key]:
            raise BadFileError(f"{where} needs '{key}'")
    clean["orientation"] = one_of(data.get("orientation", "higher"), get_args(Orientation), f"{where}: orientation")
    clean["cluster_role"] = one_of(data.get("cluster_role", "none"), get_args(ClusterRole), f"{where}: cluster_role")
    clean["unit"] = text(data, "unit", where) or "points"
    margin = number(data.get("margin", 0.02), f"{where}: margin")
    if not margin or margin < 0:
        raise BadFileError(f"{where}: margin must be above 0, in the score's unit (0.02 = 2 points)")
    clean["margin"] = margin
    clean["chance"] = number(data.get("chance", 0.0), f"{where}: chance") or 0.0
    if clean["unit"] == "points" and not 0 <= clean["chance"] < 1:
        raise BadFileError(f"{where}: chance is a guesser's score, between 0 and 1 (0.25 for four choices)")
    clean["settings"] = texts(data, "settings", where)
    clean["summaries"] = texts(data, "summaries", where)
    clean["abstention"] = texts(data, "abstention", where)
    for summary in clean["summaries"]:
        one_of(summary, SUMMARIES, f"{where}: summaries")
    clean |= {key: flag(data, key, where, default=True) for key in ("binary", "headline")}
    clean["calibration"] = flag(data, "calibration", where, default=False)
    if clean["calibration"] and not (clean["binary"] and clean["orientation"] == "higher"):
        raise BadFileError(f"{where}: only scores that say right or wrong can be calibrated (binary, higher is better)")
    if clean["calibration"] and clean["metric"] in ("acc_norm", "acc_bytes"):
        raise BadFileError(
            f"{where}: {clean['metric']} takes the choice that is most probable per character, so its probability says "
            "nothing of how sure the model is; calibrate 'acc'"
        )
    return TaskSpec(**clean)


def bad_companion(tasks: Iterable[TaskSpec]) -> str:
    """What is wrong with the tasks' `continuous`, in words; empty where nothing is."""
    specs = {task.name: task for task in tasks}
    for task in specs.values():
        if not task.continuous:
            continue
        if task.continuous not in specs:
            return f"task '{task.name}': continuous: {unknown('task', task.continuous, specs, 'capeval list tasks')}"
        if specs[task.continuous].binary or not task.binary:
            return (
                f"task '{task.name}': 'continuous' names a task of the same items whose scores know degrees "
                f"(binary: false), beside one whose scores don't; '{task.continuous}' is none"
            )
    return ""


_TASK_TEXT = (
    "name", "capability", "metric", "cluster", "threshold", "scorer", "reference", "continuous", "source", "licence",
    "citation", "note",
)  # fmt: skip


def _refuse_unwritable(value: Any, where: str, key: str) -> None:
    """Refuse what a digest can't cover, by the path of its key (`stages[1].recipe.steps`)."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise BadFileError(
                    f"{where}: the key {name!r} under '{key or 'the file'}' is no text; put it in quotes"
                )
            _refuse_unwritable(inner, where, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for number_, inner in enumerate(value):
            _refuse_unwritable(inner, where, f"{key}[{number_}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise BadFileError(f"{where}: '{key}' is {value}; write a number, or leave the key out")
    elif not isinstance(value, str | int | float | None):
        raise BadFileError(f"{where}: '{key}' holds a {type(value).__name__}; write it as text")
