"""`capeval noise` on real weights: each variant is asked itself, a killed command goes on, compare and gate show it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from capeval import numerics
from capeval.errors import MissingError, PairingError, UsageError
from capeval.numerics import NoiseOptions, noise
from capeval.runner import RunOptions
from capeval.store.noise import NoiseFloor, load_floor
from capeval.store.runs import Run, load_run

HF = RunOptions(backend="hf", device="cpu")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def random_checkpoint(tiny_checkpoint: Path) -> Path:
    """The tiny checkpoint's tokenizer and shape with large weights that nobody trained: bfloat16 parts its answers."""
    import torch
    from transformers import AutoConfig, LlamaForCausalLM

    place = Path(shutil.copytree(tiny_checkpoint, tiny_checkpoint.parent / "random", dirs_exist_ok=True))
    torch.manual_seed(1)
    model = LlamaForCausalLM(AutoConfig.from_pretrained(place))
    for name, weights in model.named_parameters():
        if "norm" not in name:
            weights.data.mul_(8)
    model.save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def measured(random_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[NoiseFloor, Path]:
    folder = tmp_path_factory.mktemp("floor") / "runs" / "noise" / "random"
    return noise(str(random_checkpoint), "smoke", NoiseOptions(ask=replace(HF, node="random", out=folder)))


def test_every_variant_is_asked_itself(measured: tuple[NoiseFloor, Path]) -> None:
    floor, file = measured
    assert [(v.name, v.kind, v.batch_tokens) for v in floor.variants] == [
        ("order 1", "order", 1024), ("order 2", "order", 4096), ("bfloat16", "dtype", 0),
    ]  # fmt: skip
    assert all(v.counts["reused"] == 0 and v.counts["asked"] == v.counts["distinct"] > 0 for v in floor.variants)
    folders = {place.name for place in file.parent.iterdir() if place.is_dir()}
    assert folders == {"reference", "order1-1024", "order2-4096", "bfloat16"}
    assert all((file.parent / name / "journal.sqlite").is_file() for name in folders)
    assert load_floor(file).reference == floor.reference
    assert floor.reference.numerics["dtype"] == "float32" and floor.variant("bfloat16").numerics["dtype"] == "bfloat16"
    assert floor.reference.architecture == "LlamaForCausalLM 2 × 64" and floor.reference.digest


def test_the_order_that_the_engine_is_given_is_another_one(measured: tuple[NoiseFloor, Path]) -> None:
    _, file = measured
    settings = [load_run(file.parent / name).manifest["settings"] for name in ("reference", "order1-1024")]
    assert [(s["order"], s["batch_tokens"]) for s in settings] == [(0, 0), (1, 1024)]


def test_bfloat16_changes_what_float32_in_another_order_does_not(measured: tuple[NoiseFloor, Path]) -> None:
    """Scores of 100 items need not flip, but long answers part and log-probabilities move."""
    floor, _ = measured
    by_variant = {v.name: [n for n in floor.noise if n.variant == v.name] for v in floor.variants}
    texts = {name: max(n.texts_differ for n in rows if n.n_texts) for name, rows in by_variant.items()}
    assert texts["order 1"] == texts["order 2"] == 0 < texts["bfloat16"]
    assert not any(n.differ for name in ("order 1", "order 2") for n in by_variant[name] if n.binary)
    far = {name: max(n.largest_logprob for n in rows if n.n_logprobs) for name, rows in by_variant.items()}
    assert far["order 1"] < 1e-3 < 1e-2 < far["bfloat16"]
    [perplexity] = [n for n in by_variant["bfloat16"] if n.unit == "bits per byte"]
    assert not perplexity.binary and perplexity.largest_difference > 0


def test_its_flips_are_those_of_the_stored_records(measured: tuple[NoiseFloor, Path]) -> None:
    floor, file = measured
    a, b = (load_run(file.parent / name).records for name in ("reference", "bfloat16"))
    both = a.merge(b, on=["task", "setting", "item", "sample"], suffixes=("_a", "_b"))
    for one in floor.noise:
        if one.variant == "bfloat16" and one.binary:
            mine = both[(both["task"] == one.task) & (both["setting"] == one.setting)]
            d = mine["score_b"] - mine["score_a"]
            assert (one.n, one.better, one.worse) == (len(mine), (d > 0).sum(), (d < 0).sum())


def test_again_asks_nothing_and_gives_the_same(measured: tuple[NoiseFloor, Path], random_checkpoint: Path) -> None:
    floor, file = measured
    again, _ = noise(str(random_checkpoint), "smoke", NoiseOptions(ask=replace(HF, node="random", out=file.parent)))
    assert again.noise and all(v.counts["asked"] == 0 for v in again.variants)
    pd.testing.assert_frame_equal(pd.DataFrame(again.noise), pd.DataFrame(floor.noise))


def test_killed_it_goes_on_where_it_stopped(random_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "capeval", "noise", "--model", str(random_checkpoint), "--suite", "smoke",
               "--backend", "hf", "--device", "cpu", "--out", str(out), "--dtypes", "", "--orders", "1"]  # fmt: skip
    deadline = time.monotonic() + 60
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as child:
        while not (out / "order1-1024" / "journal.sqlite").is_file():
            assert child.poll() is None and time.monotonic() < deadline, "it ended before it could be killed"
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
    assert (out / "reference" / "manifest.json").is_file() and not (out / "noise.json").exists()
    noise(str(random_checkpoint), "smoke", NoiseOptions(ask=replace(HF, out=out), dtypes=(), orders=1))
    reference = load_run(out / "reference").manifest["counts"]
    assert reference["asked"] == 0 and reference["reused"] == reference["distinct"]
    assert load_floor(out).noise


def test_nothing_to_vary_unknown_names_and_engines_that_are_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted = RunOptions(backend="scripted")
    for options in (NoiseOptions(orders=0), NoiseOptions(orders=0, dtypes=(), backends=("scripted",))):
        with pytest.raises(UsageError, match="there is only the reference, and nothing to hold against it"):
            noise("parrot", "smoke", replace(options, ask=scripted))
    with pytest.raises(UsageError, match="unknown backend 'vlm'; did you mean 'vllm'"):
        noise("parrot", "smoke", NoiseOptions(ask=scripted, backends=("vlm",)))
    opened = numerics.open_model

    def missing(model: str, options: RunOptions):  # type: ignore[no-untyped-def]
        if options.backend == "vllm":
            raise MissingError("backend 'vllm' needs vllm, which is not installed")
        return opened(model, options)

    monkeypatch.setattr(numerics, "open_model", missing)
    floor, _ = noise("parrot", "smoke", NoiseOptions(ask=scripted, backends=("vllm",), orders=1))
    assert [v.name for v in floor.variants] == ["order 1"]
    assert floor.provenance["skipped"] == [
        "float32: backend 'scripted' has no choice of it", "bfloat16: backend 'scripted' has no choice of it",
        "vllm: backend 'vllm' needs vllm, which is not installed",
    ]  # fmt: skip


def test_a_dtype_that_does_not_exist(tiny_checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="unknown dtype 'bfloat61'; did you mean 'bfloat16'"):
        noise(str(tiny_checkpoint), "smoke", NoiseOptions(ask=HF, dtypes=("bfloat61",)))


def test_no_item_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = numerics.run

    def failing(*args: object, options: RunOptions) -> Run:
        done = asked(*args, options=options)  # type: ignore[arg-type]
        return replace(done, records=done.records.assign(score=float("nan"))) if options.order else done

    monkeypatch.setattr(numerics, "run", failing)
    with pytest.raises(PairingError, match="no item of suite 'smoke' has a score in the reference and in a variant"):
        noise("parrot", "smoke", NoiseOptions(ask=RunOptions(backend="scripted"), dtypes=(), orders=1))


def test_the_command_line_from_noise_to_gate(capeval, tiny_checkpoint: Path, random_checkpoint: Path) -> None:  # type: ignore[no-untyped-def]
    ask = ("--suite", "smoke", "--backend", "hf", "--device", "cpu", "--limit", "12")
    for name, model in (("base", tiny_checkpoint), ("sft", random_checkpoint)):
        assert capeval("run", "--model", model, "--node", name, *ask)[0] == 0
    compared = ("compare", "runs/base-smoke-first12", "runs/sft-smoke-first12")
    gated = ("gate", "--baseline", "runs/base-smoke-first12", "--candidate", "runs/sft-smoke-first12")
    before, without = capeval(*compared), capeval(*gated)
    assert "numerics" not in before[1] + without[1]
    code, out, err = capeval("noise", "--model", tiny_checkpoint, "--node", "base", *ask, "--orders", "1")
    assert code == 0 and "bfloat16: done (100% of all" in err
    assert max(map(len, out.splitlines())) <= 100
    assert "scores flip" in out and "noise floor: runs/noise/base-smoke-hf-first12/noise.json" in out
    code, out, _ = capeval(*compared, "--markdown", "t.md", "--out", "report")
    assert code == 0 and "numerics flip none (order 1: 0 of 12 items, at most 26.5 %)" in out
    assert "| noise |" in Path("t.md").read_text().splitlines()[0] and "numerics flip none" in Path("t.md").read_text()
    assert "numerics flip none" in Path("report/report.html").read_text("utf-8")
    code, out, _ = capeval(*gated, "--json")
    rows = json.loads(out)["verdicts"]
    assert code == without[0] and all("numerics " in row["reason"] for row in rows if not row["effect"]["reason"])
    assert rows[0]["effect"]["noise_share"] == 0.0
    noted = {line.strip() for line in capeval(*gated)[1].splitlines() if "numerics" not in line}
    assert noted <= {line.strip() for line in without[1].splitlines()}  # nothing else changed
    code, out, _ = capeval("noise", "--model", tiny_checkpoint, "--node", "base", *ask, "--orders", "1", "--json")
    assert code == 0 and json.loads(out)["variants"][0]["counts"]["asked"] == 0
    Path("tree.yaml").write_text(
        "name: two\ntitle: Two runs\nstages:\n  - {name: base, kind: base, run: runs/base-smoke-first12}\n"
        "  - {name: sft, kind: sft, links: [{parent: base, certainty: documented}], run: runs/sft-smoke-first12}\n"
    )
    code, out, err = capeval("trace", "tree.yaml", "--out", "trace")
    assert code == 0 and "numerics flip none (order 1" in Path("trace/effects.csv").read_text(), err
    Path("runs/noise/base-smoke-hf-first12/noise.json").write_text("{")
    for command in (compared, gated):
        code, out, err = capeval(*command)
        assert (code, out) == (2, "") and "noise.json can't be read as JSON" in err
    assert "nowhere holds no noise floor" in capeval(*gated, "--noise", "nowhere")[2]


def test_two_dtypes_are_a_confound_whose_size_stands_beside(capeval, measured: tuple[NoiseFloor, Path]) -> None:  # type: ignore[no-untyped-def]
    _, file = measured
    runs = file.parent / "reference", file.parent / "bfloat16"
    code, out, _ = capeval("compare", *runs, "--noise", file)
    assert code == 0 and "confounded: dtype: float32 against bfloat16" in out
    assert "numerics flip" in out and "within numerics" in out and "(bfloat16: " in out


def test_help_has_examples(capeval) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = capeval("noise", "--help")
    assert code == 0 and "capeval noise --model ./my-checkpoint --suite cot --limit 50" in out
    assert "did you mean 'noise'" in capeval("noize")[2]
