"""The noise floor: how many scores flip when the same weights answer the same items in another order, dtype or engine.

    capeval noise --model models/base --suite lab        # writes runs/noise/<node>-<suite>-<backend>/noise.json

Small and typed, so that it can lie inside another file (`as_mapping`, `from_mapping`). `find_floors` looks for them
beside runs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from capeval.digest import digest
from capeval.errors import BadFileError, UsageError
from capeval.store.files import finite, make_folder, read_json, write_json
from capeval.strict import build, mapping, mappings, text

FORMAT = 1
FILE = "noise.json"
FOLDER = "noise"
"""Beside runs."""
_VERSIONS = frozenset({"engine", "torch", "transformers", "vllm"})
"""Numerics that name a version: the noise of another release of one engine is of the same kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedAs:
    """Who was asked, and how: what must agree for a floor to say something about a run."""

    node: str
    digest: str
    """Of the checkpoint."""
    architecture: str
    """Kind, depth and width; empty where its configuration can't be read here."""
    numerics: Mapping[str, str]
    prompting: str
    """Digest of chat template, system prompt and where shots stand."""
    scoring: Mapping[str, str]
    """By "task setting cluster": digest of filter and metric."""

    def scores_like(self, other: AskedAs, task: str, setting: str) -> bool:
        """Whether a task is scored by one rule in both."""
        own, theirs = ({k: v for k, v in one.scoring.items() if f"{k} ".startswith(f"{task} {setting} ")}
                       for one in (self, other))  # fmt: skip
        return all(theirs.get(key, value) == value for key, value in own.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A way of asking the same again."""

    name: str
    kind: str
    """order, dtype or backend."""
    numerics: Mapping[str, str]
    order: int = 0
    """Seed of the order of its requests; 0: the suite's order."""
    batch_tokens: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    """Requests, distinct, reused, asked: of the last start of the command."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """Versions and seconds of its run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """One task in one setting under one variant, paired with the reference item by item."""

    variant: str
    task: str
    setting: str
    metric: str
    unit: str
    n: int
    """Items with a score in both."""
    binary: bool
    """Whether all scores are 0 or 1; only such scores flip."""
    differ: int
    """Items whose score differs at all."""
    better: int
    """wrong → right: items that the variant scores better (higher, where neither way is better)."""
    worse: int
    """right → wrong."""
    share: float
    """Of items that flip; NaN where scores are not 0 or 1."""
    low: float
    """Ends of its exact 95 % interval."""
    high: float
    p: float
    """Exact McNemar of better against worse: small where numerics move the score and don't only scatter it."""
    p_adjusted: float
    """After Holm, over all tasks and settings of the variant."""
    mean_difference: float
    """Variant − reference, in the score's unit."""
    largest_difference: float
    """Of an item's score, without sign."""
    n_logprobs: int
    mean_logprob: float
    """Of the absolute differences of log-probabilities, in nats; NaN where nothing was scored by them."""
    largest_logprob: float
    n_texts: int
    texts_differ: float
    """Share of generated answers that differ in any character; NaN where nothing was generated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFloor:
    """What numerics alone do to one checkpoint's scores."""

    reference: AskedAs
    uri: str
    revision: str
    suite: Mapping[str, Any]
    """name and digest."""
    limit: int | None
    variants: tuple[Variant, ...]
    noise: tuple[Noise, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """command, created, versions, host, what was skipped."""

    def variant(self, name: str) -> Variant:
        """The variant called `name` (KeyError when there is none)."""
        return {variant.name: variant for variant in self.variants}[name]


def size(noise: Noise) -> tuple[float, float]:
    """By what the largest of several is the floor: the share of flips, then how far the mean moves."""
    share = noise.share if math.isfinite(noise.share) else -1.0
    return share, abs(noise.mean_difference) if math.isfinite(noise.mean_difference) else -1.0


def engine_of(numerics: Mapping[str, str]) -> dict[str, str]:
    """Numerics without versions: backend, dtype, device, and options that decide answers."""
    return {key: value for key, value in numerics.items() if key not in _VERSIONS}


def asked_as(manifest: Mapping[str, Any], node: str = "") -> AskedAs:
    """Who was asked and how, from a run's manifest; an imported run knows little of it."""
    where = "the run's manifest"
    checkpoint, told = mapping(manifest, "checkpoint", where), mapping(manifest, "prompting", where)
    how = [text(told, key, where) for key in ("chat_template", "system", "shots_as")]
    return AskedAs(
        node=node or text(manifest, "node", where),
        digest=text(checkpoint, "digest", where),
        architecture=architecture(text(checkpoint, "uri", where)),
        numerics=mapping(mapping(manifest, "settings", where), "numerics", where),
        prompting=digest(how),
        scoring=mapping(manifest, "scoring", where),
    )


def architecture(uri: str) -> str:
    """`LlamaForCausalLM 4 × 128` of a checkpoint folder; empty where there is no configuration that can be read."""
    try:
        config = json.loads((Path(uri) / "config.json").read_text(encoding="utf-8"))
        [kind, *_] = config["architectures"]
        return f"{kind} {config['num_hidden_layers']} × {config['hidden_size']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def as_mapping(floor: NoiseFloor) -> dict[str, Any]:
    """JSON-like, with a format number and a digest over everything else."""
    data: dict[str, Any] = finite({"format": FORMAT, **asdict(floor)})
    return data | {"content": digest(data)}


def from_mapping(data: Any, where: str) -> NoiseFloor:
    """Read what `as_mapping` gave.

    Args:
        data: JSON-like.
        where: File (and part of it), for messages.

    Raises:
        BadFileError: damaged, edited, or of another format.
    """
    if not isinstance(data, dict) or "format" not in data:
        raise BadFileError(f"{where} is no noise floor; `capeval noise` makes one")
    if data["format"] != FORMAT:
        raise BadFileError(f"{where} has noise format {data['format']}; this capeval reads {FORMAT}")
    rest = {key: value for key, value in data.items() if key != "content"}
    if data.get("content") != digest(rest):
        raise BadFileError(
            f"{where} is not as it was written: damaged or edited. `capeval noise` writes it again (what its journals "
            "know is not asked twice), or move it away"
        )
    parts = {key: value for key, value in rest.items() if key != "format"}
    try:
        return build(NoiseFloor, parts | {
            "reference": build(AskedAs, mapping(rest, "reference", where)),
            "variants": [build(Variant, one) for one in mappings(rest, "variants", where)],
            "noise": [build(Noise, {k: math.nan if v is None else v for k, v in one.items()})
                      for one in mappings(rest, "noise", where)],
        })  # fmt: skip
    except TypeError as error:  # a field that is not there
        raise BadFileError(f"{where} is no noise floor of format {FORMAT}: {error}") from error


def save_floor(floor: NoiseFloor, folder: Path) -> Path:
    """Write noise.json into a folder and say where it is.

    Raises:
        OutputError: when it can't be written.
    """
    file = make_folder(folder) / FILE
    write_json(file, as_mapping(floor))
    return file


def load_floor(place: Path | str) -> NoiseFloor:
    """Read a noise floor, or that of a folder.

    Raises:
        UsageError: when there is none.
        BadFileError: see `from_mapping`.
    """
    file = Path(place) / FILE if Path(place).is_dir() else Path(place)
    if not file.is_file():
        raise UsageError(f"{place} holds no noise floor ({FILE}); `capeval noise --model CKPT --suite SUITE` makes one")
    return from_mapping(read_json(file), str(file))


def find_floors(runs: Iterable[Path]) -> list[NoiseFloor]:
    """The floors that lie beside run folders, in their order: `noise/*/noise.json` in the folder that holds a run.

    Raises:
        BadFileError: see `from_mapping`.
    """
    folders = dict.fromkeys(run.absolute().parent / FOLDER for run in runs)
    return [load_floor(file) for folder in folders for file in sorted(folder.glob(f"*/{FILE}"))]
