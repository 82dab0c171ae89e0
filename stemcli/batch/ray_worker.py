"""The Ray actor that separates songs on a node of a cluster, and the messages that it yields."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import NamedTuple

from model_zoo.errors import StorageError, describe_error
from model_zoo.option_names import use_flags
from stemcli.batch.executor import WrittenStem, open_local
from stemcli.batch.plan import SongTask
from stemcli.batch.records import Content
from stemcli.engine.events import (
    DownloadProgress,
    Event,
    ModelLoaded,
    Progress,
    TrackFinished,
)
from stemcli.engine.models import LoadedModel
from stemcli.engine.options import Options
from stemcli.remote_path import is_taken
from stemcli.version import version

INTERVAL = 0.5
"""Seconds between two reports of a song's progress."""

GRACE = 10.0
"""Seconds for songs to end when the actor is stopped; they end with their next chunk."""


@dataclass(frozen=True)
class SongRead:
    """The file of the song was read."""

    content: Content


@dataclass(frozen=True)
class StemsWritten:
    """The song is done: all stems lie under temporary names, and the driver renames them.

    Attributes:
        stems: none if the song was skipped.
        seconds: length of the song.
        wall_seconds: how long it took.
        skipped: whether its stems were there already.
        network_seconds: time for which the actor's network has run so far, over all songs.
    """

    stems: tuple[WrittenStem, ...]
    seconds: float
    wall_seconds: float
    skipped: bool
    network_seconds: float


@dataclass(frozen=True)
class SongFailed:
    """The song cannot be separated: a sentence, and the traceback."""

    message: str
    trace: str


@dataclass(frozen=True)
class SongNotFound:
    """The node of the actor does not have the file."""


Message = Event | SongRead | StemsWritten | SongFailed | SongNotFound


class ActorInfo(NamedTuple):
    """What an actor runs on, and its version of stem."""

    device: str
    precision: str
    version: str


class SeparationActor:
    """Holds the models and separates several songs at a time.

    While the network works on one song, the next is opened and the last is finished. Stems keep
    temporary names: the driver alone gives them their final names. So an actor that is cut off from
    it never overwrites the stems of the actor that took over its song.

    Args:
        options: with an absolute output folder.
        models: by the names in the options.
        origins: of values from settings, as :func:`~model_zoo.option_names.flags_in_use` returns
            them on the machine of the driver; None if messages name fields.
    """

    def __init__(
        self,
        options: Options,
        models: Mapping[str, LoadedModel],
        origins: Mapping[str, str] | None = None,
    ) -> None:
        use_flags(origins)
        self._closing = ExitStack()
        executor = open_local(options, self._on_event, 1, load=models.__getitem__)
        self._executor = self._closing.enter_context(executor)
        self._streams: dict[str, _SongStream] = {}  # by track
        self._threads: set[threading.Thread] = set()
        self._loaded = ModelLoaded("", "", "", "")

    def load(self) -> ActorInfo:
        """Load the models."""
        _ = self._executor.settings  # which loads them
        return ActorInfo(self._loaded.device, self._loaded.precision, version())

    def separate(self, task: SongTask, *, replace: bool) -> Iterator[Message]:
        """Separate one song and yield all that happens, at last the result.

        A stream without a result belongs to an actor that was stopped.

        Args:
            task: the song, with absolute paths.
            replace: the stems that exist.
        """
        stream = self._streams[task.name] = _SongStream()
        arguments = (stream, task, replace)
        thread = threading.Thread(target=self._work, args=arguments, name="song", daemon=True)
        self._threads.add(thread)
        thread.start()
        while message := stream.messages.get():
            yield message
        self._threads.discard(thread)

    def stop(self) -> None:
        """Interrupt all songs and remove their partial files."""
        self._executor.interrupt()
        end = time.monotonic() + GRACE
        for thread in [*self._threads]:
            thread.join(max(0.0, end - time.monotonic()))
        self._closing.close()

    def _work(self, stream: _SongStream, task: SongTask, replace: bool) -> None:
        try:
            stream.messages.put(self._separate(stream, task, replace))
        except KeyboardInterrupt:
            stream.discard()
        except BaseException as error:  # whatever it is, the driver must not wait for ever
            stream.discard()
            stream.messages.put(SongFailed(describe_error(error), traceback.format_exc()))
        finally:
            del self._streams[task.name]
            stream.messages.put(None)

    def _separate(
        self, stream: _SongStream, task: SongTask, replace: bool
    ) -> StemsWritten | SongNotFound:
        if not is_taken(task.song.path):
            return SongNotFound()
        made = self._executor.separate(task, replace=replace, steps=stream)
        spent = self._executor.network_seconds
        return StemsWritten(stream.stems, made.seconds, made.wall_seconds, made.skipped, spent)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, ModelLoaded):
            self._loaded = event
            return
        stream = self._streams.get(getattr(event, "track", ""))
        if stream:
            stream.on_event(event)


class _SongStream:
    """Turns the callbacks and events of one song into a queue of messages, with None at its end."""

    def __init__(self) -> None:
        self.messages: SimpleQueue[Message | None] = SimpleQueue()
        self.stems: tuple[WrittenStem, ...] = ()
        self._last = 0.0

    def on_event(self, event: Event) -> None:
        """Pass an event on, unless it comes too soon, or before the stems have their names."""
        is_progress = isinstance(event, (DownloadProgress, Progress))
        if isinstance(event, TrackFinished) or (is_progress and not self._is_due()):
            return
        self.messages.put(event)

    def on_start(self) -> None:
        """See :class:`~stemcli.batch.executor.StepCallbacks`; the driver knows when it starts."""

    def on_read(self, content: Content) -> None:
        """See :class:`~stemcli.batch.executor.StepCallbacks`."""
        self.messages.put(SongRead(content))

    def on_written(self, stems: Sequence[WrittenStem]) -> bool:
        """See :class:`~stemcli.batch.executor.StepCallbacks`; the driver renames the stems."""
        self.stems = tuple(stems)
        return True

    def discard(self) -> None:
        """Remove complete stems that nobody will rename."""
        with suppress(OSError, StorageError):
            for made in self.stems:
                made.temporary.unlink(missing_ok=True)

    def _is_due(self) -> bool:
        now = time.monotonic()
        due = now - self._last >= INTERVAL
        self._last = now if due else self._last
        return due
