"""Options that ``stem train`` and ``stem tune`` share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from trainers.config.data import Layout

TABLE = ".csv"


class Place(click.ParamType[Path]):
    """A folder of this machine, or a URL."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path that was typed."""
        from stemcli.batch.url_path import as_path

        return as_path(value) if isinstance(value, str) else value


def songs(text: str) -> Path:
    """A folder, or a CSV file."""
    path = Path(text)
    if not text or not path.exists():
        raise click.BadParameter(f"{text!r} does not exist. Type a folder, or a {TABLE} file")
    if not path.is_dir() and path.suffix.lower() != TABLE:
        raise click.BadParameter(f"{text!r} is neither a folder nor a {TABLE} file")
    return path


layout_option = click.option(
    "--layout",
    type=click.Choice(get_args(Layout)),
    help="How the data are laid out.  [default: the recipe's]",
)

validation_option = click.option(
    "--validation",
    multiple=True,
    type=songs,
    metavar="DIR|FILE",
    help="Songs to validate, never trained on: a folder with mixture.* and one file per stem, or"
    " with songs in any layout; may be repeated.",
)

set_option = click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one value of the recipe, e.g. schedule.steps=500; may be repeated.",
)
