"""What a run on a cluster tells besides what the loop tells."""

from __future__ import annotations

from dataclasses import dataclass

from stemcli.engine.events import Event


@dataclass(frozen=True)
class CrewEvent(Event):
    """Base of what is told of the workers that train together."""


@dataclass(frozen=True)
class CrewStarted(CrewEvent):
    """All workers are there and go on together.

    Attributes:
        attempt: 1, and one more whenever workers were lost or joined.
        hosts: machine of each worker, in the order of their ranks.
    """

    attempt: int
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class CrewLost(CrewEvent):
    """Some workers do not answer any more; the others wait until the crew starts anew.

    Attributes:
        ranks: of those that failed first.
        reason: why, in words.
    """

    ranks: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class CrewAwaited(CrewEvent):
    """There is no room for the workers yet.

    Attributes:
        room: workers that would find a place now.
        wanted: workers that are needed at least.
    """

    room: int
    wanted: int


@dataclass(frozen=True)
class CrewStarting(CrewEvent):
    """There is room, but the workers have not come together for ``seconds``."""

    seconds: int


@dataclass(frozen=True)
class CrewPaused(CrewEvent):
    """The run was saved after ``step``, to go on with another number of workers."""

    step: int


@dataclass(frozen=True)
class CrewLeft(CrewEvent):
    """The workers ended, and everything they made is where it belongs.

    Attributes:
        finished: whether the run is over; else it was interrupted.
        step: optimizer steps done; 0 before the first.
    """

    finished: bool
    step: int


@dataclass(frozen=True)
class CrewBroken(CrewEvent):
    """A worker meets an error and ends; Ray begins anew. Whoever waits for it need not go on."""


@dataclass(frozen=True)
class CrewFailed(CrewEvent):
    """A worker met an error that another try would meet as well.

    Attributes:
        kind: class in :mod:`model_zoo.errors`.
        message: the sentence to show.
    """

    kind: str
    message: str
