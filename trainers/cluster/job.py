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
"""Seconds to wait for machines, unless ``--wait`` says otherwise."""


@dataclass(frozen=True)
class WorkerCount:
    """The value of ``--workers``: a run needs ``least`` workers and takes up to ``most``."""

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
        """Read ``N`` or ``MIN:MAX``.

        Raises:
            UsageError: it is neither, below 1, or begins with the larger number.
        """
        found = re.fullmatch(r"\s*(\d+)\s*(?::\s*(\d+)\s*)?", text, re.ASCII)
        if not found:
            raise UsageError(
                f"--workers {text} is not a number of workers. Use a number, such as --workers 4, "
                "or the least and the most, such as --workers 2:8"
            )
        least = int(found[1])
        most = int(found[2] or least)
        if least < 1:
            raise UsageError(f"--workers {text} asks for no worker. Use --workers 1 or more")
        if most < least:
            raise UsageError(
                f"--workers {text} begins with the larger number. Try: --workers {most}:{least}"
                if most
                else f"--workers {text} allows no worker. Try: --workers {least}"
            )
        return cls(least, most)


@dataclass(frozen=True)
class WorkerGroupEvent(Event):
    """Base of the events about the group of workers that train together."""


@dataclass(frozen=True)
class WorkerGroupStarted(WorkerGroupEvent):
    """All workers are up and start from the last checkpoint.

    Attributes:
        attempt: 1, and one more after each loss or change of the number of workers.
        hosts: machine of each worker, in the order of their ranks.
    """

    attempt: int
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class WorkerGroupLost(WorkerGroupEvent):
    """Some workers were lost; Ray ends the others and starts a new group.

    Attributes:
        ranks: of the workers that failed first.
        reason: why, in words.
    """

    ranks: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class WorkerGroupAwaited(WorkerGroupEvent):
    """The cluster has too few free resources for the workers.

    Attributes:
        room: workers that would fit now.
        wanted: workers that are needed at least.
    """

    room: int
    wanted: int


@dataclass(frozen=True)
class WorkerGroupStarting(WorkerGroupEvent):
    """The cluster has room, but the workers have been starting for ``seconds``."""

    seconds: int


@dataclass(frozen=True)
class WorkerGroupPaused(WorkerGroupEvent):
    """The run was saved after ``step`` and resumes with another number of workers."""

    step: int


@dataclass(frozen=True)
class WorkerGroupFinished(WorkerGroupEvent):
    """The workers ended, and their files are stored.

    Attributes:
        finished: whether the run is complete; otherwise it was interrupted.
        step: optimizer steps done; 0 before the first.
    """

    finished: bool
    step: int


@dataclass(frozen=True)
class WorkerGroupRestarting(WorkerGroupEvent):
    """A worker ends with an error after which Ray starts a new group; not shown to users."""


@dataclass(frozen=True)
class WorkerGroupFailed(WorkerGroupEvent):
    """A worker met an error that would come again in another attempt.

    Attributes:
        kind: class in :mod:`model_zoo.errors`.
        message: the sentence to show.
    """

    kind: str
    message: str


@dataclass(frozen=True)
class TrainingJob:
    """One training run, wherever it is computed. On a cluster its paths are absolute.

    Attributes:
        recipe: of the run.
        data: folder with the training data; None for the synthetic songs.
        validation: folders with songs to validate with.
        output: folder of the run.
        origin: model or weights file to start from.
        fsdp: whether each worker holds a part of the network.
    """

    recipe: Recipe
    data: Path | None
    validation: tuple[Path, ...]
    output: Path
    origin: str = ""
    fsdp: bool = False

    @property
    def paths(self) -> list[Path]:
        """Files and folders that every machine must see, besides the folder of the run."""
        origin = Path(self.origin)
        files = [origin] if origin.is_absolute() else []
        return [*([self.data] if self.data else []), *self.validation, *files]


@dataclass(frozen=True)
class WorkerAssignment:
    """What every worker of a run receives.

    Attributes:
        job: the training run.
        name: of this launch of the run, unlike any other.
        channel: Ray's handle of the :class:`~trainers.cluster.channel.ChannelActor`.
        cores: that each worker computes with.
        version: of this package on the machine that launched the run.
    """

    job: TrainingJob
    name: str
    channel: Any
    cores: int
    version: str
