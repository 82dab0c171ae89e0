"""The contract of every place that a run is written down in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

Clip = Float[np.ndarray, "channel time"]
Picture = UInt8[np.ndarray, "height width 3"]


@runtime_checkable
class Logbook(Protocol):
    """A place that a run is written down in; it takes what it has a use for.

    Names have parts, joined by ``/``; what has the same first part belongs together. Sound and
    pictures belong to a song. Steps never go back. A logbook that is opened for a run that goes on
    after ``first_step`` forgets what it holds of later steps: those are done once more.
    """

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a step; NaN and infinity are numbers too."""

    def audio(self, step: int, song: str, name: str, wave: Clip, sample_rate: int) -> None:
        """Sound between -1 and 1, at ``sample_rate`` in Hz."""

    def picture(self, step: int, song: str, name: str, picture: Picture) -> None:
        """Red, green and blue."""

    def text(self, step: int, name: str, markdown: str) -> None:
        """Words in Markdown."""

    def close(self) -> None:
        """Write what is still waiting."""


def heading(song: str, name: str) -> str:
    """Under what name a page shows something of a song.

    Pages sort their sections by the alphabet; with the first word, songs of all names come behind
    the losses and the scores, and all together.
    """
    return f"song {song.replace('/', '_')}/{name}"
