"""Calls of a session: where their events go, how one is interrupted, and how one is awaited."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from model_zoo.errors import UsageError
from stemcli.engine.arguments import as_folder, as_name, check_song
from stemcli.engine.events import Event, EventHandler, TrackFinished
from stemcli.engine.inputs import Song, is_file_object, is_url_text, name_of
from stemcli.engine.outputs import Ready
from stemcli.engine.planned import PlannedFiles

T = TypeVar("T")


@dataclass(frozen=True)
class FileRequest:
    """The arguments of :meth:`~stemcli.engine.session.Session.separate_file`."""

    song: Song
    name: str
    folder: Path | None
    replace: bool
    ready: Ready
    track: str
    planned: PlannedFiles | None = None


def file_request(
    song: Song,
    name: str | os.PathLike[str],
    folder: str | os.PathLike[str] | None,
    replace: bool,
) -> FileRequest:
    """Check the arguments of a call before any work.

    Raises:
        UsageError: one of them cannot be used.
    """
    check_song(song)
    called, where = as_name(name), as_folder(folder)
    if called and not is_file_object(song) and not is_url_text(song):
        raise UsageError(
            "name is for file objects and URLs, and a file has a name. Leave it out, or choose the "
            "paths of the stems with filename"
        )
    track = str(where / name_of(song, called))
    return FileRequest(song, called, where, replace, lambda files: None, track)


@dataclass(eq=False)
class Call:
    """One song in progress.

    Attributes:
        deliver: receives its events.
        interrupted: when set, the song ends with its next event.
    """

    deliver: EventHandler
    interrupted: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raise KeyboardInterrupt if the call was interrupted."""
        if self.interrupted.is_set():
            raise KeyboardInterrupt

    def emit(self, event: Event) -> None:
        """Send an event; raise KeyboardInterrupt if the call was interrupted.

        The end of a song is sent nevertheless, because its stems have their names already.
        """
        if not isinstance(event, TrackFinished):
            self.check()
        self.deliver(event)


class CallInterruptedError(Exception):
    """The session was interrupted; asyncio would stop the whole loop for a KeyboardInterrupt."""


async def run_in_thread(
    threads: ThreadPoolExecutor, work: Callable[[Call], T], on_event: EventHandler | None
) -> T:
    """Run ``work`` in a thread, without blocking the event loop.

    A cancellation interrupts the work and is raised when the work has ended and cleaned up.

    Args:
        threads: where the work runs.
        work: receives its call.
        on_event: called with every event in the thread of the event loop. If it raises, the work
            is interrupted and the exception is raised here.

    Raises:
        asyncio.CancelledError: the task was cancelled, or the session interrupted.
        BaseException: raised by ``work`` or ``on_event``.
    """
    loop = asyncio.get_running_loop()
    failures: list[Exception] = []
    interrupted = threading.Event()

    def receive(event: Event) -> None:
        if on_event is None or failures:
            return
        try:
            on_event(event)
        except Exception as error:
            failures.append(error)
            interrupted.set()

    def deliver(event: Event) -> None:
        loop.call_soon_threadsafe(receive, event)

    future = threads.submit(_without_interrupts, work, Call(deliver, interrupted))
    done = asyncio.wrap_future(future)
    try:
        await asyncio.wait({done})
    except asyncio.CancelledError:
        interrupted.set()
        future.cancel()
        await _end_of(done)
        raise
    if failures:
        done.exception()
        raise failures[0]
    try:
        return done.result()
    except CallInterruptedError:
        raise asyncio.CancelledError from None


def _without_interrupts(work: Callable[[Call], T], call: Call) -> T:
    try:
        return work(call)
    except KeyboardInterrupt:
        raise CallInterruptedError from None


async def _end_of(done: asyncio.Future[T]) -> None:
    """Wait for the end of the work, however often the task is cancelled meanwhile."""
    while not done.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({done})
    if not done.cancelled():
        done.exception()
