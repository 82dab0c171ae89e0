"""What the engine tells while it works: plain data that a console draws or a program reads.

For one song the order is ``TrackStarted``, then any number of ``Progress`` and ``Notice``, then one
of ``TrackFinished`` and ``TrackFailed``; or a ``TrackSkipped`` alone. A song whose peak a
network has to know tells ``Progress`` of measuring it before it starts.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Stage = Literal["measuring", "separating", "encoding"]


@dataclass(frozen=True)
class Event:
    """Base of all events."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``"event"`` is the class name in snake case."""
        words = re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()
        values = dataclasses.asdict(self).items()
        plain = {key: [*value] if isinstance(value, tuple) else value for key, value in values}
        return {"event": words, **plain}


@dataclass(frozen=True)
class ModelLoaded(Event):
    """A network is in memory.

    Attributes:
        model: its name.
        device: where it runs.
        precision: in which arithmetic.
        reason: why this precision was chosen.
        better: names of models that separate most songs better.
    """

    model: str
    device: str
    precision: str
    reason: str
    better: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrackStarted(Event):
    """A song was opened; ``seconds`` is what its header promises, None when it promises nothing."""

    track: str
    seconds: float | None
    sample_rate: int
    channels: int


@dataclass(frozen=True)
class Progress(Event):
    """``seconds_done`` of the song have left this stage."""

    track: str
    stage: Stage
    seconds_done: float
    seconds_total: float | None


@dataclass(frozen=True)
class Notice(Event):
    """Something the user should know that is not an error."""

    track: str
    message: str


@dataclass(frozen=True)
class TrackFinished(Event):
    """All outputs are in place: stem name to path."""

    track: str
    outputs: dict[str, str]
    audio_seconds: float
    wall_seconds: float


@dataclass(frozen=True)
class TrackSkipped(Event):
    """Nothing was done for this song, and why."""

    track: str
    reason: str


@dataclass(frozen=True)
class TrackFailed(Event):
    """No output was left behind; ``message`` is the sentence of the error that is raised next."""

    track: str
    message: str


EventHandler = Callable[[Event], None]
"""Takes the events of a song, a run or an evaluation as they come."""

Listener = EventHandler
