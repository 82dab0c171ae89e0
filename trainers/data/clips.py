"""The contract of everything that gives clips, and the position of a clip in a song.

Clip ``i`` depends on the seed and ``i`` alone. So a run that is resumed in the middle of an epoch,
or that has more helper processes, draws the clips of the run that nothing interrupted.
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
    """How a clip is cut.

    Attributes:
        length: in samples.
        lowpass_hz: frequency above which all sound is removed, in Hz; 0 removes nothing.
    """

    length: int
    lowpass_hz: float = 0.0


@dataclass(frozen=True)
class ClipPlan:
    """The shape of every clip of a run: progressive training makes them longer and brighter.

    Attributes:
        clips_per_step: over all workers.
        stages: number of the clip at which each stage ends, with its shape.
        last: shape of all others.
    """

    clips_per_step: int
    stages: tuple[tuple[int, ClipShape], ...]
    last: ClipShape

    @classmethod
    def of(cls, recipe: Recipe, sample_rate: int, world_size: int = 1) -> ClipPlan:
        """The plan of a recipe.

        Args:
            recipe: whose schedule has the stages.
            sample_rate: of the clips, in Hz.
            world_size: workers that each draw a batch per step.
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
        """The shape of clip ``index``; all clips of one step have the same."""
        return next((shape for end, shape in self.stages if index < end), self.last)


class Clips(Dataset[tuple[Tensor, Tensor]]):
    """Numbered clips: ``(mixture, stems)``, ``channel time`` and ``stem channel time``, in stereo.

    Attributes:
        stems: names along the axis ``stem``, those of the network.
        epoch: clips after which every second of the data was drawn about once.
    """

    stems: tuple[str, ...]
    epoch: int

    @abstractmethod
    def __getitem__(
        self, index: int
    ) -> tuple[Float[Tensor, "channel time"], Float[Tensor, "stem channel time"]]:
        """The mixture and the true stems of clip ``index``."""


def numbers(
    first_step: int, steps: int, batch_size: int, rank: int = 0, world_size: int = 1
) -> Iterator[int]:
    """Numbers of the clips that one worker draws from ``first_step`` on.

    A step takes ``world_size * batch_size`` clips in a row, each worker its own part of them: the
    same clips whatever the number of workers that share them.
    """
    for step in range(first_step, steps):
        first = (step * world_size + rank) * batch_size
        yield from range(first, first + batch_size)


ORDER = 1
"""Third word of the seed of an epoch's order: clips are drawn by two words, the seed and theirs."""


@dataclass(frozen=True)
class ClipPosition:
    """One of the equal parts of a song that clips start in.

    Attributes:
        song: number of the song.
        number: of the part.
        count: parts of the song.
    """

    song: int
    number: int
    count: int

    def start(self, frames: int, length: int, rng: np.random.Generator) -> int:
        """Where a clip begins: anywhere in the part, so that it lies within the song.

        The places at which a clip can begin are shared out evenly, so that none is drawn more
        often than another. A song shorter than the clip begins at 0.
        """
        places = max(1, frames - length + 1)
        return min(places - 1, int((self.number + rng.random()) * places / self.count))


@dataclass(frozen=True)
class ClipPositions:
    """Every part of every song once per epoch, in an order that each epoch draws anew.

    So long songs are drawn more often than short ones, and whoever asks for the clip of a number
    finds the same one.

    Attributes:
        counts: of parts of each song, 1 at least.
        seed: start of all orders.
    """

    counts: tuple[int, ...]
    seed: int

    @classmethod
    def of(cls, frames: tuple[int, ...], length: int, seed: int) -> ClipPositions:
        """Parts about as long as a clip of ``length`` samples, for songs of ``frames`` each."""
        return cls(tuple(max(1, each // length) for each in frames), seed)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def at(self, index: int) -> ClipPosition:
        """The slot of clip ``index``."""
        place = int(self._order(index // len(self))[index % len(self)])
        song = int(np.searchsorted(self._ends, place, side="right"))
        count = self.counts[song]
        return ClipPosition(song, place - int(self._ends[song]) + count, count)

    def anywhere(self, songs: tuple[int, ...], rng: np.random.Generator) -> ClipPosition:
        """A random slot of one of ``songs``, each as likely as any other of theirs."""
        ends = np.cumsum([self.counts[song] for song in songs])
        place = int(rng.integers(ends[-1]))
        found = int(np.searchsorted(ends, place, side="right"))
        song = songs[found]
        return ClipPosition(song, place - int(ends[found]) + self.counts[song], self.counts[song])

    @cached_property
    def _ends(self) -> Int64[np.ndarray, " song"]:
        return np.cumsum(np.array(self.counts, np.int64))

    def _order(self, epoch: int) -> Int64[np.ndarray, " slot"]:
        """The order of an epoch; the last one is kept."""
        if epoch not in self._kept:
            self._kept.clear()
            generator = np.random.default_rng((self.seed, epoch, ORDER))
            self._kept[epoch] = generator.permutation(len(self))
        return self._kept[epoch]

    @cached_property
    def _kept(self) -> dict[int, Int64[np.ndarray, " slot"]]:
        return {}
