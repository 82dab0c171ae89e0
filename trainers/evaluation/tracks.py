"""Songs whose stems are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from model_zoo.errors import DecodeError
from trainers.evaluation.judge import Wave, Waves, layout


@dataclass(frozen=True)
class Sound:
    """A song in memory.

    Attributes:
        mixture: the song.
        references: its true stems by name.
        sample_rate: in Hz, of all.
    """

    mixture: Wave
    references: Waves
    sample_rate: int

    def __post_init__(self) -> None:
        """Refuse what cannot be measured.

        Raises:
            DecodeError: there is no true stem, one is not as long and wide as the song, or
                something is NaN or infinite.
        """
        if not self.references:
            raise DecodeError("there are no true stems beside the mixture")
        for name, wave in self.references.items():
            if wave.shape != self.mixture.shape:
                raise DecodeError(
                    f"the true stem {name} has {_size(wave)} and the song {_size(self.mixture)}"
                )
            if not wave.isfinite().all():
                raise DecodeError(f"the true stem {name} holds NaN or infinity")
        if not self.mixture.isfinite().all():
            raise DecodeError("the song holds NaN or infinity")


def _size(wave: Wave) -> str:
    return f"{wave.shape[1]} samples, {layout(wave.shape[0])}"


@runtime_checkable
class Track(Protocol):
    """A song on disk."""

    @property
    def name(self) -> str:
        """Of the song; it may have slashes."""

    @property
    def stamp(self) -> Mapping[str, Any]:
        """What tells this song from one that replaced it, as plain values."""

    def load(self) -> Sound:
        """Read it.

        Raises:
            DecodeError: a file cannot be read, or they do not go together.
        """
