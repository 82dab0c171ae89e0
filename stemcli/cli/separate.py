"""``stem separate``: separates songs that are named one by one."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import click

from model_zoo.errors import UsageError
from model_zoo.shell import quoted
from stemcli.cli.app import typed_as
from stemcli.cli.console import Console, JsonConsole
from stemcli.cli.formatting import examples
from stemcli.cli.options import console_options, separation_options
from stemcli.cli.settings_command import SettingsCommand
from stemcli.streams import STANDARD_STREAM, quiet_stderr

if TYPE_CHECKING:
    from stemcli.batch.report import BatchReport
    from stemcli.engine.options import Options

SONG = click.Path(path_type=str, readable=False)
"""A file, a URL or ``-``, as text, because a path would lose a slash of a URL.

Unreadable files pass: the engine reports each of them and separates the other songs.
"""


@click.command(
    "separate",
    cls=SettingsCommand,
    epilog=examples(
        ("stem separate song.mp3", "vocals and instrumental, in separated/song"),
        ("stem separate song.mp3 --karaoke --format mp3 -o Karaoke", "without vocals, as mp3"),
        ("stem separate *.flac --start 0:30 --end 1:00", "half a minute of several songs"),
        ("cat song.mp3 | stem separate - --stems vocals -o - > vocals.wav", "through pipes"),
    ),
)
@click.argument("songs", nargs=-1, required=True, metavar="SONG...", type=SONG)
@separation_options
@console_options
def command(*, songs: tuple[str, ...], options: Options, jobs: int, console: Console) -> None:
    """Separate one or more songs into stems.

    SONG is a file, a URL (https, s3, ...), or - for standard input. Every stem keeps the length,
    sample rate and channels of the song, and the stems of the bundled models add up to the song. If
    a song cannot be read, the error is reported and the other songs are separated. Save options
    that you always use with stem config.
    """
    from stemcli.batch.pipe import require_pipe, separate_to_pipe
    from stemcli.batch.run import separate_songs
    from stemcli.batch.sources import named_songs
    from stemcli.cli.models_pull import agree_to_models

    agree_to_models(options, console)
    songs = expanded(songs)
    refuse_folders(songs, click.get_current_context())
    separate: Callable[..., BatchReport] = separate_songs
    if options.output == STANDARD_STREAM:
        stream = sys.stdout.buffer
        require_pipe(songs, options, as_json=isinstance(console, JsonConsole), stream=stream)
        separate = partial(separate_to_pipe, stream=stream)
    quiet = quiet_stderr(not console.verbose)
    with quiet, console, named_songs(songs, options, console.busy) as library:
        report = separate(library, options, jobs=jobs, on_event=console.show)
    if len(report.tracks) > 1:
        console.report(report)
    console.traces(report)
    click.get_current_context().exit(report.exit_code)


def expanded(songs: tuple[str, ...]) -> tuple[str, ...]:
    """The songs, with the files that patterns match; shells of Windows leave that to programs.

    Brackets are literal, because they are common in names of songs.
    """
    if os.name != "nt":
        return songs
    return tuple(name for song in songs for name in _matching(song) or [song])


def _matching(song: str) -> list[str]:
    if not set("*?") & {*song} or "://" in song or os.path.exists(song):
        return []
    return sorted(glob.glob(song.replace("[", "[[]")))


def refuse_folders(songs: tuple[str, ...], ctx: click.Context) -> None:
    """Refuse folders.

    Raises:
        UsageError: a song is a folder; the message has the command for it.
    """
    for song in songs:
        if os.path.isdir(song):  # unlike Path.is_dir, False below a folder without permission
            line = typed_as("batch", ctx) if len(songs) == 1 else f"stem batch {quoted(song)}"
            raise UsageError(f"{song} is a folder. Try: {line}")
