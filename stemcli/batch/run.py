"""Separate many songs with one set of loaded models; a bad song does not stop the others."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from stemcli.batch.events import BatchFinished, BatchStarted
from stemcli.batch.plan import Planner, Task, once, plan
from stemcli.batch.report import BatchReport, TrackReport
from stemcli.batch.sentences import sentence
from stemcli.batch.tidy import no_empty_folders
from stemcli.batch.walk import Song
from stemcli.engine.events import Event, Listener, TrackFailed
from stemcli.engine.options import Options


class Outcome(Protocol):
    """The part of the engine's result that a report is made of."""

    @property
    def outputs(self) -> dict[str, Path]:
        """Stem name to path."""

    @property
    def seconds(self) -> float:
        """Length of the song."""

    @property
    def skipped(self) -> bool:
        """Whether its stems were there already."""


class Separates(Planner, Protocol):
    """The part of a :class:`~stemcli.engine.session.Session` that a run needs."""

    def separate_file(self, song: Path, *, folder: Path | None = None) -> Outcome:
        """Separate one song; all of its stems appear, or none."""


OpenSession = Callable[[Options, Listener], Separates]


def open_session(options: Options, listener: Listener) -> Separates:
    """The real engine, imported only when a run begins."""
    from stemcli.engine.session import Session

    return Session(options, listener)


class _NobodyListens(BaseException):
    """The listener raised; no handler of errors of a song may take it for one."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


@contextmanager
def _raising_what_listeners_raise() -> Iterator[None]:
    try:
        yield
    except _NobodyListens as deaf:
        raise deaf.error from None


@_raising_what_listeners_raise()
def separate_songs(
    songs: Iterable[Song],
    options: Options,
    *,
    jobs: int = 1,
    on_event: Listener,
    open_session: OpenSession = open_session,
) -> BatchReport:
    """Separate ``songs`` and report what became of each.

    Args:
        songs: what to separate and where it is mirrored.
        options: the same for all songs.
        jobs: songs that are worked on at the same time, all with the same loaded models.
        on_event: told what happens, in the thread where it happens.
        open_session: makes the engine.

    Raises:
        StemError: nothing was begun, because models, options or outputs are wrong.
        KeyboardInterrupt: songs that were being worked on leave nothing behind.
        Exception: what ``on_event`` raised, to the same effect.
    """
    run = _Run(on_event)
    run.session = open_session(options, run.listen)
    songs = once(songs)
    tasks = plan(songs, run.session, options)
    run.tell(BatchStarted(len(tasks), passed=len(songs) - len(tasks)))
    began = time.monotonic()
    with no_empty_folders(path for task in tasks for path in task.outputs.values()):
        tracks = run.all_in_turn(tasks) if jobs == 1 else run.all_in_threads(tasks, jobs)
    report = BatchReport(tuple(tracks), time.monotonic() - began)
    run.tell(BatchFinished(report.to_dict()))
    return report


class _Run:
    session: Separates

    def __init__(self, on_event: Listener) -> None:
        self.on_event = on_event
        self.stop = threading.Event()

    def listen(self, event: Event) -> None:
        """Pass the engine's events on; failures are told once, when they have arrived here."""
        if self.stop.is_set():
            raise KeyboardInterrupt
        if not isinstance(event, TrackFailed):
            self.tell(event)

    def tell(self, event: Event) -> None:
        """Tell; that nobody can be told any more is the fault of no song, so it ends the run."""
        try:
            self.on_event(event)
        except Exception as error:
            raise _NobodyListens(error) from error

    def all_in_turn(self, tasks: Sequence[Task]) -> list[TrackReport]:
        return [self.one(task) for task in tasks]

    def all_in_threads(self, tasks: Sequence[Task], jobs: int) -> list[TrackReport]:
        """An interrupt reaches the workers with the next event of their song."""
        with ThreadPoolExecutor(jobs, thread_name_prefix="song") as pool:
            futures = [pool.submit(self.one, task) for task in tasks]
            try:
                return [future.result() for future in futures]
            except BaseException:
                self.stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def one(self, task: Task) -> TrackReport:
        song, began = str(task.song.path), time.monotonic()
        try:
            result = self.session.separate_file(task.song.path, folder=task.song.folder)
        except Exception as error:
            message = sentence(error)
            self.tell(TrackFailed(task.name, message))
            took = time.monotonic() - began
            return TrackReport(song, "failed", message, {}, 0.0, took, traceback.format_exc())
        took = time.monotonic() - began
        outputs = {stem: str(path) for stem, path in result.outputs.items()}
        if result.skipped:
            return TrackReport(song, "skipped", "its stems exist", outputs, 0.0, took)
        return TrackReport(song, "done", "", outputs, result.seconds, took)
