"""docs/statistics.md shows what the program measures: its counted-out rows are computed again."""

from __future__ import annotations

from pathlib import Path

from benchmarks import validate_change_point
from benchmarks import validate_stats as measure

DOC = Path(__file__).parents[2] / "docs" / "statistics.md"


def test_counted_out_rows_of_the_table():
    text = DOC.read_text(encoding="utf-8")
    counted = [s for s in measure.scenarios(1) if s.func in (measure.single_rate, measure.paired_binary)]
    rows = [line for line in measure.table([s() for s in counted]) if line.startswith("| n = ")]
    assert len(rows) > 20
    for row in rows:
        assert row in text


def test_every_scenario_has_its_row():
    lines = DOC.read_text(encoding="utf-8").splitlines()
    simulated = [s for s in measure.scenarios(2) if s.func not in (measure.single_rate, measure.paired_binary)]
    for name in (scenario().scenario for scenario in simulated):
        assert any(line.startswith(f"| {name} |") for line in lines), name


def test_every_scenario_of_the_change_point_has_its_row():
    text = DOC.with_name("attribution.md").read_text(encoding="utf-8")
    for scenario in validate_change_point.SCENARIOS:
        assert f"| {scenario} |" in text
