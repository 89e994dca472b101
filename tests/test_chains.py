"""A chain of thought as text: every cut keeps the text whole, and the answer's sentence is found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capeval.chains import MOST, cut_chain, sentences

LAB = "7 - 2 = 5 . 5 + 3 = 8 . the answer is 8"


def test_steps_the_last_sentence_and_what_the_answer_follows() -> None:
    chain = cut_chain(LAB, "8")
    assert chain is not None
    assert chain.steps == ("7 - 2 = 5 .", " 5 + 3 = 8 .")
    assert (chain.cue, chain.gap, chain.answer) == (" the answer is", " ", "8")
    assert chain.stated == (False, False, True)


def test_lists_decimals_thousands_and_what_is_said_after_the_answer() -> None:
    text = "1. First, 3.5 + 2 = 5.5.\n2. Then 994.5 more.\n\nThe answer is $1,000.\nDone!"
    chain = cut_chain(text, "1000")
    assert chain is not None
    assert chain.steps == ("1. First, 3.5 + 2 = 5.5.", "\n2. Then 994.5 more.\n")
    assert (chain.cue, chain.gap, chain.answer) == ("\nThe answer is $", "", "1,000")
    assert chain.last == "\nThe answer is $1,000.\nDone!"
    assert not any(chain.stated)


def test_an_answer_alone_is_no_chain() -> None:
    assert cut_chain("8", "8") is None
    assert cut_chain("The answer is 8.", "8") is None
    assert cut_chain("", "") is None
    assert cut_chain("8 it is. Good.", "8") is None  # nothing stands before it


def test_where_the_last_sentence_lacks_the_answer_it_can_be_put_nowhere() -> None:
    chain = cut_chain("8 of them. So what. Who knows. Nobody.", "8")
    assert chain is not None
    assert (chain.answer, chain.last) == ("", " Nobody.")
    other = cut_chain("One step. Another. No number.", "8")
    assert other is not None and other.answer == ""


@pytest.mark.parametrize(("text", "word"), [("It is 18. It is 28.", "8"), ("It is 8.5. It is 80.", "8")])
def test_an_answer_is_a_word_of_its_own(text: str, word: str) -> None:
    chain = cut_chain(text, word)
    assert chain is not None and chain.answer == "" and not any(chain.stated)


def test_a_long_chain_has_neighbours_joined() -> None:
    text = "".join(f" Step {i} is done." for i in range(40)) + " The answer is 5."
    chain = cut_chain(text, "5.")
    assert chain is not None
    assert len(chain.steps) == MOST - 1
    assert "".join((*chain.steps, chain.last)) == text
    sizes = [step.count("Step") for step in chain.steps]
    assert max(sizes) - min(sizes) <= 1


@given(st.text(alphabet="ab 1.!?\n)-é", max_size=60), st.sampled_from(["1", "a", "b 1", "é", ""]))
def test_nothing_of_a_text_is_lost(text: str, answer: str) -> None:
    parts = sentences(text)
    assert "".join(parts) == text
    chain = cut_chain(text, answer)
    if chain is not None:
        assert "".join((*chain.steps, chain.last)) == text
        assert chain.steps and len(chain.steps) < MOST
        assert chain.last.startswith(chain.cue + chain.gap + chain.answer)
        assert len(chain.stated) == len(chain.steps) + 1 and not chain.stated[0]
        assert list(chain.stated) == sorted(chain.stated)
        assert all(step.strip() for step in chain.steps)
