"""parse → one verb → print → exit code. Each command imports what it needs when it runs, so that --help is instant.

Exit codes: 0 pass · 1 regression · 2 usage or bad file · 3 something missing on this machine · 4 inconclusive ·
70 a bug in capeval · 130 interrupted · 141 the reader of a pipe went away.
"""

from __future__ import annotations

import os
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from capeval import __version__
from capeval.cli_noise import noise
from capeval.cli_options import asking_options, assignments, console, json_flag, noise_files, out_folder, print_json
from capeval.errors import EXIT_USAGE, CapevalError, UsageError, unknown

if TYPE_CHECKING:
    from capeval.core import Stage
    from capeval.store.runs import Run
    from capeval.store.traces import Trace

EXIT_BUG = 70
EXIT_INTERRUPTED = 130
EXIT_PIPE = 141


class _Verbs(click.Group):
    """Commands in the order in which a newcomer meets them, with a did-you-mean for typos."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            raise unknown("command", args[0], self.commands, "capeval --help")
        return super().resolve_command(ctx, args)


def main() -> None:
    """The console script: run a command, turn errors into one clear line and the right exit code."""
    try:
        code = cli(standalone_mode=False)
    except CapevalError as error:
        _complain(str(error))
        code = error.exit_code
    except click.ClickException as error:
        _complain(error.format_message())
        code = EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        _complain("interrupted; the same command goes on from here")
        code = EXIT_INTERRUPTED
    except (BrokenPipeError, SystemExit):  # `capeval … | head`; click exits with 1 then, which would mean regression
        _forget_stdout()
        code = EXIT_PIPE
    except OSError as error:  # a path that can't be read or written, met where nobody expected it
        _complain(f"{error.filename or 'the output'}: {error.strerror or error}. Choose another place or name.")
        code = EXIT_USAGE
    except Exception:
        _complain(f"{traceback.format_exc()}this is a bug in capeval, not in what you did; please report these lines")
        code = EXIT_BUG
    sys.exit(code if isinstance(code, int) else 0)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="capeval")
def cli() -> None:
    """Git-bisect for capabilities: which training stage gave or took which capability?

    \b
    capeval trace instructgpt                    a real tree, from recorded outputs: seconds
    capeval run --model ./ckpt --suite cot       evaluate one checkpoint
    capeval compare runs/base runs/sft           what changed between two runs, item by item
    capeval gate --baseline A --candidate B      exit 0 pass, 1 regression, 4 can't tell
    """


@cli.command()
@click.option("--model", required=True, help="Checkpoint folder (safetensors) or hub id.")
@click.option("--suite", required=True, help="Suite name, or a suite file. `capeval list suites`.")
@click.option("--node", default="", help="Name of the node; the checkpoint's folder name by default.")
@click.option("--revision", default="", help="Branch, tag or commit of a hub id.")
@asking_options
@click.option(
    "--show",
    type=click.IntRange(min=1),
    metavar="N",
    help="Print the first N prompts of every task file as the model reads them, and stop.",
)
@out_folder
@json_flag
def run(*, model: str, suite: str, show: int | None, as_json: bool, **options: Any) -> None:
    """Evaluate one checkpoint: table, run folder with report.html.

    A killed run goes on where it stopped: give the same command again.

    \b
    capeval run --model ./my-checkpoint --suite smoke
    capeval run --model org/name --suite cot --limit 50 --json
    capeval run --model ./my-checkpoint --suite cot --chat --show 1
    """
    from capeval.report.page import write_report
    from capeval.report.terminal import print_prompts, print_run
    from capeval.runner import RunOptions
    from capeval.runner import run as evaluate
    from capeval.runner import show as prompts_of
    from capeval.tracer import inspect

    if show:
        prompts = prompts_of(model, suite, show, options=RunOptions(**options))
        if as_json:
            print_json({"prompts": [asdict(prompt) for prompt in prompts]})
        else:
            print_prompts(prompts, console())
        return
    done = evaluate(model, suite, options=RunOptions(progress=not as_json, **options))
    seen = inspect(done)
    folder = Path(done.manifest["folder"])
    page = write_report(seen, folder)
    if as_json:
        tables = {"scores": seen.scores, "contrasts": seen.effects}
        print_json({"node": done.node, "report": str(page), "manifest": dict(done.manifest)} | tables)
    else:
        print_run(done, seen, console())
        click.echo(f"run: {folder}   report: {page}")


cli.add_command(noise)


def _building(command: Any) -> Any:
    """The options of every verb that trains."""
    options = (
        click.option("--scale", default="", help="A scale that the tree file defines (small)."),
        click.option("--set", "changes", multiple=True, metavar="NODE.FIELD=VALUE",
                     help="Change a recipe; * for every node. Repeatable."),
        click.option("--replica", type=click.IntRange(min=0), default=0, show_default=True,
                     help="Added to every training seed."),
        click.option("--models", type=click.Path(path_type=Path), default=Path("models"), show_default=True,
                     help="Folder of trained nodes."),
        click.option("--workers", type=click.IntRange(min=1), help="Processes side by side. [one a core]"),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@cli.command()
@click.argument("tree")
@click.option("--node", "nodes", multiple=True, help="Only this node and what it needs; repeatable.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Train so many replicas.")
@_building
@json_flag
def train(*, tree: str, nodes: tuple[str, ...], seeds: int, as_json: bool, **building: Any) -> None:
    """Train the nodes of a tree that are not built yet.

    A killed training goes on where it stopped: give the same command again. What is built is never made twice.

    \b
    capeval train lab
    capeval train lab --node ppo-ptx --set ppo-ptx.gamma=0.5
    capeval train lab --scale small --seeds 3
    """
    from dataclasses import replace

    from capeval.builder import train as build
    from capeval.report.progress import watching

    options = replace(_build_options(building), nodes=nodes)
    found = []
    with watching(shown=not as_json) as watch:
        for replica in range(options.seed, options.seed + seeds):
            made = build(tree, replace(options, seed=replica), watch=watch)
            found += [{"node": node, "replica": replica, "folder": str(folder)} for node, folder in made.items()]
    if as_json:
        print_json({"nodes": found})
    for one in () if as_json else found:
        again = f" (replica {one['replica']})" if one["replica"] else ""
        click.echo(f"{one['node']}{again}: {one['folder']}")


def _build_options(building: dict[str, Any]) -> Any:
    import yaml

    from capeval.builder import BuildOptions

    given = assignments(building.pop("changes"), "--set", "NODE.FIELD=VALUE")
    overrides = {}
    for key, value in given.items():
        try:
            overrides[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {key}: '{value}' is no YAML value (3, 1e-3, lab/base, true)") from error
    workers = building.pop("workers") or os.cpu_count() or 1
    return BuildOptions(overrides=overrides, seed=building.pop("replica"), workers=workers, **building)


@cli.command()
@click.argument("tree")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for report.html, effects.parquet … [traces/TREE, with scale and replica]",
)
@click.option("--suite", default="", help="Evaluate every node that has a checkpoint with this suite.")
@click.option(
    "--checkpoint", "checkpoints", multiple=True, metavar="NODE=PATH", help="Checkpoint of a node; repeatable."
)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Train and ask so many replicas."
)
@asking_options
@_building
@click.option("--alpha", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05, show_default=True)
@click.option("--claims", type=click.Path(path_type=Path), help="A file of your own claims, instead of those shipped.")
@click.option("--elicit", is_flag=True, help="Ask parents again, in other settings, what their children newly solve.")
@json_flag
def trace(
    *, tree: str, out: Path | None, suite: str, checkpoints: tuple[str, ...], as_json: bool, **asking: Any
) -> None:
    """Attribute what a tree of models shows to its stages: ledger, report.html.

    TREE is a shipped tree (`capeval list trees`) or a YAML file of yours. A tree with recipes is trained first.

    \b
    capeval trace instructgpt
    capeval trace lab --limit 128
    capeval trace lab --seeds 3
    capeval trace gpt-3.5 --out /tmp/t --json
    capeval trace mytree.yaml --suite cot --checkpoint sft=./out/sft
    """
    from capeval.elicit import elicit
    from capeval.pipeline import has_recipes, trace_built
    from capeval.report.page import write_report
    from capeval.report.progress import watching
    from capeval.report.terminal import print_trace
    from capeval.runner import RunOptions
    from capeval.runner import run as evaluate
    from capeval.store.traces import save_trace
    from capeval.tracer import TraceOptions
    from capeval.tracer import trace as trace_tree

    given = assignments(checkpoints, "--checkpoint", "NODE=PATH")
    building = {key: asking.pop(key) for key in ("scale", "changes", "replica", "models", "workers")}
    seeds = asking.pop("seeds")

    def ask(stage: Stage, name: str) -> Run:
        chosen = RunOptions(node=stage.name, revision=stage.revision, progress=not as_json, **asking)
        return evaluate(stage.uri, name, options=chosen)

    def again(stage: Stage, name: str, items: Any) -> Run | None:
        chosen = RunOptions(node=stage.name, revision=stage.revision, progress=not as_json, **asking)
        return elicit(stage.uri, name, items, options=chosen)

    options = TraceOptions(
        suite=suite, checkpoints=given, alpha=asking.pop("alpha"), claims=asking.pop("claims"),
        elicit=asking.pop("elicit"),
    )  # fmt: skip
    place = out or Path("traces") / _trace_name(tree, scale=building["scale"], replica=building["replica"])
    trained = has_recipes(tree) and not checkpoints
    if not trained and (building["scale"] or building["changes"] or building["replica"] or seeds > 1):
        why = "with --checkpoint" if checkpoints else f"in tree '{tree}', which has no recipes"
        raise UsageError(f"nothing is trained {why}, so --scale, --set, --replica and --seeds mean nothing")
    if trained:
        with watching(shown=not as_json) as watch:
            found = trace_built(
                tree,
                place,
                build=_build_options(building),
                ask=RunOptions(**asking),
                options=options,
                seeds=seeds,
                watch=watch,
            )
    else:
        found = trace_tree(tree, options, evaluate=ask, ask_again=again)
    folder = save_trace(found, place)
    page = write_report(found, folder)
    if as_json:
        print_json(found.summary() | {"folder": str(folder), "report": str(page)})
    else:
        print_trace(found, console())
        if cost := found.provenance.get("cost"):
            known = cost["answers"] - cost["asked"]
            of = f" (without {known:,} of {cost['answers']:,} answers, which were in the journal)" if known else ""
            click.echo(
                f"cost: {cost['training']:,.0f} processor-seconds of training, {cost['asking']:,.0f} of asking{of}"
            )
        click.echo(f"report: {page}")


def _trace_name(tree: str, *, scale: str, replica: int) -> str:
    """Another scale or replica is another trace: lab, lab-small, lab-replica1."""
    return "-".join(filter(None, (Path(tree).stem, scale, f"replica{replica}" if replica else "")))


@cli.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--allow-different-shots", is_flag=True, help="Pair items although the examples shown differ.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write a table for a pull request here.")
@noise_files
@out_folder
@json_flag
def compare(*, a: Path, b: Path, markdown: Path | None, out: Path | None, as_json: bool, **more: Any) -> None:
    """Paired difference B − A of two run folders.

    \b
    capeval compare runs/base-cot runs/sft-cot
    capeval compare runs/base-cot runs/sft-cot --out /tmp/report
    """
    from capeval.report.markdown import markdown_effects
    from capeval.report.terminal import print_effects
    from capeval.store.files import write_text
    from capeval.tracer import compare as compare_runs

    found = compare_runs(a, b, **more)
    if out:
        _save(found, out)
    if markdown:
        write_text(markdown, markdown_effects(found.effects))
    if as_json:
        print_json(found.summary())
    else:
        print_effects(found.effects, console())


@cli.command()
@click.option(
    "--baseline", required=True, type=click.Path(path_type=Path), help="Run folder of the model that is good."
)
@click.option("--candidate", required=True, type=click.Path(path_type=Path), help="Run folder of the model to judge.")
@click.option("--margin", type=float, help="Largest loss tolerated, 0.02 = 2 points. [each task's own margin]")
@click.option("--alpha", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05, show_default=True)
@click.option("--strict", is_flag=True, help="Fail on any certain loss, also one inside the margin.")
@click.option("--allow-different-shots", is_flag=True, help="Pair items although the examples shown differ.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML here.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write a summary for a pull request here.")
@noise_files
@json_flag
def gate(baseline: Path, candidate: Path, junit: Path | None, markdown: Path | None, as_json: bool, **more: Any) -> int:
    """Did the candidate lose something? Exit 0 pass, 1 regression, 4 can't tell.

    \b
    capeval gate --baseline runs/main-cot --candidate runs/pr-cot --margin 0.02 --junit gate.xml
    """
    from capeval.gating import EXIT_CODES, GateOptions, overall
    from capeval.gating import gate as judge
    from capeval.report.junit import junit as as_junit
    from capeval.report.markdown import markdown_gate
    from capeval.report.terminal import print_gate
    from capeval.store.files import write_text

    verdicts = judge(baseline, candidate, GateOptions(**more))
    status = overall(verdicts)
    if junit:
        write_text(junit, as_junit(verdicts))
    if markdown:
        write_text(markdown, markdown_gate(verdicts))
    rows = [{"rule": v.rule, "status": v.status, "reason": v.reason, "effect": v.effect} for v in verdicts]
    try:
        if as_json:
            print_json({"status": status, "verdicts": rows})
        else:
            print_gate(verdicts, console())
    except BrokenPipeError:  # the verdict stands, whoever listens
        _forget_stdout()
    return EXIT_CODES[status]


@cli.command(name="import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--format", default="auto", help="lm-eval, jsonl or mapped; told from the path by default.")
@click.option("--node", default="", help="Name of the node; the model's name in the file by default.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder to write. [runs/NODE]")
@click.option("--model", default="", help="Which model to take when the file holds several.")
@click.option("--task", default="", help="lm-eval: which task to take. Else: what to call it.")
@click.option("--setting", default="", help="Which setting to take, or what to call the only one.")
@click.option("--capability", default="imported", help="What the task measures.")
@click.option("--map", "mapping", default="", metavar="FIELD=COLUMN,…", help="item=id,score=correct,response=output …")
@click.option("--items", type=click.Path(path_type=Path), help="File with the documents, for JSONL.")
@click.option(
    "--scorer", default="", help="Judge the responses by this one. [the benchmark's own, else the recorded score]"
)
@click.option("--gold", default="gold", show_default=True, help="Column with the right answer, for --scorer.")
@click.option("--score", default="", help="Column with the recorded score.")
@click.option(
    "--filter", "filter_", default="", help="lm-eval filter whose result counts; the task's first by default."
)
@click.option("--metric", default="", help="lm-eval metric that counts, or the score's name.")
@click.option("--orientation", type=click.Choice(["higher", "lower", "none"]), help="Which way the metric is better.")
@click.option("--cluster-role", type=click.Choice(["sampled", "strata"]), default="sampled", show_default=True)
@click.option(
    "--margin", type=float, default=0.02, show_default=True, help="Differences inside ±margin are equivalent."
)
@click.option("--unit", default="points", show_default=True, help="Unit of a score that does not lie between 0 and 1.")
@click.option("--licence", default="", help="Licence of the outputs, kept in the manifest.")
@click.option("--source", default="", help="Where the outputs come from, kept in the manifest.")
@click.option("--numbers-only", is_flag=True, help="Keep no text, for outputs that must not be copied.")
@json_flag
def import_(path: Path, out: Path | None, mapping: str, filter_: str, numbers_only: bool, **more: Any) -> None:
    """Bring in outputs that already exist; they become a run like any other.

    \b
    capeval import lm-eval-output/ --node sft
    capeval import outputs.jsonl --model gpt-175b --setting fewshot --scorer squadv2_em
    capeval import results.csv --node sft --task quiz --map item=id,score=correct,response=answer
    """
    from capeval.recordings import ImportOptions, import_records
    from capeval.report.terminal import print_run
    from capeval.store.runs import folder_name, refuse_foreign, save_run
    from capeval.tracer import inspect

    as_json = more.pop("as_json")
    fields = assignments(tuple(filter(None, mapping.split(","))), "--map", "FIELD=COLUMN")
    options = ImportOptions(mapping=fields, filter=filter_, keep_text=not numbers_only, **more)
    done = import_records(path, options=options)
    seen = inspect(done)
    folder = out or Path("runs") / folder_name(done.node)
    refuse_foreign(folder, node=done.node, uri="")
    save_run(done, folder)
    if as_json:
        print_json({"node": done.node, "folder": str(folder), "scores": seen.scores})
    else:
        print_run(done, seen, console())
        click.echo(f"run: {folder}")


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@json_flag
def report(folder: Path, as_json: bool) -> None:
    """Rebuild report.html from a stored trace; needs no torch.

    \b
    capeval report traces/instructgpt
    """
    from capeval.report.page import write_report
    from capeval.store.traces import load_trace

    page = write_report(load_trace(folder), folder)
    if as_json:
        print_json({"report": str(page)})
    else:
        click.echo(f"report: {page}")


@cli.command(name="claims")
@click.argument("tree")
@click.option("--trace", "folder", type=click.Path(path_type=Path), help="Trace to read. [traces/TREE, if trained]")
@click.option("--claim", default="", help="Only this claim, with all that it rests on.")
@click.option("--claims", "file", type=click.Path(path_type=Path), help="A file of your own claims.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write tables for a document here.")
@json_flag
def claims_(
    tree: str, folder: Path | None, claim: str, file: Path | None, markdown: Path | None, as_json: bool
) -> None:
    """What a tree says of the literature's claims: supported, contradicted, undecided, untestable.

    TREE is a shipped tree or a YAML file of yours; one that is trained or asked needs its trace first.

    \b
    capeval claims instructgpt
    capeval claims instructgpt --claim ptx-limits-tax
    capeval claims lab --trace traces/lab --json
    """
    from capeval.errors import unknown
    from capeval.report.claims import markdown_claims, print_claims
    from capeval.store.files import write_text
    from capeval.tracer import claims

    table = claims(tree, folder, file)
    if claim and claim not in set(table["claim"]):
        raise unknown("claim", claim, list(dict.fromkeys(table["claim"])), "capeval list claims")
    if markdown:
        write_text(markdown, markdown_claims(table, tree=tree))
    if as_json:
        print_json({"tree": tree, "claims": table[table["claim"] == claim] if claim else table})
    else:
        print_claims(table, console(), claim=claim)


@cli.command()
@click.argument("tree")
@click.option("--trace", "folder", type=click.Path(path_type=Path), help="Pilot. [traces/TREE, or what the tree ships]")
@click.option(
    "--effect",
    type=click.FloatRange(0, min_open=True),
    metavar="POINTS",
    help="True difference to find, in points of 100. [each task's margin]",
)
@click.option("--power", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.8, show_default=True)
@click.option("--alpha", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05, show_default=True)
@click.option(
    "--family",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Tests that share alpha: Holm asks alpha / N of the first.",
)
@json_flag
def plan(tree: str, folder: Path | None, effect: float | None, as_json: bool, **aim: Any) -> None:
    """What a tree lacks to be sure: branches, items, training seeds.

    TREE is a shipped tree or a YAML file of yours. Items and seeds follow from how a pilot's vary: a small trace will
    do. Without one, the branches can be planned all the same.

    \b
    capeval plan instructgpt
    capeval plan instructgpt --effect 3 --family 12
    capeval plan lab --trace traces/lab --json
    """
    from capeval.attribution.planning import Aim
    from capeval.planner import plan as make_plan
    from capeval.report.plan import print_plan

    table = make_plan(tree, folder, Aim(effect=effect / 100 if effect else None, **aim))
    if as_json:
        print_json({"tree": tree, "plan": table})
    else:
        print_plan(table, console())


@cli.command(name="list")
@click.argument("what", type=click.Choice(["suites", "tasks", "trees", "backends", "scorers", "claims"]))
@click.option("--suite", default="", help="With tasks: those of one suite.")
@json_flag
def list_(what: str, suite: str, as_json: bool) -> None:
    """Show what there is: suites, tasks, trees, backends, scorers, claims.

    \b
    capeval list suites
    capeval list tasks --suite cot
    capeval list tasks --json
    """
    from capeval.catalogue import catalogue, tasks
    from capeval.report.terminal import print_table

    if suite and what != "tasks":
        raise UsageError(f"--suite is of `capeval list tasks`; {what} have none")
    rows = tasks(suite) if suite else catalogue(what)
    if as_json:
        print_json(rows)
    elif what == "tasks":  # what a terminal has room for; tasks/README.md and --json have all
        hidden = {"margin", "citation", "suite" if suite else ""}
        print_table([{key: row[key] for key in row if key not in hidden} for row in rows], console())
    else:
        print_table(rows, console())


@cli.command()
@click.argument("name", default="")
@json_flag
def data(name: str, as_json: bool) -> int:
    """Which data sets are here, where, and how many items; or how to get them.

    \b
    CAPEVAL_DATA=/data capeval data
    capeval data mmlu
    """
    from capeval.errors import EXIT_MISSING, EXIT_PASS
    from capeval.harness.inventory import data as look
    from capeval.report.inventory import print_data_set, print_data_sets

    found = look(name)
    if as_json:
        print_json([one.summary() for one in found])
    elif name:
        for one in found:
            print_data_set(one, console())
    else:
        print_data_sets(found, console())
    if not name or any(one.state in ("mirror", "hub cache") for one in found):
        return EXIT_PASS
    return EXIT_USAGE if any(one.state == "malformed" for one in found) else EXIT_MISSING


@cli.command()
@click.option("--model", default="", metavar="CKPT", help="Also load this checkpoint and say what is chosen for it.")
@json_flag
def doctor(model: str, as_json: bool) -> None:
    """What this machine can run, what is missing, and what the engine chooses.

    \b
    capeval doctor
    capeval doctor --model ./my-checkpoint
    CAPEVAL_DATA=/data capeval doctor --json
    """
    from dataclasses import asdict

    from capeval.doctor import doctor as examine

    checks = examine(model)
    if as_json:
        print_json([asdict(check) for check in checks])
        return
    for check in checks:
        remedy = "" if check.ok or not check.remedy else f"  → {check.remedy}"
        click.echo(f"{'ok' if check.ok else '--'}  {check.what:<14} {check.found}{remedy}")


def _save(found: Trace, folder: Path) -> None:
    from capeval.report.page import write_report
    from capeval.store.traces import save_trace

    click.echo(f"report: {write_report(found, save_trace(found, folder))}", err=True)


def _complain(message: str) -> None:
    """One message on stderr; when nobody reads that either, the exit code still tells."""
    try:
        click.echo(f"capeval: {message}", err=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _forget_stdout() -> None:
    """Nobody reads it any more: what is left goes nowhere, without a second error when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
