"""Events of the engine: plain data that a console draws or a program reads.

For one song the order is ``TrackStarted``, then any number of ``Progress`` and ``Notice``, then one
of ``TrackFinished`` and ``TrackFailed``; or a single ``TrackSkipped``. If a network needs the peak
of the song, ``Progress`` events of the stage ``measuring`` come before ``TrackStarted``, and if the
song is downloaded, ``DownloadProgress`` events come first.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass, field
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
    """A network was loaded.

    Attributes:
        model: name of the model.
        device: where the network runs.
        precision: numeric precision of the network.
        reason: why this precision was chosen.
        better: names of models that separate most songs better.
        backend: library that computes the network.
        backend_reason: why this engine was chosen.
    """

    model: str
    device: str
    precision: str
    reason: str
    better: tuple[str, ...] = ()
    backend: str = "torch"
    backend_reason: str = ""


@dataclass(frozen=True)
class DownloadProgress(Event):
    """Part of a song or a model was downloaded; ``bytes_total`` is None if no server states it."""

    track: str
    bytes_done: int
    bytes_total: int | None


@dataclass(frozen=True)
class TrackStarted(Event):
    """A song was opened; ``seconds`` is the length in its header, None if the header has none."""

    track: str
    seconds: float | None
    sample_rate: int
    channels: int


@dataclass(frozen=True)
class Progress(Event):
    """A stage has processed ``seconds_done`` of the song."""

    track: str
    stage: Stage
    seconds_done: float
    seconds_total: float | None


@dataclass(frozen=True)
class Notice(Event):
    """Information for the user that is not an error."""

    track: str
    message: str


@dataclass(frozen=True)
class TrackFinished(Event):
    """All outputs of a song were written.

    Attributes:
        track: name of the song.
        outputs: stem name to path.
        audio_seconds: length of the song.
        wall_seconds: time it took.
        picture: path of the picture; None if none was asked for.
    """

    track: str
    outputs: dict[str, str] = field(hash=False)
    audio_seconds: float
    wall_seconds: float
    picture: str | None = None


@dataclass(frozen=True)
class TrackSkipped(Event):
    """A song was skipped, and why."""

    track: str
    reason: str


@dataclass(frozen=True)
class TrackFailed(Event):
    """A song failed and left no output; ``message`` is the text of the error that follows."""

    track: str
    message: str


EventHandler = Callable[[Event], None]
"""Takes the events of a song, a run or an evaluation as they come."""
