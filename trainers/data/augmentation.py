"""How one clip is varied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trainers.config import AugmentationRecipe
from trainers.data.recording import Clip


@dataclass(frozen=True)
class Variation:
    """One clip's share of the variations of a recipe."""

    @classmethod
    def draw(cls, recipe: AugmentationRecipe, rng: np.random.Generator) -> Variation:
        """Draw what happens to one clip."""
        return cls()

    def source_length(self, length: int, sample_rate: int) -> int:
        """How many samples must be cut so that ``length`` come out."""
        return length

    def apply(self, stems: Mapping[str, Clip], length: int, sample_rate: int) -> dict[str, Clip]:
        """The varied stems, ``length`` samples each."""
        return {name: stem[:, :length] for name, stem in stems.items()}

    def degrade(self, mixture: Clip, sample_rate: int) -> Clip:
        """The mixture as a lossy codec leaves it."""
        return mixture
