"""The child's chains of thought, read by its parent: how probable the steps are to both, and which answers then.

    capeval trace lab --elicit
    python -m capeval.rereading runs/cot-sft runs/continued

Forced decoding: nothing is generated. The chain's first step, first two steps … are scored after the prompt that each
node was asked with. A step's log-probability is what it adds, so that steps add up to the chain also where a tokenizer
joins the end of one with the beginning of the next; scored alone, after a prompt that ends with the one before, it
would be cut into other tokens there.

After no step, after the last that does not state the answer, and after all but the sentence that gives it, the parent
is asked how probable the child's answer is, its own, and a few answers to other items: in the same place, after the
same words. Answers go through the journal, so a killed reading goes on where it stopped.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from capeval import runner
from capeval.attribution.elicitation import STEPWISE
from capeval.attribution.readings import CHAINS, Key, Reading, readings
from capeval.columns import READ_COLUMNS
from capeval.core import Reply, Request, Suite
from capeval.digest import digest
from capeval.errors import MissingError, UsageError
from capeval.store.journal import Journal
from capeval.store.runs import Run, load_run, number_repeats
from capeval.strict import mapping, text
from capeval.suites import load_suite

FOLDER = "read"
"""Beside `runs` in a trace's folder."""


def read_chains(  # noqa: PLR0913  two runs, and how they are to be read
    child: Run,
    parent: Run,
    *,
    suite: str | Suite = "",
    settings: Collection[str] = STEPWISE,
    most: int = CHAINS,
    folder: Path | None = None,
    options: runner.RunOptions | None = None,
) -> pd.DataFrame:
    """Score a node's chains of thought under it and under another node; an edge's two ends, or any pair.

    Args:
        child: Run of the node that wrote them; its checkpoint is where the manifest says.
        parent: Run of the node that reads them, on the same items.
        suite: What both were asked; the suite named in the child's manifest by default.
        settings: Those in which chains are looked for.
        most: Chains of each task, setting and group of items.
        folder: Where the journal lies; runs/read by default.
        options: `watch` and `progress`; all else is as in the runs.

    Returns:
        Columns of `columns.READ_COLUMNS`; no rows where the child answers nothing in steps.

    Raises:
        UsageError: other prompts than those that the runs were asked, or another checkpoint.
        MissingError: a run whose checkpoint nobody knows (imported records).
        Everything that `runner.run` raises.
    """
    found = readings(child, parent, settings=settings, most=most)
    what = suite if isinstance(suite, Suite) else load_suite(suite or _suite_of(child))
    sources = {key: [s for s in what.sources if (s.task, s.setting) == key] for key in {one.key[:2] for one in found}}
    found = [one for one in found if sources[one.key[:2]]]
    if not found:
        return nothing_read()
    what = replace(what, sources=tuple(source for some in sources.values() for source in some))
    place = (folder or runner.RUNS / FOLDER) / "journal.sqlite"
    with Journal.open(place) as journal:
        written, heard = (
            _under(run, which, found, what, journal, options or runner.RunOptions())
            for which, run in enumerate((child, parent))
        )
    rows = [row for one, a, b in zip(found, written, heard, strict=True) for row in _rows(one, list(a), list(b))]
    ends = {"parent": parent.node, "child": child.node}
    return pd.DataFrame([ends | row for row in rows], columns=list(READ_COLUMNS))


def nothing_read() -> pd.DataFrame:
    """A table of reads without rows."""
    return pd.DataFrame(columns=list(READ_COLUMNS))


def together(reads: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The reads of several pairs as one table."""
    parts = [part for part in reads if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else nothing_read()


def can_read(run: Run) -> bool:
    """Whether a run knows its checkpoint; imported records do not."""
    checkpoint = run.manifest.get("checkpoint")
    return isinstance(checkpoint, Mapping) and bool(checkpoint.get("uri"))


def _under(
    run: Run, which: int, found: Sequence[Reading], suite: Suite, journal: Journal, options: runner.RunOptions
) -> Iterator[Iterator[Reply]]:
    """The replies of one node, chain by chain: the first step, the first two …; of the parent also the answers."""
    how = replace(_options_of(run, options), watch=_half(options.watch, which))
    backend = runner.open_model(_checkpoint(run, "uri"), how)
    if backend.digest != _checkpoint(run, "digest"):
        raise UsageError(f"the checkpoint at {backend.uri} is not the one that '{run.node}' was run with; run it again")
    prompts = _prompts(backend, how, suite, found)
    requests = []
    for one in found:
        prompt, asked_as, templated = prompts.get(one.key, ("", "", False))
        if asked_as != one.digests[which]:
            raise UsageError(
                f"'{run.node}' was shown another prompt on task '{one.key[0]}' ({one.key[1]}) than suite "
                f"'{suite.name}' gives now; run it again, what the journal knows is not asked twice"
            )
        requests.append(list(_requests(one, prompt, templated, answers=which == 1)))
    replies = iter(runner.answers_to(backend, [r for some in requests for r in some], journal, how)[0])
    return (islice(replies, len(some)) for some in requests)


def _half(watch: Any, which: int) -> Any:
    """Two nodes are asked as much: the first half is the child's."""
    return watch and (lambda known, every: watch(which * every + known, 2 * every))


def _prompts(
    backend: Any, how: runner.RunOptions, suite: Suite, found: Sequence[Reading]
) -> dict[Key, tuple[str, str, bool]]:
    """By item: the prompt, its digest, and whether a chat template shows it."""
    items: dict[tuple[str, str], set[str]] = {(s.task, s.setting): set() for s in suite.sources}
    for one in found:
        # a repeated document is prepared with all its repetitions, so that it gets its number
        items[one.key[0], one.key[1]].add(one.key[2].partition("#")[0])
    rows = [
        {"task": asked.source.task, "setting": asked.source.setting, "item": document.item, "asked": asked,
         "document": document}
        for asked in runner.prompts_of(suite, backend, how, items)
        for document in asked.documents
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    frame["item"] = frame.groupby(["task", "setting"], sort=False)["item"].transform(number_repeats)
    return {
        (row["task"], row["setting"], row["item"]): (
            row["document"].requests[0][0].text,
            digest([r.text for samples in row["document"].requests for r in samples[:1]]),
            row["asked"].form.templated,
        )
        for row in frame.to_dict("records")
    }


def _requests(one: Reading, prompt: str, templated: bool, *, answers: bool) -> Iterator[Request]:
    chain, begins = one.chain, _begins(one, prompt, templated)
    parts = [begins(part) if place == 0 else part for place, part in enumerate((*chain.steps, chain.last))]
    for number in range(1, len(parts) + 1):
        yield Request(kind="loglikelihood", text=prompt, continuation="".join(parts[:number]))
    for place in one.places if answers else ():
        shown = prompt + "".join(parts[:place])
        cue = chain.cue if place or not chain.cue else begins(chain.cue.lstrip())
        for answer in (chain.answer, *filter(None, (one.own,)), *one.decoys):
            text = chain.gap + answer
            yield Request(kind="loglikelihood", text=shown + cue, continuation=text if place or cue else begins(text))


def _begins(one: Reading, prompt: str, templated: bool) -> Any:
    """How a response begins after this prompt.

    As it was generated, after a prompt of the same form. After one of another form its white space is that form's: as
    lm-eval puts a space after plain text and none after a template. Tokenizers that drop a text's first space
    when they decode it make a plain response begin without one, which is put back.
    """
    space = "" if templated or prompt[-1:].isspace() else " "
    same = one.presentations[0] == one.presentations[1]
    return lambda part: part if same and part[:1].isspace() else space + part.lstrip()


def _rows(one: Reading, written: list[Reply], heard: list[Reply]) -> Iterator[dict[str, Any]]:
    """A row per step; none where an engine could not read all of it."""
    if any(reply.error or reply.cut for reply in (*written, *heard)):
        return
    chain, n = one.chain, len(written)
    compared = dict(zip(one.places, _compared(one, heard[n:]), strict=True))
    nothing = {"said": math.nan, "own": math.nan, "decoy": math.nan}
    about = {**one.about, "greedy": bool(written[-1].greedy), "decoys": len(one.decoys)}
    known, mine, other = 0, 0.0, 0.0
    yield {**about, "step": 0, "last": False, "tokens": 0, "child_logprob": 0.0, "parent_logprob": 0.0,
           "stated": False, **compared.get(0, nothing)}  # fmt: skip
    for step, (to_child, to_parent) in enumerate(zip(written, heard[:n], strict=True), start=1):
        last = step == n
        tokens, a, b = int(to_child.n_tokens or 0), float(to_child.logprob or 0.0), float(to_parent.logprob or 0.0)
        yield {
            **about, "step": step, "last": last, "tokens": max(1, tokens - known), "child_logprob": a - mine,
            "parent_logprob": b - other, "stated": last or chain.stated[step],
            **(nothing if last else compared.get(step, nothing)),
        }  # fmt: skip
        known, mine, other = tokens, a, b


def _compared(one: Reading, replies: Sequence[Reply]) -> Iterator[dict[str, float]]:
    size = 1 + bool(one.own) + len(one.decoys)
    for start in range(0, len(replies), size):
        said, *others = [float(reply.logprob or 0.0) for reply in replies[start : start + size]]
        decoys = others[bool(one.own) :]
        yield {"said": said, "own": others[0] if one.own else math.nan, "decoy": max(decoys, default=math.nan)}


def _options_of(run: Run, options: runner.RunOptions) -> runner.RunOptions:
    """How the node was asked, by its manifest; `options` says only who is told how far it is."""
    settings = mapping(run.manifest, "settings", "the run's manifest")
    known = {
        key: settings[key]
        for key in ("backend", "limit", "device", "dtype", "chat", "system", "shots_as", "batch_tokens", "model_args")
        if key in settings
    }
    revision = _checkpoint(run, "revision")
    seed = int(mapping(run.manifest, "seeds", "the run's manifest").get("sampling", 0))
    return replace(options, node=run.node, revision=revision, seed=seed, **known)


def _checkpoint(run: Run, key: str) -> str:
    if not can_read(run):
        raise MissingError(
            f"'{run.node}' has records and no checkpoint, so it can't read anything; `capeval run` makes a run of one"
        )
    return text(run.manifest["checkpoint"], key, "the run's manifest: checkpoint")


def _suite_of(run: Run) -> str:
    return text(mapping(run.manifest, "suite", "the run's manifest"), "name", "the run's manifest: suite")


def main(child: str, parent: str) -> None:
    """Print what one run makes of another's chains.

    Args:
        child: Run folder of the node that wrote them.
        parent: Run folder of the node that reads them.
    """
    from capeval.attribution.reasoning import reasoning_table

    runs = [load_run(folder) for folder in (child, parent)]
    reads = read_chains(*runs)
    for row in reasoning_table(runs[0].tasks, reads, alpha=0.05).to_dict("records"):
        print(row["sentence"] or f"{row['group']}: {row['n']} chains, {row['ratio']:.2f} nats a token")


if __name__ == "__main__":
    main(*sys.argv[1:])
