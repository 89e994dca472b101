"""A tree of siblings, traced by one engine; and the command line as a user meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from capeval.backends.vllm import warm
from capeval.store.runs import load_run

pytestmark = pytest.mark.vllm

TREE = """
name: three
stages:
  - {name: base, kind: base, uri: FIRST}
  - {name: sft, kind: sft, links: [{parent: base, certainty: documented}], uri: SECOND}
  - {name: ppo, kind: rlhf, links: [{parent: sft, certainty: documented}], uri: THIRD}
"""
Command = Callable[..., tuple[int, str, str]]


def test_a_tree_starts_one_engine(
    capeval: Command, siblings: dict[str, list[Path]], cache: Path, cold: None, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    text = TREE
    for word, folder in zip(("FIRST", "SECOND", "THIRD"), siblings["untied"], strict=True):
        text = text.replace(word, str(folder))
    Path("three.yaml").write_text(text)
    command = ("trace", "three.yaml", "--suite", "smoke", "--limit", "6", "--json")
    code, out, err = capeval(*command, "--backend", "vllm", "--out", "first")
    assert code == 0, err
    assert (warm.HISTORY.starts, warm.HISTORY.swaps) == (2, 1), "one more, which proves the exchange"

    warm.end()
    warm.HISTORY.__init__()  # type: ignore[misc]
    code, _, err = capeval(*command, "--backend", "vllm", "--out", "second")
    assert code == 0, err
    assert (warm.HISTORY.starts, warm.HISTORY.swaps) == (0, 0), "what the journal knows needs no engine"

    Path("runs/journal.sqlite").unlink()
    code, out, err = capeval(*command, "--backend", "vllm", "--out", "third")
    assert code == 0, err
    assert (warm.HISTORY.starts, warm.HISTORY.swaps) == (1, 2), "one engine for the tree"
    manifest = load_run(Path("runs") / "ppo-smoke-first6").manifest
    assert manifest["settings"]["numerics"]["backend"] == "vllm"
    assert manifest["engine"]["engines"] == "1 started, weights exchanged 2 times"
    assert manifest["engine"]["scoring"].startswith("forced")

    theirs = capeval(*command, "--backend", "hf", "--out", "hf")[1]
    scores = [{(e["child"], e["task"], e["setting"]): e["delta"] for e in json.loads(text)["effects"]}
              for text in (out, theirs)]  # fmt: skip
    assert scores[0] and scores[0] == pytest.approx(scores[1], nan_ok=True)


def test_a_run_and_a_resumed_one(
    capeval: Command, wide_checkpoint: Path, cold: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ("run", "--model", wide_checkpoint, "--suite", "smoke", "--json", "--backend")
    code, out, err = capeval(*command, "vllm", "--model-args", "max_num_seqs=8,max_model_len=1024")
    assert code == 0, err
    first = json.loads(out)["manifest"]
    assert first["settings"]["model_args"] == {"max_num_seqs": "8", "max_model_len": "1024"}
    assert first["settings"]["numerics"]["max_model_len"] == "1024"
    again = json.loads(capeval(*command, "vllm", "--model-args", "max_num_seqs=8,max_model_len=1024")[1])["manifest"]
    assert again["counts"]["asked"] == 0 and again["counts"]["reused"] == first["counts"]["distinct"]
    code, out, err = capeval(*command, "vllm", "--model-args", "max_model_length=5")
    assert code == 2 and "did you mean 'max_model_len'" in err
