"""What two runs of the same weights differ in, and which floor stands beside an effect."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pandas as pd
import pytest

from capeval.attribution.noise import applicable, measure, noise_words, with_noise
from capeval.core import TaskSpec
from capeval.tracer import compare
from tests.noise import BRAIN, FLOAT, asked, floor_of, noise_of
from tests.records import TASK, records, run_of

LENGTH = TaskSpec(name="sums", capability="style", metric="words", orientation="none", binary=False, unit="words")


def of(scores: list[float | None], **columns: object) -> pd.DataFrame:
    return records("x", scores, **columns).drop(columns="node")


def test_planted_flips_are_found() -> None:
    a, b = [1.0] * 60 + [0.0] * 40, [1.0] * 55 + [0.0] * 5 + [1.0] * 2 + [0.0] * 38
    [found] = measure(of(a), of(b), [TASK], "order 1")
    assert (found.variant, found.task, found.setting, found.n) == ("order 1", "sums", "direct", 100)
    assert (found.binary, found.differ, found.better, found.worse, found.share) == (True, 7, 2, 5, 0.07)
    assert found.low < 0.07 < found.high and found.mean_difference == pytest.approx(-0.03)
    assert found.largest_difference == 1.0 and found.p == pytest.approx(0.453125)
    [same] = measure(of(a), of(a), [TASK], "again")
    assert (same.differ, same.share, same.mean_difference, same.p) == (0, 0.0, 0.0, 1.0) and same.high > 0.03


def test_lower_is_better_is_turned_and_missing_items_drop_out() -> None:
    lower = replace(TASK, orientation="lower")
    [found] = measure(of([1.0, 0.0, None, 1.0]), of([0.0, 0.0, 1.0, 0.0]), [lower], "v")
    assert (found.n, found.better, found.worse) == (3, 2, 0)
    [none] = measure(of([None]), of([1.0]), [TASK], "v")
    assert none.n == 0 and not none.binary and math.isnan(none.mean_difference)


def test_scores_that_know_degrees_do_not_flip() -> None:
    [found] = measure(of([10.0, 20.0]), of([10.0, 23.0]), [LENGTH], "v")
    assert not found.binary and math.isnan(found.share) and math.isnan(found.p)
    assert (found.differ, found.mean_difference, found.largest_difference) == (1, 1.5, 3.0)
    [half] = measure(of([0.5, 1.0]), of([1.0, 1.0]), [TASK], "v")  # samples of an item, averaged
    assert not half.binary


def test_log_probabilities_and_texts_are_compared() -> None:
    def choices(shift: float) -> list[str]:
        return [json.dumps([["a", -1.0 + shift], ["b", -2.0]]), json.dumps([["a", -3.0], ["b", -4.0 - 2 * shift]])]

    [found] = measure(of([1, 0], response=choices(0.0)), of([1, 0], response=choices(0.25)), [TASK], "v")
    assert (found.n_logprobs, found.largest_logprob, found.mean_logprob) == (4, 0.5, 0.1875)
    assert found.n_texts == 0 and math.isnan(found.texts_differ)
    single = {"response": ["-1.00000", "-2.00000"]}
    [found] = measure(
        of([1, 0], gold_logprob=[-1.0, -2.0], **single), of([1, 0], gold_logprob=[-1.0, -2.0000001], **single),
        [TASK], "v",
    )  # fmt: skip
    assert found.largest_logprob == pytest.approx(1e-7)
    [found] = measure(
        of([1, 0], response=["x", "y"], length=[1, 1]), of([1, 0], response=["x", "z"], length=[1, 1]), [TASK], "v"
    )
    assert (found.n_texts, found.texts_differ, found.n_logprobs) == (2, 0.5, 0)
    assert math.isnan(found.largest_logprob)


def test_subsets_and_summaries_have_rows_of_their_own() -> None:
    spec = replace(TASK, settings=("0-shot", "1-shot"), summaries=("mean",))
    a, b = (
        pd.concat([of(scores, setting="0-shot", subset=list("xxyy")), of([1.0] * 4, setting="1-shot")])
        for scores in ([1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 0.0, 1.0])
    )
    found = {(one.task, one.setting): one for one in measure(a, b, [spec], "v")}
    assert found["sums", "0-shot"].share == 0.25 and found["sums:x", "0-shot"].share == 0.5
    assert found["sums:y", "0-shot"].differ == 0
    assert found["sums", "mean"].mean_difference == pytest.approx(0.125) and not found["sums", "mean"].binary


def test_many_tasks_are_adjusted_for() -> None:
    specs = [replace(TASK, name=f"t{i}") for i in range(10)]
    a = pd.concat([of([0.0] * 50, task=spec.name) for spec in specs])
    b = pd.concat([of([float(i < 6 and spec.name == "t3") for i in range(50)], task=spec.name) for spec in specs])
    found = {one.task: one for one in measure(a, b, specs, "v")}
    assert found["t3"].p == pytest.approx(0.03125) and found["t3"].p_adjusted == pytest.approx(0.3125)


def ends(numerics: tuple[dict[str, str], dict[str, str]] = (FLOAT, FLOAT), **more: object):  # type: ignore[no-untyped-def]
    return [asked(node, numerics=engine, **more) for node, engine in zip(("base", "sft"), numerics, strict=True)]


def test_the_largest_fitting_variant_is_the_floor() -> None:
    floor = floor_of(
        noise_of(better=1), noise_of(better=3, variant="order 2"), noise_of(better=40, variant="bfloat16"),
        noise_of(task="other", better=90),
    )  # fmt: skip
    fits = applicable("sums", "direct", ends(), [floor])
    assert fits is not None and (fits.noise.variant, fits.of) == ("order 2", "")
    for engines in ((FLOAT, BRAIN), (BRAIN, FLOAT)):
        between = applicable("sums", "direct", ends(engines), [floor])
        assert between is not None and between.noise.variant == "bfloat16"
    assert applicable("sums", "direct", ends((BRAIN, BRAIN)), [floor]) is None  # not measured inside bfloat16
    assert applicable("sums", "direct", ends(({}, {})), [floor]) is None
    assert applicable("sums", "cot", ends(), [floor]) is None


def test_a_new_release_of_the_engine_fits_another_one_does_not() -> None:
    floor = floor_of(noise_of(better=1))
    assert applicable("sums", "direct", ends(({**FLOAT, "torch": "3"},) * 2), [floor])
    assert applicable("sums", "direct", ends(({**FLOAT, "backend": "vllm"},) * 2), [floor]) is None
    assert applicable("sums", "direct", ends(({**FLOAT, "quantization": "fp8"},) * 2), [floor]) is None


def test_another_checkpoint_is_named_and_gives_way_to_an_ends_own() -> None:
    other = floor_of(noise_of(better=9), reference=asked("cousin"))
    fits = applicable("sums", "direct", ends(), [other])
    assert fits is not None and fits.of == "cousin"
    own = floor_of(noise_of(better=1), reference=asked("sft"))
    fits = applicable("sums", "direct", ends(), [other, own])
    assert fits is not None and (fits.of, fits.noise.better) == ("", 1)
    assert applicable("sums", "direct", ends(architecture="GPT2LMHeadModel 2 × 64"), [other]) is None
    assert applicable("sums", "direct", ends(architecture=""), [other]) is None


def test_other_prompts_or_scoring_rules_do_not_fit() -> None:
    floor = floor_of(noise_of())
    assert applicable("sums", "direct", ends(prompting="chat"), [floor]) is None
    assert applicable("sums", "direct", ends(scoring={"sums direct": "another"}), [floor]) is None
    assert applicable("sums", "direct", ends(scoring={"sums direct again": "another"}), [floor])


def test_the_ledger_keeps_its_answers_and_gets_words() -> None:
    base = [1.0, 0.0] * 300
    a, b = run_of("base", base), run_of("sft", [0.0, 1.0, 0.0, *base[3:]])
    effects = compare(a, b).effects
    who = {"base": asked("base"), "sft": asked("sft")}
    told = with_noise(effects, who, [floor_of(noise_of(better=1, worse=1))])
    [row] = told.to_dict("records")
    assert row["noise"] == (
        "numerics flip 0.4 % (order 1: 2 of 500 items, at most 1.4 %); here 3 of 600: within numerics"
    )
    assert (row["noise_share"], row["noise_high"]) == (0.004, pytest.approx(0.0144, abs=1e-4))
    same = [c for c in effects if not c.startswith("noise")]
    pd.testing.assert_frame_equal(told[same], effects[same])
    assert set(with_noise(effects, who, [])["noise"]) == set(with_noise(effects, {}, [floor_of(noise_of())])["noise"])


def row(**more: object) -> dict[str, object]:
    return {"n": 500, "gained": 0, "lost": 40, "answer": "lost", "delta": -0.08} | more


def test_words_for_every_case() -> None:
    def words(noise, of: str = "", **more: object) -> str:  # type: ignore[no-untyped-def]
        fits = applicable("sums", "direct", ends(), [floor_of(noise)])
        assert fits is not None
        return noise_words(replace(fits, of=of), row(**more))

    assert words(noise_of()) == "numerics flip none (order 1: 0 of 500 items, at most 0.7 %)"
    assert words(noise_of(), of="cousin").endswith("0 of 500 items, at most 0.7 %, measured on cousin)")
    assert words(noise_of(better=9), lost=7).endswith("here 7 of 500: within numerics, but one-sided")
    assert "most of them one way: +1.8 points" in words(noise_of(better=9))
    degrees = noise_of(binary=False, mean_difference=-0.004)
    assert words(degrees) == "numerics move the mean by 0.4 points (order 1: 500 items)"
    assert words(degrees, delta=0.003).endswith(": within numerics")
