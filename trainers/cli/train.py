"""``stem train``: learn a network from recordings."""

from __future__ import annotations

from pathlib import Path

import click

from stemcli.cli.console import Console
from stemcli.cli.options import console_options
from stemcli.cli.params import device as device_name
from stemcli.cli.words import examples, quoted

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(
    "train",
    epilog=examples(
        ("stem train --data recordings --validation song_with_stems", "from nothing"),
        ("stem train --data recordings --from melroformer -o runs/mine", "from a trained model"),
        ("stem train --data recordings -o runs/mine --resume", "go on where it stopped"),
        ("stem train --data recordings --set schedule.steps=500", "with another value"),
    ),
)
@click.option(
    "--recipe",
    default="melroformer-small",
    show_default=True,
    metavar="NAME|FILE",
    help="A recipe of the program, or a YAML file.",
)
@click.option(
    "--data",
    required=True,
    type=FOLDER,
    metavar="DIR",
    help="Folder with the recordings that the recipe names.",
)
@click.option(
    "--validation",
    multiple=True,
    type=FOLDER,
    metavar="DIR",
    help="Folder with mixture.* and one file per stem; may be repeated.",
)
@click.option(
    "-o",
    "--output",
    default="runs/latest",
    show_default=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the run.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one value of the recipe, e.g. loop.batch_size=8; may be repeated.",
)
@click.option(
    "--from",
    "origin",
    default="",
    metavar="MODEL",
    help="Start from the weights of this model or .safetensors file; a run that is resumed has"
    " its own.",
)
@click.option("--resume", is_flag=True, help="Go on from the run's last checkpoint.")
@click.option(
    "-d",
    "--device",
    type=device_name,
    default="auto",
    show_default=True,
    metavar="DEVICE",
    help="auto, cpu, cuda, cuda:N or mps.",
)
@console_options
def command(
    *,
    recipe: str,
    data: Path,
    validation: tuple[Path, ...],
    output: Path,
    changes: tuple[str, ...],
    origin: str,
    resume: bool,
    device: str,
    console: Console,
) -> None:
    """Train a network of your own.

    Random mixes are made from the recordings, and the weights that do best on the validation songs
    are kept; without such songs, the last ones. Ctrl-C stops after the current step.
    """
    from stemcli.engine.device import resolve_device
    from trainers.cli.display import printer
    from trainers.loop.checkpoint import LAST
    from trainers.loop.run import run
    from trainers.loop.worker import LocalWorker
    from trainers.recipes import load_recipe

    plan, worker = load_recipe(recipe, changes), LocalWorker(resolve_device(device))
    report = printer(plan, console)
    try:
        with console:
            best = run(plan, data, validation, output, worker, report, resume=resume, origin=origin)
    except KeyboardInterrupt:
        if not (output / LAST).exists():
            raise
        raise KeyboardInterrupt("To go on, type the same command with --resume.") from None
    console.line(f"Weights: {best}")
    console.line(f"Type: stem separate SONG --model {quoted(best)}")
