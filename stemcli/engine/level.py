"""The level of a song as a whole, which some networks need before the first chunk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model_zoo.grids import Level
from stemcli.engine.overlap_add import Block


@dataclass(frozen=True)
class LevelChange:
    """An affine change of a waveform, ``(wave - offset) / scale``, and its inverse.

    Attributes:
        offset: subtracted from every sample.
        scale: divisor of every sample.
    """

    offset: float = 0.0
    scale: float = 1.0

    def apply(self, mixture: Block) -> Block:
        """The mixture at the level of the network."""
        return (mixture - np.float32(self.offset)) / np.float32(self.scale)

    def undo(self, stems: Block) -> Block:
        """Stems of such a mixture at the level of the song."""
        return stems * np.float32(self.scale) + np.float32(self.offset)


@dataclass(frozen=True)
class SongLevel:
    """Statistics of a whole song.

    Attributes:
        peak: largest absolute sample; 0 if the song is silent.
        mean: of the mean over channels.
        deviation: standard deviation of the mean over channels.
    """

    peak: float = 0.0
    mean: float = 0.0
    deviation: float = 0.0

    def change(self, level: Level) -> LevelChange:
        """The change that brings the song to a level; none for a silent song."""
        if level == "peak":
            return LevelChange(scale=self.peak or 1.0)
        if level == "standard":
            return LevelChange(self.mean, self.deviation or 1.0)
        return LevelChange()


FULL_SCALE = SongLevel(peak=1.0)
"""A song that needs no change of its peak."""


class LevelMeter:
    """Measures a song block by block, with sums in float64."""

    def __init__(self) -> None:
        self._frames = 0
        self._peak = self._sum = self._squares = 0.0

    def add(self, block: Block) -> None:
        """Take the next frames ``(frames, channel)``."""
        mono = block.mean(axis=1, dtype=np.float64)
        self._frames += len(mono)
        self._peak = max(self._peak, float(np.abs(block).max(initial=0.0)))
        self._sum += float(mono.sum())
        self._squares += float(mono @ mono)

    @property
    def level(self) -> SongLevel:
        """The statistics of all frames so far."""
        mean = self._sum / max(1, self._frames)
        variance = self._squares / max(1, self._frames) - mean**2
        return SongLevel(self._peak, mean, max(0.0, variance) ** 0.5)


def measure(song: Block) -> SongLevel:
    """The statistics of a waveform ``(frames, channel)``."""
    meter = LevelMeter()
    meter.add(song)
    return meter.level
