"""Lines for a terminal: columns that fit the width, styles that a pipe loses, ASCII where the stream takes no more.

Laid out here rather than by rich's tables, which wrap cells when the width is short.

`python -c "from rich.console import Console; from capeval.report.lines import lines; lines(Console(), [['a', 'b']])"`
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

PIPE_WIDTH = 100
_TASK = 10
"""Columns that a task's name keeps beside its setting."""
STYLES = {"gained": "bold blue", "lost": "bold dark_orange", "increased": "magenta", "decreased": "magenta",
           "changed": "magenta", "equivalent": "bold", "can't tell": "dim", "pass": "bold blue",
           "fail": "bold dark_orange", "inconclusive": "dim", "supported": "bold blue",
           "contradicted": "bold dark_orange", "undecided": "dim", "untestable": "dim", "unlocked": "bold blue",
           "injected": "bold blue"}  # fmt: skip
_ASCII = str.maketrans({"→": "->", "−": "-", "–": "-", "·": "/", "▲": "+", "▼": "-", "↑": "^", "↓": "v", "↕": "~",
                        "…": "...", "✔": "+", "✘": "x", "±": "+/-", "α": "alpha", "×": "x", "≤": "<=",
                        "†": "!"})  # fmt: skip


def room(console: Console) -> int:
    """Columns that a line may fill."""
    return console.width if console.is_terminal else PIPE_WIDTH


def widths_of(rows: Iterable[Sequence[str]]) -> list[int]:
    """Columns that each cell needs."""
    return [max(map(cell_len, column)) for column in zip(*rows, strict=True)]


def lines(
    console: Console, rows: Sequence[Sequence[str]], *, align: str = "lrrlrl", widths: Sequence[int] = (),
    head: bool = False, elastic: int | None = 0,
) -> None:  # fmt: skip
    """Print rows in aligned columns; the elastic one gives way when the width is short."""
    if not rows:
        return
    size = list(widths) or widths_of(rows)
    if elastic is not None:
        others = sum(size) - size[elastic] + 2 * (len(size) - 1)
        size[elastic] = max(12, min(size[elastic], room(console) - others))
    for place, row in enumerate(rows):
        cells = []
        for text, width, side in zip(row, size, align, strict=True):
            text = shortened(text, width)
            pad = " " * (width - cell_len(text))
            cells.append(pad + text if side == "r" else text + pad)
        style = "dim" if head and place == 0 else ""
        label = row[-1].partition(" ")[2].partition(" (")[0].removesuffix(" †")
        last = "" if head else STYLES.get(label, "")
        say(console, ("  ".join(cells[:-1]), style), ("  " + cells[-1].rstrip(), last or style))


def shortened(text: str, width: int) -> str:
    """Text that fits; … where it was cut. Of `task · setting` the task gives way: settings tell rows apart."""
    task, dot, setting = text.rpartition(" · ")
    if dot and cell_len(text) > width >= cell_len(setting) + _TASK:
        return shortened(task, width - cell_len(setting) - len(dot)) + dot + setting
    return text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


def say(console: Console, *parts: tuple[str, str]) -> None:
    """One line as it is: no markup, no highlighting, no wrapping; plain ASCII where the stream can't take more."""
    encoding = console.encoding
    text = Text()
    for content, style in parts:
        if not encoding.lower().startswith("utf"):
            content = content.translate(_ASCII).encode(encoding, "replace").decode(encoding)
        text.append(content, style=style)
    text.rstrip()
    console.print(text, soft_wrap=True, highlight=False)
