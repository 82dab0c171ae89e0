"""``stem train``: learn a network from recordings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import click

from model_zoo.errors import UsageError
from stemcli.cli.console import Console
from stemcli.cli.hush import hushed
from stemcli.cli.options import console_options
from stemcli.cli.params import device as device_name
from stemcli.cli.words import examples, quoted
from trainers.cli.choices import DEFAULT, choose_recipe
from trainers.config.data import Layout
from trainers.recipes import recipe_names

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
TABLE = ".csv"
GO_ON = "To go on, type the same command with --resume."


def songs(text: str) -> Path:
    """A folder, or a CSV file."""
    path = Path(text)
    if not text or not path.exists():
        raise click.BadParameter(f"{text!r} does not exist. Type a folder, or a {TABLE} file")
    if not path.is_dir() and path.suffix.lower() != TABLE:
        raise click.BadParameter(f"{text!r} is neither a folder nor a {TABLE} file")
    return path


@click.command(
    "train",
    epilog=examples(
        ("stem train --data songs", "from nothing, by the default recipe"),
        ("stem train --data songs --from melroformer -o runs/mine", "from a trained model"),
        ("stem train --data songs -o runs/mine --resume", "go on where it stopped"),
        ("stem train --data songs --set schedule.steps=500", "with another value"),
        ("stem train --data songs --export mine", "then: stem separate --model mine ..."),
    ),
)
@click.option(
    "--recipe",
    default="",
    metavar="NAME|FILE",
    help=f"A YAML file, or a recipe of the program: {', '.join(recipe_names())}."
    f"  [default: {DEFAULT}; with --resume the run's own]",
)
@click.option(
    "--data",
    required=True,
    type=songs,
    metavar="DIR|FILE",
    help="Folder with the songs, or a CSV file that lists them.",
)
@click.option(
    "--layout",
    type=click.Choice(get_args(Layout)),
    help="How the data are laid out.  [default: the recipe's]",
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
    help="Start from the weights of this model or .safetensors file; without --recipe its network"
    " is trained. A run that is resumed has its own.",
)
@click.option("--resume", is_flag=True, help="Go on from the run's last checkpoint.")
@click.option(
    "--dry-run", is_flag=True, help="Take two steps, keep nothing, say what the run will need."
)
@click.option(
    "--export",
    default="",
    metavar="NAME",
    help="Add the best weights to your models under this name when the run is over.",
)
@click.option("--overwrite", is_flag=True, help="Let --export replace a model of yours.")
@click.option(
    "-d",
    "--device",
    type=device_name,
    default="auto",
    show_default=True,
    metavar="DEVICE",
    help="auto, cpu, cuda, cuda:N or mps.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    help="Numbers the network computes with.  [default: the recipe's]",
)
@click.option(
    "--seed", type=click.IntRange(0), help="Start of all random choices.  [default: the recipe's]"
)
@console_options
def command(
    *,
    recipe: str,
    data: Path,
    layout: str | None,
    validation: tuple[Path, ...],
    output: Path,
    changes: tuple[str, ...],
    origin: str,
    resume: bool,
    dry_run: bool,
    export: str,
    overwrite: bool,
    device: str,
    precision: str | None,
    seed: int | None,
    console: Console,
) -> None:
    """Train a network of your own.

    A recipe says what is learned and how. Those of the program are in its folder trainers/recipes;
    yours may be a YAML file with "base: NAME" and what differs. The weights that do best on the
    validation songs are kept; without such songs, the last ones. Ctrl-C stops after the current
    step.
    """
    from model_zoo.adoption import LAST, adopt
    from stemcli.engine.device import resolve_device
    from trainers.cli.display import open_display
    from trainers.cli.rehearsed import check_room, show_rehearsal
    from trainers.loop.conditions import check_folder
    from trainers.loop.rehearsal import rehearse
    from trainers.loop.run import run
    from trainers.loop.worker import LocalWorker

    plan = choose_recipe(
        recipe,
        changes,
        output if resume else None,
        origin,
        precision=precision,
        seed=seed,
        layout=layout,
    )
    check_export(export, overwrite)
    worker = LocalWorker(resolve_device(device))
    check_folder(output, resume)
    if dry_run:
        started, found = rehearse(plan, data, validation, worker, origin=origin)
        show_rehearsal(started, found, str(data), console)
        check_room(output, found.checkpoint)
        return
    quiet = hushed(not console.verbose)
    with goes_on(output / LAST), quiet, console, open_display(plan, console, str(data)) as display:
        best = run(
            plan, data, validation, output, worker, display.show, resume=resume, origin=origin
        )
    model = str(best)
    if export:
        card = adopt(best, name=export, overwrite=overwrite)
        console.document({"event": "model_added", "card": card.to_dict()})
        model = card.name
    console.line(f"Weights: {best}")
    console.line(f"Type: stem separate SONG --model {quoted(model)}")


def check_export(name: str, overwrite: bool) -> None:
    """Refuse before a long run what would fail after it.

    Raises:
        ConfigError: the name is bundled, taken or unfit.
        UsageError: ``--overwrite`` has nothing to replace.
    """
    from model_zoo.install import check_free

    if name:
        check_free(name, overwrite, "--export")
    elif overwrite:
        raise UsageError("--overwrite replaces a model: add --export with its name, or leave it")


@contextmanager
def goes_on(sign: Path) -> Iterator[None]:
    """Say after Ctrl-C or SIGTERM how to go on, where there is something to go on from.

    Args:
        sign: the file that is there if so.
    """
    try:
        yield
    except KeyboardInterrupt:
        if not sign.exists():
            raise
        raise KeyboardInterrupt(GO_ON) from None
    except SystemExit:
        if sign.exists():
            click.echo(f"Ended. {GO_ON}", err=True)
        raise
