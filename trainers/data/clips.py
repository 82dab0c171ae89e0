"""What every set of training clips gives: numbered clips, whoever asks for them and whenever.

Clip ``i`` depends on the seed and ``i`` alone. So a run that is resumed in the middle of an epoch,
or that has more helper processes, draws the clips of the run that nothing interrupted.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from trainers.config import Recipe


@dataclass(frozen=True)
class ClipShape:
    """How a clip is cut.

    Attributes:
        length: in samples.
        highest_hz: frequency above which all sound is removed, in Hz; 0 removes nothing.
    """

    length: int
    highest_hz: float = 0.0


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
                ClipShape(round(stage.seconds * sample_rate), stage.highest_hz),
            )
            for stage in recipe.schedule.stages
        )
        return cls(clips_per_step, stages, ClipShape(round(recipe.data.seconds * sample_rate)))

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
