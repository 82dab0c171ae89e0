"""Separates one song and writes one stem to a pipe."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from model_zoo.errors import UsageError, errors_about
from stemcli.batch.executor import (
    LocalExecutor,
    StepCallbacks,
    TaskResult,
    naming_tmpdir,
    open_local,
)
from stemcli.batch.library import LibrarySong
from stemcli.batch.plan import SongTask
from stemcli.batch.report import BatchReport
from stemcli.batch.run import separate_songs
from stemcli.engine.checks import known_outputs
from stemcli.engine.events import Event, EventHandler, TrackFinished
from stemcli.engine.options import Options
from stemcli.engine.planned import PlannedFiles

BLOCK = 2**20  # bytes
SHOWN = "standard output"


@errors_about("output")
def require_pipe(
    songs: Sequence[str], options: Options, *, as_json: bool, stream: BinaryIO
) -> None:
    """Check that one stem of one song is written to a stream that can take it.

    Raises:
        UsageError: there are several songs or stems, standard output is a terminal, or it is needed
            for JSON.
    """
    if len(songs) > 1:
        raise UsageError(
            "-o - writes a stem of one song to standard output. Name one song, or a folder with "
            "--output"
        )
    if as_json:
        raise UsageError(
            "-o - and --json both need standard output. Leave --json out, or name a folder with "
            "--output"
        )
    if options.picture:
        raise UsageError(
            "-o - writes one stem and no picture. Leave --picture out, or name a folder with"
            " --output"
        )
    if options.two_stems:
        raise UsageError(
            "-o - writes one stem to standard output, and --two-stems gives two. In its place use "
            f"--stems {options.two_stems}"
        )
    stems = known_outputs(options)
    if len(stems) > 1:
        raise _several(stems)
    if stream.isatty():
        raise UsageError(
            "-o - writes a sound file to standard output, which is a terminal. Pipe it into a "
            "program or a file, e.g. with > stem.wav"
        )


def separate_to_pipe(
    songs: Sequence[LibrarySong],
    options: Options,
    *,
    jobs: int,
    on_event: EventHandler,
    stream: BinaryIO,
) -> BatchReport:
    """Separate one song and write its only stem to ``stream``, once the stem is complete.

    The stem is first written to a temporary file, so its header has the right length, and an error
    leaves the stream empty. Options for file names and existing files have no effect.

    Args:
        songs: one song.
        options: the output is ignored.
        jobs: songs to separate at the same time.
        on_event: called with every event; stems are reported as written to standard output.
        stream: binary standard output.

    Raises:
        UsageError: the model gives several stems, and none was chosen.
        StemError: the song cannot be separated, or the options are invalid.
    """
    with TemporaryDirectory(prefix="stem-", ignore_cleanup_errors=True) as folder:
        staged = replace(options, output=folder, filename="{stem}.{ext}", existing="overwrite")
        report = separate_songs(
            songs,
            staged,
            jobs=jobs,
            on_event=lambda event: on_event(_without_paths(event)),
            open_executor=partial(open_local, kind=_PipeExecutor),
        )
        for track in report.tracks:
            for path in track.outputs.values():
                with Path(path).open("rb") as stem:
                    shutil.copyfileobj(stem, stream, BLOCK)
        stream.flush()
    return report


class _PipeExecutor(LocalExecutor):
    """Separates a song into a single stem, in a temporary folder."""

    def plan_files(self, song: Path, *, folder: Path | None = None) -> PlannedFiles:
        """See :class:`~stemcli.batch.plan.Planner`."""
        planned = super().plan_files(song, folder=folder)
        if len(planned.stems) > 1:
            raise _several(tuple(planned.stems))
        return planned

    def separate(self, task: SongTask, *, replace: bool, steps: StepCallbacks | None) -> TaskResult:
        """See :class:`LocalExecutor`; an error names the variable for the temporary folder."""
        with naming_tmpdir("another temporary folder"):
            return super().separate(task, replace=replace, steps=steps)


def _several(stems: Sequence[str]) -> UsageError:
    listed = f"{', '.join(stems[:-1])} and {stems[-1]}"
    return UsageError(
        f"-o - writes one stem to standard output, and these are {len(stems)}: {listed}. "
        f"Choose one with --stems, e.g. --stems {stems[0]}"
    ).about("output")


def _without_paths(event: Event) -> Event:
    if not isinstance(event, TrackFinished):
        return event
    return replace(event, outputs=dict.fromkeys(event.outputs, SHOWN))
