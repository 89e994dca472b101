"""Finds calculations in prose ("3 boxes x $2 = $6") and computes them again, without `eval`.

>>> list(checks("4*5 = <<4*5=20>>20, so 20 + 1 = 22 pens"))
[True, True, False]

A calculation is an expression of numbers and + − × ÷ with brackets, then "=" or "≈", then a number or another such
expression. Units, currency signs, thousands commas, %, "20% of 50" and words for operations are read; anything else
(variables, powers, fractions in LaTeX) makes it one that can't be checked. A result may be rounded to the digits that
it shows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

NUMBER = re.compile(
    r"(?<![\w.])-?(?:[$€£]\s?)?-?(?:\d{1,3}(?:,\d{3})+|\d{1,15})(?:\.\d{1,20})?(?!\d)|(?<![\w.])-?\.\d+"
)
TOKENS = 40
"""Of one expression; a longer one is not checked."""
UNIT_WORDS = 3
"""Words that a number's unit may have ("pieces of candy")."""

_OPERATIONS = (
    (re.compile(r"\b(?:divided by|over)\b", re.IGNORECASE), "/"),
    (re.compile(r"\bmultiplied by\b|\btimes\b(?=\s*[$(\d])|\\times|\\cdot", re.IGNORECASE), "*"),
    (re.compile(r"\bplus\b", re.IGNORECASE), "+"),
    (re.compile(r"\bminus\b", re.IGNORECASE), "-"),
    (re.compile(r"(?<=[\d)%])\s*[xX](?=\s*(?:[$(\d.]|-\d))"), "*"),
    (re.compile(r"(?<=[A-Za-z\d)] )[xX](?=\s*[$(]?\d)"), "*"),  # 3 boxes x 2
    (re.compile(r"(?<=[\d%])\s+of\s+(?:the\s+)?(?=[$\d(])"), " * "),
    (re.compile(r"[−–—]"), "-"),
    (re.compile(r"÷|\\div"), "/"),
    (re.compile(r"[×·∙]"), "*"),
    (re.compile(r"(?<=[A-Za-z])\s*/\s*[A-Za-z]+"), ""),  # 5 miles/hour: part of the unit
    (re.compile(r"(?<=[A-Za-z])-(?=[A-Za-z])"), " "),
)
_ANNOTATION = re.compile(r"<<([^<>\n]{1,200})>>")
_EQUALS = re.compile(r"[=≈]")
_BULLET = re.compile(r"^\s*(?:[-*•]\s+|\d{1,2}[.)]\s+)")
_OTHER_UNITS = re.compile(r"\b(?:cents?|dozens?|[ap]\.?m\b|o'clock|\d+:\d\d)|¢", re.IGNORECASE)
_FAMILIES = tuple(
    re.compile(rf"\b({'|'.join(stems)})(?:e?s)?\b", re.IGNORECASE)
    for stems in (
        ("second", "minute", "hour", "day", "week", "month", "year"),
        ("inch", "foot", "feet", "yard", "mile", "km", "cm", "meter", "metre"),
        ("ounce", "pound", "gram", "kg", "ton"),
    )
)
_TOKEN = re.compile(
    r"(?P<number>\$?\s?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\$?\.\d+)(?P<percent>\s?%)?|(?P<operation>[-+*/])"
    r"|(?P<open>\()|(?P<close>\))|(?P<word>[A-Za-z][\w'’.]*)|(?P<other>[^\s$€£])"
)
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "neg": 3}
Token = tuple[str, str]
"""(what it is: number, percent, operation, open, close, words, other; its text)."""


def to_number(text: str) -> float | None:
    """A word as a number, with currency, thousands commas and a final mark allowed; None for anything else."""
    bare = text.strip().strip("\"'“”’()[]*").rstrip(".,;:!?%").lstrip("$€£")
    if not bare or not re.fullmatch(r"-?[$€£]?\d{0,15}(?:,\d{3}){0,5}(?:\.\d{1,20})?", bare):
        return None
    try:
        return float(bare.replace(",", "").replace("$", "").replace("€", "").replace("£", ""))
    except ValueError:
        return None


def checks(text: str) -> Iterator[bool]:
    """For each calculation that can be checked, whether it is right."""
    for inner in _ANNOTATION.findall(text):
        yield from _line(inner)
    for line in _lines(_ANNOTATION.sub("", text)):
        if _EQUALS.search(line) and not _mixed(line):
            yield from _line(_BULLET.sub("", line))


def _lines(text: str) -> Iterator[str]:
    """Lines, one that begins with "=" joined to the one before it."""
    waiting = ""
    for line in filter(str.strip, text.splitlines()):
        if line.lstrip().startswith("="):
            waiting += f" {line}"
            continue
        yield waiting
        waiting = line
    yield waiting


def _mixed(line: str) -> bool:
    """Whether units may change on the way: 20 x 25 cents = $5, 8 pm - 6 pm, 90 minutes + 300 seconds = 95."""
    if _OTHER_UNITS.search(line):
        return True
    return any(len({stem.lower() for stem in family.findall(line)}) > 1 for family in _FAMILIES)


def _line(line: str) -> Iterator[bool]:
    for pattern, mark in _OPERATIONS:
        line = pattern.sub(mark, line)
    signs = _EQUALS.findall(line)
    pieces = [_tokens(piece) for piece in _EQUALS.split(line)]
    for place, sign in enumerate(signs):
        last = place == len(signs) - 1
        found = _right(_suffix(pieces[place]), pieces[place + 1], about=sign == "≈", last=last)
        if found is not None:
            yield found


def _tokens(text: str) -> list[Token]:
    """Numbers, operations and brackets; the words after a number are its unit and left out."""
    found: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        if match["percent"]:
            found.append(("percent", match["number"]))
        elif kind == "word" and found and found[-1][0] == "words":
            found[-1] = ("words", f"{found[-1][1]} {match['word']}")
        else:
            found.append(("words" if kind == "word" else kind, match.group()))
    return [token for place, token in enumerate(found) if not _is_unit(found, place)]


def _is_unit(tokens: Sequence[Token], place: int) -> bool:
    kind, text = tokens[place]
    if kind != "words" or not place or tokens[place - 1][0] not in ("number", "percent", "close"):
        return False
    words = text.split()
    # one letter may be a variable
    if (
        len(words) > UNIT_WORDS
        or words[0].lower() == "of"
        or any(len(word.strip(".'’")) == 1 and word != "a" for word in words)
    ):
        return False
    return place + 1 == len(tokens) or tokens[place + 1][0] in ("operation", "close")


_PARTS = ("number", "percent", "operation", "open", "close")


def _suffix(tokens: Sequence[Token]) -> list[Token]:
    """The expression that ends the tokens."""
    start = len(tokens)
    while start and tokens[start - 1][0] in _PARTS:
        start -= 1
    # beside a variable ("x + 3") or a broken number stands no whole expression
    if start and (tokens[start - 1][0] == "other" and tokens[start - 1][1] not in ":;,.?!>"):
        return []
    rest = list(tokens[start:])
    if rest and rest[0][0] == "operation" and (rest[0][1] != "-" or start):
        return []
    return rest


def _prefix(tokens: Sequence[Token]) -> list[Token]:
    """The expression that begins the tokens."""
    end = 0
    while end < len(tokens) and tokens[end][0] in _PARTS:
        end += 1
    return list(tokens[:end])


def _right(left: list[Token], after: Sequence[Token], *, about: bool, last: bool) -> bool | None:
    """Whether an expression equals what follows; None where that can't be checked."""
    if not any(kind == "operation" and place for place, (kind, _) in enumerate(left)):
        return None  # "x = 5", "cost = $3": nothing was calculated
    right = _prefix(after)
    if not right or len(left) > TOKENS or len(right) > TOKENS:
        return None
    following = after[len(right)] if len(right) < len(after) else None
    if following and (following[0] == "words" and len(following[1]) == 1):
        return None  # = 5x
    if any(kind == "percent" and place and left[place - 1][1] in "+-" for place, (kind, _) in enumerate(left)):
        return None  # $50 - 20%: of the 50
    shown = _first(right)
    candidates = [shown] if last and right[-1][0] == "operation" else [right, shown]
    readings = [(_value(left, p), _value(part, p), _unit(left, part, p)) for p in (0.01, 1.0) for part in candidates]
    known = [(mine, said, unit) for mine, said, unit in readings if mine is not None and said is not None]
    return any(_close(mine, said, unit, about) for mine, said, unit in known) if known else None


def _first(tokens: Sequence[Token]) -> list[Token]:
    """The number that begins an expression, with its sign."""
    return list(tokens[:2] if tokens[0][0] == "operation" else tokens[:1])


def _unit(left: Sequence[Token], shown: Sequence[Token], percent: float) -> float:
    """How far a result may be off by rounding to the digits that it shows; a quotient may also be cut."""
    if len(shown) > 2 or shown[-1][0] not in ("number", "percent"):
        return 0.0  # an expression is not rounded
    kind, text = shown[-1]
    places = len(text.partition(".")[2])
    divided = any(said == "/" or what == "percent" for what, said in left)
    unit = 10.0**-places * (1.0 if divided else 0.5 if places else 0.0)
    return unit * percent if kind == "percent" else unit


def _close(mine: float, said: float, unit: float, about: bool) -> bool:
    """Whether a result is right; what is called "about" may be off by a twentieth."""
    gap = min(abs(mine - said), abs(mine + said) if mine < 0 < said else math.inf)  # 5 - 8 = 3: how far apart
    return gap <= 1e-6 * max(1.0, abs(mine)) + unit * (1 + 1e-9) or (about and gap <= 0.05 * abs(mine))


def _value(tokens: Sequence[Token], percent: float) -> float | None:
    """An expression's value by precedence (shunting-yard, Dijkstra 1961), None for what is none."""
    values: list[float] = []
    waiting: list[str] = []
    operand = False  # whether an operand has just ended
    for kind, text in _written_out(tokens):
        if operand != (kind in ("operation", "close")):
            return None
        if kind in ("number", "percent"):
            values.append(float(re.sub(r"[$,\s]", "", text)) * (percent if kind == "percent" else 1.0))
        elif kind == "close":
            if not _close_bracket(values, waiting):
                return None
        elif kind == "operation" and not _apply_down_to(values, waiting, _PRECEDENCE[text]):
            return None
        else:
            waiting.append("(" if kind == "open" else text)
        operand = kind in ("number", "percent", "close")
    if not operand or not _apply_down_to(values, waiting, 0) or waiting or len(values) != 1:
        return None
    return values[0] if math.isfinite(values[0]) else None


def _written_out(tokens: Sequence[Token]) -> Iterator[Token]:
    """Tokens with the product in 2(8) written, and a sign told from a subtraction."""
    before = "open"
    for kind, text in tokens:
        if kind == "open" and before in ("number", "percent", "close"):
            yield "operation", "*"
        sign = kind == "operation" and text == "-" and before in ("open", "operation")
        yield ("sign", "neg") if sign else (kind, text)
        before = kind


def _close_bracket(values: list[float], waiting: list[str]) -> bool:
    if not _apply_down_to(values, waiting, 0) or not waiting or waiting[-1] != "(":
        return False
    waiting.pop()
    return True


def _apply_down_to(values: list[float], waiting: list[str], precedence: int) -> bool:
    """Apply what binds at least as strongly; False where an operand lacks or a division is by 0."""
    while waiting and waiting[-1] != "(" and _PRECEDENCE[waiting[-1]] >= precedence:
        mark = waiting.pop()
        if mark == "neg":
            values[-1] = -values[-1]
            continue
        if len(values) < 2:
            return False
        right, left = values.pop(), values.pop()
        if mark == "/" and right == 0:
            return False
        values.append({"+": left + right, "-": left - right, "*": left * right}.get(mark, left / (right or 1.0)))
    return True
