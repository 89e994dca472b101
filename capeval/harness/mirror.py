"""Where a task's data comes from: files beside its YAML, a local mirror (CAPEVAL_DATA), the hub.

    CAPEVAL_DATA=/data capeval run --model ./checkpoint --suite cot

The mirror holds data sets as their authors publish them (`layouts`), any other set as
`<owner>/<name>/<configuration>/<split>.jsonl` (or .json, .parquet), in the hub's columns. Data sets that run code when
they are loaded are never trusted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capeval.errors import BadFileError, MissingError, unknown
from capeval.harness.layouts import LAYOUTS, Rows, documents, find, splits
from capeval.hub import hub_answers, hub_offline

_FILES = ("json", "csv", "parquet", "text")
_SUFFIXES = (".jsonl", ".json", ".parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """What a task's YAML says about its data."""

    path: str
    """Hub id, folder, or one of datasets' file formats."""
    name: str
    """Configuration ("main"); empty when there is none."""
    kwargs: Mapping[str, Any]
    """What else goes to `datasets.load_dataset` (data_files, revision)."""
    home: Path
    """Folder of the YAML: relative files are beside it."""


def load_data(source: DataSource) -> Any:
    """The splits of a data set, as a `datasets.DatasetDict`.

    Raises:
        MissingError: naming the data set, where it was looked for, and what to set.
        BadFileError: when a file of it is malformed.
    """
    if source.path in _FILES and source.kwargs.get("data_files"):
        return _from_files(source)
    root = mirror()
    if root and (found := _in_mirror(root, source)):
        what = f"data set {_label(source)} in CAPEVAL_DATA ({root})"
        return _saying_what_is_absent(_tables(found, what), what)
    return _from_hub(source)


def mirror() -> Path | None:
    """The folder that CAPEVAL_DATA names; None when it is not set.

    Raises:
        MissingError: when there is no such folder.
    """
    given = os.environ.get("CAPEVAL_DATA", "")
    root = Path(given).expanduser()
    if given and not root.is_dir():
        raise MissingError(f"CAPEVAL_DATA is {given}, which is no folder")
    return root if given else None


def _from_files(source: DataSource) -> Any:
    """Files that the YAML names; JSON is read without `datasets`' cache, so that it works on a read-only disk."""
    import datasets

    named = source.kwargs["data_files"]
    named = named if isinstance(named, dict) else {"train": named}
    files = {
        split: [_beside(source.home, str(file)) for file in (given if isinstance(given, list) else [given])]
        for split, given in named.items()
    }
    if source.path == "json" and all(isinstance(file, Path) for some in files.values() for file in some):
        key = str(source.kwargs.get("field") or "")
        read = {split: [row for file in some for row in documents(Path(file), key)] for split, some in files.items()}
        return _tables(read, f"data files of the task in {source.home}")
    text = {split: [str(file) for file in some] for split, some in files.items()}
    return datasets.load_dataset(source.path, source.name or None, **{**source.kwargs, "data_files": text})


def _beside(home: Path, file: str) -> Path | str:
    """A file beside the YAML, or where the command runs; an address or a pattern stays as it is, for `datasets`."""
    if "://" in file or "*" in file:
        return file
    for candidate in (home / file, Path(file)):
        if candidate.is_file():
            return candidate
    raise MissingError(f"the data file {file} is neither in {home} nor in the current folder")


def _in_mirror(root: Path, source: DataSource) -> dict[str, Rows]:
    """Splits that the mirror holds; none when it lacks this data set."""
    layout = find(source.path, source.name)
    own = splits(layout, root, source.name) if layout else {}
    return own or of_hub_layout(root, source.path, source.name)


def of_hub_layout(root: Path, path: str, name: str) -> dict[str, Rows]:
    """Splits of a data set in the hub's columns: `<owner>/<name>/[<configuration>/]<split>.jsonl`.

    Raises:
        BadFileError: when one of the files is malformed.
    """
    folder = root / path / name
    files = sorted(p for p in folder.glob("*") if p.suffix in _SUFFIXES) if folder.is_dir() else []
    return {file.stem: documents(file) for file in files}


def _tables(found: Mapping[str, Rows], what: str) -> Any:
    import datasets

    try:
        with _named_at_random():
            return datasets.DatasetDict({split: datasets.Dataset.from_list(rows) for split, rows in found.items()})
    except (ValueError, TypeError) as error:  # pyarrow's own errors are of these kinds too
        said = str(error).splitlines()[0]
        raise BadFileError(f"the {what}: a column holds values of different kinds: {said}") from error


@contextmanager
def _named_at_random() -> Iterator[None]:
    """Spare `datasets` the names of tables, which it makes by pickling their descriptions: most of a table's time.

    They serve its cache on disk, which tables in memory have no part in.
    """
    from datasets import arrow_dataset, fingerprint

    before = arrow_dataset.generate_fingerprint
    arrow_dataset.generate_fingerprint = lambda table: fingerprint.generate_random_fingerprint()
    try:
        yield
    finally:
        arrow_dataset.generate_fingerprint = before


def _saying_what_is_absent(tables: Any, what: str) -> Any:
    """The same tables; a split that is absent is named. lm-eval asks for every split that a task names, used or not."""
    import datasets

    class Splits(datasets.DatasetDict):  # type: ignore[misc]
        def __missing__(self, split: str) -> Any:
            raise MissingError(
                f"the {what} has no split '{split}', only {', '.join(self)}; add it, or if the task shows no examples "
                "from it, add 'override: {training_split: null}' to the source (or validation_split, fewshot_split)"
            )

    return Splits(tables)


def _from_hub(source: DataSource) -> Any:
    _refuse_what_no_hub_has(source)
    import datasets

    kwargs = {k: v for k, v in source.kwargs.items() if k != "trust_remote_code"}
    online = hub_answers()
    try:
        with _offline(not online):
            return datasets.load_dataset(source.path, source.name or None, **kwargs)
    except Exception as error:  # datasets, the hub's client and the network raise many kinds
        raise MissingError(_where_it_was_looked_for(source, _what_the_hub_says(online, error))) from error


def _refuse_what_no_hub_has(source: DataSource) -> None:
    known = [one for one in LAYOUTS if source.path in one.ids and not one.on_hub]
    if any(one.answers(source.name) for one in known):
        raise MissingError(_where_it_was_looked_for(source, "the hub does not have it"))
    if known:
        names = [name for one in known for name in one.configs]
        raise unknown(f"dataset_name of {source.path}", source.name, names, f"capeval data {source.path}")


def _what_the_hub_says(online: bool, error: Exception) -> str:
    if online:
        return f"the hub says: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    reason = "HF_HUB_OFFLINE is set" if hub_offline() else "the hub can't be reached"
    return f"{reason}, and it is not in the hub's local cache"


def _where_it_was_looked_for(source: DataSource, hub: str) -> str:
    given = os.environ.get("CAPEVAL_DATA", "")
    first = f"not in CAPEVAL_DATA ({given})" if given else "CAPEVAL_DATA is not set"
    layout = find(source.path, source.name)
    file = layout.wanted(source.name) if layout else "/".join(filter(None, (source.path, source.name, "<split>.jsonl")))
    home = f" ({layout.home})" if layout else ""
    return (
        f"data set {_label(source)} is not here: {first}; {hub}. Set CAPEVAL_DATA to a folder that holds {file}{home}."
    )


def _label(source: DataSource) -> str:
    return f"{source.path} ({source.name})" if source.name else source.path


@contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    """Let `datasets` look into its cache only; without this an unreachable hub costs it half a minute a data set."""
    import datasets
    import huggingface_hub.constants as hub

    before = (hub.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE)
    if wanted:
        hub.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before
