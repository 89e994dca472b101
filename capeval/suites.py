"""Suites: what is asked of every node. One YAML file each in tasks/suites/, or a user's own file.

>>> suite = load_suite("cot")
>>> [task.name for task in suite.tasks]
['gsm8k', 'bbh']

A suite names lm-eval task files and says for each which task, setting and cluster its items count for;
`tasks/README.md` shows the schema. Reading one needs no lm-eval: files of its own are found without importing it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from importlib import metadata, util
from pathlib import Path
from typing import Any, get_args

from capeval import strict
from capeval.core import Presentation, Suite, TaskSource, TaskSpec
from capeval.digest import digest, digest_file
from capeval.errors import BadFileError, MissingError, UsageError, unknown
from capeval.shipped import folder

LM_EVAL = "lm_eval:"
"""Prefix of a path inside lm-eval's own tasks."""
_LISTING = "capeval list suites"
_SUITE_KEYS = {"name", "title", "tasks", "contrasts"}
_SOURCE_KEYS = {"path", "setting", "cluster", "cluster_field", "filter", "metric", "override", "presentation", "turns"}
_TASK_KEYS = {f.name for f in fields(TaskSpec)} - {"settings"} | {"sources"}
_FUNCTION = re.compile(r"!function\s+[\"']?(\w+)\.\w+")
_INCLUDE = re.compile(r"^include:\s*[\"']?([^\"'\s\[\]]+)", re.MULTILINE)


def list_suites() -> list[str]:
    """Names of the suites that ship."""
    return sorted(path.stem for path in (folder("tasks") / "suites").glob("*.yaml"))


def load_suite(name: str) -> Suite:
    """Read a suite by its shipped name or by the path of a YAML file.

    Raises:
        UsageError: for a name that is neither.
        BadFileError: malformed YAML, unknown keys, a task without sources, a source that matches no file.
    """
    path = _suite_path(name)
    data = strict.read_yaml(path)
    strict.refuse_unknown(data, _SUITE_KEYS, str(path), _LISTING)
    home = folder("tasks") if path.parent == folder("tasks") / "suites" else path.parent.resolve()
    tasks, sources = [], []
    for entry in strict.mappings(data, "tasks", str(path)):
        spec, found = _task(entry, home, path)
        tasks.append(spec)
        sources += found
    if not tasks:
        raise BadFileError(f"{path}: a suite needs tasks")
    if twice := {t.name for t in tasks if sum(u.name == t.name for u in tasks) > 1}:
        raise BadFileError(f"{path}: two tasks are called {', '.join(sorted(twice))}; list both files as its sources")
    return Suite(
        name=str(data.get("name") or path.stem),
        title=str(data.get("title") or ""),
        tasks=tuple(tasks),
        sources=tuple(sources),
        contrasts=_contrasts(data, {s.setting for s in sources}, path),
        digest=digest(data, [_source_digest(source) for source in sources]),
    )


def task_file(source: TaskSource) -> Path:
    """The lm-eval YAML file of a source.

    Raises:
        MissingError: for a file of lm-eval's own when lm-eval is not installed.
        BadFileError: when there is no such file.
    """
    path = _locate(source.path)
    if not path.is_file():
        raise BadFileError(f"there is no task file {path}, which the suite lists for task '{source.task}'")
    return path


def _suite_path(name: str) -> Path:
    own = Path(name)
    if own.suffix in (".yaml", ".yml"):
        if not own.is_file():
            raise UsageError(f"there is no suite file {own}. `{_LISTING}` shows the suites that ship.")
        return own
    if name not in list_suites():
        raise unknown("suite", name, list_suites(), _LISTING)
    return folder("tasks") / "suites" / f"{name}.yaml"


def _task(entry: dict[str, Any], home: Path, path: Path) -> tuple[TaskSpec, list[TaskSource]]:
    where = f"{path}: task '{entry.get('name') or '?'}'"
    strict.refuse_unknown(entry, _TASK_KEYS, where, _LISTING)
    spec = strict.task_spec({k: v for k, v in entry.items() if k != "sources"}, str(path))
    sources = [
        source for data in strict.mappings(entry, "sources", where) for source in _sources(data, spec, home, where)
    ]
    if not sources:
        raise BadFileError(f"{where} needs sources: the lm-eval task files that feed it")
    return replace(spec, settings=tuple(dict.fromkeys(s.setting for s in sources))), sources


def _sources(data: dict[str, Any], spec: TaskSpec, home: Path, where: str) -> Iterator[TaskSource]:
    """One source for each file that the path names; `*` is a wildcard, as in a shell."""
    strict.refuse_unknown(data, _SOURCE_KEYS, f"{where}: source", _LISTING)
    for key in ("path", "setting"):
        if not data.get(key):
            raise BadFileError(f"{where}: every source needs '{key}'")
    if data.get("cluster") and data.get("cluster_field"):
        raise BadFileError(f"{where}: a source has 'cluster' or 'cluster_field', not both")
    override = data.get("override") or {}
    if not isinstance(override, dict):
        raise BadFileError(f"{where}: 'override' must be a mapping of lm-eval's keys")
    for path in _expand(str(data["path"]), home, where):
        yield TaskSource(
            path=path,
            task=spec.name,
            setting=str(data["setting"]),
            cluster=str(data.get("cluster") or "").replace("{stem}", Path(path).stem),
            cluster_field=strict.text(data, "cluster_field", f"{where}: source"),
            filter=str(data.get("filter") or ""),
            metric=str(data.get("metric") or ""),
            override=override,
            **_shown(data, where),
        )


def _shown(data: dict[str, Any], where: str) -> dict[str, Any]:
    """How a source's documents are shown: `presentation` and `turns`; empty when the keys are absent."""
    presentation = strict.text(data, "presentation", f"{where}: source")
    if presentation:
        strict.one_of(presentation, filter(None, get_args(Presentation)), f"{where}: source: presentation")
    turns = strict.text(data, "turns", f"{where}: source")
    if turns and presentation != "dialogue":
        raise BadFileError(f"{where}: source: 'turns' are shown in a dialogue only; add 'presentation: dialogue'")
    return {"presentation": presentation, "turns": turns}


def _expand(path: str, home: Path, where: str) -> list[str]:
    """Written path → paths as `TaskSource` has them; files whose name begins with _ are templates, never matched."""
    if path.startswith(LM_EVAL):
        root, prefix = _lm_eval_tasks(), LM_EVAL
        if root is None:
            return [path]  # the suite can be shown; asking it says what is missing
    else:
        root, prefix = home, "" if home == folder("tasks") else f"{home}/"
    relative = path.removeprefix(LM_EVAL)
    if Path(relative).is_absolute():
        root, prefix, relative = Path("/"), "/", relative.lstrip("/")
    if "*" not in relative:
        if not (root / relative).is_file():
            raise BadFileError(f"{where}: there is no task file {root / relative}")
        return [prefix + relative]
    found = sorted(p for p in root.glob(relative) if p.is_file() and not p.name.startswith("_"))
    if not found:
        raise BadFileError(f"{where}: no task file matches {root / relative}")
    return [prefix + p.relative_to(root).as_posix() for p in found]


def _lm_eval_tasks() -> Path | None:
    """lm-eval's folder of tasks, found without importing it (its import takes seconds)."""
    spec = util.find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "tasks"


def _locate(path: str) -> Path:
    if not path.startswith(LM_EVAL):
        return folder("tasks") / path
    root = _lm_eval_tasks()
    if root is None:
        raise MissingError(f"{path} is a task of lm-eval, which is not installed: pip install 'capeval[hf]'")
    return root / path.removeprefix(LM_EVAL)


def _contrasts(data: Mapping[str, Any], settings: set[str], path: Path) -> tuple[tuple[str, str], ...]:
    pairs = data.get("contrasts") or []
    if not isinstance(pairs, list) or not all(isinstance(p, list) and len(p) == 2 for p in pairs):
        raise BadFileError(f"{path}: 'contrasts' are pairs of settings: [[cot, direct]]")
    for setting in (str(s) for pair in pairs for s in pair):
        if setting not in settings:
            raise BadFileError(f"{path}: contrasts: {unknown('setting', setting, settings, _LISTING)}")
    return tuple((str(a), str(b)) for a, b in pairs)


def _source_digest(source: TaskSource) -> list[str]:
    """What the task file, its functions and what it includes say; lm-eval's version for its own, which runs more."""
    path = _locate(source.path) if not source.path.startswith(LM_EVAL) or _lm_eval_tasks() else None
    if path is None or not path.is_file():
        return [source.path]
    version = metadata.version("lm-eval") if source.path.startswith(LM_EVAL) else ""
    return [path.name, version, *_digests(path)]


def _digests(path: Path) -> list[str]:
    found, written = [digest_file(path)], path.read_text(encoding="utf-8", errors="replace")
    for module in sorted(set(_FUNCTION.findall(written))):
        if (path.parent / f"{module}.py").is_file():
            found.append(digest_file(path.parent / f"{module}.py"))
    for include in _INCLUDE.findall(written):
        if (path.parent / include).is_file():
            found += _digests(path.parent / include)
    return found
