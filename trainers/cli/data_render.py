"""``stem data render``: songs made by formula."""

from __future__ import annotations

from pathlib import Path

import click

from stemcli.cli.console import Console
from stemcli.cli.options import console_options
from stemcli.cli.params import NumberRange
from stemcli.cli.words import examples, quoted


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
def command(
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
    console.line(f"Type: stem data check {quoted(folder)}")
