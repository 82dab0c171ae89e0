"""Executors: the interface that separates the songs of a run, and the one for this machine."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self
from uuid import uuid4

from model_zoo.errors import OutputError
from stemcli.audio.writer import beside
from stemcli.batch.library import fetched
from stemcli.batch.plan import Planner, SongTask
from stemcli.batch.records import Content
from stemcli.engine.events import DownloadProgress, Event, EventHandler
from stemcli.engine.options import Options
from stemcli.engine.outputs import Ready
from stemcli.engine.planned import PlannedFiles
from stemcli.engine.publish import StagedFiles, publish_files
from stemcli.process import finished
from stemcli.remote_path import UrlPath, as_path

if TYPE_CHECKING:
    from stemcli.engine.models import LoadedModel
    from stemcli.engine.song import Result

AT_THE_ENDS = 2
"""Songs beside those whose networks run: one is being opened, one is being encoded."""


class WrittenStem(NamedTuple):
    """A complete stem that has only to be renamed."""

    temporary: Path
    path: Path
    content: Content


class StepCallbacks(Protocol):
    """Called at each step of a song; the work continues when the call returns."""

    def on_start(self) -> None:
        """The song is about to be read; nothing is written yet."""

    def on_read(self, content: Content) -> None:
        """The file of the song was read."""

    def on_written(self, stems: Sequence[WrittenStem]) -> bool:
        """All stems are on the disk under temporary names.

        Returns:
            Whether the callee renames them, so that the caller must not.
        """


@dataclass(frozen=True)
class TaskResult:
    """The end of one song.

    Attributes:
        task: the song and its outputs.
        seconds: length of the song.
        wall_seconds: time it took; if it succeeded, without waiting for a free network.
        skipped: whether its stems were there already.
        error: why there are no stems; None if there are.
    """

    task: SongTask
    seconds: float = 0.0
    wall_seconds: float = 0.0
    skipped: bool = False
    error: Exception | None = None


Callbacks = Callable[[SongTask], StepCallbacks | None]
"""Returns the callbacks of a song; None if no hashes of its files are needed."""


class Executor(Planner, Protocol):
    """Separates many songs.

    A context manager: at its end nothing is left running.
    """

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that determines the sound of the stems, as plain values."""

    @property
    def network_seconds(self) -> float:
        """Time in forward passes so far, averaged over the jobs."""

    def run(
        self, tasks: Sequence[SongTask], *, replace: bool, callbacks: Callbacks
    ) -> Generator[TaskResult]:
        """Separate songs and yield each result as soon as it is available.

        All stems of a song appear, or none. If the generator is closed or raises, songs in progress
        leave nothing behind.

        Args:
            tasks: the songs and the paths of their stems.
            replace: whether existing stems are replaced, regardless of the options.
            callbacks: called for every song; what they return may be called in any thread.

        Raises:
            ClusterError: no machine can do the work.
            BaseException: what an event handler or a callback raised, if it is not an Exception.
        """

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


OpenExecutor = Callable[[Options, EventHandler, int], Executor]
"""Opens an executor from options, an event handler and the number of jobs."""


class SessionLike(Planner, Protocol):
    """The part of a :class:`~stemcli.engine.session.Session` that an executor needs."""

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that determines the sound of the stems, as plain values."""

    @property
    def network_seconds(self) -> float:
        """Time in forward passes so far, over all jobs."""

    def separate_file(
        self,
        song: Path,
        *,
        planned: PlannedFiles,
        track: str,
        replace: bool,
        ready: Ready,
    ) -> Result:
        """Separate one song; all of its stems appear, or none."""

    def emit(self, event: Event) -> None:
        """Send an event to the handler of the session."""

    def interrupt(self) -> None:
        """Songs in progress raise KeyboardInterrupt at their next event."""


class LocalExecutor:
    """Threads of this process; songs at URLs are downloaded to a temporary folder.

    Args:
        session: the engine.
        jobs: songs whose networks it runs at the same time.
    """

    def __init__(self, session: SessionLike, jobs: int) -> None:
        self.session, self.jobs = session, jobs
        self._threads = jobs + AT_THE_ENDS
        self._end: BaseException | None = None  # what ended the run early
        self._interrupted = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing has to be released."""

    @property
    def settings(self) -> dict[str, Any]:
        """See :class:`Executor`."""
        return self.session.settings

    @property
    def network_seconds(self) -> float:
        """See :class:`Executor`."""
        return self.session.network_seconds / self.jobs

    def plan_files(self, song: Path, *, folder: Path | None = None) -> PlannedFiles:
        """See :class:`~stemcli.batch.plan.Planner`."""
        return self.session.plan_files(song, folder=folder)

    def run(
        self, tasks: Sequence[SongTask], *, replace: bool, callbacks: Callbacks
    ) -> Generator[TaskResult]:
        """See :class:`Executor`; songs begin in their order."""
        with ThreadPoolExecutor(self._threads, thread_name_prefix="song") as pool:
            # No list of them is kept: errors hold the frames, and so the arrays, of their songs.
            futures = (pool.submit(self._try, task, replace, callbacks) for task in tasks)
            try:
                for future in finished(futures):
                    yield future.result()
            except BaseException as error:
                self._stop(error)
                pool.shutdown(cancel_futures=True)
                raise (self._end or error) from None

    def separate(self, task: SongTask, *, replace: bool, steps: StepCallbacks | None) -> TaskResult:
        """Separate one song; all of its stems appear, or none.

        Args:
            task: the song and the paths of its stems.
            replace: whether existing stems are replaced, regardless of the options.
            steps: called at each step.

        Raises:
            StemError: whatever was wrong with the song.
        """
        song = task.song
        if steps:
            steps.on_start()
            steps.on_read(Content.of_readable(song.path))
        with fetched(song, self._interrupted, partial(self._on_download, task.name)) as file:
            made = self.session.separate_file(
                file,
                planned=self._here(task),
                track=task.name,
                replace=replace,
                ready=self._ready(task, steps),
            )
        return TaskResult(task, made.seconds, made.wall_seconds, made.skipped)

    def interrupt(self) -> None:
        """Make songs that are being separated raise KeyboardInterrupt and leave nothing behind."""
        self._interrupted.set()
        self.session.interrupt()

    def _try(self, task: SongTask, replace: bool, callbacks: Callbacks) -> TaskResult:
        """Separate one song; anything worse than an error of this song stops all others."""
        if self._end:
            raise self._end
        began = time.monotonic()
        try:
            return self.separate(task, replace=replace, steps=callbacks(task))
        except Exception as error:
            return TaskResult(task, wall_seconds=time.monotonic() - began, error=error)
        except BaseException as error:
            self._stop(error)
            raise

    def _stop(self, error: BaseException) -> None:
        self._end = self._end or error
        self.interrupt()

    def _on_download(self, track: str, done: int, total: int | None) -> None:
        self.session.emit(DownloadProgress(track, done, total))

    def _here(self, task: SongTask) -> PlannedFiles:
        """The files that the engine writes."""
        return task.planned

    def _ready(self, task: SongTask, steps: StepCallbacks | None) -> Ready:
        return partial(_tell_complete, steps) if steps else lambda files: None


class StagedExecutor(LocalExecutor):
    """Writes stems to a temporary folder and uploads them to a URL.

    Args:
        session: the engine, which writes into ``stage``.
        jobs: songs whose networks it runs at the same time.
        stage: path of the temporary folder, which exists from the first song to the end.
        target: URL of the output folder.
    """

    def __init__(self, session: SessionLike, jobs: int, stage: Path, target: Path) -> None:
        super().__init__(session, jobs)
        self._stage, self._target = stage, target

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self._stage, ignore_errors=True)

    def plan_files(self, song: Path, *, folder: Path | None = None) -> PlannedFiles:
        """See :class:`~stemcli.batch.plan.Planner`."""
        return self.session.plan_files(song, folder=folder).moved(self._target_of)

    def separate(self, task: SongTask, *, replace: bool, steps: StepCallbacks | None) -> TaskResult:
        """See :class:`LocalExecutor`; nothing of the song stays in the temporary folder."""
        self._stage.mkdir(mode=0o700, exist_ok=True)
        try:
            with naming_tmpdir(f"another temporary folder than {self._stage.parent}"):
                return super().separate(task, replace=replace, steps=steps)
        finally:
            for path in self._here(task).files:
                path.unlink(missing_ok=True)

    def _here(self, task: SongTask) -> PlannedFiles:
        return task.planned.moved(self._staged)

    def _staged(self, path: Path) -> Path:
        return self._stage / path.relative_to(self._target)

    def _ready(self, task: SongTask, steps: StepCallbacks | None) -> Ready:
        return partial(_carry, self._target_of, steps)

    def _target_of(self, staged: Path) -> Path:
        return self._target / staged.relative_to(self._stage)


def open_local(
    options: Options,
    on_event: EventHandler | None,
    jobs: int,
    *,
    load: Callable[[str], LoadedModel] | None = None,
    kind: type[LocalExecutor] | None = None,
) -> LocalExecutor:
    """Open the engine in this process, which is imported only here.

    Args:
        options: what the user chose.
        on_event: receives the events.
        jobs: songs whose networks run at the same time.
        load: loads a model by name; the zoo by default.
        kind: the executor for stems on this machine; :class:`LocalExecutor` by default.
    """
    from stemcli.engine.models import load_model
    from stemcli.engine.session import Session

    load = load or load_model
    target = as_path(options.output)
    if not isinstance(target, UrlPath):
        local = replace(options, output=str(target))
        return (kind or LocalExecutor)(Session(local, on_event, jobs=jobs, load=load), jobs)
    stage = Path(gettempdir()) / f"stem-{uuid4().hex}"
    # The temporary folder belongs to this run, so nothing in it has to be kept.
    staged = replace(options, output=str(stage), existing="overwrite")
    return StagedExecutor(Session(staged, on_event, jobs=jobs, load=load), jobs, stage, target)


@contextmanager
def naming_tmpdir(another: str) -> Iterator[None]:
    """Add to errors of writing that TMPDIR chooses ``another`` temporary folder."""
    try:
        yield
    except OutputError as error:
        if "set TMPDIR" in str(error):
            raise
        raise OutputError(f"{error}. To use {another}, set TMPDIR") from error


def publish(stems: Sequence[WrittenStem], steps: StepCallbacks | None) -> None:
    """Give complete stems their names; all of them, or none. After an error they are removed.

    Args:
        stems: under temporary names, and noted down already.
        steps: called again for stems behind URLs, whose size and time change when renamed.

    Raises:
        OutputError: a folder cannot be written.
        StorageError: a URL cannot be reached.
    """
    try:
        publish_files([(made.temporary, made.path) for made in stems])
    except BaseException:
        for made in stems:
            made.temporary.unlink(missing_ok=True)
        raise
    behind_urls = [made.path for made in stems if isinstance(made.path, UrlPath)]
    if steps and behind_urls:
        steps.on_written([WrittenStem(path, path, Content.of(path)) for path in behind_urls])


def _carry(
    target_of: Callable[[Path], Path], steps: StepCallbacks | None, files: StagedFiles
) -> None:
    """Upload complete stems under temporary names, and rename them there."""
    carried: list[WrittenStem] = []
    try:
        for made, path in files:
            target = target_of(path)
            temporary = beside(target)
            carried.append(WrittenStem(temporary, target, Content.of(made)))
            assert isinstance(temporary, UrlPath)
            temporary.store(made)
        if steps and steps.on_written(carried):
            return
    except BaseException:
        for stored in carried:
            stored.temporary.unlink(missing_ok=True)
        raise
    publish(carried, steps)


def _tell_complete(steps: StepCallbacks, files: StagedFiles) -> bool:
    written = [WrittenStem(made, path, Content.of(made, synced=True)) for made, path in files]
    return steps.on_written(written)
