"""What a dry run found, in words."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from model_zoo.errors import OutputError
from stemcli.cli.console import Console
from stemcli.cli.words import clock, size
from trainers.cli.display import facts
from trainers.cli.figures import percent
from trainers.loop.events import RunStarted
from trainers.loop.rehearsal import Rehearsed

COPIES = 2
"""Checkpoints that lie side by side while one replaces the other."""


def show_rehearsal(started: RunStarted, found: Rehearsed, data: str, console: Console) -> None:
    """Tell programs and people."""
    console.document(found.to_dict() | {"run": started.to_dict()})
    for line in rehearsed_lines(started, found, data):
        console.result(line)


def rehearsed_lines(started: RunStarted, found: Rehearsed, data: str) -> Iterator[str]:
    """A line for everything that somebody wants to know before a long run."""
    yield from facts(started, data)
    share = found.waited / found.seconds_per_step
    yield f"A step: {found.seconds_per_step:.2f} s, {percent(share)} of it waiting for data"
    if found.seconds_per_song is not None:
        yield f"A validation: {found.seconds_per_song:.1f} s a song"
    on_gpu = found.device_memory
    yield f"Memory: {size(found.memory)}" + (f", on the GPU {size(on_gpu)}" if on_gpu else "")
    yield f"A checkpoint: {size(found.checkpoint)}"
    yield f"The whole run: {clock(3600 * found.hours)}, {found.steps:,} steps"


def check_room(output: Path, checkpoint: int) -> None:
    """Refuse a folder on a disk without room for a run.

    Raises:
        OutputError: there is less than checkpoints of ``checkpoint`` bytes need.
    """
    place = next(folder for folder in (output, *output.absolute().parents) if folder.is_dir())
    free, needed = shutil.disk_usage(place).free, COPIES * checkpoint
    if free < needed:
        raise OutputError(
            f"{place} has {size(free)} free and the checkpoints of a run need {size(needed)}. "
            "Type --output with a folder on another disk"
        )
