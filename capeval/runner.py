"""checkpoint × suite → run: ask what the journal does not know, score, write the run folder.

    capeval run --model ./checkpoint --suite smoke
    python -c "import capeval; print(capeval.run('./checkpoint', 'smoke').records.groupby('task').score.mean())"

Every answer is journaled as its batch ends. A killed run is finished by the same command, without asking anything
twice.
"""

from __future__ import annotations

import os
import platform
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from capeval import harness, recall
from capeval.backends import Backend, BackendSettings, open_backend
from capeval.core import Checkpoint, Reply, Request, Suite
from capeval.digest import digest
from capeval.errors import EngineError, UsageError
from capeval.prompting import Prompt, cut, dropped, prompt, prompting, unfinished
from capeval.store.files import make_folder
from capeval.store.journal import Journal, journal_keys
from capeval.store.provenance import made_with
from capeval.store.runs import Run, folder_name, make_manifest, refuse_foreign, save_run
from capeval.suites import load_suite

RUNS = Path("runs")
_KINDS = ("loglikelihood", "perplexity", "generate")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to ask; the defaults suit a base model on this machine."""

    node: str = ""
    """Name of the node; the checkpoint's folder name (or hub id) by default."""
    backend: str = "auto"
    revision: str = ""
    """Branch, tag or commit of a hub id."""
    limit: int | None = None
    """Only the first documents of every task file."""
    out: Path | None = None
    """Run folder, with a journal of its own; by default runs/<node>-<suite>, with -chat, -first<N> … behind it where it
    is asked otherwise, and one journal for all runs there."""
    device: str = ""
    """cpu, cuda, cuda:1 …; empty: a GPU when there is one."""
    dtype: str = ""
    """float32, bfloat16 …; empty: float32 on CPU, the checkpoint's own on a GPU."""
    chat: bool = False
    """Ask through the checkpoint's chat template. A suite's sources may say otherwise (`presentation`)."""
    system: str = ""
    """System prompt."""
    shots_as: harness.ShotsAs = "turns"
    """In a chat: every example a question and an answer of its own, or all of them text of the one question."""
    batch_tokens: int = 0
    """Tokens that one batch may hold; 0: as many as the engine finds good on this machine."""
    model_args: Mapping[str, str] = field(default_factory=dict)
    """What the backend alone understands, as text: max_model_len, base_url …"""
    seed: int = 0
    """Of sampled answers."""
    order: int = 0
    """Seed of the order in which the engine is given its requests; 0: the suite's order. It should change no answer."""
    progress: bool = False
    """Show rate and time left on stderr, when that is a terminal."""
    watch: Callable[[int, int], None] | None = None
    """Told (answers known, all) instead, after every batch."""


class Progress(Protocol):
    """Something that counts."""

    def __call__(self, answered: int) -> None:
        """So many more requests are answered."""
        ...


def run(
    model: str, suite: str | Suite, *, options: RunOptions | None = None, items: harness.Items | None = None
) -> Run:
    """Evaluate one checkpoint and write its run folder (`manifest["folder"]`).

    Args:
        model: Checkpoint folder or hub id.
        suite: Suite name, or path of a suite file, or a suite.
        options: How to ask.
        items: Only these of every task and setting.

    Raises:
        UsageError: unknown suite or backend, no such folder, no chat template, a folder taken by another checkpoint,
            tasks that have no meaning for this kind of model.
        BadFileError: damaged checkpoint, suite, task or data files, or journal.
        MissingError: a package, the data, or the hub is not there.
        EngineError: NaN logits, or not enough memory; what was answered until then is in the journal.
        OutputError: the run folder can't be written.
    """
    options = options or RunOptions()
    started, worked = time.monotonic(), time.process_time()
    what = suite if isinstance(suite, Suite) else load_suite(suite)
    backend = open_model(model, options)
    node = options.node or node_name(model)
    folder = options.out or RUNS / f"{folder_name(node)}-{folder_name(what.name)}{how(options)}"
    refuse_foreign(folder, node=node, uri=backend.uri)
    with _folder(folder):
        built = _built(what, backend, options, items)
        _refuse_meaningless(backend, built, what.name)
        place = (folder if options.out else RUNS) / "journal.sqlite"
        known = recall.answers(place, backend, built)
        asked = harness.fit(built, recall.overflow(backend, known))
        requests = harness.requests_of(asked)
        with Journal.open(place) as journal:
            replies, counts = answers_to(backend, requests, journal, options, known)
            shown = prompting(asked, recall.pieces(backend, journal))
        records = harness.records(asked, replies)
    checkpoint = Checkpoint(node=node, uri=backend.uri, revision=options.revision, digest=backend.digest)
    seconds = round(time.monotonic() - started, 3)
    told = _manifest(checkpoint, what, backend, options, counts)
    cpu_seconds = round(time.process_time() - worked, 3)
    told |= {"folder": str(folder), "seconds": seconds, "cpu_seconds": cpu_seconds, "cut": cut(asked, replies)}
    told |= {"dropped": dropped(asked), "unfinished": unfinished(records)}
    told["prompting"] = {"chat_template": backend.chat_template() if options.chat else "", "system": options.system,
                         "shots_as": options.shots_as, "tasks": shown}  # fmt: skip
    manifest = make_manifest(node=node, tasks=what.tasks, scoring=harness.scoring_rules(asked), **told)
    done = Run(node=node, manifest=manifest, records=records)
    save_run(done, folder)
    return done


def how(options: RunOptions) -> str:
    """What a folder's name adds for a node that is asked otherwise: no way of asking replaces another's run."""
    parts = [
        folder_name(options.revision) if options.revision and not options.node else "",
        "chat" if options.chat else "",
        "text" if options.chat and options.shots_as == "text" else "",
        f"system{digest(options.system)[:6]}" if options.system else "",
        f"seed{options.seed}" if options.seed else "",
        options.dtype,
        f"first{options.limit}" if options.limit else "",
    ]
    return "".join(f"-{part}" for part in parts if part)


def show(model: str, suite: str, n: int, *, options: RunOptions | None = None) -> list[Prompt]:
    """The first prompts of every task file, as the engine would read them; nothing is asked.

    Args:
        model: Checkpoint folder or hub id.
        suite: Suite name, or path of a suite file.
        n: Prompts of each file.
        options: How to ask.

    Raises:
        UsageError, BadFileError, MissingError: as `run`.
    """
    options = replace(options or RunOptions(), limit=n)
    backend = open_model(model, options)
    return [
        prompt(one, number, backend.pieces)
        for one in prompts_of(load_suite(suite), backend, options)
        for number in range(len(one.documents))
    ]


def prompts_of(
    suite: Suite, backend: Backend, options: RunOptions, items: harness.Items | None = None
) -> list[harness.Asked]:
    """The suite's tasks and prompts, with whole shots left out where the model could not read all."""
    return harness.fit(_built(suite, backend, options, items), backend.overflow)


def _built(
    suite: Suite, backend: Backend, options: RunOptions, items: harness.Items | None = None
) -> list[harness.Asked]:
    form = _form(backend, options)
    if items is None:
        return _prepared(suite, form, options.limit, options.seed)
    # every node's own
    return harness.prepare(suite, form, limit=options.limit, seed=options.seed, items=items)


def open_model(model: str, options: RunOptions) -> Backend:
    """The engine that the options choose; weights load with the first request."""
    settings = BackendSettings(
        revision=options.revision, device=options.device, dtype=options.dtype, batch_tokens=options.batch_tokens,
        options=options.model_args,
    )  # fmt: skip
    return open_backend(options.backend, model, settings)


def _refuse_meaningless(backend: Backend, asked: Sequence[harness.Asked], suite: str) -> None:
    """Before anything is asked, say which tasks this model can't be asked at all."""
    for kind, why in backend.refuses.items():
        tasks = {one.source.task: None for one in asked if any(r.kind == kind for r in harness.requests_of([one]))}
        if tasks:
            raise UsageError(
                f"{backend.uri} {why}. Suite '{suite}' asks for it in {', '.join(tasks)}: leave that out of a copy "
                "of the suite's file, beside it"
            )


_PREPARED: dict[str, list[harness.Asked]] = {}


def _prepared(suite: Suite, form: harness.Form, limit: int | None, seed: int) -> list[harness.Asked]:
    """A suite's tasks and prompts, built once for all nodes of a process that are shown the same form.

    What a probe conversation looks like stands for the form: two tokenizers may share a template and differ in the
    special tokens that it writes.
    """
    probe = form.chat([{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]) if form.chat else ""
    world = [os.environ.get(name, "") for name in ("LAB_SPLIT", "CAPEVAL_DATA")]
    key = digest(suite.digest, form.presentation, probe, limit, seed, world)
    if key not in _PREPARED:
        if len(_PREPARED) > 1:
            _PREPARED.clear()
        _PREPARED[key] = harness.prepare(suite, form, limit=limit, seed=seed)
    return _PREPARED[key]


def node_name(model: str) -> str:
    """The name of a checkpoint that got none: its folder's, or the hub id."""
    path = Path(model).expanduser()
    return path.resolve().name if path.exists() else model


def answers_to(
    backend: Backend, requests: Sequence[Request], journal: Journal, options: RunOptions,
    known: Mapping[str, Reply] | None = None,
) -> tuple[list[Reply], dict[str, int]]:  # fmt: skip
    """A reply to every request: from what is known already, the journal, or asked once however often it occurs."""
    keys = journal_keys(backend.digest, requests, backend.numerics)
    by_key = dict(zip(keys, requests, strict=True))
    replies = {key: reply for key, reply in (known or {}).items() if key in by_key}
    replies |= journal.find([key for key in by_key if key not in replies])
    reused = len(replies)
    todo = set(by_key) - replies.keys()
    with _progress(len(by_key), reused, options) as count, journal.keeping() as keep:
        for kind in _KINDS:
            names = [key for key, request in by_key.items() if request.kind == kind]
            if options.order:
                random.Random(options.order).shuffle(names)
            answered = frozenset(i for i, key in enumerate(names) if key not in todo)
            if len(answered) == len(names):
                continue
            for batch in getattr(backend, kind)([by_key[key] for key in names], answered):
                fresh = {names[position]: reply for position, reply in batch}
                keep(fresh)
                replies |= fresh
                count(len(fresh))
    if silent := by_key.keys() - replies.keys():
        raise EngineError(f"backend '{options.backend}' left {len(silent)} of {len(todo)} requests without a reply")
    counts = {"requests": len(requests), "distinct": len(by_key), "reused": reused, "asked": len(todo)}
    return [replies[key] for key in keys], counts


def _form(backend: Backend, options: RunOptions) -> harness.Form:
    if not options.chat:
        return harness.Form(system=options.system)
    template = backend.chat_template()
    return harness.Form(chat=backend.chat, template=template, system=options.system, shots_as=options.shots_as)


def _manifest(
    checkpoint: Checkpoint, suite: Suite, backend: Backend, options: RunOptions, counts: Mapping[str, int]
) -> dict[str, Any]:
    chosen = {
        k: v for k, v in asdict(options).items() if k not in ("out", "progress", "watch", "node", "revision", "seed")
    }
    packages = [p for p in ("torch", "transformers") if p in backend.numerics]
    return {
        "checkpoint": asdict(checkpoint),
        "suite": {"name": suite.name, "digest": suite.digest, "sources": [asdict(s) for s in suite.sources]},
        "contrasts": [list(pair) for pair in suite.contrasts],
        "settings": chosen | {"numerics": dict(backend.numerics)},
        "engine": dict(backend.chosen),
        "counts": dict(counts),
        "seeds": {"shots": harness.SHOT_SEED, "sampling": options.seed},
        "host": {"platform": platform.platform(), "machine": platform.machine()},
        **made_with("lm-eval", "datasets", "numpy", "pandas", *packages),
    }


@contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """Make the run folder first, so that a read-only place is known before hours of work; leave no empty one behind."""
    there = folder.exists()
    make_folder(folder)
    try:
        yield
    except BaseException:
        if not there:
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def _progress(total: int, known: int, options: RunOptions) -> Iterator[Progress]:
    """A bar with rate and time left, on stderr; silent when nobody asked for it or stderr is no terminal."""
    if options.watch:
        told = known

        def tell(answered: int) -> None:
            nonlocal told
            told += answered
            options.watch(told, total)  # type: ignore[misc]

        yield tell
        return
    if not (options.progress and sys.stderr.isatty()):
        yield lambda answered: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("[progress.description]{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Bar(*columns, console=Console(stderr=True)) as bar:
        # what the journal knew counts as done, but not for the rate
        line = bar.add_task("asking", total=total, completed=known, rate="")
        started, fresh = time.monotonic(), 0

        def count(answered: int) -> None:
            nonlocal fresh
            fresh += answered
            rate = fresh / max(1e-9, time.monotonic() - started)
            bar.update(line, advance=answered, rate=f"{rate:,.1f}/s")

        yield count
