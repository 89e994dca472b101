"""lm-eval's own task files on real items: capeval's prompts, answers, extractions and scores are lm-eval's, each one.

`python -m benchmarks.parity` does the same for all its files and writes docs/parity.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.parity.compare import Compared, capeval_records, compare, lm_eval_samples, lopsided
from benchmarks.parity.model import cached_checkpoint, with_bos
from benchmarks.parity.tasks import TASKS, ParityTask, make_mirror

pytestmark = pytest.mark.data
ITEMS = 10
EPOCHS = 40
GSM8K = "gsm8k/gsm8k.yaml"
FILES = (
    GSM8K, "gsm8k/gsm8k-cot-zeroshot.yaml", "bbh/cot_fewshot/navigate.yaml", "bbh/zeroshot/sports_understanding.yaml",
    "mmlu/generative/mmlu_anatomy.yaml", "mmlu/default/mmlu_astronomy.yaml", "openbookqa/openbookqa.yaml",
    "crows_pairs/crows_pairs_english.yaml", "asdiv/default.yaml", "lambada/lambada_openai.yaml",
    "wikitext/wikitext.yaml", "pile_10k/pile_10k.yaml",
)  # fmt: skip
SOME = tuple(task for task in TASKS if task.path in FILES)


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


def test_every_item_agrees(bench: Bench) -> None:
    found = bench.against(FILES)
    assert not differing(found)
    assert {one.agreement for one in found} == {1.0}
    assert not [(one.task, one.setting, one.right, one.extracted) for one in found if lopsided(one)]
    assert {one.output_type for one in found} == {
        "generate_until", "multiple_choice", "loglikelihood", "loglikelihood_rolling",
    }  # fmt: skip
    assert {one.path for one in found} == set(FILES)


def test_a_changed_filter_is_noticed(bench: Bench) -> None:
    regex = {"function": "regex", "regex_pattern": "#### (\\-?[0-9])"}
    flexible = bench.configs[GSM8K]["filter_list"][1]
    changed = [{"name": "strict-match", "filter": [regex, {"function": "take_first"}]}, flexible]
    found = bench.against([GSM8K], overrides={GSM8K: {"filter_list": changed}})
    assert {what for _, _, what in differing(found)} == {"extracted", "score"}
    assert {setting for _, setting, _ in differing(found)} == {"strict-match", "ladder"}


def test_one_shot_less_is_noticed(bench: Bench) -> None:
    found = bench.against([GSM8K], overrides={GSM8K: {"num_fewshot": 4}})
    assert {one.agreement for one in found} == {0.0}
    assert "prompt" in {what for _, _, what in differing(found)}


def test_other_shots_are_noticed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capeval.harness.prepare.SHOT_SEED", 1235)
    found = bench.against([GSM8K])
    assert {one.agreement for one in found} == {0.0}


def test_a_bos_is_noticed(bench: Bench) -> None:
    files = (
        "asdiv/default.yaml",
        "lambada/lambada_openai.yaml",
        "pile_10k/pile_10k.yaml",
        "openbookqa/openbookqa.yaml",
    )
    found = bench.against(files, checkpoint=with_bos(bench.checkpoint, bench.place / "bos"))
    assert {path for path, _, what in differing(found) if what == "response"} == set(files)
    assert not [what for _, _, what in differing(found) if what == "prompt"], "the text is the same, its tokens are not"
