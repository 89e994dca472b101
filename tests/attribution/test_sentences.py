"""Verdicts in words: doubts stand in the sentence, not only in the ledger."""

import math

from capeval.attribution.sentences import CONFOUND_CHARACTERS, beyond, sentence

ROW = {
    "kind": "within", "parent": "a", "child": "a", "contrast": "a: cot − direct", "task": "bbh",
    "setting": "cot − direct", "answer": "gained", "reason": "", "orientation": "higher", "unit": "points",
    "delta": 0.216, "low": 0.203, "high": 0.229, "low_clustered": math.nan, "high_clustered": math.nan,
    "p_adjusted": 1e-9, "n": 6510, "margin": 0.02, "mde": 0.02, "n_needed": math.nan, "confounds": "",
}  # fmt: skip


def test_an_effect_without_doubts() -> None:
    said = "a: cot − direct: gained on bbh (cot − direct): +21.6 points [+20.3, +22.9], p < .001 adjusted, n = 6510."
    assert sentence(ROW) == said


def test_fixed_subtasks_show_both_intervals() -> None:
    row = {**ROW, "low_clustered": 0.124, "high_clustered": 0.306}
    assert "+21.6 points [+20.3, +22.9] ([+12.4, +30.6] over other subtasks), p < .001" in sentence(row)
    assert beyond(ROW) == ""


def test_confounds_end_every_kind_of_sentence() -> None:
    for answer, reason in (("gained", ""), ("equivalent", ""), ("cant_tell", ""), ("cant_tell", "different shots")):
        row = {**ROW, "answer": answer, "reason": reason, "confounds": "another base"}
        assert sentence(row).endswith("; confounded: another base.")


def test_long_confounds_are_quoted_in_part() -> None:
    quoted = sentence({**ROW, "confounds": "word " * 40}).partition("confounded: ")[2]
    assert quoted.endswith("word…")
    assert 60 < len(quoted) <= CONFOUND_CHARACTERS


def test_what_could_have_shown_is_none_where_no_effect_could() -> None:
    row = {**ROW, "answer": "cant_tell"}
    assert "smallest effect that would have shown: 2.0 points" in sentence(row)
    # eight clusters in a family of forty: no pattern of signs reaches the level
    assert "smallest effect that would have shown: none of any size" in sentence({**row, "mde": math.nan})
