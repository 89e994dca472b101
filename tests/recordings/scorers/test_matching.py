"""BBH, GSM8K and numbers against lm-eval and the authors."""

from __future__ import annotations

import re
from typing import Any

import pytest

from capeval.recordings.scorers import score
from capeval.recordings.scorers.matching import parse_number
from tests.recordings.public_data import needs_data, rows


def test_bbh_takes_what_follows_the_first_answer() -> None:
    assert score("bbh_cot", "Let's see. So the answer is (B).", "(B)").extracted == "(B)"
    assert score("bbh_cot", "the answer is no\nQ: next", "no").score == 0.0  # lm-eval drops the last character
    assert score("bbh_cot", "I don't know.", "no").flag == "unextracted"
    assert score("bbh_direct", " (C)\n", "(C)").score == 1.0


@needs_data
@pytest.mark.data
def test_bbh_equals_lm_eval_on_recorded_outputs() -> None:
    filters = pytest.importorskip("lm_eval.filters.extraction")
    regex = filters.RegexFilter(regex_pattern="(?<=the answer is )(.*)(?=.)")
    outputs = [o for o in rows("recorded/bbh_code-davinci-002/outputs.jsonl") if o["setting"] == "3-shot-cot"][::7]
    theirs = [answers[0] for answers in regex.apply([[o["output"]] for o in outputs], [{}] * len(outputs))]
    ours = [score("bbh_cot", o["output"], o["gold"]) for o in outputs]
    assert [(s.extracted or "[invalid]") for s in ours] == theirs
    assert [s.score for s in ours] == [float(t == o["gold"]) for t, o in zip(theirs, outputs, strict=True)]


def _lm_eval_gsm8k(text: str, gold: str, pattern: str, group: int) -> float:
    filters = pytest.importorskip("lm_eval.filters.extraction")
    [[found]] = filters.RegexFilter(regex_pattern=pattern, group_select=group).apply([[text]], [{}])

    def plain(answer: str) -> str:  # exact_match with lm-eval's regexes_to_ignore and ignore_case
        for ignored in (",", r"\$", r"(?s).*#### ", r"\.$"):
            answer = re.sub(ignored, "", answer)
        return answer.lower()

    return float(plain(found) == plain(gold))


@needs_data
@pytest.mark.data
def test_gsm8k_equals_lm_eval_and_the_authors_on_recorded_outputs() -> None:
    strict, flexible = r"The answer is (\-?[0-9\.\,]+).", r"(-?[$0-9.,]{2,})|(-?[0-9]+)"
    for n, output in enumerate(rows("recorded/gsm8k_openai_2021/outputs.jsonl")):
        ours = score("gsm8k_flexible", output["output"], output["gold"]).score
        assert ours == float(output["correct"]), output["id"]
        if n % 13 == 0:
            text = output["output"].replace("A: ", "The answer is ") + "."
            for name, pattern, group in (("gsm8k_strict", strict, 0), ("gsm8k_flexible", flexible, -1)):
                expected = _lm_eval_gsm8k(text, output["gold"], pattern, group)
                assert score(name, text, output["gold"]).score == expected


@pytest.mark.parametrize(
    ("said", "gold", "right"),
    [
        ("40000", "40,000", 1.0),
        ("14.00", "14", 1.0),
        ("0.6666666666666667", "0.6666666666666666", 1.0),
        ("$1,234.50 dollars", "1234.5", 1.0),
        ("1201587", "1201565", 0.0),
        ("-3", "3", 0.0),
        (18.0, "18", 1.0),
    ],
)
def test_numbers_compare_by_value(said: Any, gold: str, right: float) -> None:
    assert score("number", said, gold).score == right


def test_number_words_are_unextracted() -> None:
    assert score("number", "two hundred", "200").flag == "unextracted"
    assert parse_number("about .5 of 1,000") == 0.5


@needs_data
@pytest.mark.data
def test_number_differs_from_the_logs_only_where_strings_hid_equal_values() -> None:
    found = [
        (o["pred"], o["gold"], o["correct"])
        for o in rows("recorded/zero_shot_cot/gsm8k.zero-shot-cot.jsonl")
        if o["pred"] and bool(score("number", o["pred"], o["gold"]).score) != o["correct"]
    ]
    assert len(found) == 5
    assert all(not theirs and parse_number(said) == parse_number(gold) for said, gold, theirs in found)
