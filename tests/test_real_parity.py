"""lm-eval's own task files on real items: capeval's prompts, answers, extractions and scores are lm-eval's, each one.

`python -m benchmarks.parity` does the same for all its files and writes docs/parity.md.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.parity.compare import Compared, capeval_records, compare, lm_eval_samples, lopsided
from benchmarks.parity.model import cached_checkpoint
from benchmarks.parity.tasks import TASKS, ParityTask, make_mirror

ITEMS = 10
EPOCHS = 24
GSM8K = "gsm8k/gsm8k.yaml"
SLOW = ("truthfulqa", "bbq", "gsm8k-cot-llama", "asdiv-cot-llama", "cot_fewshot/date", "three_objects", "hyperbaton")
"""Files that only the command asks: they take long, or are much like another one."""
SOME = tuple(task for task in TASKS if not any(part in task.path for part in SLOW))
FILES = tuple(task.path for task in SOME)


class Bench:
    """A trained checkpoint, what lm-eval says of it, and capeval's records beside that."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.checkpoint = cached_checkpoint(SOME, ITEMS, EPOCHS)
        self.samples, self.configs = lm_eval_samples(self.checkpoint, SOME, ITEMS)

    def against(
        self, files: Sequence[str], checkpoint: Path | None = None, overrides: dict[str, Any] | None = None
    ) -> list[Compared]:
        tasks: tuple[ParityTask, ...] = tuple(task for task in SOME if task.path in files)
        out = self.place / f"run-{len(list(self.place.iterdir()))}"
        records = capeval_records(checkpoint or self.checkpoint, tasks, ITEMS, out, overrides)
        return compare(tasks, records, self.samples, self.configs)


@pytest.fixture(scope="module")
def bench(public_data: Path, tmp_path_factory: pytest.TempPathFactory):
    place = tmp_path_factory.mktemp("parity")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAPEVAL_DATA", str(make_mirror(place / "mirror", public_data)))
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        yield Bench(place)


def differing(found: Sequence[Compared]) -> set[tuple[str, str, str]]:
    """(file, filter, what) that differ."""
    return {(one.path, one.setting, text.split()[1]) for one in found for text in one.differences}


@pytest.mark.data
def test_every_item_agrees(bench: Bench) -> None:
    found = bench.against(FILES)
    assert not differing(found)
    assert {one.agreement for one in found} == {1.0}
    assert not [(one.task, one.setting, one.right, one.extracted) for one in found if lopsided(one)]
    assert {one.output_type for one in found} == {
        "generate_until", "multiple_choice", "loglikelihood", "loglikelihood_rolling",
    }  # fmt: skip
    assert len({one.task for one in found}) >= 20


@pytest.mark.data
def test_a_changed_filter_is_noticed(bench: Bench) -> None:
    regex = {"function": "regex", "regex_pattern": "#### (\\-?[0-9])"}
    flexible = bench.configs[GSM8K]["filter_list"][1]
    changed = [{"name": "strict-match", "filter": [regex, {"function": "take_first"}]}, flexible]
    found = bench.against([GSM8K], overrides={GSM8K: {"filter_list": changed}})
    assert {what for _, _, what in differing(found)} == {"extracted", "score"}
    assert {setting for _, setting, _ in differing(found)} == {"strict-match", "ladder"}


@pytest.mark.data
def test_one_shot_less_is_noticed(bench: Bench) -> None:
    found = bench.against([GSM8K], overrides={GSM8K: {"num_fewshot": 4}})
    assert {one.agreement for one in found} == {0.0}
    assert "prompt" in {what for _, _, what in differing(found)}


@pytest.mark.data
def test_other_shots_are_noticed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("capeval.harness.taskfile"), "SHOT_SEED", 1235)
    found = bench.against([GSM8K])
    assert {one.agreement for one in found} == {0.0}


def with_bos(checkpoint: Path, folder: Path) -> Path:
    """The same weights with a tokenizer that puts BOS before every text."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    shutil.copytree(checkpoint, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    special = [("<s>", tokenizer.bos_token_id)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=special)
    tokenizer.save_pretrained(folder)
    return folder


def without_bos(checkpoint: Path, folder: Path) -> Path:
    """The same weights with a tokenizer that has no BOS, so that end of text stands for an empty prompt."""
    from transformers import AutoTokenizer

    shutil.copytree(checkpoint, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.bos_token = None
    tokenizer.save_pretrained(folder)
    return folder


SHORT = ("openbookqa/openbookqa.yaml", "asdiv/default.yaml", "lambada/lambada_openai.yaml")
NO_PROMPT = ("crows_pairs/crows_pairs_english.yaml", "pile_10k/pile_10k.yaml")


@pytest.mark.data
def test_a_bos_too_many_is_noticed(bench: Bench) -> None:
    found = bench.against((*SHORT, *NO_PROMPT), checkpoint=with_bos(bench.checkpoint, bench.place / "with-bos"))
    # a text without a prompt begins with one BOS, whoever puts it there
    assert {path for path, _, what in differing(found) if what == "response"} == set(SHORT)
    assert "prompt" not in {what for _, _, what in differing(found)}, "the text is the same, its tokens are not"


@pytest.mark.data
def test_a_missing_bos_is_noticed(bench: Bench) -> None:
    found = bench.against((*SHORT, *NO_PROMPT), checkpoint=without_bos(bench.checkpoint, bench.place / "without-bos"))
    assert {path for path, _, what in differing(found) if what == "response"} == set(NO_PROMPT)


def test_the_page_shows_every_file_and_full_agreement() -> None:
    page = (Path(__file__).parent.parent / "docs" / "parity.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    head, *rows = rows
    assert head[0] == "task" and head[-1] == "agreement"
    assert len({row[0] for row in rows}) == len(TASKS) >= 20
    assert len(rows) == sum(len(task.filters) + (len(task.filters) > 1) for task in TASKS)
    assert {row[-1] for row in rows} == {"100%"}
    assert min(float(row[i].rstrip("%")) for row in rows for i in (5, 6)) >= 20
