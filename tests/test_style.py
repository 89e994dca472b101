"""The measures of style on invented answers, and on recorded ones where they are here."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.style_table import compared
from capeval.style import HEDGES, hedged, two_sided, words


def test_words():
    assert words("") == 0
    assert words("  one two\n\nthree ") == 3


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ("", 0.0),
        ("...", 0.0),
        ("It rains.", 0.0),
        ("It might rain.", 1.0),
        ("It rains. Perhaps it will stop. Nobody knows! Why?", 0.25),
        ("POSSIBLY.", 1.0),
        ("He mighty seldom came.", 0.0),  # no hedge inside a word
        ("It is unlikely", 1.0),
        ("She was born in May. He left on 3 May.", 0.0),  # the month
        ("You may go.", 1.0),  # permission: what a word list can't tell
        ("- it tends to rain\n- it snows", 0.5),  # lines of a list count as sentences
        ('"It could be." She left.', 0.5),
    ],
)
def test_hedged(answer: str, share: float):
    assert hedged(answer) == share


def test_the_list_is_words():
    assert len(set(HEDGES)) == len(HEDGES)
    assert all(hedge == hedge.lower() and hedged(f"It is {hedge} so.") == 1 for hedge in HEDGES)


@pytest.mark.parametrize(
    "answer",
    [
        "On the one hand it saves money. On the other hand it costs time.",
        "On one hand, yes; on the other, no.",
        "Some people love it, while others hate it.",
        "Supporters say that it is safe. Critics point to its cost.",
        "It has advantages, such as speed, and disadvantages, such as noise.",
        "There are pros and cons.",
        "There are arguments for it and arguments against it.",
    ],
)
def test_two_sided(answer: str):
    assert two_sided(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Yes, it is a good idea.",
        "It has many advantages: speed and comfort.",
        "However, it is wrong.",  # a contrast is not yet a second side
        "The other hand holds the cup.",
        "Others agree with some of it.",  # the markers the wrong way round
        "Critics hate it.",
    ],
)
def test_one_sided(answer: str):
    assert not two_sided(answer)


@pytest.mark.data
def test_known_direction_on_recorded_answers(public_data: Path):
    found = {(parent, child, measure): low for parent, child, measure, *_, low, _ in compared(public_data)}
    for pair in (
        ("alpaca-7b", "alpaca-farm-ppo-human"),
        ("oasst-sft-llama-33b", "oasst-rlhf-llama-33b"),
        ("text-davinci-002", "text-davinci-003"),
    ):
        assert found[(*pair, "words")] > 0
    # RLHF lengthens, and the longer answers hedge in more of their sentences too
    assert found[("alpaca-7b", "alpaca-farm-ppo-human", "hedged")] > 0
