"""Code: short programs with their problem in a comment and a trace of what they do."""

from __future__ import annotations

from capeval.lab.draw import Draw
from capeval.lab.lists import APPLY, joined
from capeval.lab.problems import Problem, problem
from capeval.lab.symbolic import boolean, counting, navigate, shuffled
from capeval.lab.words import LINE, OPERATIONS, digits

_BLOCKS = {"arithmetic": 4.0, "boolean": 0.8, "shuffled": 1.0, "counting": 1.2, "navigate": 1.0, "function": 0.8,
           "variables": 0.8}  # fmt: skip
_PUZZLES = {"boolean": boolean, "shuffled": shuffled, "counting": counting, "navigate": navigate}
_NAMES = ("x", "y", "z", "n")


def file(draw: Draw) -> str:
    """One to three blocks."""
    return LINE.join(_block(draw) for _ in range(draw.rng.choice((1, 2, 3))))


def _block(draw: Draw) -> str:
    kind = draw.pick(_BLOCKS)
    if kind == "function":
        return _calls(draw)
    if kind == "variables":
        return draw.fresh(lambda: variables(draw, draw.rng.randint(1, 8)), lambda made: made[0])[0]
    if kind == "arithmetic":
        made = problem(
            draw,
            steps=draw.rng.randint(1, 5) if draw.chance(0.5) else draw.rng.randint(1, 3),
            template=draw.rng.choice(("own", "own", "box", "trade")),
            distractor=draw.chance(0.2),
        )
        return _with_trace(draw, made.question, program(draw, made), made.chain, made.answer)
    puzzle = _PUZZLES[kind](draw)
    return _with_trace(draw, puzzle.question, puzzle.code, puzzle.chain, puzzle.answer)


def program(draw: Draw, made: Problem) -> str:
    """A word problem's steps as assignments."""
    name = draw.rng.choice(_NAMES)
    lines = [f"{name} = {digits(made.start)}"]
    if draw.chance(0.3):
        other = draw.rng.choice([n for n in _NAMES if n != name])
        lines.append(f"{other} = {draw.rng.randint(1, 9)}")
    lines += [f"{name} = {name} {sign} {by}" for sign, by in made.operations]
    return LINE.join([*lines, f"print ( {name} )"])


def _with_trace(draw: Draw, question: str, code: str, chain: str, answer: str) -> str:
    """Comment and program, or one of the two; the trace always."""
    share = draw.rng.random()
    parts = [f"# {question}"] if share < 0.55 else []
    parts += [code] if share >= 0.25 else []
    return LINE.join([*parts, f">>> {chain} out {answer}"])


def variables(draw: Draw, distance: int) -> tuple[str, str]:
    """A variable that is printed after `distance` other assignments, and its value."""
    wanted, *others = draw.rng.sample(_NAMES, 4)
    value = digits(draw.rng.randint(0, 9))
    rows = [f"{draw.rng.choice(others)} = {draw.rng.randint(0, 9)}" for _ in range(distance)]
    return LINE.join([f"{wanted} = {value}", *rows, f"print ( {wanted} )", f">>> out {value}"]), value


def _calls(draw: Draw) -> str:
    name, found = draw.rng.choice(OPERATIONS), []
    for _ in range(draw.rng.randint(2, 4)):
        letters = draw.letters()
        found.append(f"print ( {name} ( [ {joined(letters)} ] ) ){LINE}>>> out {joined(APPLY[name](letters))}")
    return LINE.join(found)
