"""The process that separates songs on a machine of a cluster."""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import NamedTuple

from model_zoo.errors import describe_error
from stemcli.batch.executor import open_local
from stemcli.batch.plan import SongTask
from stemcli.batch.talk import CalledBack, Ended, Failed, Said, Stopped, Talk, Unseen
from stemcli.engine.events import Event, ModelLoaded
from stemcli.engine.models import LoadedModel
from stemcli.engine.options import Options
from stemcli.remote_path import is_taken
from stemcli.version import version

LEASE = 30.0
"""Seconds without a word from whoever hands out the songs, after which a worker ends."""

PATIENCE = 60.0
"""Seconds for songs to end when the worker is stopped; they end with their next chunk."""


class Introduction(NamedTuple):
    """What a worker runs on, and its version of stem."""

    device: str
    precision: str
    version: str


class SeparationActor:
    """Holds the models and separates what it is given, several songs at a time.

    While the network works on one song, the next is opened and the last is finished. Nothing gets
    its final name before the other side has noted it down, so a worker that is cut off never writes
    where another may have taken over its song.

    Args:
        options: with an absolute output folder.
        models: by the names in the options.
    """

    def __init__(self, options: Options, models: Mapping[str, LoadedModel]) -> None:
        self._leaving = ExitStack()
        crew = open_local(options, self._hear, 1, load=models.__getitem__)
        self._crew = self._leaving.enter_context(crew)
        self._talks: dict[int, Talk] = {}
        self._by_track: dict[str, Talk] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._loaded = ModelLoaded("", "", "", "")
        self._stopping = threading.Event()
        self._last_word = time.monotonic()
        threading.Thread(target=self._end_when_forgotten, daemon=True).start()

    def introduce(self) -> Introduction:
        """Load the models and say where they run."""
        _ = self._crew.settings  # which loads them
        return Introduction(self._loaded.device, self._loaded.precision, version())

    def still_there(self) -> None:
        """A word, so that this process goes on."""
        self._last_word = time.monotonic()

    def separate(
        self, number: int, task: SongTask, *, replace: bool, in_steps: bool
    ) -> Iterator[Said]:
        """Separate one song and tell all about it; the last word says how it ended.

        Args:
            number: of this order, for :meth:`go` and :meth:`call_back`.
            task: the song, with absolute paths.
            replace: the stems that exist.
            in_steps: whether somebody notes the steps down and says :meth:`go`.
        """
        self.still_there()
        talk = self._talks[number] = Talk(self._stopping.is_set)
        before = self._threads.get(task.name)
        arguments = (talk, task, replace, in_steps, before)
        thread = threading.Thread(target=self._work, args=arguments, name="song", daemon=True)
        self._threads[task.name] = thread
        thread.start()
        yield from talk.stream()
        del self._talks[number]

    def go(self, number: int) -> None:
        """The step of an order was noted down."""
        self.still_there()
        if number in self._talks:
            self._talks[number].go()

    def call_back(self, number: int) -> None:
        """Give a song back, unless its network has begun."""
        if number in self._talks:
            self._talks[number].call_back()

    def stop(self) -> None:
        """End all songs, which leave nothing behind."""
        self._stopping.set()
        self._crew.interrupt()
        end = time.monotonic() + PATIENCE
        for thread in [*self._threads.values()]:
            thread.join(max(0.0, end - time.monotonic()))
        self._leaving.close()

    def _work(
        self,
        talk: Talk,
        task: SongTask,
        replace: bool,
        in_steps: bool,
        before: threading.Thread | None,
    ) -> None:
        if before:
            before.join()  # the same song, given back earlier, may not have noticed yet
        self._by_track[task.name] = talk
        try:
            talk.say(self._separate(talk, task, replace, in_steps))
        except KeyboardInterrupt:
            talk.say(Stopped())
        except CalledBack:
            pass  # said already
        except BaseException as error:  # whatever it is, the other side must not wait for ever
            talk.say(Failed(describe_error(error), traceback.format_exc()))
        finally:
            if self._threads.get(task.name) is threading.current_thread():
                del self._threads[task.name], self._by_track[task.name]

    def _separate(
        self, talk: Talk, task: SongTask, replace: bool, in_steps: bool
    ) -> Ended | Unseen:
        if not is_taken(task.song.path):
            return Unseen()
        result = self._crew.separate(task, replace=replace, steps=talk if in_steps else None)
        spent = self._crew.network_seconds
        return Ended(result.seconds, result.wall_seconds, result.skipped, spent)

    def _hear(self, event: Event) -> None:
        if isinstance(event, ModelLoaded):
            self._loaded = event
            return
        talk = self._by_track.get(getattr(event, "track", ""))
        if talk:
            talk.hear(event)

    def _end_when_forgotten(self) -> None:
        while time.monotonic() - self._last_word < LEASE:
            time.sleep(1)
        self.stop()
        os._exit(1)
