"""Separates many songs with one set of loaded models; a failed song does not stop the others."""

from __future__ import annotations

import json
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model_zoo.errors import describe_error
from stemcli.batch.executor import (
    Executor,
    OpenExecutor,
    StepCallbacks,
    TaskResult,
    WrittenStem,
    open_local,
)
from stemcli.batch.journal import Journal
from stemcli.batch.library import LibrarySong
from stemcli.batch.plan import SongTask, no_empty_folders, once, plan, refuse_existing
from stemcli.batch.records import UNREAD, Content
from stemcli.batch.report import (
    BatchFinished,
    BatchReport,
    BatchStarted,
    Outcome,
    TrackReport,
)
from stemcli.batch.resume import EXIST, ResumeDecision, decide, recover, without_journal
from stemcli.engine.events import (
    Event,
    EventHandler,
    Notice,
    TrackFailed,
    TrackFinished,
    TrackSkipped,
)
from stemcli.engine.options import Options
from stemcli.remote_path import is_there, real


class _HandlerError(BaseException):
    """The event handler raised; a BaseException, so that it does not count as a failed song."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


@contextmanager
def _unwrap_handler_errors() -> Iterator[None]:
    try:
        yield
    except _HandlerError as failure:
        raise failure.error from None


@_unwrap_handler_errors()
def separate_songs(
    songs: Iterable[LibrarySong],
    options: Options,
    *,
    jobs: int = 1,
    retries: int = 0,
    journal: Journal | None = None,
    on_event: EventHandler,
    open_executor: OpenExecutor = open_local,
) -> BatchReport:
    """Separate ``songs`` and report the result of each.

    While the network runs on one song, the next is decoded and the previous one is encoded.

    Args:
        songs: the songs, with their sub-folders of the output.
        options: the same for all songs.
        jobs: songs to separate at the same time.
        retries: how many times failed songs are retried at the end.
        journal: of the output folder; songs that it records as done are skipped.
        on_event: called with every event, in the thread where it happens.
        open_executor: opens the executor that separates songs.

    Raises:
        StemError: no song was separated, because models, options or outputs are wrong.
        ClusterError: no machine of the cluster can do the work.
        KeyboardInterrupt: the run was interrupted; songs in progress leave no files.
        Exception: raised by ``on_event``; songs in progress leave no files.
    """
    run = _BatchRun(on_event, journal)
    songs = once(songs)
    with open_executor(options, run.forward, jobs) as run.executor:
        tasks = plan(songs, run.executor, options)
        run.tasks = {task.name: task for task in tasks}
        decisions = run.decide(tasks, options)
        run.emit(_started(decisions, passed=len(songs) - len(tasks)))
        began = time.monotonic()
        with no_empty_folders(path for task in tasks for path in task.files):
            tracks = run.separate(decisions)
            for _ in range(retries):
                tracks = run.retry_failed(decisions, tracks)
        busy, took = run.executor.network_seconds, time.monotonic() - began
    report = BatchReport(tuple(tracks), took, busy)
    run.emit(BatchFinished(report.to_dict()))
    return report


def _started(decisions: Sequence[ResumeDecision], passed: int) -> BatchStarted:
    skipped = Counter(decision.skip for decision in decisions if decision.skip)
    again = Counter(decision.again for decision in decisions if decision.again)
    return BatchStarted(len(decisions), passed, dict(skipped), dict(again))


class _BatchRun:
    executor: Executor

    def __init__(self, on_event: EventHandler, journal: Journal | None) -> None:
        self.on_event, self.journal = on_event, journal
        self.replace = False
        self.settings = ""
        self.tasks: dict[str, SongTask] = {}
        self.notices: dict[str, list[str]] = {}
        self.earlier: dict[str, dict[Path, Content]] = {}

    def decide(self, tasks: Sequence[SongTask], options: Options) -> list[ResumeDecision]:
        """Decide about each song; with a journal, stems that it records may be replaced."""
        refuses = options.existing == "refuse"
        if self.journal is None:
            if refuses:
                # A song that does not exist is reported as such.
                songs = [task for task in tasks if task.song.url or is_there(task.song.path)]
                refuse_existing(path for task in songs for path in task.files)
            return [without_journal(task, options) for task in tasks]
        self.replace, self.settings = refuses, json.dumps(self.executor.settings, sort_keys=True)
        recover(self.journal)
        return decide(tasks, self.journal, self.settings, options)

    def forward(self, event: Event) -> None:
        """Forward events of the engine, except failures, which :meth:`_fail` reports.

        A worker may write stems to another path and copy them; events name the planned paths.
        """
        if isinstance(event, Notice):
            self.notices.setdefault(event.track, []).append(event.message)
        if isinstance(event, TrackFinished):
            outputs, picture = self.tasks[event.track].planned.spelled()
            event = replace(event, outputs=outputs, picture=picture)
        if not isinstance(event, TrackFailed):
            self.emit(event)

    def emit(self, event: Event) -> None:
        """Send an event. If the handler fails, abort the whole run, not just this song."""
        try:
            self.on_event(event)
        except Exception as error:
            raise _HandlerError(error) from error

    def separate(self, decisions: Sequence[ResumeDecision]) -> list[TrackReport]:
        """Separate the songs that need it; returns the reports of all songs, in order.

        After an interrupt, the songs in progress end before it is raised here.
        """
        skipped = [decision for decision in decisions if decision.skip]
        reports = {each.task.name: self._skip(each.task, each.skip) for each in skipped}
        tasks = [decision.task for decision in decisions if not decision.skip]
        run = self.executor.run(tasks, replace=self.replace, callbacks=self._callbacks)
        try:
            with closing(run) as results:
                for result in results:
                    reports[result.task.name] = self._finish(result)
        except (KeyboardInterrupt, SystemExit, _HandlerError):
            for name in [*self.earlier]:
                self._restore(name)
            raise
        return [reports[decision.task.name] for decision in decisions]

    def retry_failed(
        self, decisions: Sequence[ResumeDecision], tracks: Sequence[TrackReport]
    ) -> list[TrackReport]:
        """Retry failed songs; the new reports replace the old ones."""
        pairs = [*zip(decisions, tracks, strict=True)]
        retried = iter(
            self.separate([found for found, track in pairs if track.outcome == "failed"])
        )
        return [next(retried) if track.outcome == "failed" else track for track in tracks]

    def _skip(self, task: SongTask, reason: str) -> TrackReport:
        self.emit(TrackSkipped(task.name, reason))
        return _report(task, "skipped", reason)

    def _finish(self, result: TaskResult) -> TrackReport:
        """Record the result of a song."""
        task, took = result.task, result.wall_seconds
        if result.error:
            return self._fail(task, result.error, took)
        if result.skipped:
            return _report(task, "skipped", EXIST)
        self.earlier.pop(task.name, None)
        if self.journal:
            self.journal.done(task.name, result.seconds, took)
        measured = {"audio_seconds": result.seconds, "wall_seconds": took}
        return self._report(task, "done", "", **measured)

    def _fail(self, task: SongTask, error: Exception, took: float) -> TrackReport:
        message = describe_error(error)
        if self.journal:  # first, so that a journal error is not reported twice
            self._restore(task.name)
            self.journal.failed(task.name, message)
        self.emit(TrackFailed(task.name, message))
        trace = "".join(traceback.format_exception(error))
        return self._report(task, "failed", message, wall_seconds=took, trace=trace)

    def _restore(self, name: str) -> None:
        """Record the older files again that stayed because the new ones could not replace them."""
        earlier = self.earlier.pop(name, {})
        if self.journal and earlier and (entry := self.journal.find(name)):
            lost = [file for file in entry.latest if not file.is_whole and not file.is_waiting]
            if lost:  # files that wait under temporary names are renamed by the next run
                rows = [(file.path, file.path, earlier.get(file.path, UNREAD)) for file in lost]
                self.journal.record(name, rows, "begun")

    def _report(self, task: SongTask, *what: Any, **measured: Any) -> TrackReport:
        """Return the report of a song, with its notices."""
        return _report(task, *what, **measured, notices=tuple(self.notices.pop(task.name, ())))

    def _callbacks(self, task: SongTask) -> StepCallbacks | None:
        return (
            _JournalCallbacks(task, self.settings, self.journal, self.earlier)
            if self.journal
            else None
        )


@dataclass(frozen=True)
class _JournalCallbacks:
    """Records the steps of one song in the journal.

    Attributes:
        task: the song.
        settings: everything that determines the sound of the stems, as JSON.
        journal: of the run.
        earlier: receives the recorded content of the files that the song is about to replace.
    """

    task: SongTask
    settings: str
    journal: Journal
    earlier: dict[str, dict[Path, Content]]

    def on_start(self) -> None:
        task, source = self.task, real(self.task.song.path)
        self.journal.begin(task.name, source, UNREAD, self.settings, task.files)

    def on_read(self, content: Content) -> None:
        self.journal.read(self.task.name, content)

    def on_written(self, stems: Sequence[WrittenStem]) -> bool:
        name = self.task.name
        if name not in self.earlier and (entry := self.journal.find(name)):
            outputs = entry.outputs.items()
            self.earlier[name] = {path: file.content or UNREAD for path, file in outputs}
        self.journal.ready(name, stems)
        return False


def _report(task: SongTask, outcome: Outcome, message: str, **measured: Any) -> TrackReport:
    outputs, picture = task.planned.spelled() if outcome != "failed" else ({}, None)
    return TrackReport(task.song.shown, outcome, message, outputs, picture=picture, **measured)
