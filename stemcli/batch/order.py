"""One song in the hands of a worker, seen from the process that handed it out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray

from model_zoo.errors import StemError
from stemcli.batch.executor import Outcome, StepCallbacks, WrittenStem
from stemcli.batch.plan import SongTask
from stemcli.batch.talk import Begun, Complete, Ended, Failed, GivenBack, Said, Stopped, Unseen
from stemcli.engine.events import Event, Listener, TrackStarted
from stemcli.remote_path import absolute, is_taken

LOOK = 1.0
"""Seconds between two looks whether the run was interrupted."""

PATIENCE = 90.0
"""Seconds until what a worker wrote must be visible here; NFS may hide a new file for a minute."""


@dataclass(frozen=True)
class Settled:
    """What became of a song; see :class:`~stemcli.batch.executor.Outcome`."""

    seconds: float
    wall_seconds: float
    skipped: bool


class LostError(Exception):
    """The worker ended by itself, with all of its songs."""


class UnableError(Exception):
    """The worker cannot do the work; no other song will fare better there."""


class BatchOrder:
    """The talk with one worker about one song.

    Args:
        actor: Ray's handle of the worker.
        number: of this order.
        task: the song.
        steps: told what the worker has done, before it goes on; None for no steps.
        tell: told the events of the song.
        is_begun: called when the worker will not give the song back any more.
        is_interrupted: whether to leave everything as it is.
    """

    def __init__(
        self,
        actor: Any,
        number: int,
        task: SongTask,
        *,
        steps: StepCallbacks | None,
        tell: Listener,
        is_begun: Callable[[], None],
        is_interrupted: threading.Event,
    ) -> None:
        self._actor, self._number, self._task = actor, number, task
        self._steps, self._tell, self._is_begun = steps, tell, is_begun
        self._interrupted = is_interrupted
        self._made: tuple[WrittenStem, ...] = ()
        self._seconds = 0.0
        self.network_seconds = 0.0

    def run(self, *, replace: bool) -> Outcome | None:
        """Listen until the worker has ended; None when it gave the song back.

        Raises:
            StemError: why the song cannot be separated.
            UnableError: why this worker cannot do it.
            RayError: the worker is lost.
            LostError: likewise.
            KeyboardInterrupt: the run was interrupted.
        """
        for said in self._listen(replace):
            match said:
                case Begun():
                    assert self._steps
                    self._steps.on_read(said.content)
                    self._go()
                case Complete():
                    self._note(said.stems)
                    self._go()
                case Ended():
                    self.network_seconds = said.network_seconds
                    return Settled(said.seconds, said.wall_seconds, said.skipped)
                case Event():
                    self._pass_on(said)
                case _:
                    _raise(said, self._task.song.path)
                    return None
        return None

    def finish(self) -> Outcome | None:
        """Rename what a worker had only to rename before it was lost; None if that is not all."""
        if not self._made:
            return None
        for made in self._made:
            # The worker may live and rename it at this very moment.
            with suppress(FileNotFoundError):
                if made.content.is_in(made.temporary):
                    made.temporary.replace(made.path)
            if not made.content.is_in(made.path):
                return None
        return Settled(self._seconds, 0.0, skipped=False)

    def _listen(self, replace: bool) -> Iterator[Said]:
        stream = self._actor.separate.options(num_returns="streaming").remote(
            self._number, _absolute(self._task), replace=replace, in_steps=self._steps is not None
        )
        while True:
            ready, _ = ray.wait([stream], timeout=LOOK)
            if self._interrupted.is_set():
                raise KeyboardInterrupt
            if ready:
                yield ray.get(next(stream))

    def _go(self) -> None:
        self._actor.go.remote(self._number)

    def _note(self, stems: tuple[WrittenStem, ...]) -> None:
        """Note complete stems down by the names that they have on this machine."""
        assert self._steps
        here = {absolute(path): path for path in self._task.outputs.values()}
        paths = [here[made.path] for made in stems]
        self._made = tuple(
            WrittenStem(path.with_name(made.temporary.name), path, made.content)
            for made, path in zip(stems, paths, strict=True)
        )
        _require_visible([made.temporary for made in self._made])
        self._steps.on_written(self._made)

    def _pass_on(self, event: Event) -> None:
        if isinstance(event, TrackStarted):
            self._seconds = event.seconds or 0.0
            self._is_begun()
        self._tell(event)


def _raise(said: Said, song: Path) -> None:
    """The exception that a last word stands for; none for a song that was given back."""
    match said:
        case Failed():
            raise StemError(said.message) from DistantError(said.trace)
        case Unseen():
            if not is_taken(song):
                raise StemError(f"There is no file {song} any more.")
            raise UnableError(f"it does not see {song}: mount that folder under the same path")
        case Stopped():
            raise LostError("it had not heard from here for too long")
        case GivenBack():
            return


class DistantError(Exception):
    """The traceback of a worker, in its own words."""


def _require_visible(files: list[Path]) -> None:
    end = time.monotonic() + PATIENCE
    while not all(file.exists() for file in files):
        if time.monotonic() > end:
            raise UnableError(
                f"what it writes to {files[0].parent} is not there on this machine: mount that "
                "folder there under the same path"
            )
        time.sleep(0.2)
        for folder in {file.parent for file in files}:
            with suppress(OSError):
                next(folder.iterdir(), None)  # which makes NFS ask again


def _absolute(task: SongTask) -> SongTask:
    """Paths that do not depend on the folder a process is in."""
    outputs = {stem: absolute(path) for stem, path in task.outputs.items()}
    return SongTask(replace(task.song, path=absolute(task.song.path)), outputs)
