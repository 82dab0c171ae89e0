"""What an evaluation tells while it goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stemcli.engine.events import Event


@dataclass(frozen=True)
class LeftOut(Event):
    """Something in one of two folders has no counterpart in the other.

    Attributes:
        what: the song or the stem.
        why: what it lacks.
    """

    what: str
    why: str

    def __str__(self) -> str:
        return f"Note: {self.what} {self.why} and is left out."


@dataclass(frozen=True)
class EvaluationStarted(Event):
    """Songs and methods are known.

    Attributes:
        songs: how many.
        methods: their names.
        kept: scores of earlier runs, of a song by a method each, that still hold.
    """

    songs: int
    methods: tuple[str, ...]
    kept: int


@dataclass(frozen=True)
class Separating(Event):
    """A method begins to take a song apart.

    Attributes:
        song: its name.
        method: its name.
    """

    song: str
    method: str


@dataclass(frozen=True)
class ScoringStarted(Event):
    """A method took a song apart, and the estimates are being measured.

    Attributes:
        song: its name.
        method: its name.
        seconds: that the method needed.
    """

    song: str
    method: str
    seconds: float


@dataclass(frozen=True)
class TrackScored(Event):
    """A song by a method has its scores.

    Attributes:
        song: its name.
        method: its name.
        sdr: median over windows of BSSEval's SDR in dB, by stem; None where no window has one.
        global_sdr: in dB, by stem; None where the stem is silent.
    """

    song: str
    method: str
    sdr: Mapping[str, float | None] = field(default_factory=dict)
    global_sdr: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class ScoringFailed(Event):
    """A song has no scores by a method.

    Attributes:
        song: its name.
        method: its name.
        message: why.
        trace: where, for whoever repairs it.
    """

    song: str
    method: str
    message: str
    trace: str = field(default="", repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the traceback."""
        return {key: value for key, value in super().to_dict().items() if key != "trace"}

    def __str__(self) -> str:
        return f"{self.song} by {self.method} has no scores: {self.message}"
