"""A gate for machines and pull requests: XML that parses whatever the names are, markdown without markup."""

from __future__ import annotations

from xml.etree import ElementTree

import pandas as pd
import pytest

from capeval.core import Verdict
from capeval.report.junit import junit
from capeval.report.markdown import markdown_effects, markdown_gate
from capeval.store.traces import Trace

from .conftest import HOSTILE


def test_three_answers_become_failure_skipped_and_passed(verdicts: list[Verdict]) -> None:
    suite = ElementTree.fromstring(junit(verdicts)).find("testsuite")
    assert suite is not None
    assert {name: suite.get(name) for name in ("tests", "failures", "skipped", "errors")} == {
        "tests": "3", "failures": "1", "skipped": "1", "errors": "0",
    }  # fmt: skip
    by_name = {case.get("name"): [child.tag for child in case] for case in suite}
    assert by_name == {"good": ["system-out"], "bad": ["failure"], "unknown": ["skipped"]}
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "lost 9 points"


@pytest.mark.parametrize("text", [*HOSTILE, "\x00\x0b\ufffe\ud800", "]]>", "&amp;"])
@pytest.mark.parametrize("status", ["pass", "fail", "inconclusive"])
def test_any_text_gives_xml_that_parses(text: str, status: str) -> None:
    verdict = Verdict(rule=text, status=status, reason=text, effect={"sentence": text})  # type: ignore[arg-type]
    written = junit([verdict]).encode("utf-8")
    case = ElementTree.fromstring(written).find("testsuite/testcase")
    assert case is not None
    if text.isprintable():
        assert case.get("name") == text


def test_no_rules_is_still_xml() -> None:
    root = ElementTree.fromstring(junit([]))
    assert root.get("tests") == "0"


def test_markdown_puts_the_failure_first(verdicts: list[Verdict]) -> None:
    lines = markdown_gate(verdicts).splitlines()
    assert lines[0] == "**capeval gate: fail (1 fail, 1 can't tell, 1 pass)**"
    assert lines[4].startswith("| ✘ fail | bad |")
    assert markdown_gate([]).startswith("**capeval gate: can't tell (no rules)**")


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_cells_stay_cells(text: str) -> None:
    verdict = Verdict(rule=text, status="fail", reason="r", effect={})
    row = markdown_gate([verdict]).splitlines()[4]
    assert row.replace(r"\|", "").count("|") == 4
    assert "<" not in row
    assert "@everyone" not in row


def test_markdown_effects_has_a_row_each(trace: Trace) -> None:
    lines = markdown_effects(trace.effects).splitlines()
    assert len(lines) == len(trace.effects) + 2
    assert {line.replace(r"\|", "").count("|") for line in lines} == {9}
    assert sum("confounded: another seed; " in line for line in lines) == (trace.effects["kind"] == "sibling").sum()
    assert markdown_effects(pd.DataFrame(trace.effects.iloc[:0])).count("\n") == 2
