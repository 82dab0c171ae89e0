"""A training job for a cluster: what workers receive, how many there are, and their events."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from model_zoo.errors import UsageError
from stemcli.engine.events import Event
from trainers.config import Recipe

WAIT = 30.0
"""Seconds for machines to come, unless ``--wait`` says otherwise."""


@dataclass(frozen=True)
class WorkerCount:
    """As ``--workers`` says it: the run needs ``least`` and takes up to ``most`` workers."""

    least: int
    most: int

    def __str__(self) -> str:
        return f"{self.least}" if self.least == self.most else f"{self.least}:{self.most}"

    @property
    def is_elastic(self) -> bool:
        """Whether workers may come and go."""
        return self.least < self.most

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``N`` or ``MIN:MAX``.

        Raises:
            UsageError: it is neither, below 1, or begins with the larger number.
        """
        found = re.fullmatch(r"\s*(\d+)\s*(?::\s*(\d+)\s*)?", text, re.ASCII)
        if not found:
            raise UsageError(
                f"--workers {text} is no number of workers. Type a number, such as --workers 4, or "
                "the least and the most, such as --workers 2:8"
            )
        least = int(found[1])
        most = int(found[2] or least)
        if least < 1:
            raise UsageError(f"--workers {text} asks for no worker. Type --workers 1 or more")
        if most < least:
            raise UsageError(
                f"--workers {text} begins with the larger number. Type --workers {most}:{least}"
                if most
                else f"--workers {text} allows no worker. Type --workers {least}"
            )
        return cls(least, most)


@dataclass(frozen=True)
class WorkerGroupEvent(Event):
    """Base of what is told of the workers that train together."""


@dataclass(frozen=True)
class WorkerGroupStarted(WorkerGroupEvent):
    """All workers are there and go on together.

    Attributes:
        attempt: 1, and one more whenever workers were lost or joined.
        hosts: machine of each worker, in the order of their ranks.
    """

    attempt: int
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class WorkerGroupLost(WorkerGroupEvent):
    """Some workers do not answer any more; the others wait until the crew starts anew.

    Attributes:
        ranks: of those that failed first.
        reason: why, in words.
    """

    ranks: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class WorkerGroupAwaited(WorkerGroupEvent):
    """There is no room for the workers yet.

    Attributes:
        room: workers that would find a place now.
        wanted: workers that are needed at least.
    """

    room: int
    wanted: int


@dataclass(frozen=True)
class WorkerGroupStarting(WorkerGroupEvent):
    """There is room, but the workers have not come together for ``seconds``."""

    seconds: int


@dataclass(frozen=True)
class WorkerGroupPaused(WorkerGroupEvent):
    """The run was saved after ``step``, to go on with another number of workers."""

    step: int


@dataclass(frozen=True)
class WorkerGroupFinished(WorkerGroupEvent):
    """The workers ended, and everything they made is where it belongs.

    Attributes:
        finished: whether the run is over; else it was interrupted.
        step: optimizer steps done; 0 before the first.
    """

    finished: bool
    step: int


@dataclass(frozen=True)
class WorkerGroupRestarting(WorkerGroupEvent):
    """A worker meets an error and ends; Ray begins anew. Whoever waits for it need not go on."""


@dataclass(frozen=True)
class WorkerGroupFailed(WorkerGroupEvent):
    """A worker met an error that another try would meet as well.

    Attributes:
        kind: class in :mod:`model_zoo.errors`.
        message: the sentence to show.
    """

    kind: str
    message: str


@dataclass(frozen=True)
class TrainingJob:
    """One run, whoever does it. Where other machines do, its paths are absolute.

    Attributes:
        recipe: what to do.
        data: folder with what is learned from; None for songs made by formula.
        validation: folders with songs to be judged by.
        place: folder of the run.
        origin: model or weights file to start from.
        fsdp: whether each worker holds a part of the network.
    """

    recipe: Recipe
    data: Path | None
    validation: tuple[Path, ...]
    place: Path
    origin: str = ""
    fsdp: bool = False

    @property
    def paths(self) -> list[Path]:
        """What all machines have to see, besides the folder of the run."""
        origin = Path(self.origin)
        files = [origin] if origin.is_absolute() else []
        return [*([self.data] if self.data else []), *self.validation, *files]


@dataclass(frozen=True)
class WorkerAssignment:
    """One start of a run.

    Attributes:
        order: what is asked for.
        name: of this start, unlike any other.
        post: Ray's handle of the :class:`~trainers.cluster.channel.ChannelActor`.
        cores: that each worker computes with.
        version: of this package where the run was started.
    """

    order: TrainingJob
    name: str
    post: Any
    cores: int
    version: str
