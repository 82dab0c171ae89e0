"""``stem data``: check training data, or render synthetic songs."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from model_zoo.config import below
from model_zoo.errors import ConfigError, UsageError, nearest
from model_zoo.shell import quoted
from stemcli.cli import candidates
from stemcli.cli.console import Console
from stemcli.cli.formatting import examples
from stemcli.cli.lazy import CommandEntry, LazyGroup
from stemcli.cli.options import console_options
from stemcli.cli.parameter_types import NumberRange, WholeNumber, names
from trainers.cli.parameters import SongsPath
from trainers.cli.train import choose_recipe, validation_option
from trainers.config.data import Layout

if TYPE_CHECKING:
    from trainers.config import DataRecipe, Recipe
    from trainers.data.layouts.survey import Findings
    from trainers.data.training_data import DataNeeds


LAYOUTS = [name for name in get_args(Layout) if name != "voices"]
COMMANDS = {
    "render": CommandEntry(
        "trainers.cli.data:render_command", "Render synthetic songs to try training."
    ),
    "check": CommandEntry("trainers.cli.data:check", "Check training data for problems."),
}


@click.group(
    "data",
    cls=LazyGroup,
    table=COMMANDS,
    epilog=examples(
        ("stem data render toy", "synthetic songs to try training"),
        ("stem data check songs", "list contents and problems of the folder songs"),
        ("stem data check --help", "list the layouts"),
    ),
)
def command() -> None:
    """Render synthetic songs, or check training data."""


@click.command(
    "check",
    epilog=examples(
        ("stem data render toy", "synthetic songs to try training"),
        ("stem data check songs", "one folder per song, or any other layout"),
        ("stem data check songs --recipe melroformer", "judge as a training with this recipe does"),
        ("stem data check songs --stems vocals,drums", "require only these stems"),
        ("stem data check songs --set data.missing=silence", "allow songs without some stems"),
        ("stem data check songs.csv --json", "songs listed in a CSV file; JSON output"),
        ("stem data check musdb18 --layout musdb18", "name the layout instead of detecting it"),
    ),
)
@click.argument("folder", metavar="DIR", type=SongsPath(), shell_complete=candidates.files)
@click.option(
    "--recipe",
    default="",
    metavar="NAME|FILE",
    help="Recipe of the training: a YAML file, or a bundled one. Its stems are those that every"
    " song must have.",
)
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    help="How the folder is laid out; auto detects it.  [default: the recipe's, or auto]",
)
@validation_option
@click.option(
    "--stems",
    type=names,
    metavar="A,B",
    help="Stems that every song must have.  [default: the recipe's; without --recipe all found]",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one value of the recipe, e.g. data.missing=silence; may be repeated.",
)
@console_options
def check(
    *,
    folder: Path,
    recipe: str,
    layout: str | None,
    validation: tuple[Path, ...],
    stems: tuple[str, ...] | None,
    changes: tuple[str, ...],
    console: Console,
) -> None:
    """Check training data: list the contents of DIR and all problems found.

    DIR is a folder, or a CSV file with one row per song. With --recipe, --set and --validation as
    in stem train, the verdict is that of stem train; without a recipe, all stems of the data are
    required. Files are read up to their first sound; floating-point files, and those that training
    decodes, such as mp3, are read to the end. The exit code is 1 if stem train cannot use the data
    until you fix the problems.
    """
    from trainers.data.layouts.checks import MissingStemsError
    from trainers.data.training_data import check_data
    from trainers.loop.checks import check_schedule

    needs, trained = _needs(recipe, layout, stems, changes)
    try:
        found = check_data(needs, folder, validation, option="stem data check")
    except MissingStemsError as error:
        if stems and (meant := _meant(stems, error.known)):
            raise UsageError(
                f"{folder} has no {' and no '.join(meant)}. Try: stem data check {quoted(folder)}"
                f" --stems {','.join(meant.get(stem, stem) for stem in stems)}"
            ) from error
        raise
    console.document(_document(found))
    console.result(f"Layout: {found.layout}")
    for line in found.summary():
        console.result(line)
    console.table(("stem", ">found"), [(stem, str(count)) for stem, count in found.stems.items()])
    for problem in found.problems:
        console.error(problem)
    if trained and not found.problems:
        check_schedule(trained, has_validation=bool(found.validation))
    click.get_current_context().exit(1 if found.problems else 0)


def _meant(stems: tuple[str, ...], known: Set[str]) -> dict[str, str]:
    """Stems of the data that are nearest to unknown ones; empty if one has none that is near."""
    found = {stem: nearest(stem, known) for stem in stems if stem not in known}
    meant = {stem: near for stem, near in found.items() if near}
    return meant if len(meant) == len(found) else {}


def _needs(
    recipe: str, layout: str | None, stems: tuple[str, ...] | None, changes: tuple[str, ...]
) -> tuple[DataNeeds, Recipe | None]:
    """Return what the training needs, and its recipe if there is one.

    Raises:
        UsageError: ``--recipe`` and ``--stems`` are both given.
        UnknownNameError: there is no such recipe.
        ConfigError: the recipe has errors; all of them are reported.
    """
    from trainers.data.training_data import DataNeeds

    if not recipe:
        return DataNeeds(_data_recipe(layout or "auto", changes), stems), None
    if stems is not None:
        raise click.UsageError(
            "--stems and --recipe both name the stems. Leave out --stems, or use"
            f" --set model.options.stems=[{','.join(stems)}]"
        )
    trained = choose_recipe(recipe, changes, None, layout=layout)
    return DataNeeds.of_recipe(trained), trained


def _data_recipe(layout: str, changes: tuple[str, ...]) -> DataRecipe:
    """Build the data recipe of a layout, with the values of ``--set``.

    Raises:
        ConfigError: the values have errors; all of them are reported by their keys.
    """
    from trainers.config import DataRecipe
    from trainers.recipes.loading import apply_change

    values: dict[str, Any] = {"data": {"layout": layout}}
    for change in changes:
        if not change.startswith("data."):
            raise click.UsageError(
                f'--set {change}: without --recipe, only keys below "data." can be set here.'
            )
        apply_change(values, change)
    try:
        return DataRecipe.from_dict(values["data"])
    except ConfigError as error:
        raise ConfigError("--set", below("data", DataRecipe, error.mistakes)) from error


def _document(found: Findings) -> dict[str, Any]:
    """Describe the findings as JSON; lengths in seconds, sample rates in Hz."""
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


def new_folder(ctx: click.Context, parameter: click.Parameter, value: Path) -> Path:
    """Refuse a file as the folder of the songs."""
    if value.exists() and not value.is_dir():
        raise click.BadParameter(f"{value} is a file. Name a folder to write songs into, e.g. toy")
    return value


@click.command(
    "render",
    epilog=examples(
        ("stem data render toy", "eight songs of 20 s with vocals, drums, bass and other"),
        ("stem data render toy --songs 50 --seconds 60 --seed 7", "more and longer songs"),
    ),
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path), callback=new_folder)
@click.option(
    "--songs",
    type=WholeNumber(min=1),
    default=8,
    show_default=True,
    help="Number of songs.",
)
@click.option(
    "--seconds",
    type=NumberRange(min=1),
    default=20.0,
    show_default=True,
    help="Duration of each song.",
)
@click.option(
    "--sample-rate",
    type=WholeNumber(min=4000, max=192_000),
    default=44_100,
    show_default=True,
    metavar="HZ",
    help="Use the network's sample rate to avoid resampling.",
)
@click.option(
    "--seed",
    type=WholeNumber(min=0),
    default=0,
    show_default=True,
    help="Random seed; each seed gives different songs.",
)
@console_options
def render_command(
    folder: Path, songs: int, seconds: float, sample_rate: int, seed: int, console: Console
) -> None:
    """Render synthetic songs into DIR, to try training.

    Each song is a folder with vocals, drums, bass, other and their mixture.
    """
    from trainers.data.synthetic import render_songs

    with console:
        song_folders = render_songs(folder, songs, seconds, sample_rate, seed)
    console.document({"event": "data_rendered", "songs": [str(path) for path in song_folders]})
    console.line(f"{len(song_folders)} songs of {seconds:g} s written to {folder}")
    console.line(f"Try: stem data check {quoted(folder)}")
