"""``stem train``: learn a network from recordings."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Train a network from a recipe.")
@click.option(
    "--recipe",
    "name",
    default="melroformer-small",
    show_default=True,
    help="Recipe by name, or a YAML file.",
)
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with the recordings that the recipe names.",
)
@click.option(
    "--validation",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with mixture.* and one file per stem; may be repeated.",
)
@click.option(
    "--output",
    default="runs/latest",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder of the run.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one value of the recipe, e.g. loop.batch_size=8.",
)
@click.option("--resume", is_flag=True, help="Go on from the run's last checkpoint.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--quiet", is_flag=True, help="Print validation results only.")
def command(
    name: str,
    data: Path,
    validation: tuple[Path, ...],
    output: Path,
    changes: tuple[str, ...],
    resume: bool,
    device: str,
    quiet: bool,
) -> None:
    r"""Train a network on random mixes and keep the best weights.

    \b
    Examples:
      stem train --data recordings --validation song_with_stems
      stem train --data recordings --set schedule.steps=500 --output runs/quick
      stem train --data recordings --output runs/quick --resume
    """
    from stemcli.engine.device import resolve_device
    from trainers.cli.display import printer
    from trainers.recipes import load_recipe
    from trainers.loop.run import run
    from trainers.loop.worker import LocalWorker

    recipe = load_recipe(name, changes)
    worker = LocalWorker(resolve_device(device))
    best = run(recipe, data, validation, output, worker, printer(recipe, quiet), resume=resume)
    click.echo(f"Weights: {best}")
