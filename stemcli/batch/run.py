"""Separate many songs with one set of loaded models; a bad song does not stop the others."""

from __future__ import annotations

import json
import os
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from stemcli.batch.content import UNREADABLE, Content
from stemcli.batch.events import BatchFinished, BatchStarted
from stemcli.batch.journal import Journal
from stemcli.batch.plan import Planner, Task, once, plan, refuse_existing
from stemcli.batch.report import BatchReport, TrackReport
from stemcli.batch.report import Outcome as Ended
from stemcli.batch.resume import EXIST, Verdict, judge, recover
from stemcli.batch.sentences import sentence
from stemcli.batch.tidy import no_empty_folders
from stemcli.batch.walk import Song
from stemcli.engine.delivery import Ready
from stemcli.engine.events import Event, Listener, TrackFailed, TrackSkipped
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
    def wall_seconds(self) -> float:
        """How long it took, without waiting for a free network."""

    @property
    def skipped(self) -> bool:
        """Whether its stems were there already."""


class Separates(Planner, Protocol):
    """The part of a :class:`~stemcli.engine.session.Session` that a run needs."""

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides what the stems sound like, as plain values."""

    @property
    def network_seconds(self) -> float:
        """Time for which networks have run so far, over all jobs."""

    def separate_file(
        self, song: Path, *, folder: Path | None, replace: bool, ready: Ready
    ) -> Outcome:
        """Separate one song; all of its stems appear, or none."""


OpenSession = Callable[[Options, Listener, int], Separates]

AT_THE_ENDS = 2
"""Songs beside those whose networks run: one is being opened, one is being finished."""


def open_session(options: Options, listener: Listener, jobs: int) -> Separates:
    """The real engine, imported only when a run begins."""
    from stemcli.engine.session import Session

    return Session(options, listener, jobs=jobs)


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
    retries: int = 0,
    journal: Journal | None = None,
    on_event: Listener,
    open_session: OpenSession = open_session,
) -> BatchReport:
    """Separate ``songs`` and report what became of each.

    While the network is busy with one song, the next is opened and the last is encoded.

    Args:
        songs: what to separate and where it is mirrored.
        options: the same for all songs.
        jobs: songs whose networks run at the same time.
        retries: how often songs that failed are tried again when all others are done.
        journal: of the output folder; what it knows as done is not done again.
        on_event: told what happens, in the thread where it happens.
        open_session: makes the engine.

    Raises:
        StemError: nothing was begun, because models, options or outputs are wrong.
        KeyboardInterrupt: songs that were being worked on leave nothing behind.
        Exception: what ``on_event`` raised, to the same effect.
    """
    run = _Run(on_event, journal, jobs)
    run.session = open_session(options, run.listen, jobs)
    songs = once(songs)
    tasks = plan(songs, run.session, options)
    verdicts = run.judge(tasks, options)
    run.tell(_started(verdicts, passed=len(songs) - len(tasks)))
    began = time.monotonic()
    with no_empty_folders(path for task in tasks for path in task.outputs.values()):
        tracks = run.all(verdicts)
        for _ in range(retries):
            tracks = run.failed_again(verdicts, tracks)
    busy = run.session.network_seconds / jobs
    report = BatchReport(tuple(tracks), time.monotonic() - began, busy)
    run.tell(BatchFinished(report.to_dict()))
    return report


def _started(verdicts: Sequence[Verdict], passed: int) -> BatchStarted:
    skipped = Counter(verdict.skip for verdict in verdicts if verdict.skip)
    again = Counter(verdict.again for verdict in verdicts if verdict.again)
    return BatchStarted(len(verdicts), passed, dict(skipped), dict(again))


class _Run:
    session: Separates

    def __init__(self, on_event: Listener, journal: Journal | None, jobs: int) -> None:
        self.on_event, self.journal, self.jobs = on_event, journal, jobs
        self.replace = False
        self.settings = ""
        self.stop = threading.Event()

    def judge(self, tasks: Sequence[Task], options: Options) -> list[Verdict]:
        """What is to be done about each song; with a journal, what it owns may be replaced."""
        refuses = options.existing == "refuse"
        if self.journal is None:
            if refuses:
                refuse_existing(path for task in tasks for path in task.outputs.values())
            return [Verdict(task) for task in tasks]
        self.replace, self.settings = refuses, json.dumps(self.session.settings, sort_keys=True)
        recover(self.journal)
        return judge(tasks, self.journal, self.settings, options)

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

    def all(self, verdicts: Sequence[Verdict]) -> list[TrackReport]:
        """What became of every song, in order.

        An interrupt reaches the songs with their next event; they end before it is raised here.
        """
        with ThreadPoolExecutor(self.jobs + AT_THE_ENDS, thread_name_prefix="song") as pool:
            futures = [pool.submit(self.one, verdict) for verdict in verdicts]
            try:
                return [future.result() for future in futures]
            except BaseException:
                self.stop.set()
                pool.shutdown(cancel_futures=True)
                raise

    def failed_again(
        self, verdicts: Sequence[Verdict], tracks: Sequence[TrackReport]
    ) -> list[TrackReport]:
        """Try those that failed once more; the new reports take the places of the old ones."""
        pairs = [*zip(verdicts, tracks, strict=True)]
        retried = iter(self.all([found for found, track in pairs if track.outcome == "failed"]))
        return [next(retried) if track.outcome == "failed" else track for track in tracks]

    def one(self, verdict: Verdict) -> TrackReport:
        """Separate one song, unless nothing is to be done, and say what became of it."""
        task = verdict.task
        if verdict.skip:
            self.tell(TrackSkipped(task.name, verdict.skip))
            return _report(task, "skipped", verdict.skip, task.outputs)
        began = time.monotonic()
        try:
            result = self._separate(task)
        except Exception as error:
            message = sentence(error)
            if self.journal:  # first, lest one that cannot be written be named twice
                self.journal.failed(task.name, message)
            self.tell(TrackFailed(task.name, message))
            trace, took = traceback.format_exc(), time.monotonic() - began
            return _report(task, "failed", message, wall_seconds=took, trace=trace)
        if result.skipped:
            return _report(task, "skipped", EXIST, result.outputs)
        took = result.wall_seconds
        if self.journal:
            self.journal.done(task.name, result.seconds, took)
        return _report(
            task, "done", "", result.outputs, audio_seconds=result.seconds, wall_seconds=took
        )

    def _separate(self, task: Task) -> Outcome:
        ready: Ready = lambda files: None  # noqa: E731 - a listener that has nothing to do
        if self.journal:
            self._begin(task, self.journal)
            ready = partial(_note_ready, self.journal, task.name)
        song = task.song
        return self.session.separate_file(
            song.path, folder=song.folder, replace=self.replace, ready=ready
        )

    def _begin(self, task: Task, journal: Journal) -> None:
        song = task.song.path
        try:
            content = Content.of(song)
        except OSError:
            content = UNREADABLE  # the engine will say why
        source = Path(os.path.realpath(song))
        journal.begin(task.name, source, content, self.settings, task.outputs.values())


def _note_ready(journal: Journal, place: str, files: Mapping[str, tuple[Path, Path]]) -> None:
    journal.ready(
        place,
        [(made, path, Content.of(made, synced=True)) for made, path in files.values()],
    )


def _report(
    task: Task,
    outcome: Ended,
    message: str,
    outputs: Mapping[str, Path] | None = None,
    **measured: Any,
) -> TrackReport:
    paths = {stem: str(path) for stem, path in (outputs or {}).items()}
    return TrackReport(str(task.song.path), outcome, message, paths, **measured)
