"""Suites: what is asked of every node. One YAML file each in tasks/suites/, or a user's own file.

>>> suite = load_suite("cot")
>>> [task.name for task in suite.tasks]
['gsm8k', 'bbh']

A suite names lm-eval task files and says for each which task, setting and cluster its items count for;
`tasks/README.md` shows the schema. Reading one needs no lm-eval: files of its own are found without importing it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from importlib import metadata, util
from pathlib import Path
from typing import Any, get_args

from capeval import strict
from capeval.core import SUMMARIES, Presentation, Suite, TaskSource, TaskSpec
from capeval.digest import digest, digest_file
from capeval.errors import BadFileError, MissingError, UsageError, unknown
from capeval.shipped import folder

LM_EVAL = "lm_eval:"
"""Prefix of a path inside lm-eval's own tasks."""
_LISTING = "capeval list suites"
_SUITE_KEYS = {"name", "title", "tasks", "contrasts", "suites"}
_SOURCE_KEYS = {
    "path", "setting", "cluster", "cluster_field", "filter", "ladder", "shots", "metric", "override", "presentation",
    "turns", "pair_by", "subset_field",
}  # fmt: skip
_TASK_KEYS = {f.name for f in fields(TaskSpec)} - {"settings"} | {"sources"}
_FUNCTION = re.compile(r"!function\s+[\"']?(\w+)\.\w+")
_INCLUDE = re.compile(r"^include:(.*(?:\n\s*-.*)*)", re.MULTILINE)
_NAME = re.compile(r"[^\s\[\],\"'#-][^\s\[\],\"'#]*")


def list_suites() -> list[str]:
    """Names of the suites that ship; those in a folder have its name in front (lab/icl)."""
    root = folder("tasks") / "suites"
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.yaml"))


def load_suite(name: str) -> Suite:
    """Read a suite by its shipped name or by the path of a YAML file.

    Raises:
        UsageError: for a name that is neither.
        BadFileError: malformed YAML, unknown keys, a task without sources, a source that matches no file.
    """
    return _load(_suite_path(name), ())


def _load(path: Path, outer: tuple[Path, ...]) -> Suite:
    """The suite in a file; `outer` are the files that hold it."""
    data = strict.read_yaml(path)
    strict.refuse_unknown(data, _SUITE_KEYS, str(path), _LISTING)
    if path in outer:
        raise BadFileError(f"{path}: the suite holds itself; take it out of its 'suites'")
    shipped = path.is_relative_to(folder("tasks") / "suites")
    home = folder("tasks") if shipped else path.parent.resolve()
    parts = [
        _load(_suite_path(inner, path.parent), (*outer, path)) for inner in strict.texts(data, "suites", str(path))
    ]
    tasks = [task for part in parts for task in part.tasks]
    sources = [source for part in parts for source in part.sources]
    contrasts = [pair for part in parts for pair in part.contrasts]
    for entry in strict.mappings(data, "tasks", str(path)):
        spec, found = _task(entry, home, path)
        tasks.append(spec)
        sources += found
    if not tasks:
        raise BadFileError(f"{path}: a suite needs tasks")
    names = [task.name for task in tasks]
    if twice := {name for name in names if names.count(name) > 1}:
        raise BadFileError(f"{path}: two tasks are called {', '.join(sorted(twice))}; list both files as its sources")
    for task in tasks:
        named = [("reference", task.reference)] * bool(task.reference) + [("abstention", x) for x in task.abstention]
        for key, other in named:
            if other not in names:
                raise BadFileError(f"{path}: {key}: {unknown('task', other, names, 'capeval list tasks')}")
            if other == task.name:
                raise BadFileError(f"{path}: task '{task.name}': {key} must name another task than itself")
    if wrong := strict.bad_companion(tasks):
        raise BadFileError(f"{path}: {wrong}")
    contrasts += _contrasts(data, {s.setting for s in sources}, path)
    return Suite(
        name=str(data.get("name") or path.stem),
        title=str(data.get("title") or ""),
        tasks=tuple(tasks),
        sources=tuple(sources),
        contrasts=tuple(dict.fromkeys(contrasts)),
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


def _suite_path(name: str, home: Path | None = None) -> Path:
    """The file of a suite; a path in a suite file is meant from that file's folder, `home`."""
    own = Path(name)
    if own.suffix in (".yaml", ".yml"):
        own = home / own if home else own
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
    asked = [(s.path, s.setting, digest(dict(s.override)), s.presentation, s.turns, s.shots) for s in sources]
    if twice := next((one for one in asked if asked.count(one) > 1), None):
        raise BadFileError(f"{where}: {twice[0]} is listed twice in setting '{twice[1]}'; its items would count as two")
    if spec.cluster_role != "none" and not any(s.cluster or s.cluster_field for s in sources):
        raise BadFileError(
            f"{where}: cluster_role is '{spec.cluster_role}', but no source names clusters; give them 'cluster_field' "
            "(a field of the documents) or 'cluster'"
        )
    settings = tuple(dict.fromkeys(s.setting for s in sources))
    _check_summaries(spec, settings, where)
    return replace(spec, settings=settings), sources


def _check_summaries(spec: TaskSpec, settings: tuple[str, ...], where: str) -> None:
    """Several settings, and k-shot ones where k counts."""
    if not spec.summaries:
        return
    if len(settings) < 2:
        raise BadFileError(f"{where}: summaries put several settings together; it has {len(settings)}")
    if "gap" in spec.summaries and len(settings) != 2:
        raise BadFileError(f"{where}: a gap lies between two settings, the shifted one first; it has {len(settings)}")
    if taken := set(settings) & set(SUMMARIES):
        raise BadFileError(f"{where}: '{taken.pop()}' is the name of a summary; call the setting otherwise")
    for setting in settings if {"slope", "area"} & set(spec.summaries) else ():
        if shots_of(setting) is None:
            raise BadFileError(f"{where}: slope and area need k-shot settings (0-shot, 1-shot …), not '{setting}'")


def shots_of(setting: str) -> int | None:
    """k of a setting called `k-shot`, else None."""
    found = re.fullmatch(r"(\d+)-shot", setting)
    return int(found[1]) if found else None


def _sources(data: dict[str, Any], spec: TaskSpec, home: Path, where: str) -> Iterator[TaskSource]:
    """One source for each file that the path names; `*` is a wildcard, as in a shell."""
    strict.refuse_unknown(data, _SOURCE_KEYS, f"{where}: source", _LISTING)
    shots = _shots(data, where)
    for key in ("path",) if len(shots) > 1 else ("path", "setting"):
        if not data.get(key):
            raise BadFileError(f"{where}: every source needs '{key}'")
    if len(shots) > 1 and data.get("setting"):
        raise BadFileError(f"{where}: a ladder of shots names its settings itself (0-shot, 1-shot …); drop 'setting'")
    ladder = strict.texts(data, "ladder", f"{where}: source")
    if len(set(ladder)) < len(ladder):
        raise BadFileError(f"{where}: 'ladder' names a filter twice")
    if ladder and data.get("filter"):
        raise BadFileError(f"{where}: a source has 'filter' or 'ladder', not both")
    if data.get("cluster") and data.get("cluster_field"):
        raise BadFileError(f"{where}: a source has 'cluster' or 'cluster_field', not both")
    override = data.get("override") or {}
    if not isinstance(override, dict):
        raise BadFileError(f"{where}: 'override' must be a mapping of lm-eval's keys")
    for path, k in itertools.product(_expand(str(data["path"]), home, where), shots or (None,)):
        yield TaskSource(
            path=path,
            task=spec.name,
            setting=str(data.get("setting") or f"{k}-shot"),
            cluster=str(data.get("cluster") or "").replace("{stem}", Path(path).stem),
            cluster_field=strict.text(data, "cluster_field", f"{where}: source"),
            subset_field=strict.text(data, "subset_field", f"{where}: source"),
            filter=str(data.get("filter") or ""),
            ladder=ladder,
            shots=k,
            drawn=max(shots, default=0),
            metric=str(data.get("metric") or ""),
            override=override,
            pair_by=strict.text(data, "pair_by", f"{where}: source"),
            **_shown(data, where),
        )


def _shots(data: dict[str, Any], where: str) -> list[int]:
    """`shots: [0, 1, 2, 4]`: a ladder, one setting each; `shots: 4`: as many in the one setting."""
    given = data.get("shots")
    shots = given if isinstance(given, list) else [] if given is None else [given]
    if any(not isinstance(k, int) or isinstance(k, bool) or k < 0 for k in shots) or len(set(shots)) < len(shots):
        raise BadFileError(f"{where}: source: 'shots' must be a number of examples, or a list of different ones")
    return shots


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
    return [path.name, version, *_digests(path.resolve())]


def _digests(path: Path, outer: tuple[Path, ...] = ()) -> list[str]:
    if path in outer:
        raise BadFileError(f"{path}: the task file includes itself; take it out of its 'include'")
    found, written = [digest_file(path)], path.read_text(encoding="utf-8", errors="replace")
    for module in sorted(set(_FUNCTION.findall(written))):
        if (path.parent / f"{module}.py").is_file():
            found.append(digest_file(path.parent / f"{module}.py"))
    for include in (name for names in _INCLUDE.findall(written) for name in _NAME.findall(names)):
        if (file := (path.parent / include).resolve()).is_file():
            found += _digests(file, (*outer, path))
    return found
