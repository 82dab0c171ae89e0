"""What a worker says of one song to whoever handed it out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

from stemcli.batch.executor import WrittenStem
from stemcli.batch.records import Content
from stemcli.engine.events import Event, Progress, TrackStarted

INTERVAL = 0.5
"""Seconds between two reports of progress."""


@dataclass(frozen=True)
class Begun:
    """The song was read, and nothing written yet; the worker waits for a word to go on."""

    content: Content


@dataclass(frozen=True)
class Complete:
    """All stems lie under temporary names; the worker waits for a word to rename them."""

    stems: tuple[WrittenStem, ...]


@dataclass(frozen=True)
class Ended:
    """All is done.

    Attributes:
        seconds: length of the song.
        wall_seconds: how long it took.
        skipped: whether its stems were there already.
        network_seconds: time for which the worker's network has run so far, over all songs.
    """

    seconds: float
    wall_seconds: float
    skipped: bool
    network_seconds: float


@dataclass(frozen=True)
class Failed:
    """The song cannot be separated: a sentence, and the traceback."""

    message: str
    trace: str


@dataclass(frozen=True)
class Unseen:
    """There is no such file where the worker is."""


@dataclass(frozen=True)
class GivenBack:
    """The worker was called back before it began, and has left nothing behind."""


@dataclass(frozen=True)
class Stopped:
    """The worker stops, with all of its songs."""


Last = Ended | Failed | Unseen | GivenBack | Stopped
Said = Event | Begun | Complete | Last


class CalledBack(BaseException):
    """Ends the work on a song; no handler of its errors may take it for one."""


class Talk:
    """The worker's side: the steps and events of one song become a stream.

    Args:
        is_stopped: whether the worker is to end.
    """

    def __init__(self, is_stopped: Callable[[], bool]) -> None:
        self._is_stopped = is_stopped
        self._said: SimpleQueue[Said] = SimpleQueue()
        self._may_go = threading.Semaphore(0)
        self._turn = threading.Lock()
        self._begun = self._called_back = False
        self._last = 0.0

    def stream(self) -> Iterator[Said]:
        """Everything that is said, as it is said."""
        while True:
            said = self._said.get()
            yield said
            if isinstance(said, Last):
                return

    def say(self, said: Said) -> None:
        """Say something; nothing more is heard after a last word."""
        self._said.put(said)

    def hear(self, event: Event) -> None:
        """An event of the engine.

        Raises:
            CalledBack: the network must not begin.
        """
        if isinstance(event, TrackStarted):
            self._begin()
        if not isinstance(event, Progress) or self._is_due():
            self.say(event)

    def on_read(self, content: Content) -> None:
        """See :class:`~stemcli.batch.executor.StepCallbacks`."""
        self.say(Begun(content))
        self._wait()

    def on_written(self, stems: Sequence[WrittenStem]) -> None:
        """See :class:`~stemcli.batch.executor.StepCallbacks`."""
        self.say(Complete(tuple(stems)))
        self._wait()

    def go(self) -> None:
        """The step was noted down."""
        self._may_go.release()

    def call_back(self) -> None:
        """Give the song back, unless the network has begun."""
        with self._turn:
            if self._begun or self._called_back:
                return
            self._called_back = True
        self.say(GivenBack())

    def _begin(self) -> None:
        with self._turn:
            if self._called_back:
                raise CalledBack
            self._begun = True

    def _wait(self) -> None:
        while not self._may_go.acquire(timeout=INTERVAL):
            if self._is_stopped():
                raise KeyboardInterrupt
            if self._called_back:
                raise CalledBack

    def _is_due(self) -> bool:
        now = time.monotonic()
        due = now - self._last >= INTERVAL
        self._last = now if due else self._last
        return due
