"""``stem data``: check a folder of training data, or render synthetic songs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from stemcli.cli.app import CommandEntry, LazyGroup
from stemcli.cli.console import Console
from stemcli.cli.formatting import examples, quoted
from stemcli.cli.options import NumberRange, console_options, names
from trainers.cli.train import songs
from trainers.config.data import Layout

if TYPE_CHECKING:
    from trainers.config import DataRecipe
    from trainers.data.layouts.survey import Findings


LAYOUTS = [name for name in get_args(Layout) if name != "voices"]
COMMANDS = {
    "render": CommandEntry(
        "trainers.cli.data:render_command", "Make songs to try a training with."
    ),
    "check": CommandEntry("trainers.cli.data:check", "Say what a folder holds and what is wrong."),
}


@click.group(
    "data",
    cls=LazyGroup,
    table=COMMANDS,
    epilog=examples(
        ("stem data render toy", "songs made by formula, to try a training with"),
        ("stem data check songs", "what is in the folder songs, and what is wrong with it"),
        ("stem data check --help", "which layouts there are"),
    ),
)
def command() -> None:
    """Make training data, or look at it before it is trained on."""


@click.command(
    "check",
    epilog=examples(
        ("stem data render toy", "songs made by formula, to try a training with"),
        ("stem data check songs", "a folder for each song, or any other layout"),
        ("stem data check songs --stems vocals,drums", "only what a network with these needs"),
        ("stem data check songs --set data.missing=silence", "songs may lack stems"),
        ("stem data check songs.csv --json", "a table of songs, for a program"),
        ("stem data check musdb18 --layout musdb18", "say how it is laid out"),
    ),
)
@click.argument("folder", metavar="DIR", type=songs)
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    default="auto",
    show_default=True,
    help="How the folder is laid out; auto looks.",
)
@click.option(
    "--stems",
    type=names,
    metavar="A,B",
    help="Stems that every song must have.  [default: all that are found]",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a value below data as for stem train, e.g. data.missing=silence; may be repeated.",
)
@console_options
def check(
    *,
    folder: Path,
    layout: str,
    stems: tuple[str, ...] | None,
    changes: tuple[str, ...],
    console: Console,
) -> None:
    """Say what the training data in DIR is, and all that is wrong with it.

    DIR is a folder, or a CSV file with a line for each song. Files are read up to the
    first sound, those of floating point to their end. The exit code is 1 when something must be
    mended before stem train can use the data.
    """
    from trainers.data.inspection import listen
    from trainers.data.layouts.survey import inspect

    recipe = _recipe(layout, changes)
    found = listen(inspect(recipe, folder, stems), stems, recipe.groups)
    console.document(_document(found))
    console.result(f"Layout: {found.layout}")
    for line in found.summary():
        console.result(line)
    console.table(("stem", ">found"), [(stem, str(count)) for stem, count in found.stems.items()])
    for problem in found.problems:
        console.error(problem)
    click.get_current_context().exit(1 if found.problems else 0)


def _recipe(layout: str, changes: tuple[str, ...]) -> DataRecipe:
    """That of a layout, with what was typed after ``--set``."""
    from trainers.config import DataRecipe
    from trainers.recipes.loading import apply_change

    values: dict[str, Any] = {"data": {"layout": layout}}
    for change in changes:
        if not change.startswith("data."):
            raise click.UsageError(f"--set {change}: only what begins with data. is used here.")
        apply_change(values, change)
    return DataRecipe.from_dict(values["data"])


def _document(found: Findings) -> dict[str, Any]:
    """What a program reads; lengths in seconds, rates in Hz."""
    return {
        "event": "data_checked",
        "layout": found.layout,
        "training": len(found.training),
        "validation": len(found.validation),
        "seconds": round(found.seconds, 2),
        "sample_rates": {str(rate): count for rate, count in found.sample_rates.items()},
        "stems": found.stems,
        "notes": list(found.notes),
        "problems": list(found.problems),
    }


@click.command(
    "render",
    epilog=examples(
        ("stem data render toy", "eight songs of 20 s with vocals, drums, bass and other"),
        ("stem data render toy --songs 50 --seconds 60 --seed 7", "more, longer, and others"),
    ),
)
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--songs", type=click.IntRange(min=1), default=8, show_default=True, help="How many.")
@click.option(
    "--seconds",
    type=NumberRange(min=1),
    default=20.0,
    show_default=True,
    help="Length of each song.",
)
@click.option(
    "--sample-rate",
    type=click.IntRange(min=4000, max=192_000),
    default=44_100,
    show_default=True,
    metavar="HZ",
    help="That of the network to be trained saves resampling.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Other seeds give other songs.",
)
@console_options
def render_command(
    folder: Path, songs: int, seconds: float, sample_rate: int, seed: int, console: Console
) -> None:
    """Make songs by formula and write them into DIR, to try a training with.

    Each gets a folder with vocals, drums, bass and other, and their mixture.
    """
    from trainers.data.synthetic import render_songs

    with console:
        places = render_songs(folder, songs, seconds, sample_rate, seed)
    console.document({"event": "data_rendered", "songs": [str(place) for place in places]})
    console.line(f"{len(places)} songs of {seconds:g} s: {folder}")
    console.line(f"Try: stem data check {quoted(folder)}")
