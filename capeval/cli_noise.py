"""`capeval noise`: what numerics alone do to a checkpoint's scores."""

from __future__ import annotations

from typing import Any

import click

from capeval.cli_options import asking_options, console, json_flag, out_folder, print_json


def _names(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    del context, parameter
    return tuple(name.strip() for name in value.split(",") if name.strip())


@click.command()
@click.option("--model", required=True, help="Checkpoint folder (safetensors) or hub id.")
@click.option("--suite", required=True, help="Suite name, or a suite file. `capeval list suites`.")
@click.option("--node", default="", help="Name of the node; the checkpoint's folder name by default.")
@click.option("--revision", default="", help="Branch, tag or commit of a hub id.")
@click.option(
    "--orders",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="Other orders of the requests, each with batches of another size.",
)
@click.option(
    "--dtypes",
    default="float32,bfloat16",
    show_default=True,
    callback=_names,
    help="Number formats; that of the reference is no variant. '' for none.",
)
@click.option(
    "--backends", default="", callback=_names, metavar="NAME,…", help="Other engines; one that is not here is skipped."
)
@asking_options
@out_folder
@json_flag
def noise(*, model: str, suite: str, as_json: bool, **options: Any) -> None:
    """How many scores flip by numerics alone: same weights and items, another order, dtype, engine.

    The reference is asked as `run` would ask (--dtype, --backend …), then each variant, with a journal of its own.
    `compare` and `gate` show the floor beside every effect of runs in the folder above: runs/noise/… for runs/….
    A killed command goes on where it stopped: give it again.

    \b
    capeval noise --model ./my-checkpoint --suite cot --limit 50
    capeval noise --model ./my-checkpoint --suite cot --dtype bfloat16 --orders 3
    capeval noise --model ./my-checkpoint --suite cot --dtypes '' --orders 0 --backends hf,vllm
    """
    from capeval.numerics import NoiseOptions
    from capeval.numerics import noise as measure
    from capeval.report.noise import print_noise
    from capeval.report.progress import watching
    from capeval.runner import RunOptions
    from capeval.store.noise import as_mapping

    varied = {name: options.pop(name) for name in ("orders", "dtypes", "backends")}
    with watching(shown=not as_json) as watch:
        found, file = measure(model, suite, NoiseOptions(ask=RunOptions(**options), **varied), watch=watch)
    if as_json:
        print_json(as_mapping(found) | {"file": str(file)})
    else:
        print_noise(found, console())
        click.echo(f"noise floor: {file}")
