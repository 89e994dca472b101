"""What is read from an answer's text: sums computed again, golds found in sentences, steps, refusals."""

from __future__ import annotations

import math
import operator
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capeval.marks import best_recall, closing, declined, ends_in, forgiven, marks_of, recalled, slips, steps
from capeval.sums import checks, to_number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3 + 4 = 7", [True]),
        ("3 + 4 = 8", [False]),
        ("4*5 = <<4*5=20>>20, so 20 + 1 = 22 pens", [True, True, False]),
        ("1,360 - 142 = <<1330-142=1188>>1,188", [True, False]),  # the calculator was fed another number
        ("4*5=<<50*4=200>>200", [True, False]),
        ("65 + 94 + 81 + 86 + 74 = 490 \n490 / 5 = 98", [False, True]),
        ("1/6 + 1/2 = 2/6 + 3/6 = 5/6", [False, True]),
        ("3 boxes x $2 = $6", [True]),
        ("16 pieces of candy divided by 8 pieces per day = 2 days", [True]),
        ("5 miles/hour * 2 hours = 10 miles", [True]),
        ("20% of 50 = 10", [True]),
        ("(222 - 191) / 191 = 16.23%", [True]),
        ("6 / 4 * 100% = 75%", [False]),
        ("2 + 2(8) = 18", [True]),
        ("-3 - -4 = 1", [True]),
        ("5 - 8 = 3 apart", [True]),
        ("90 ÷ 3 = 30 and 2 × 3 = 5", [True, False]),
        ("10 / 3 = 3.33", [True]),
        ("7 / 2 = 3", [True]),  # a quotient may be cut
        ("7 * 2 = 13", [False]),
        ("$4.20 + $9.45 + $1.35 = $14.99", [False]),
        ("100 / 3 ≈ 34", [True]),
        ("= $98 x 89\n= $8,722", [True]),
        ("- 84 apples / 12 = 7", [True]),  # a bullet is no sign
    ],
)
def test_calculations_are_computed_again(text: str, expected: list[bool]) -> None:
    assert list(checks(text)) == expected
    assert slips(text) == expected.count(False)


@pytest.mark.parametrize(
    "text",
    [
        "", "no numbers", "x = 5", "cost = $3", "2x + 3 = 7", "$98x + $98y = 163", "2^3 = 9", "2**3 = 9", "1/0 = 3",
        "S = B1 + B2 / 6", "$50 - 20% = $40", "20 tires x 25 cents = $5", "6 a.m. - 5 minutes = 5:55",
        "90 minutes + 300 seconds = 95", "3/5 of the twenties = 3", "((1 + 1 = 2", "1 + 1 =", "= = =",
        "\\frac{1}{2} = 2", "__import__('os').system('true') = 1", "+".join(["3"] * 60) + " = 1",
    ],
)  # fmt: skip
def test_what_can_not_be_checked_is_no_slip(text: str) -> None:
    assert slips(text) is None


SIGNS = {"+": operator.add, "-": operator.sub, "*": operator.mul}


@given(st.integers(0, 999), st.integers(0, 999), st.sampled_from(sorted(SIGNS)), st.integers(-9, 9))
def test_a_planted_slip_is_found_and_nothing_else(a: int, b: int, sign: str, off: int) -> None:
    right = SIGNS[sign](a, b)
    said = right + off
    found = slips(f"She has {a} apples {sign} {b} apples = {said} apples.")
    assert found == int(off != 0 and said != -right)


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    found = marks_of(text, score=0.0, lenient=forgiven(text, [text[:50]], whole=True))
    assert found["steps"] is not None and found["steps"] >= 0
    assert found["declined"] in (0.0, 1.0)
    assert found["lenient"] is None or 0 <= found["lenient"] <= 1


def test_hostile_texts_take_no_time() -> None:
    begun = time.perf_counter()
    for text in ("(" * 30_000, "1+" * 30_000 + "=", "= " * 30_000, "9" * 60_000, "a - " * 20_000, "I cannot " * 9_000,
                 "\u202e1 + 1 = 3\x00", "1," * 30_000 + "=1", " \n" * 30_000, "x " * 30_000 + "= 1"):  # fmt: skip
        marks_of(text, score=0.0, lenient=forgiven(text, ["1"], whole=False))
    assert time.perf_counter() - begun < 5


@pytest.mark.parametrize(
    ("answer", "gold", "share"),
    [
        ("The Saints scored first.", "Saints", 1.0),
        ("the painting, calligraphy, and poetry", "painting, poetry, and calligraphy", 1.0),
        ("It was Josh Scobee.", "Adam Vinatieri", 0.0),
        ("Brady", "Tom Brady", 0.5),
        ("They scored three touchdowns.", "3", 1.0),
        ("They scored 4 touchdowns.", "3", 0.0),
        ("July 31", "19 July 1941", 0.0),  # a gold with numbers needs them all
        ("$1,000.", "1000", 1.0),
        ("It is 3.0", "3", 1.0),
        ("So the answer is (A).", "(A)", 1.0),
        ("(A) and (B)", "(B)", 0.0),
        ("Yes, it does.", "yes", 1.0),
        ("yes or no", "yes", 0.0),
        ("A man came. (C)", "C", 1.0),
        ("anything", "", 0.0),
        ("anything", "...", 0.0),
    ],
)
def test_golds_are_found_in_other_words(answer: str, gold: str, share: float) -> None:
    assert recalled(answer, gold) == share


def test_the_best_reference_counts_and_a_worked_solution_is_none() -> None:
    assert best_recall("Brady", ["Tom Brady", "Brady"], whole=True) == 1.0
    assert best_recall("Brady", ["Tom Brady"], whole=True) == 0.0
    assert best_recall("Brady", ["Tom Brady"], whole=False) == 0.5
    assert math.isnan(best_recall("Brady", ["word " * 40], whole=False))
    assert math.isnan(best_recall("Brady", [], whole=False))
    assert forgiven("First 7. Then 8. So it is 5.", ["3 + 2 = 5\n#### 5"], whole=True) == 1.0
    assert forgiven("First 5. Then 8. So it is 9.", ["5"], whole=True) == 0.0  # on the way only
    assert closing("One. Two. Three.") == "Two. Three."


def test_a_text_ends_in_a_number() -> None:
    assert ends_in("the answer is 6-3=3.", "3.0") == 1.0
    assert ends_in("the answer is $1,000", "1000") == 1.0
    assert ends_in("3, then 4", "3") == 0.0
    assert ends_in("none", "3") == 0.0
    assert math.isnan(ends_in("3", "three apples"))
    assert to_number("1e400") is None and to_number("12.5%") == 12.5


def test_steps_are_what_stands_before_the_final_one() -> None:
    assert [steps(t) for t in ("", "(A)", "One. Two. Three.", "a\n\nb\n", "...\n!!!")] == [0, 0, 2, 1, 0]
    assert steps("The answer is \n\n46") == 0
    assert steps("3.5 is more than 3.4") == 0


@pytest.mark.parametrize(
    "text",
    ["I have no comment.", "I don't know.", "I cannot help with that.", "Not in background.",
     "The passage does not mention it.", "It is not specified in the text."],
)  # fmt: skip
def test_what_declines(text: str) -> None:
    assert declined(text)


@pytest.mark.parametrize(
    "text",
    ["No, it is not legal to own one.", "Paris.", "", "Unicorns do not exist.",
     "No, everyday goods have not become cheaper."],
)  # fmt: skip
def test_what_answers(text: str) -> None:
    assert not declined(text)


def test_forgiving_never_costs_anything() -> None:
    assert marks_of("x", score=1.0, lenient=0.0)["lenient"] == 1.0
    assert marks_of("x", score=0.3, lenient=math.nan)["lenient"] is None
    assert marks_of("x", score=math.nan, lenient=1.0)["lenient"] is None
