"""Events of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stemcli.engine.events import Event


@dataclass(frozen=True)
class LeftOut(Event):
    """A song or stem exists in only one of two folders.

    Attributes:
        what: the song or stem.
        why: reason.
    """

    what: str
    why: str

    def __str__(self) -> str:
        return f"Note: {self.what} {self.why} and is skipped."


@dataclass(frozen=True)
class EvaluationStarted(Event):
    """The evaluation starts.

    Attributes:
        songs: number of songs.
        methods: names of the methods.
        kept: valid scores of earlier runs, counted by song and method.
    """

    songs: int
    methods: tuple[str, ...]
    kept: int


@dataclass(frozen=True)
class Separating(Event):
    """A method starts to separate a song.

    Attributes:
        song: name of the song.
        method: name of the method.
    """

    song: str
    method: str


@dataclass(frozen=True)
class ScoringStarted(Event):
    """A method has separated a song, and scoring starts.

    Attributes:
        song: name of the song.
        method: name of the method.
        seconds: duration of the separation.
    """

    song: str
    method: str
    seconds: float


@dataclass(frozen=True)
class TrackScored(Event):
    """A song was scored.

    Attributes:
        song: name of the song.
        method: name of the method.
        sdr: median over windows of BSSEval's SDR in dB, by stem; None if no window has one.
        global_sdr: global SDR in dB, by stem; None if the stem is silent.
    """

    song: str
    method: str
    sdr: Mapping[str, float | None] = field(default_factory=dict)
    global_sdr: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class ScoringFailed(Event):
    """A song could not be scored.

    Attributes:
        song: name of the song.
        method: name of the method.
        message: reason.
        trace: traceback.
    """

    song: str
    method: str
    message: str
    trace: str = field(default="", repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without the traceback."""
        return {key: value for key, value in super().to_dict().items() if key != "trace"}

    def __str__(self) -> str:
        method = f" by {self.method}" if self.method != self.song else ""
        return f"Could not score {self.song}{method}: {self.message}"
