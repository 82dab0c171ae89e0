"""Songs whose stems are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from trainers.evaluation.judge import Wave, Waves


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
