"""Interface of all sources of clips, and the position of a clip in a song.

Clip ``i`` depends only on the seed and ``i``. So a run that resumes in the middle of an epoch, or
has more data loader processes, draws the same clips as an uninterrupted run.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int64
from torch import Tensor
from torch.utils.data import Dataset

from trainers.config import Recipe


@dataclass(frozen=True)
class ClipShape:
    """Length and bandwidth of a clip.

    Attributes:
        length: length in samples.
        lowpass_hz: cut-off frequency of a low-pass filter in Hz; 0 for no filter.
    """

    length: int
    lowpass_hz: float = 0.0


@dataclass(frozen=True)
class ClipPlan:
    """Shapes of all clips of a run: progressive training makes them longer and brighter.

    Attributes:
        clips_per_step: number over all workers.
        stages: clip number at which each stage ends, with its shape.
        last: shape of all later clips.
    """

    clips_per_step: int
    stages: tuple[tuple[int, ClipShape], ...]
    last: ClipShape

    @classmethod
    def of(cls, recipe: Recipe, sample_rate: int, world_size: int = 1) -> ClipPlan:
        """Build the plan of a recipe.

        Args:
            recipe: recipe with the schedule.
            sample_rate: sample rate of the clips, in Hz.
            world_size: number of workers that each draw a batch per step.
        """
        clips_per_step = recipe.loop.batch_size * world_size
        stages = tuple(
            (
                round(stage.until * recipe.schedule.steps) * clips_per_step,
                ClipShape(round(stage.seconds * sample_rate), stage.lowpass_hz),
            )
            for stage in recipe.schedule.stages
        )
        return cls(clips_per_step, stages, ClipShape(round(recipe.data.clip_seconds * sample_rate)))

    def at(self, index: int) -> ClipShape:
        """Return the shape of clip ``index``; all clips of one step have the same."""
        return next((shape for end, shape in self.stages if index < end), self.last)


class Clips(Dataset[tuple[Tensor, Tensor]]):
    """Numbered clips: ``(mixture, stems)``, ``channel time`` and ``stem channel time``, in stereo.

    Attributes:
        stems: names along the axis ``stem``, those of the network.
        epoch: number of clips after which all of the data has been drawn about once.
    """

    stems: tuple[str, ...]
    epoch: int

    @abstractmethod
    def __getitem__(
        self, index: int
    ) -> tuple[Float[Tensor, "channel time"], Float[Tensor, "stem channel time"]]:
        """Return the mixture and the true stems of clip ``index``."""


def numbers(
    first_step: int, steps: int, batch_size: int, rank: int = 0, world_size: int = 1
) -> Iterator[int]:
    """Yield the clip numbers of one worker from ``first_step``.

    A step takes ``world_size * batch_size`` consecutive clips, and each worker its own part of
    them: the same clips for any number of workers.
    """
    for step in range(first_step, steps):
        first = (step * world_size + rank) * batch_size
        yield from range(first, first + batch_size)


ORDER = 1
"""Third word of the seeds of epoch orders; clips use two words, the seed and their number."""


@dataclass(frozen=True)
class ClipPosition:
    """One of the equal segments of a song that clips start in.

    Attributes:
        song: index of the song.
        number: index of the segment.
        count: number of segments of the song.
    """

    song: int
    number: int
    count: int

    def start(self, frames: int, length: int, rng: np.random.Generator) -> int:
        """Draw the start of a clip within the segment, so that the clip fits into the song.

        Start positions are divided evenly among the segments, so that all are equally likely. Clips
        longer than the song start at 0.
        """
        places = max(1, frames - length + 1)
        return min(places - 1, int((self.number + rng.random()) * places / self.count))


@dataclass(frozen=True)
class ClipPositions:
    """All segments of all songs once per epoch, in a new random order for each epoch.

    So long songs are drawn more often than short ones, and a clip number always gives the same
    segment.

    Args:
        counts: number of segments of each song, at least 1.
        seed: seed of all orders.
    """

    counts: tuple[int, ...]
    seed: int

    @classmethod
    def of(cls, frames: tuple[int, ...], length: int, seed: int) -> ClipPositions:
        """Split songs of ``frames`` samples into segments of about ``length`` samples."""
        return cls(tuple(max(1, each // length) for each in frames), seed)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def at(self, index: int) -> ClipPosition:
        """Return the segment of clip ``index``."""
        position = int(self._order(index // len(self))[index % len(self)])
        song = int(np.searchsorted(self._ends, position, side="right"))
        count = self.counts[song]
        return ClipPosition(song, position - int(self._ends[song]) + count, count)

    def anywhere(self, songs: tuple[int, ...], rng: np.random.Generator) -> ClipPosition:
        """Draw a segment of one of ``songs``, all equally likely."""
        ends = np.cumsum([self.counts[song] for song in songs])
        position = int(rng.integers(ends[-1]))
        found = int(np.searchsorted(ends, position, side="right"))
        song = songs[found]
        return ClipPosition(
            song, position - int(ends[found]) + self.counts[song], self.counts[song]
        )

    @cached_property
    def _ends(self) -> Int64[np.ndarray, " song"]:
        return np.cumsum(np.array(self.counts, np.int64))

    def _order(self, epoch: int) -> Int64[np.ndarray, " slot"]:
        """Return the order of an epoch; the last one is cached."""
        if epoch not in self._kept:
            self._kept.clear()
            generator = np.random.default_rng((self.seed, epoch, ORDER))
            self._kept[epoch] = generator.permutation(len(self))
        return self._kept[epoch]

    @cached_property
    def _kept(self) -> dict[int, Int64[np.ndarray, " slot"]]:
        return {}
