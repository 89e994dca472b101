"""Reads YAML and plain data into the travelling types, strictly: a typo would otherwise become a wrong claim.

>>> read_yaml(Path("model_zoo/opt.yaml"))["name"]     # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml

from capeval.core import ClusterRole, Orientation, TaskSpec
from capeval.errors import BadFileError, unknown

T = TypeVar("T")


class _Loader(yaml.SafeLoader):
    """SafeLoader that leaves dates as text: JSON (and so the digest) can't hold YAML 1.1's date objects."""


_Loader.yaml_implicit_resolvers = {
    key: [(tag, regex) for tag, regex in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for key, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises:
        BadFileError: when it can't be read or is no mapping.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadFileError(f"{path} can't be read as YAML: {error}") from error
    if not isinstance(data, dict):
        raise BadFileError(f"{path} must hold a mapping (name: …), not {type(data).__name__}")
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
    value = data.get(key) or []
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise BadFileError(f"{where}: '{key}' must be a list of mappings")
    return value


def number(value: Any, where: str) -> float | None:
    """A number, or None; also from text, because YAML 1.1 reads 175e9 as text."""
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise BadFileError(f"{where} must be a number, not {value!r}") from error


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
        BadFileError: unknown keys, missing name / capability / metric, a margin that is not above 0.
    """
    where = f"{where}: task '{data.get('name') or '?'}'"
    refuse_unknown(data, {f.name for f in fields(TaskSpec)}, where, "capeval list tasks")
    for key in ("name", "capability", "metric"):
        if not data.get(key):
            raise BadFileError(f"{where} needs '{key}'")
    one_of(data.get("orientation", "higher"), get_args(Orientation), f"{where}: orientation")
    one_of(data.get("cluster_role", "none"), get_args(ClusterRole), f"{where}: cluster_role")
    margin = number(data.get("margin", 0.02), f"{where}: margin")
    if not margin or margin < 0:
        raise BadFileError(f"{where}: margin must be above 0, in the score's unit (0.02 = 2 points)")
    clean = {k: "" if v is None else v for k, v in data.items()}
    clean["settings"] = tuple(map(str, data.get("settings") or ()))
    clean["margin"] = margin
    clean["chance"] = number(data.get("chance", 0.0), f"{where}: chance") or 0.0
    return build(TaskSpec, clean)
