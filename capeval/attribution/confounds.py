"""What else differs between the ends of a contrast, besides what it is about; printed beside every effect, so: short.

Some of it stands in the tree (size, tokens, data, how sure a link is), some in the answers (how many were cut, unread
or missing, by which rung of a ladder they were read). Where the answers differ too much, nothing can be told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from capeval.attribution.pairing import on_items, shares
from capeval.attribution.sentences import size_text
from capeval.core import Contrast, Stage, TaskSpec, Tree
from capeval.stats.discordant import mcnemar_exact

SHARE_GAP = 0.10
"""Ends whose missing, truncated or unextracted share differs by more than this can't be compared as capabilities."""
SHOWN_GAP = 0.02
"""From here on such a difference is listed, and below it where it is certain."""
TOKEN_GAP = 0.10
"""Training tokens that differ by more than this share of the larger number are listed."""
MIN_CLUSTERS = 6
"""Below it a cluster sign-flip test can't reach p = .05 (2 · 2^-5 = .0625 at five)."""
_ROUNDING = 1e-9
_DOUBTFUL = ("disputed", "unknown")


def of_contrast(tree: Tree, contrast: Contrast) -> list[str]:
    """What the tree says: declared confounds, sizes, settings, doubtful links, stages that act together, tokens, data.

    Tokens and data are compared where the nodes are on different branches, from where these part. The data of a
    declared control are not listed: they are what such a contrast is about.
    """
    found = list(contrast.confounds)
    nodes = list(dict.fromkeys(cell.node for cell in contrast.cells))
    sizes = {s.parameters for s in map(tree.stage, nodes) if s.parameters}
    if len(sizes) > 1:
        found.append(f"size: {' against '.join(size_text(s) for s in sorted(sizes))}")
    if len(contrast.cells) == len(nodes) == len({c.setting for c in contrast.cells}) == 2:
        found.append(f"asked differently: {contrast.cells[0].setting} against {contrast.cells[1].setting}")
    if len(nodes) == 2:
        found += _of_branches(tree, contrast)
    return found


def _of_branches(tree: Tree, contrast: Contrast) -> list[str]:
    own, other = since_fork(tree, contrast.child, contrast.parent)
    certainties = [stage.links[0].certainty for stage in (*own, *other) if stage.links]
    doubts = [f"{doubt} link" for doubt in dict.fromkeys(certainties) if doubt in _DOUBTFUL]
    if own and not other:  # a stage, or a path of them
        return ([f"{len(own)} stages together"] if len(own) > 1 else []) + doubts
    found = doubts
    if own and other and (tokens := _unlike_tokens(own, other)):
        found.append(tokens)
    data = [[name for stage in reversed(end) for name in data_of(stage)] for end in (own, other)]
    if not contrast.control and data[0] and data[1] and set(data[0]) != set(data[1]):
        apart = [", ".join(dict.fromkeys(n for n in a if n not in b)) for a, b in (data, data[::-1])]
        found.append(f"data: {apart[0] or 'nothing more'} against {apart[1] or 'nothing more'}")
    return found


def since_fork(tree: Tree, child: str, parent: str) -> tuple[list[Stage], list[Stage]]:
    """The stages of either node's path since the two parted, in the drawn reading, latest first.

    The second list is empty where the parent is an ancestor of the child.
    """
    ends = [_path(tree, node) for node in (child, parent)]
    common = {stage.name for stage in ends[0]} & {stage.name for stage in ends[1]}
    return tuple([stage for stage in end if stage.name not in common] for end in ends)  # type: ignore[return-value]


def _path(tree: Tree, node: str) -> list[Stage]:
    """The node and its ancestors."""
    found = [tree.stage(node)]
    while found[-1].parent is not None:
        found.append(tree.stage(found[-1].parent))
    return found


def tokens_of(stages: Sequence[Stage]) -> float | None:
    """Training tokens of all stages together; None when one of them is unknown."""
    known = [stage.tokens for stage in stages]
    return None if None in known else float(sum(n for n in known if n is not None))


def _unlike_tokens(own: Sequence[Stage], other: Sequence[Stage]) -> str:
    a, b = tokens_of(own), tokens_of(other)
    if a is None or b is None or abs(a - b) <= TOKEN_GAP * max(a, b):
        return ""
    return f"tokens: {size_text(a)} against {size_text(b)}"


def data_of(stage: Stage) -> list[str]:
    """Names of what a stage with a recipe was trained on."""
    return [str(stage.recipe[key]) for key in ("data", "ptx_data") if stage.recipe.get(key)]


def unreadable(parts: Sequence[pd.DataFrame], n: int, n_clusters: int, spec: TaskSpec) -> str:
    """Why nothing can be told of these ends, or nothing.

    Args:
        parts: Cells, as `pairing.cells` makes them.
        n: Items that were paired.
        n_clusters: Clusters among them.
        spec: Says whether clusters are sampled.
    """
    if n == 0:
        return "no shared items"
    ends = [shares(part) for part in parts]
    for share in ends[0]:
        values = [end[share] for end in ends]
        if max(values) - min(values) > SHARE_GAP:
            name = {"unextracted": "extraction"}.get(share, share)
            return f"{name}: {max(values):.0%} against {min(values):.0%}"
    if spec.cluster_role == "sampled" and 0 < n_clusters < MIN_CLUSTERS:
        return f"fewer than six clusters ({n_clusters})"
    return ""


def of_answers(parts: Sequence[pd.DataFrame], *, alpha: float, paired: bool = True) -> list[str]:
    """Shares of missing, truncated and unextracted answers that differ: by more than `SHOWN_GAP`, or certainly.

    One that differs by more than `SHARE_GAP` is a reason to tell nothing (`unreadable`), and stands there.

    Args:
        parts: Cells, as `pairing.cells` makes them.
        alpha: Level at which a smaller difference of two ends on shared items is certain (exact McNemar).
        paired: Whether the cells hold the same items.
    """
    ends = [shares(part) for part in parts]
    found = []
    for share in ends[0]:
        values = [end[share] for end in ends]
        gap = max(values) - min(values)
        certain = paired and len(parts) == 2 and 0 < gap <= SHOWN_GAP and _certain(parts, share, alpha)
        if SHOWN_GAP + _ROUNDING < gap <= SHARE_GAP or certain:
            found.append(f"{share} {' against '.join(f'{value:.0%}' for value in values)}")
    return found


def _certain(parts: Sequence[pd.DataFrame], share: str, alpha: float) -> bool:
    shared = parts[0].index[parts[0].index.isin(parts[1].index)]
    scores = [part["score"].to_numpy(float) for part in on_items(parts, shared)]
    if share == "missing":
        a, b = (np.isnan(score) for score in scores)
    else:
        both = ~np.isnan(scores[0]) & ~np.isnan(scores[1])
        a, b = (part[share].to_numpy(float)[both] > 0 for part in on_items(parts, shared))
    return mcnemar_exact(int((a & ~b).sum()), int((b & ~a).sum())) <= alpha


def read_otherwise(groups: Iterable[Sequence[pd.DataFrame]], *, alpha: float = 0.05) -> list[str]:
    """Whether the ends' answers became scores in other ways: a change of format, not of capability.

    By rungs of the ladder that differ, and by answers that are better with their form forgiven; by more than
    `SHARE_GAP`, or certainly. Of several settings and rungs the largest difference is told.

    Args:
        groups: For each setting the cells of all ends, as `pairing.cells` makes them.
        alpha: Level at which a smaller difference is certain (exact McNemar).
    """
    largest: dict[str, tuple[float, str]] = {}
    for parts in groups:
        shared = parts[0].index
        for part in parts[1:]:
            shared = shared if part.index.equals(shared) else shared[shared.isin(part.index)]
        for words, ends in _readings(on_items(parts, shared)) if len(shared) else ():
            found = [float(np.nanmean(end)) for end in ends]
            gap, high, low = max(found) - min(found), ends[int(np.argmax(found))], ends[int(np.argmin(found))]
            certain = mcnemar_exact(int((high > low).sum()), int((high < low).sum())) <= alpha
            kind = words.partition(":")[0]
            if (gap > SHARE_GAP or certain) and gap > largest.get(kind, (0.0, ""))[0] + 1e-9:
                largest[kind] = gap, f"{words} {' against '.join(f'{share:.0%}' for share in found)}"
    return [text for _, text in largest.values()]


def _readings(parts: Sequence[pd.DataFrame]) -> Iterator[tuple[str, list[np.ndarray]]]:
    """(words, for every end an indicator of each item) of all ways in which answers of the same items were read."""
    forms = [part["form"].to_numpy(float) for part in parts]
    if all(np.isfinite(form).any() for form in forms):
        yield "held back by their form:", forms
    rungs = [part["rung"].to_numpy(object) for part in parts]
    if any((rung == "").all() for rung in rungs):
        return  # an end without a ladder can't have moved on it
    for name in sorted({str(rung) for found in rungs for rung in set(found)} - {""}):
        yield f"answers read otherwise: by {name}", [(rung == name).astype(float) for rung in rungs]
