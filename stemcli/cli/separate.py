"""``stem separate``: separates songs that are named one by one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from model_zoo.errors import UsageError, quoted
from stemcli.cli.console import Console
from stemcli.cli.formatting import examples
from stemcli.cli.options import console_options, separation_options
from stemcli.streams import quiet_stderr

if TYPE_CHECKING:
    from stemcli.engine.options import Options

SONG = click.Path(path_type=Path, readable=False)
"""Unreadable files pass: the engine reports each of them and separates the other songs."""


@click.command(
    "separate",
    epilog=examples(
        ("stem separate song.mp3", "vocals and instrumental, in separated/song"),
        ("stem separate song.mp3 --two-stems vocals --format mp3 -o Karaoke", "karaoke, as mp3"),
        ("stem separate *.flac --start 0:30 --end 1:00", "half a minute of several songs"),
    ),
)
@click.argument("songs", nargs=-1, required=True, metavar="SONG...", type=SONG)
@separation_options
@console_options
def command(*, songs: tuple[Path, ...], options: Options, jobs: int, console: Console) -> None:
    """Separate one or more songs into stems.

    Every stem keeps the length, sample rate and channels of the song, and the stems add up to the
    song. If a song cannot be read, the error is reported and the other songs are separated.
    """
    from stemcli.batch.library import LibrarySong
    from stemcli.batch.run import separate_songs

    refuse_folders(songs)
    with quiet_stderr(not console.verbose), console:
        library = [LibrarySong(song) for song in songs]
        report = separate_songs(library, options, jobs=jobs, on_event=console.show)
    if len(report.tracks) > 1:
        console.report(report)
    console.traces(report)
    click.get_current_context().exit(report.exit_code)


def refuse_folders(songs: tuple[Path, ...]) -> None:
    """Refuse folders.

    Raises:
        UsageError: a song is a folder; the message names the command for folders.
    """
    for song in songs:
        if os.path.isdir(song):  # unlike Path.is_dir, False below a folder without permission
            raise UsageError(f"{song} is a folder. Try: stem batch {quoted(song)}")
