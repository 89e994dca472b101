"""One item's metrics: computed by hand."""

import math

import pytest

from capeval.item_metrics import likeliest, pooled


@pytest.mark.parametrize(
    ("metric", "value"), [("bits_per_byte", 2.0), ("byte_perplexity", 4.0), ("word_perplexity", 4.0)]
)
def test_an_items_own_perplexity(metric: str, value: float) -> None:
    assert pooled(metric, -3 * math.log(4), 3) == pytest.approx(value)
    assert pooled(metric, -math.log(4), 0) == pytest.approx(value), "an empty document counts as one unit"


def test_a_hopeless_text_does_not_overflow() -> None:
    assert pooled("word_perplexity", -1e6, 1) == math.exp(700)
    assert pooled("bits_per_byte", -1e6, 1) == pytest.approx(1e6 / math.log(2))


def test_the_choice_depends_on_what_the_metric_divides_by() -> None:
    choices, logprobs = ["ab", "éééé"], [-3.0, -5.0]
    assert likeliest(choices, logprobs, "acc") == "ab"
    assert likeliest(choices, logprobs, "acc_norm") == "éééé"
    assert likeliest(["abc", "éé"], [-3.0, -3.9], "acc_bytes") == "éé"
    assert likeliest(["a", "b"], [-1.0, -1.0], "acc") == "a", "the first of equal ones"
