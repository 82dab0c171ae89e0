"""Separates songs on a Ray cluster: one loop over a pool of actors.

This process plans, keeps the journal, shows events and gives stems their names. Actors read songs
and write stems under temporary names. So the songs of an actor that is lost can be given to another
at any moment. Ray places the actors, and ends those whose node or driver is gone.
"""

from __future__ import annotations

import threading
import time
from bisect import insort
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import ray
from ray.exceptions import RayError

from model_zoo.errors import DeviceError, StemError, StorageError, first_line
from model_zoo.option_names import flags_in_use, option, setting
from stemcli.audio.writer import leftovers
from stemcli.batch.executor import (
    Callbacks,
    Executor,
    StepCallbacks,
    TaskResult,
    WrittenStem,
    open_local,
    publish,
)
from stemcli.batch.plan import SongTask
from stemcli.batch.ray_pool import GONE, ActorPool, PooledActor
from stemcli.batch.ray_worker import Message, SongFailed, SongNotFound, SongRead, StemsWritten
from stemcli.cluster import ray_session
from stemcli.cluster.nodes import WorkerSlot, check_device, find_slots
from stemcli.engine.checks import check_request
from stemcli.engine.events import EventHandler, TrackFinished
from stemcli.engine.members import models_to_load
from stemcli.engine.models import load_model
from stemcli.engine.on_demand import pull_missing
from stemcli.engine.options import Options
from stemcli.engine.planned import PlannedFiles
from stemcli.remote_path import UrlPath, absolute, as_path, is_taken

LOOK = 1.0
"""Seconds between two checks of the nodes of the cluster."""

PUBLISHED = 0.1
"""Seconds between two checks of stems that are being renamed."""

PATIENCE = 90.0
"""Seconds until an actor's files must be visible here; NFS may hide a new file for a minute."""

LOSSES = 2
"""A song fails after this many actors died while it was their only song."""

PUBLISHERS = 32
"""Songs whose stems are renamed at the same time; behind a URL, renaming may be a copy."""


@dataclass(eq=False)
class PendingSong:
    """A song that waits for an actor, or is with one.

    Attributes:
        task: the song and its outputs.
        size: of its file, in bytes.
        steps: the callbacks of the song.
        alone: whether its actor gets no other song beside it.
        losses: actors that died with it alone.
        began: when it was given to its actor.
    """

    task: SongTask
    size: int
    steps: StepCallbacks | None
    alone: bool = False
    losses: int = 0
    began: float = 0.0

    @property
    def rank(self) -> tuple[bool, int]:
        """Songs that need an actor of their own first, then large ones."""
        return not self.alone, -self.size


class InvisibleError(Exception):
    """Raised when stems that an actor wrote cannot be seen on this machine."""


class RemoteError(Exception):
    """The traceback that an actor reported."""


class RayExecutor:
    """Actors on the nodes of a cluster; see :class:`~stemcli.batch.executor.Executor`.

    Args:
        options: what the user chose.
        on_event: receives the events of all nodes.
        jobs: actors that share the cores of a node without GPUs.
    """

    def __init__(self, options: Options, on_event: EventHandler, jobs: int) -> None:
        check_device(options.device)
        check_request(options)
        pull_missing(models_to_load(options), on_event)
        self._options, self._jobs, self._on_event = options, jobs, on_event
        self._models = {name: load_model(name) for name in models_to_load(options)}
        plan_here = replace(options, device="cpu")
        self._planner = open_local(plan_here, None, 1, load=self._models.__getitem__)
        self._queue: list[PendingSong] = []  # by rank
        self._streams: dict[Any, tuple[PendingSong, PooledActor]] = {}
        self._publishing: dict[Future[None], tuple[PendingSong, PooledActor, StemsWritten]] = {}
        self._results: deque[TaskResult] = deque()
        self._unsettled: list[SongTask] = []  # temporary files of these may be left at the end
        self._spent: dict[PooledActor, float] = {}  # seconds of each actor's network
        self._publishers = ThreadPoolExecutor(PUBLISHERS, thread_name_prefix="publisher")
        self._stopping = threading.Event()
        self._closing = ExitStack()
        self._replace = False
        self._next_look = 0.0

    def __enter__(self) -> Self:
        with ExitStack() as closing:
            closing.enter_context(self._planner)
            closing.enter_context(ray_session())
            if self._options.device == "cuda" and not self._find_slots():
                auto, cpu = setting(device="auto"), setting(device="cpu")
                problem = f"The cluster has no GPU. Try: {auto} or {cpu}"
                raise DeviceError(problem).about("device")
            there = replace(self._options, output=str(absolute(as_path(self._options.output))))
            arguments = (there, ray.put(self._models), flags_in_use())
            self._pool = ActorPool(self._find_slots, arguments, self._on_event)
            closing.callback(self._stop)
            self._pool.look()
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.close()

    @property
    def settings(self) -> dict[str, Any]:
        """See :class:`~stemcli.batch.executor.Executor`."""
        return self._planner.settings

    @property
    def network_seconds(self) -> float:
        """See :class:`~stemcli.batch.executor.Executor`; an actor that came late counts fully."""
        return sum(self._spent.values()) / max(1, len(self._spent))

    def plan_files(self, song: Path, *, folder: Path | None = None) -> PlannedFiles:
        """See :class:`~stemcli.batch.plan.Planner`."""
        return self._planner.plan_files(song, folder=folder)

    def run(
        self, tasks: Sequence[SongTask], *, replace: bool, callbacks: Callbacks
    ) -> Generator[TaskResult]:
        """See :class:`~stemcli.batch.executor.Executor`; large songs begin first."""
        songs = [PendingSong(task, _size(task), callbacks(task)) for task in tasks]
        self._queue, self._replace = sorted(songs, key=lambda song: song.rank), replace
        try:
            while self._queue or self._streams or self._publishing:
                self._look()
                self._dispatch()
                self._listen()
                self._collect()
                while self._results:
                    yield self._results.popleft()
        except BaseException:
            self._stop()
            raise

    def _look(self) -> None:
        """Start actors on new slots, and requeue the songs of nodes that are gone."""
        if time.monotonic() < self._next_look:
            return
        for actor in self._pool.look():
            self._lose(actor, GONE)
        self._next_look = time.monotonic() + LOOK

    def _dispatch(self) -> None:
        """Give songs to the actors, to the one with the fewest first."""
        while self._queue:
            song = self._queue[0]
            actor = self._pool.choose(alone=song.alone)
            if actor is None:
                return
            self._queue.pop(0)
            song.began = time.monotonic()
            if song.steps:
                song.steps.on_start()
            separate = actor.handle.separate.options(num_returns="streaming")
            stream = separate.remote(_absolute(song.task), replace=self._replace)
            self._streams[stream] = song, actor
            actor.songs, actor.is_reserved = actor.songs + 1, song.alone

    def _listen(self) -> None:
        """Handle the next message of every actor that has one."""
        timeout = PUBLISHED if self._publishing else LOOK
        waiting = [*self._pool.loading, *self._streams]
        if not waiting:
            time.sleep(timeout)
            return
        if ray.wait(waiting, timeout=timeout)[0]:
            ready, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0)
            for each in ready:
                if each in self._pool.loading:
                    self._pool.add(each)
                elif each in self._streams:  # not if its actor was lost just now
                    self._receive(each)

    def _receive(self, stream: Any) -> None:
        song, actor = self._streams[stream]
        try:
            message: Message = ray.get(next(stream))
        except RayError as error:
            self._lose(actor, first_line(error))
        except StopIteration:
            self._lose(actor, "it has ended")
        else:
            self._handle(stream, song, actor, message)

    def _handle(self, stream: Any, song: PendingSong, actor: PooledActor, message: Message) -> None:
        match message:
            case SongRead():
                if song.steps:
                    song.steps.on_read(message.content)
            case StemsWritten():
                self._release(stream)
                self._spent[actor] = max(message.network_seconds, self._spent.get(actor, 0.0))
                future = self._publishers.submit(self._publish, song, message.stems)
                self._publishing[future] = song, actor, message
            case SongFailed():
                self._release(stream)
                self._fail(song, StemError(message.message), RemoteError(message.trace))
            case SongNotFound() if is_taken(song.task.song.path):
                missing = f"it does not see {song.task.song.path}"
                self._refuse(actor, f"{missing}: mount that folder under the same path")
            case SongNotFound():
                self._release(stream)
                self._fail(song, StemError(f"{song.task.song.path} no longer exists"))
            case event:
                self._on_event(event)

    def _publish(self, song: PendingSong, stems: Sequence[WrittenStem]) -> None:
        """Record complete stems in the journal and rename them, in a thread of its own."""
        here = {absolute(path): path for path in song.task.files}
        paths = [here[made.path] for made in stems]
        made_here = [
            WrittenStem(path.with_name(made.temporary.name), path, made.content)
            for made, path in zip(stems, paths, strict=True)
        ]
        self._await_visible([made.temporary for made in made_here])
        if song.steps and made_here:
            song.steps.on_written(made_here)
        publish(made_here, song.steps)

    def _await_visible(self, files: Sequence[Path]) -> None:
        end = time.monotonic() + PATIENCE
        while not all(file.exists() for file in files):
            if time.monotonic() > end:
                raise InvisibleError(
                    f"what it writes to {files[0].parent} is not there on this machine: mount that "
                    "folder there under the same path"
                )
            if self._stopping.wait(2 * PUBLISHED):
                raise KeyboardInterrupt
            for folder in {file.parent for file in files}:
                with suppress(OSError):
                    next(folder.iterdir(), None)  # which makes NFS ask again

    def _collect(self) -> None:
        """Take the results of songs whose stems have been renamed."""
        for future in [each for each in self._publishing if each.done()]:
            song, actor, made = self._publishing.pop(future)
            try:
                future.result()
            except InvisibleError as error:
                self._refuse(actor, str(error))
                self._requeue(song)
            except Exception as error:
                self._unsettled.append(song.task)
                self._fail(song, error)
            else:
                self._succeed(song.task, made)

    def _succeed(self, task: SongTask, made: StemsWritten) -> None:
        if not made.skipped:
            outputs, picture = task.planned.spelled()
            took = made.wall_seconds
            self._on_event(TrackFinished(task.name, outputs, made.seconds, took, picture))
        self._results.append(TaskResult(task, made.seconds, made.wall_seconds, made.skipped))

    def _fail(
        self, song: PendingSong, error: Exception, cause: BaseException | None = None
    ) -> None:
        error.__cause__ = cause or error.__cause__
        took = time.monotonic() - song.began
        self._results.append(TaskResult(song.task, wall_seconds=took, error=error))

    def _lose(self, actor: PooledActor, reason: str) -> None:
        """Requeue the songs of an actor that no longer responds."""
        self._pool.lose(actor, reason)
        # If only the actor died, the next try shows which of its songs was the reason.
        died = self._pool.is_there(actor.slot)
        for song in self._take_back(actor):
            song.losses, song.alone = song.losses + (song.alone and died), song.alone or died
            if song.losses < LOSSES:
                self._requeue(song)
                continue
            self._fail(
                song,
                StemError(
                    f"{LOSSES} workers died while separating {song.task.song.path} ({reason}). "
                    "If they ran out of memory, use a smaller "
                    f"{option('segment')} or {option('batch_size')}"
                ),
            )

    def _refuse(self, actor: PooledActor, reason: str) -> None:
        """Requeue the songs of an actor that cannot do the work."""
        self._pool.refuse(actor, reason)
        for song in self._take_back(actor):
            self._requeue(song)

    def _take_back(self, actor: PooledActor) -> list[PendingSong]:
        """Return the songs of an actor that is gone, and remove its partial files."""
        taken = [stream for stream, (_, holder) in self._streams.items() if holder is actor]
        songs = [self._release(stream) for stream in taken]
        self._unsettled += [song.task for song in songs]
        for song in songs:
            _clean(song.task)
        return songs

    def _release(self, stream: Any) -> PendingSong:
        song, actor = self._streams.pop(stream)
        actor.songs, actor.is_reserved = actor.songs - 1, False
        return song

    def _requeue(self, song: PendingSong) -> None:
        insort(self._queue, song, key=lambda song: song.rank)

    def _find_slots(self) -> list[WorkerSlot]:
        nodes: Any = ray.nodes
        return find_slots(nodes(), self._options.device, self._jobs)

    def _stop(self) -> None:
        """Stop all work, and remove partial files."""
        self._stopping.set()
        self._publishers.shutdown(cancel_futures=True)
        self._pool.close()
        held = [song for song, _ in self._streams.values()]
        written = [song for song, _, _ in self._publishing.values()]
        for task in (*self._unsettled, *(song.task for song in (*held, *written))):
            _clean(task)


def open_cluster(options: Options, on_event: EventHandler, jobs: int) -> Executor:
    """See :class:`~stemcli.batch.executor.OpenExecutor`."""
    return RayExecutor(options, on_event, jobs)


def _clean(task: SongTask) -> None:
    """Remove partial files of a song, as far as possible."""
    for path in task.files:
        with suppress(OSError, StorageError):
            for file in leftovers(path):
                file.unlink(missing_ok=True)


def _size(task: SongTask) -> int:
    try:
        path = task.song.path
        return path.size if isinstance(path, UrlPath) else path.stat().st_size
    except (OSError, StorageError):
        return 0  # the actor will report the reason


def _absolute(task: SongTask) -> SongTask:
    """Return the task with absolute paths, which are the same in all processes."""
    song = replace(task.song, path=absolute(task.song.path))
    return SongTask(song, task.planned.moved(absolute))
