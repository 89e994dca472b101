"""What several commands share: the options of every verb that asks a model, and how results are printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from capeval.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines on stdout.")


def _model_args(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    del context, parameter
    pairs = tuple(pair for value in values for pair in value.split(",") if pair.strip())
    return assignments(pairs, "--model-args", "KEY=VALUE,…")


def asking_options(command: Any) -> Any:
    """The options of every verb that asks a model."""
    options = (
        click.option("--limit", type=click.IntRange(min=1), help="Only the first N items of every task file."),
        click.option("--backend", default="auto", show_default=True,
                     help="Engine; auto: vllm on a GPU, else hf. `capeval list backends`."),
        click.option("--device", default="", help="cpu, cuda, cuda:1 …; chosen by default."),
        click.option("--dtype", default="", help="float32, bfloat16 …; float32 on CPU by default."),
        click.option("--chat", is_flag=True, help="Ask through the checkpoint's chat template."),
        click.option("--system", default="", help="System prompt; without --chat it stands before the text."),
        click.option("--shots-as", type=click.Choice(["turns", "text"]), default="turns", show_default=True,
                     help="With --chat: each example its own turn, or all in the question."),
        click.option("--batch-tokens", type=click.IntRange(min=0), default=0,
                     help="Tokens per batch; chosen for model and machine by default."),
        click.option("--model-args", multiple=True, metavar="KEY=VALUE,…", callback=_model_args,
                     help="What the backend alone understands: max_model_len=4096, base_url=…"),
        click.option("--seed", default=0, show_default=True, help="Seed of sampled answers."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


out_folder = click.option("--out", type=click.Path(path_type=Path), help="Folder to write to.")
noise_files = click.option(
    "--noise", "noise", multiple=True, type=click.Path(path_type=Path), metavar="PATH",
    help="A noise floor of `capeval noise`; repeatable. [all in noise/ beside the runs]",
)  # fmt: skip


def assignments(pairs: tuple[str, ...], option: str, form: str) -> dict[str, str]:
    """NAME=VALUE pairs of an option that can be given several times.

    Raises:
        UsageError: for one that has no name or no value.
    """
    found = {}
    for pair in pairs:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not name or not value:
            raise UsageError(f"{option} takes {form}, not '{pair}'")
        found[name] = value
    return found


def console() -> Console:
    """Where results are printed for people."""
    from rich.console import Console

    class Patient(Console):
        """rich exits with 1 when a pipe closes, which would mean regression here."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Patient(soft_wrap=False, highlight=False)


def print_json(value: Any) -> None:
    """Results for machines; NaN becomes null, a frame its rows."""
    from capeval.store.files import finite, frames_as_rows

    click.echo(json.dumps(finite(frames_as_rows(value)), indent=2, ensure_ascii=False, allow_nan=False))
