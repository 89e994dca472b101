"""Who says so: every node, its parent links and the declared contrasts with certainty, source and caveats.

`python -c "from capeval import zoo; from capeval.report import sources; print(sources.nodes(zoo.load_tree('opt'))[0])"`
"""

from __future__ import annotations

from typing import Any

from capeval.core import Tree
from capeval.report.words import clean


def nodes(tree: Tree) -> list[dict[str, Any]]:
    """Every node in the tree's order.

    Returns:
        name (as in the tables), kind, title, date, source, note, and links: parent, certainty, source, note, rival
        (False for the reading that the tree is drawn with).
    """
    return [
        {
            "name": stage.name, "kind": stage.kind, "title": clean(stage.title), "date": clean(stage.date),
            "source": clean(stage.source), "note": clean(stage.note),
            "links": [
                {
                    "parent": link.parent, "certainty": link.certainty, "source": clean(link.source),
                    "note": clean(link.note), "rival": place > 0,
                }
                for place, link in enumerate(stage.links)
            ],
        }
        for stage in tree.stages
    ]  # fmt: skip


def contrast_notes(tree: Tree) -> dict[tuple[str, str], str]:
    """What the tree file says of its declared contrasts, by (kind, name); those without a note are left out.

    Two contrasts of one name ask about different tasks; their notes are joined.
    """
    notes: dict[tuple[str, str], list[str]] = {}
    for contrast in tree.contrasts:
        said = notes.setdefault((contrast.kind, contrast.name), [])
        if contrast.note and contrast.note not in said:
            said.append(contrast.note)
    return {key: clean("; ".join(said)) for key, said in notes.items() if said}
