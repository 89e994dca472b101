"""A gate as JUnit XML, which every CI server reads.

`capeval gate --baseline A --candidate B --junit gate.xml`
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from capeval.core import Verdict

# what XML 1.0 has no way to write, not even as an entity
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(verdicts: Sequence[Verdict]) -> str:
    """One test case per rule: a failed rule is a failure, an inconclusive one is skipped with its reason."""
    tally = [v.status for v in verdicts]
    numbers = {
        "tests": str(len(verdicts)),
        "failures": str(tally.count("fail")),
        "skipped": str(tally.count("inconclusive")),
        "errors": "0",
    }
    root = ElementTree.Element("testsuites", {"name": "capeval gate", **numbers})
    suite = ElementTree.SubElement(root, "testsuite", {"name": "capeval gate", **numbers})
    for verdict in verdicts:
        case = ElementTree.SubElement(suite, "testcase", {"classname": "capeval.gate", "name": _xml(verdict.rule)})
        reason = _xml(verdict.reason)
        detail = _xml(verdict.effect.get("sentence") or verdict.reason)
        if verdict.status == "fail":
            ElementTree.SubElement(case, "failure", {"message": reason, "type": "regression"}).text = detail
        elif verdict.status == "inconclusive":
            ElementTree.SubElement(case, "skipped", {"message": reason})
        else:
            ElementTree.SubElement(case, "system-out").text = reason
    ElementTree.indent(root)
    return "<?xml version='1.0' encoding='utf-8'?>\n" + ElementTree.tostring(root, encoding="unicode") + "\n"


def _xml(text: object) -> str:
    return _NOT_XML.sub("\ufffd", str(text))
