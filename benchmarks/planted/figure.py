"""The figure of docs/validation.md: an SVG without any library, readable on light and dark pages.

Coverage, false alarms and power: a dot for every cell of the grid, by number of clusters (hollow where they are heavy),
and the target as a line. The gate: what it says at each true loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from benchmarks.planted.gates import GATE, LOSSES, MARGIN, SIZES
from benchmarks.planted.grid import CLUSTERS, COVERAGE, POWER
from benchmarks.planted.shares import Share

WIDTH, HEIGHT = 860, 560
PANEL = (340, 170)
STYLE = """
svg { font: 12px system-ui, sans-serif; fill: #1f2328; }
.axis { stroke: #8c959f; stroke-width: 1; } .goal { stroke: #bc4c00; stroke-width: 1.5; stroke-dasharray: 5 3; }
.dot { fill: #0969da; stroke: #0969da; fill-opacity: .75; } .heavy { fill: none; stroke-width: 1.3; }
.pass { fill: #2da44e; } .cant { fill: #afb8c1; } .fail { fill: #cf222e; } .small { font-size: 10.5px; }
@media (prefers-color-scheme: dark) {
  svg { fill: #e6edf3; } .axis { stroke: #6e7681; } .goal { stroke: #f0883e; }
  .dot { fill: #58a6ff; stroke: #58a6ff; } .heavy { fill: none; } .cant { fill: #57606a; } .pass { fill: #3fb950; }
  .fail { fill: #f85149; }
}
"""


def svg(found: Sequence[Share]) -> str:
    """The figure of these shares."""
    panels = [
        (
            "Coverage of the 95 % interval (hollow: heavy clusters)",
            COVERAGE,
            "interval holds the truth",
            (0.88, 1.0),
            0.95,
        ),
        ("False alarms at p ≤ 0.05, no effect", COVERAGE, "p ≤ 0.05", (0.0, 0.08), 0.05),
        ("Found, when the printed MDE is planted", POWER, "found, one test", (0.4, 1.0), 0.8),
    ]
    body = []
    for k, (title, table, what, scale, goal) in enumerate(panels):
        mine = [one for one in found if (one.table, one.what) == (table, what)]
        body += _dots(title, mine, scale, goal, (60 + 430 * (k % 2), 40 + 275 * (k // 2)))
    body += _gate([one for one in found if one.table == GATE], (490, 315))
    text = "\n".join(body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="Coverage, false alarms, power and gates on planted truth">\n<style>{STYLE}</style>\n'
        f"{text}\n</svg>\n"
    )


def _dots(
    title: str, mine: Sequence[Share], scale: tuple[float, float], goal: float, corner: tuple[int, int]
) -> Iterator[str]:
    (x0, y0), (width, height) = corner, PANEL

    def y(value: float) -> float:
        return y0 + height * (1 - (min(max(value, scale[0]), scale[1]) - scale[0]) / (scale[1] - scale[0]))

    yield f'<text x="{x0}" y="{y0 - 14}" font-weight="600">{title}</text>'
    yield f'<path class="axis" fill="none" d="M{x0} {y0}V{y0 + height}H{x0 + width}"/>'
    for tick in (scale[0], goal, scale[1]):
        yield f'<text class="small" x="{x0 - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{100 * tick:.0f}%</text>'
    yield f'<path class="goal" d="M{x0} {y(goal):.1f}H{x0 + width}"/>'
    columns = ["0", *map(str, CLUSTERS)]
    for k, column in enumerate(columns):
        middle = x0 + width * (k + 0.5) / len(columns)
        name = "no clusters" if column == "0" else f"{column} clusters"
        yield f'<text class="small" x="{middle:.1f}" y="{y0 + height + 16}" text-anchor="middle">{name}</text>'
        for kind, side in ((column, -1), (f"{column} heavy", 1)):
            cells = [one for one in mine if one.group == kind]
            for i, one in enumerate(cells):
                # side by side, so that equal values don't hide one another
                place = middle + (0 if column == "0" else side * 14) + 20 * (i / max(1, len(cells) - 1) - 0.5)
                style = "dot heavy" if side > 0 else "dot"
                yield (
                    f'<circle class="{style}" cx="{place:.1f}" cy="{y(one.value):.1f}" r="2.6">'
                    f"<title>{escape(one.scenario)}: {100 * one.value:.1f} %</title></circle>"
                )


def _gate(mine: Sequence[Share], corner: tuple[int, int]) -> Iterator[str]:
    (x0, y0), (width, height) = corner, PANEL
    title = f"The gate (margin {100 * MARGIN:g} points), by true loss in points"
    yield f'<text x="{x0}" y="{y0 - 14}" font-weight="600">{title}</text>'
    step = width / (len(SIZES) * (len(LOSSES) + 1))
    for i, n in enumerate(SIZES):
        left = x0 + step * i * (len(LOSSES) + 1)
        centre = left + step * len(LOSSES) / 2
        yield f'<text class="small" x="{centre:.1f}" y="{y0 + height + 30}" text-anchor="middle">n = {n:,}</text>'
        for k, loss in enumerate(LOSSES):
            scenario = f"n = {n:,}, true loss {100 * loss * MARGIN:g} points"
            rates = {one.what.removeprefix("false "): one.value for one in mine if one.scenario == scenario}
            top = float(y0)
            for what, style in (("fail", "fail"), ("inconclusive", "cant"), ("pass", "pass")):
                tall = height * rates.get(what, 0.0)
                yield (
                    f'<rect class="{style}" x="{left + step * k:.1f}" y="{top:.1f}" width="{step * 0.86:.1f}" '
                    f'height="{tall:.1f}"><title>{scenario}: {what} {100 * rates.get(what, 0.0):.1f} %</title></rect>'
                )
                top += tall
            middle = left + step * (k + 0.43)
            label = f"{100 * loss * MARGIN:g}"
            yield f'<text class="small" x="{middle:.1f}" y="{y0 + height + 15}" text-anchor="middle">{label}</text>'
    for k, (name, style) in enumerate((("fails", "fail"), ("can’t tell", "cant"), ("passes", "pass"))):
        yield f'<rect class="{style}" x="{x0 + 90 * k}" y="{y0 + height + 42}" width="10" height="10"/>'
        yield f'<text class="small" x="{x0 + 14 + 90 * k}" y="{y0 + height + 51}">{name}</text>'
