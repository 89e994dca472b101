"""trace → one HTML file that works from a disk without a network: template, style, scripts and data in one.

    capeval report traces/instructgpt

Everything that came from outside (answers, node names, task names, notes) is data: escaped by jinja, or JSON that the
script puts in place as text. The page's content security policy names the hashes of its own scripts and allows no
other, and no connection to anywhere.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from capeval import shipped
from capeval.attribution.sentences import amount, p_text
from capeval.core import STAGE_KINDS
from capeval.report import anatomy, claims, factorial, measures, origin, reasoning, scaling, sources, training, unlock
from capeval.report.figures import known_nodes, tree_drawing
from capeval.report.findings import CERTAIN, contrasts, counts, findings, headline
from capeval.report.pack import payload, to_json
from capeval.report.words import MARKS, clean, cut_notes, dropped_notes, signed, unfinished_notes
from capeval.store.files import make_folder, write_text
from capeval.store.traces import Trace

FILE = "report.html"
SCRIPTS = ("data.js", "sources.js", "heatmap.js", "forest.js", "ledger.js", "detail.js", "training.js", "report.js")
"""One scope, in this order; report.js starts the page."""
PLOTLY = "vendor/plotly-cartesian.min.js"
PARTS = {
    "claims": claims, "origin": origin, "unlock": unlock, "anatomy": anatomy, "factorial": factorial,
    "scaling": scaling, "reasoning": reasoning,
}  # fmt: skip
"""What is attributed beyond the ledger: each has rows of its own and a template in parts/."""
TITLES = (
    ("claims", "Claims"), ("origin", "Origin"), ("unlock", "Unlocked"), ("anatomy", "Flips"), ("factorial", "2 × 2"),
    ("scaling", "Scale"), ("reasoning", "Reasoning"),
)  # fmt: skip
"""Of these parts, for the page's navigation."""
HEADLINES = 5
"""Findings of each sort that stand open; the rest is one click away."""


def write_report(trace: Trace, folder: Path | str) -> Path:
    """Write `report.html` into a trace's folder and say where it is.

    Raises:
        OutputError: when the place can't be written.
    """
    path = make_folder(Path(folder)) / FILE
    write_text(path, render(trace))
    return path


def render(trace: Trace) -> str:
    """The whole page as text."""
    folder = shipped.folder("reports/templates")
    own = "\n".join((folder / "js" / name).read_text(encoding="utf-8") for name in SCRIPTS)
    scripts = [(folder / PLOTLY).read_text(encoding="utf-8"), f'(() => {{\n"use strict";\n{own}\n}})();\n']
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html.j2")
    return template.render(
        **_story(trace),
        style=Markup((folder / "report.css").read_text(encoding="utf-8")),
        scripts=[Markup(script) for script in scripts],
        policy=_policy(scripts),
        data=Markup(to_json(payload(trace))),
    )


def _policy(scripts: list[str]) -> str:
    """A content security policy under which nothing but these scripts runs and nothing is fetched."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _story(trace: Trace) -> dict[str, Any]:
    """What the page says before any script runs: findings, the tree, methods, provenance."""
    effects = trace.effects.reset_index(drop=True)
    found = contrasts(effects)
    certain = _indexed(findings(effects, trace.tree.second_metrics()))
    lines = [_finding(row, index) for index, row in certain]
    stages = [line for line in lines if line["kind"] == "edge"]
    drawing = tree_drawing(trace.tree, found, known_nodes(trace.scores, trace.published))
    _mark_published(drawing, trace)
    _mark_largest(drawing, [row for _, row in certain if row["kind"] == "edge"])
    tree = trace.tree
    return {
        "title": clean(tree.title) or clean(tree.name),
        "name": clean(tree.name),
        "description": clean(tree.description),
        "counts": counts(effects),
        "total": len(effects),
        "marks": MARKS,
        "open": HEADLINES,
        "columns": {
            "gave": _column("What the stages gave", [x for x in stages if x["label"] == "gained"]),
            "took": _column("What the stages took", [x for x in stages if x["label"] == "lost"]),
            "changed": _column("What else the stages changed", [x for x in stages if x["label"] not in CERTAIN]),
            "other": _column("Beyond single stages", [x for x in lines if x["kind"] != "edge"]),
        },
        "drawing": drawing,
        "contrasts": found,
        "sources": sources.nodes(tree),
        "notes": [(clean(name), note) for (_, name), note in sources.contrast_notes(tree).items()],
        "kinds": [kind for kind in STAGE_KINDS if any(stage.kind == kind for stage in tree.stages)],
        "certainties": sorted({edge["certainty"] for edge in drawing["edges"] if not edge["rival"]}),
        "rivals": any(edge["rival"] for edge in drawing["edges"]),
        "training": training.nodes(trace.training),
        "scores": measures.scores(trace.scores) if len(tree.stages) == 1 else [],  # a run has no stages to show
        "extraction": measures.extraction(trace.rungs),
        "calibration": measures.calibration(trace.calibration),
        "abstention": measures.abstention(trace.abstention),
        "parts": {name: part.story(trace) for name, part in PARTS.items()},
        "titles": TITLES,
        "published": len(trace.published),
        "alpha": f"{trace.provenance.get('alpha', 0.05):g}".replace("0.", "."),
        "provenance": _facts({"tree_digest": tree.digest, **trace.provenance}),
        "cut": _cut(trace.provenance),
        "command": clean(trace.provenance.get("command", "")),
        "tasks": tree.tasks,
    }  # fmt: skip


def _column(title: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Findings of one sort: the largest of each task, then the rest, so that one task can't fill the first screen."""
    first = list({line["task"]: line for line in reversed(lines)}.values())[::-1]
    first.sort(key=lines.index)
    return {"title": title, "lines": first + [line for line in lines if line not in first], "none": "Nothing certain."}


def _finding(row: Mapping[Any, Any], index: int) -> dict[str, Any]:
    return {
        **headline(row), "row": index, "kind": str(row["kind"]),
        "task": str(row["task"]).partition(":")[0], "p": p_text(row["p_adjusted"]).replace(" ", "\xa0"),
        "n": f"{int(row['n']):,}", "confounded": bool(row["confounds"]),
    }  # fmt: skip


def _indexed(frame: Any) -> list[tuple[int, dict[Any, Any]]]:
    return list(zip([int(i) for i in frame.index], frame.to_dict("records"), strict=True))


def _mark_published(drawing: dict[str, Any], trace: Trace) -> None:
    """How many unpaired published differences stand on each drawn edge."""
    pairs = trace.published_effects.groupby(["parent", "child"], observed=True).size()
    for edge in drawing["edges"]:
        edge["published"] = 0 if edge["rival"] else int(pairs.get((edge["parent"], edge["child"]), 0))


def _mark_largest(drawing: dict[str, Any], certain: list[dict[Any, Any]]) -> None:
    """The largest certain effect of each drawn edge: in short for its label, in full for who points at it."""
    first: dict[tuple[str, str], dict[Any, Any]] = {}
    for row in certain:
        first.setdefault((row["parent"], row["child"]), row)
    for edge in drawing["edges"]:
        largest = None if edge["rival"] else first.get((edge["parent"], edge["child"]))
        edge["largest"] = _largest(largest) if largest else None


def _largest(row: Mapping[Any, Any]) -> dict[str, Any]:
    task, setting, unit = clean(row["task"]), clean(row["setting"]), str(row["unit"])
    doubt = ", confounded" if row["confounds"] else ""
    return {
        "task": task, "size": _rounded(row["delta"], unit), "label": row["label"], "confounded": bool(doubt),
        "full": f"{task} ({setting}) {amount(row['delta'], unit)}{doubt}",
    }  # fmt: skip


def _rounded(value: float, unit: str) -> str:
    """Without decimals, as far as a label on an edge may speak."""
    return f"{value * 100:+.0f}".replace("-", "−") if unit == "points" else signed(value, unit)


def _cut(provenance: Mapping[str, Any]) -> list[str]:
    """What was left out, cut or not finished, node by node."""
    runs = provenance.get("runs")
    found = runs.items() if isinstance(runs, Mapping) else ()
    return [f"{clean(node)}: {note}" for node, run in found if isinstance(run, Mapping)
            for note in (*dropped_notes(run.get("dropped")), *cut_notes(run.get("cut")),
                         *unfinished_notes(run.get("unfinished")))]  # fmt: skip


def _facts(value: Any) -> Any:
    """Provenance for people: nested mappings and lists of strings; what is empty is left out."""
    if isinstance(value, Mapping):
        inner = {clean(key).replace("_", " "): _facts(part) for key, part in value.items()}
        return {key: part for key, part in inner.items() if part not in ("", {}, [], None)}
    if isinstance(value, list | tuple):
        return [_facts(part) for part in value]
    return clean(value)
