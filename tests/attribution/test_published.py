import math

import pandas as pd
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from capeval.attribution.published import load_published, published_effects, published_table
from capeval.core import Link, Stage, Tree


def _tree(*pairs: tuple[str, str]) -> Tree:
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    links = {child: (Link(parent=parent, certainty="documented"),) for parent, child in pairs}
    return Tree(name="t", stages=tuple(Stage(name=n, kind="base", links=links.get(n, ())) for n in names))


def test_wilson_for_rates_with_a_known_n_only() -> None:
    found = load_published({"llama": ("LLaMA 65B",)}).set_index(["benchmark", "metric"])
    humaneval = found.loc[("HumanEval", "pass@1")].iloc[0]
    assert (humaneval["value"], humaneval["n_items"]) == (23.7, 164)
    low, high = proportion_confint(0.237 * 164, 164, method="wilson")
    assert (humaneval["low"], humaneval["high"]) == pytest.approx((100 * low, 100 * high))
    unknown = found[found["n_items"].isna()]
    assert len(unknown)
    assert unknown["low"].isna().all()


def test_lengths_and_win_rates_have_no_interval() -> None:
    found = load_published({"chat": ("Llama-2-Chat 7B",)})
    other = found[found["metric"].isin(["mean output length (characters)", "win rate %"])]
    assert len(other) == 2
    assert other["low"].isna().all()


def test_conflicts_are_told() -> None:
    found = load_published({"palm": ("PaLM 540B",)})
    bbh = found[(found["benchmark"] == "BBH") & (found["setting"] == "3-shot-cot")]
    assert set(bbh["value"]) == {62.0, 63.7}
    assert bbh["note"].str.contains("other sources differ").all()


def test_an_edge_is_unpaired_and_within_one_source_where_it_can_be() -> None:
    tree = _tree(("t5", "flan"))
    published = load_published({"t5": ("T5-XXL 11B",), "flan": ("Flan-T5-XXL 11B",)})
    effects = published_effects(tree, published).set_index(["benchmark", "setting"])
    bbh = effects.loc[("BBH", "3-shot-direct")]
    assert bbh["delta"] == pytest.approx(45.3 - 29.5)
    assert bool(bbh["same_source"])
    low, high = confint_proportions_2indep(0.453 * 6511, 6511, 0.295 * 6511, 6511, method="newcomb")
    assert (bbh["low"], bbh["high"]) == pytest.approx((100 * low, 100 * high))
    assert math.isnan(effects.loc[("MMLU (validation)", "5-shot-direct"), "low"]), "n is not known"
    assert effects.index.is_unique


def test_sources_that_never_meet_are_flagged() -> None:
    columns = ["node", "benchmark", "setting", "metric", "value", "low", "high", "n_items", "source", "read_at", "note"]
    rows = [
        ["a", "B", "s", "accuracy", 50.0, math.nan, math.nan, 100.0, "X 2020 Table 1", "", ""],
        ["b", "B", "s", "accuracy", 60.0, math.nan, math.nan, 100.0, "Y 2021", "", ""],
        ["b", "B", "t", "accuracy", 60.0, math.nan, math.nan, 100.0, "Y 2021", "", ""],
    ]
    effects = published_effects(_tree(("a", "b")), pd.DataFrame(rows, columns=columns))
    assert len(effects) == 1, "another setting is no match"
    assert not effects.iloc[0]["same_source"]
    assert effects.iloc[0]["source"] == "Y 2021 / X 2020 Table 1"
    assert effects.iloc[0]["low"] < 10 < effects.iloc[0]["high"]


def test_no_names_no_rows() -> None:
    empty = load_published({})
    assert empty.empty
    assert empty["value"].dtype == float
    assert published_effects(_tree(("a", "b")), empty).empty


def test_opt_humaneval_is_percent() -> None:
    """1 of 32,800 samples passed: 0.003 %, as the source's 3.05e-05 says; it is no fraction."""
    table = published_table()
    row = table[(table["model"] == "OPT 175B") & (table["setting"] == "zero-shot, temperature 0.6")].iloc[0]
    assert row["value"] == 0.003
    assert "3.05e-05" in row["note"]
