"""Events of a run over many songs, in addition to those of each song."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stemcli.engine.events import Event


@dataclass(frozen=True)
class BatchStarted(Event):
    """All songs are found and all outputs planned; nothing was separated yet.

    Attributes:
        songs: how many there are.
        passed: files that a walk met and that are stems of those songs, from an earlier run.
        skipped: songs of which nothing is left to do, by the reason why.
        again: songs that are done once more, by the reason why.
    """

    songs: int
    passed: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    again: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchFinished(Event):
    """Every song is done, skipped or failed; ``report`` is the report as plain values."""

    report: dict[str, Any]


@dataclass(frozen=True)
class WorkerJoined(Event):
    """A machine of the cluster works from now on."""

    worker: str
    device: str
    precision: str


@dataclass(frozen=True)
class WorkerLost(Event):
    """A worker does not answer any more; its songs are given to others."""

    worker: str
    reason: str


@dataclass(frozen=True)
class WorkerRefused(Event):
    """A machine of the cluster cannot do the work, and gets none."""

    worker: str
    reason: str


@dataclass(frozen=True)
class WorkersAwaited(Event):
    """Nobody works yet: there are no ``slots``, or other programs hold their cores or GPUs."""

    slots: int
